#include "tests/support/access_journal.h"

#include <algorithm>

namespace millrace::testing {
namespace {

using access_log::AccessRecord;
using access_log::ExchangeEnd;
using access_log::LocalReason;
using access_log::Text;

// Phases follow one another, and none lies behind the turn that ended the exchange.
bool times_agree(const AccessRecord& record, uint64_t now_ns) {
  uint64_t last = record.began_ns;
  for (const uint64_t at : {record.routed_ns, record.connected_ns, record.responded_ns}) {
    if (at == 0) continue;  // the phase did not come
    if (at < last) return false;
    last = at;
  }
  return record.began_ns > 0 && record.routed_ns > 0 && record.ended_ns >= last &&
         record.ended_ns <= now_ns;
}

const char* what_is_wrong(const access_log::AccessEntry& entry, uint64_t now_ns) {
  const AccessRecord& record = entry.record();
  const bool understood = !entry.text(Text::method).empty();
  const bool local = record.reason != LocalReason::none;
  const bool tunnel =
      record.end == ExchangeEnd::tunnel_ended || record.end == ExchangeEnd::tunnel_reset;
  if (!times_agree(record, now_ns)) return "its phases do not follow one another";
  if (entry.text(Text::client).empty() || record.client_port == 0) return "it has no client";
  if ((record.status == 0) != (record.responded_ns == 0)) return "an answer without its time";
  if (record.end == ExchangeEnd::complete && record.status < 200) return "complete, unanswered";
  // Without memory even an answer of ours is none.
  const bool wants_no_error = record.reason == LocalReason::last_recipient;
  if (local && !wants_no_error && record.status != 0 && record.status < 400)
    return "an answer of ours that is none";
  if (local && record.end == ExchangeEnd::response_truncated) return "an answer of ours cut off";
  if (tunnel && record.status != 101) return "a tunnel without a 101";
  if (record.status == 101 && record.attempts == 0) return "a tunnel to nobody";
  if (record.status != 0 && !local && record.attempts == 0) return "answered by no endpoint";
  if ((record.attempts == 0) != (record.endpoint_port == 0)) return "attempts, and no endpoint";
  // Its rule may be gone when it would be sent once more.
  if (record.attempts > 0 && entry.text(Text::service).empty() &&
      record.reason != LocalReason::no_route) {
    return "an endpoint of no service";
  }
  if ((record.head_error != http::HeadError::none) != (record.reason == LocalReason::head_invalid))
    return "a rule broken, and another reason";
  if (!understood && record.attempts > 0) return "sent on without being understood";
  if (record.end != ExchangeEnd::complete && record.keep_alive) return "broken off, and goes on";
  return nullptr;
}

}  // namespace

void AccessJournal::judge(const access_log::AccessEntry& entry, uint64_t now_ns) {
  if (!entry.text(Text::method).empty()) ++requests_;
  if (entry.record().head_error != http::HeadError::none) ++refused_;
  JournalLine line{entry.record(),
                   {},
                   std::string(entry.text(Text::target)),
                   std::string(entry.text(Text::service))};
  access_log::append_line(entry, access_log::Format::json, 0, line.json);
  if (const char* wrong = what_is_wrong(entry, now_ns); wrong != nullptr && impossible_.empty()) {
    impossible_ = std::string(wrong) + ": " + line.json;
  }
  const AccessRecord& record = entry.record();
  ++sums_.answers[std::min(record.status / 100, 5)];
  if (record.reason != LocalReason::none && record.status != 0) ++sums_.ours;
  if (record.attempts > 1) sums_.retries += record.attempts - 1U;
  sums_.request_octets += record.request_body_octets;
  sums_.response_octets += record.response_body_octets;
  ++total_;
  lines_.push_back(std::move(line));
  if (lines_.size() > lines_max) lines_.pop_front();
}

void AccessJournal::take(uint64_t now_ns) {
  ring_.drain(SIZE_MAX, [&](ByteView record) { judge(access_log::AccessEntry(record), now_ns); });
}

}  // namespace millrace::testing
