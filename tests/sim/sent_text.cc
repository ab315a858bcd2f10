#include "tests/sim/sent_text.h"

#include <algorithm>
#include <iterator>

#include "tests/sim/scenario.h"

namespace millrace::sim {
namespace {

constexpr uint64_t initial_window = 14'600;  // RFC 6928

}  // namespace

void SentText::on_frame(size_t wire, Step step, Instant at, ByteView bytes) {
  constexpr size_t ethernet_bytes = 14;
  const auto frame = parse_segment_frame(bytes);
  if (!frame || bytes.size() - ethernet_bytes > mtu_) return;
  const tcp::Segment& segment = frame->segment;
  if (wire == client_side && segment.has(tcp::flag_syn)) begin_ = segment.seq + 1;
  if (!begin_ || segment.has(tcp::flag_syn)) return;
  if (wire == client_side && !segment.text.empty()) on_text(step, at, segment);
  if (wire == server_side && step == Step::arrives) on_acknowledgment(segment);
}

void SentText::on_text(Step step, Instant at, const tcp::Segment& segment) {
  const int64_t end = offset_of(segment.seq) + static_cast<int64_t>(segment.text.size());
  if (step == Step::arrives) {
    arrived_to_ = std::max(arrived_to_, end);
    return;
  }
  sent_to_ = std::max(sent_to_, end);
  now_.at = at;
  now_.sent += segment.text.size();
  by_.push_back(now_);
}

void SentText::on_acknowledgment(const tcp::Segment& segment) {
  const int64_t to = offset_of(segment.ack);
  constexpr int64_t fin = 1;
  if (!segment.has(tcp::flag_ack) || to <= 0 || to > sent_to_ + fin) return;
  const int64_t text_to = std::min(to, sent_to_);
  now_.acknowledged = std::max(now_.acknowledged, static_cast<uint64_t>(text_to));
  if (text_to > arrived_to_) now_.was_early = true;
}

int64_t SentText::offset_of(tcp::Seq seq) const {
  return static_cast<int32_t>(seq.value() - begin_->value());
}

std::string SentText::judge_growth() const {
  for (const Sum& sum : by_) {
    const uint64_t most = (initial_window + 2 * sum.acknowledged) * 11 / 10;
    if (sum.sent > most)
      return std::to_string(sum.sent) + " octets were sent when " +
             std::to_string(sum.acknowledged) + " were acknowledged" +
             (sum.was_early ? ", some before they had arrived" : "");
  }
  return "";
}

std::string SentText::judge_against(const std::array<SentText, 2>& honest, bool by_time) const {
  for (const Sum& sum : by_) {
    uint64_t fair = 0;
    if (by_time) fair = std::max(honest[0].sent_by(sum.at), honest[1].sent_by(sum.at));
    if (sum.was_early || !by_time)
      fair = std::max({fair, honest[0].sent_when_acknowledged(sum.acknowledged),
                       honest[1].sent_when_acknowledged(sum.acknowledged)});
    if (sum.sent > fair + fair / 10 + initial_window)
      return "a hostile reader was sent " + std::to_string(sum.sent) +
             " octets when an honest one had " + std::to_string(fair);
  }
  return "";
}

uint64_t SentText::sent_by(Instant instant) const {
  const auto after = std::upper_bound(by_.begin(), by_.end(), instant,
                                      [](Instant at, const Sum& sum) { return at < sum.at; });
  return after == by_.begin() ? 0 : std::prev(after)->sent;
}

// With all that was sent on the acknowledgment that first told of so many.
uint64_t SentText::sent_when_acknowledged(uint64_t octets) const {
  const auto least = [](const Sum& sum, uint64_t count) { return sum.acknowledged < count; };
  const auto first = std::lower_bound(by_.begin(), by_.end(), octets, least);
  if (first == by_.end()) return by_.empty() ? 0 : by_.back().sent;
  return std::prev(std::lower_bound(first, by_.end(), first->acknowledged + 1, least))->sent;
}

}  // namespace millrace::sim
