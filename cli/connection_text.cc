#include "cli/connection_text.h"

#include <algorithm>
#include <cinttypes>

#include "base/address.h"
#include "base/ipv6_address.h"
#include "cli/text.h"

namespace millrace::cli {
namespace {

using shm::ConnectionRecord;

bool has(const ConnectionRecord& record, uint16_t flag) {
  return (record.flags & flag) != 0;
}

const char* state_text(const ConnectionRecord& record) {
  const auto& names = shm::connection_state_names;
  return record.state < names.size() ? names[record.state] : "?";
}

const char* side_text(const ConnectionRecord& record) {
  return has(record, shm::connection_passive) ? "client" : "endpoint";
}

std::string options_text(const ConnectionRecord& record) {
  std::string text;
  const auto add = [&](uint16_t flag, const char* name) {
    if (!has(record, flag)) return;
    if (!text.empty()) text += ',';
    text += name;
  };
  add(shm::connection_sack, "sack");
  add(shm::connection_timestamps, "ts");
  add(shm::connection_window_scaling, "ws");
  add(shm::connection_ecn, "ecn");
  add(shm::connection_repairing, "repairing");
  return text.empty() ? "-" : text;
}

std::string seconds_text(uint32_t quiet_ms) {
  if (quiet_ms == shm::listing_quiet_unknown) return "-";
  return format("%.1f", quiet_ms / 1e3);
}

std::string milliseconds_text(uint32_t round_trip_us) {
  return round_trip_us == 0 ? "-" : format("%.3f", round_trip_us / 1e3);
}

std::string threshold_text(uint32_t threshold) {
  return threshold == UINT32_MAX ? "-" : std::to_string(threshold);
}

const char* json_bool(bool value) {
  return value ? "true" : "false";
}

std::string json_number_or_null(bool known, uint32_t value) {
  return known ? std::to_string(value) : "null";
}

}  // namespace

std::string address_text(const ConnectionRecord::Address& address) {
  const Ipv6Address whole(address);
  return whole.is_ipv4_mapped() ? Ipv4Address::load(&address[12]).text() : whole.text();
}

std::string end_text(const ConnectionRecord::Address& address, uint16_t port) {
  const std::string text = address_text(address);
  const bool is_ipv6 = text.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

std::string table_head() {
  return format("%-12s %-8s %-21s %-21s %8s %9s %6s %9s %9s %8s %8s %8s %4s %5s %s\n", "STATE",
                "PEER", "LOCAL", "REMOTE", "QUIET_S", "RTT_MS", "RTO_MS", "CWND", "SSTHRESH",
                "FLIGHT", "SENDQ", "RECVQ", "GAPS", "RETX", "OPTIONS");
}

std::string table_row(const ConnectionRecord& record) {
  return format(
      "%-12s %-8s %-21s %-21s %8s %9s %6u %9u %9s %8u %8u %8u %4u %5u %s\n", state_text(record),
      side_text(record), end_text(record.local_address, record.local_port).c_str(),
      end_text(record.remote_address, record.remote_port).c_str(),
      seconds_text(record.quiet_ms).c_str(), milliseconds_text(record.round_trip_us).c_str(),
      record.rto_ms, record.congestion_window, threshold_text(record.threshold).c_str(),
      record.in_flight, record.send_queue, record.receive_queue, record.out_of_order_ranges,
      record.retransmits, options_text(record).c_str());
}

std::string table_summary(const ListingSummary& summary) {
  std::string text =
      format("%" PRIu64 " of %" PRIu64 " connections:", summary.matched, summary.listed);
  bool any = false;
  for (size_t state = 0; state < summary.by_state.size(); ++state) {
    if (summary.by_state[state] == 0) continue;
    text += format("%s %s %" PRIu64, any ? "," : "", shm::connection_state_names[state],
                   summary.by_state[state]);
    any = true;
  }
  if (!any) text += " none";
  text += format("; beside them %u in TIME-WAIT", summary.time_wait);
  return text + (summary.is_complete ? "\n" : "; the listing broke off\n");
}

std::string json_head() {
  return "{\"connections\": [\n";
}

std::string json_separator() {
  return ",\n";
}

std::string json_row(const ConnectionRecord& record) {
  std::string text = format(
      "{\"state\": \"%s\", \"peer\": \"%s\", \"local_address\": \"%s\", \"local_port\": %u, "
      "\"remote_address\": \"%s\", \"remote_port\": %u, \"worker\": %u",
      state_text(record), side_text(record), address_text(record.local_address).c_str(),
      record.local_port, address_text(record.remote_address).c_str(), record.remote_port,
      record.worker);
  text += format(
      ", \"quiet_ms\": %s, \"rtt_us\": %s, \"rto_ms\": %u, \"cwnd\": %u, \"ssthresh\": %s, "
      "\"peer_window\": %u, \"in_flight\": %u, \"send_queue\": %u, \"receive_queue\": %u",
      json_number_or_null(record.quiet_ms != shm::listing_quiet_unknown, record.quiet_ms).c_str(),
      json_number_or_null(record.round_trip_us != 0, record.round_trip_us).c_str(), record.rto_ms,
      record.congestion_window,
      json_number_or_null(record.threshold != UINT32_MAX, record.threshold).c_str(),
      record.peer_window, record.in_flight, record.send_queue, record.receive_queue);
  text += format(
      ", \"out_of_order_ranges\": %u, \"retransmits\": %u, \"mss\": %u, \"sack\": %s, "
      "\"timestamps\": %s, \"window_scaling\": %s, \"ecn\": %s, \"repairing\": %s}",
      record.out_of_order_ranges, record.retransmits, record.send_mss_bytes,
      json_bool(has(record, shm::connection_sack)),
      json_bool(has(record, shm::connection_timestamps)),
      json_bool(has(record, shm::connection_window_scaling)),
      json_bool(has(record, shm::connection_ecn)),
      json_bool(has(record, shm::connection_repairing)));
  return text;
}

std::string json_summary(const ListingSummary& summary) {
  std::string text =
      format("\n], \"summary\": {\"complete\": %s, \"listed\": %" PRIu64 ", \"matched\": %" PRIu64
             ", \"time_wait\": %u, \"by_state\": {",
             json_bool(summary.is_complete), summary.listed, summary.matched, summary.time_wait);
  bool any = false;
  for (size_t state = 0; state < summary.by_state.size(); ++state) {
    if (summary.by_state[state] == 0) continue;
    text += format("%s\"%s\": %" PRIu64, any ? ", " : "", shm::connection_state_names[state],
                   summary.by_state[state]);
    any = true;
  }
  return text + "}}}\n";
}

}  // namespace millrace::cli
