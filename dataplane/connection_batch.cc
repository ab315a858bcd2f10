#include "dataplane/connection_batch.h"

#include <algorithm>

namespace millrace {
namespace {

using shm::ConnectionState;
using tcp::State;

// The states are numbered alike on both sides of the process's border.
static_assert(static_cast<int>(State::closed) == static_cast<int>(ConnectionState::closed));
static_assert(static_cast<int>(State::established) ==
              static_cast<int>(ConnectionState::established));
static_assert(static_cast<int>(State::last_ack) == static_cast<int>(ConnectionState::last_ack));
static_assert(static_cast<int>(State::time_wait) == static_cast<int>(ConnectionState::time_wait));

uint16_t flags_of(const tcp::Tcp::View& view) {
  uint32_t flags = 0;
  if (view.passive) flags |= shm::connection_passive;
  if (view.selective_acknowledgments) flags |= shm::connection_sack;
  if (view.timestamps) flags |= shm::connection_timestamps;
  if (view.window_scaling) flags |= shm::connection_window_scaling;
  if (view.repairing) flags |= shm::connection_repairing;
  return static_cast<uint16_t>(flags);
}

uint32_t quiet_ms_of(Tick last_sent, Instant now) {
  if (last_sent.is_never()) return shm::listing_quiet_unknown;
  const int64_t quiet_ms = last_sent.until(Tick::at_or_before(now)).count_ms();
  return quiet_ms < 0 ? shm::listing_quiet_unknown : static_cast<uint32_t>(quiet_ms);
}

}  // namespace

shm::ConnectionRecord::Address address_octets(const tcp::Tcp& tcp, Ipv4Address address) {
  if (tcp.is_ipv6(address)) return tcp.ipv6_address(address).octets();
  shm::ConnectionRecord::Address octets{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  address.store(&octets[12]);
  return octets;
}

shm::ConnectionRecord record_of(const tcp::Tcp& tcp, const tcp::Tcp::View& view, uint32_t place,
                                Instant now) {
  shm::ConnectionRecord record;
  record.local_address = address_octets(tcp, view.local.address);
  record.remote_address = address_octets(tcp, view.remote.address);
  record.local_port = view.local.port;
  record.remote_port = view.remote.port;
  record.state = static_cast<uint8_t>(view.state);
  record.flags = flags_of(view);
  record.place = place;
  record.quiet_ms = quiet_ms_of(view.last_sent, now);
  record.round_trip_us = view.round_trip_us;
  record.rto_ms = view.rto_ms;
  record.congestion_window = view.congestion_window;
  record.threshold =
      view.threshold == tcp::Congestion::window_bytes_max ? UINT32_MAX : view.threshold;
  record.peer_window = view.peer_window;
  record.in_flight = view.in_flight;
  record.send_queue = view.send_queue;
  record.receive_queue = view.receive_queue;
  record.out_of_order_ranges = view.out_of_order;
  record.retransmits = view.retransmits;
  record.send_mss_bytes = view.send_mss_bytes;
  return record;
}

void ConnectionBatch::ask(uint32_t place) {
  CHECK(is_idle());
  message_.header = {};
  message_.header.kind = static_cast<uint16_t>(shm::ListingKind::records);
  message_.header.next = place;
  state_.store(State::asked, std::memory_order_release);
}

void ConnectionBatch::take_back() {
  CHECK(is_answered());
  state_.store(State::idle, std::memory_order_release);
}

void ConnectionBatch::fill(const tcp::Tcp& tcp, Instant now) {
  shm::ListingHeader& header = message_.header;
  header.capacity = tcp.connection_capacity();
  uint32_t records = 0;
  uint32_t receive_slots = 0;
  for (uint32_t places = 0; places < places_per_turn_max && !is_complete(); ++places) {
    if (records == records_per_turn_max || receive_slots >= receive_slots_per_turn_max) break;
    const uint32_t place = header.next++;
    const auto view = tcp.view_at(place);
    if (!view) continue;
    shm::ConnectionRecord& record = message_.records[header.count++];
    record = record_of(tcp, *view, place, now);
    record.worker = worker_;
    receive_slots += view->receive_slots;
    ++records;
  }
  header.connections = tcp.connection_count();
  header.time_wait = tcp.time_wait_count();
  if (is_complete()) state_.store(State::answered, std::memory_order_release);
}

}  // namespace millrace
