#include "tests/diff/side.h"

#include <algorithm>

namespace millrace::diff {
namespace {

constexpr int32_t edge_at = 1'000'000;  // how the edge of a window is written
constexpr uint32_t old_timestamp_distance = 100'000;

}  // namespace

uint8_t stream_octet(int32_t at, uint8_t variant) {
  const auto mixed = static_cast<uint32_t>(at) * 2'654'435'761U + variant * 40'503U;
  return static_cast<uint8_t>(mixed >> 24);
}

Answer Side::begin() {
  peer_.begin(tester_.address, tester_.listens);
  return judge({});
}

Answer Side::take(const Step& step) {
  Answer answer;
  do_step(step, &answer);
  peer_.settle();
  return judge(std::move(answer));
}

void Side::do_step(const Step& step, Answer* answer) {
  switch (step.call) {
    case Call::none: {
      const WireSegment segment = segment_for(step.segment);
      note_said(step.segment, segment);
      said_seq_ = segment.seq;
      peer_.deliver(write_datagram(segment));
      return;
    }
    case Call::read: {
      const Reading reading = peer_.read();
      answer->read = reading.octets;
      answer->ended = reading.ended;
      answer->broken = reading.broken;
      return;
    }
    case Call::write: {
      Octets octets(step.write_octets);
      for (size_t i = 0; i < octets.size(); ++i) {
        octets[i] = stream_octet(written_ + static_cast<int32_t>(i), 0);
      }
      if (peer_.has_connection()) written_ += static_cast<int32_t>(octets.size());
      peer_.write(octets);
      return;
    }
    case Call::shutdown: peer_.shutdown(); return;
    case Call::close: peer_.close(); return;
    case Call::abort: peer_.abort(); return;
  }
}

int32_t Side::place_of(const SegmentStep& step) const {
  switch (step.seq_from) {
    case SeqFrom::isn: return step.seq_offset;
    case SeqFrom::next: return next_ + step.seq_offset;
    case SeqFrom::edge: return edge_ + step.seq_offset;
  }
  return 0;
}

WireSegment Side::segment_for(const SegmentStep& step) const {
  WireSegment segment;
  segment.from = tester_.address;
  segment.to = {stack_address.address, port_};
  segment.flags = step.flags;
  const int32_t seq = place_of(step);
  segment.seq = tester_.isn + static_cast<uint32_t>(seq);
  const int32_t from = step.ack_from == AckFrom::una ? acknowledged_ : sent_max_;
  if (step.ack_from != AckFrom::zero)
    segment.ack = isn_ + static_cast<uint32_t>(from + step.ack_offset);
  segment.window = step.window;
  segment.urgent = step.urgent;
  segment.mss = step.mss;
  segment.window_scale = step.window_scale;
  segment.sack_permitted = step.sack_permitted;
  segment.odd_options = step.odd_options;
  if (step.timestamps == TimestampKind::unasked)
    segment.timestamps = {tester_.timestamp, timestamp_to_echo_};
  if (timestamps_agreed_) {
    if (step.timestamps == TimestampKind::as_agreed)
      segment.timestamps = {tester_.timestamp, timestamp_to_echo_};
    if (step.timestamps == TimestampKind::old)
      segment.timestamps = {tester_.timestamp - old_timestamp_distance, timestamp_to_echo_};
  }
  for (const StepBlock& block : step.sack) {
    segment.sack.push_back({isn_ + static_cast<uint32_t>(acknowledged_ + block.begin),
                            isn_ + static_cast<uint32_t>(acknowledged_ + block.end)});
  }
  segment.text.resize(step.text_octets);
  const int32_t text_at = seq + (segment.has(flag_syn) ? 1 : 0);
  for (size_t i = 0; i < segment.text.size(); ++i) {
    segment.text[i] = stream_octet(text_at + static_cast<int32_t>(i), step.text_variant);
  }
  return segment;
}

void Side::note_said(const SegmentStep& step, const WireSegment& segment) {
  if (step.seq_from == SeqFrom::edge) {
    const int32_t begin = step.seq_offset;
    const int32_t end = begin + step.text_octets;
    for (const int32_t offset : {begin, end, end + 1, 0}) edge_places_[edge_ + offset] = offset;
  }
  if (segment.has(flag_syn) && !segment.has(flag_rst)) {
    offer_.scaling = step.window_scale.has_value();
    offer_.timestamps = segment.timestamps.has_value();
    // The answer to a SYN of the stack's own: from here on both have said what they offer.
    if (!tester_.listens && has_isn_ && next_ == 0) agree();
  }
  if (segment.has(flag_ack) && !segment.has(flag_rst) && step.ack_from != AckFrom::zero) {
    const auto ack = static_cast<int32_t>(segment.ack - isn_);
    if (ack > acknowledged_ && ack <= sent_max_) acknowledged_ = ack;
  }
}

Answer Side::judge(Answer answer) {
  answer.new_from = answer.new_to = sent_max_;
  for (const WireSegment& segment : peer_.take_sent()) see(segment, &answer);
  answer.has_connection = peer_.has_connection();
  answer.state = peer_.state();
  answer.owed_before = owes_;
  const auto owed = peer_.owed_acknowledgment();
  owes_ = owed.has_value();
  if (owes_ && !answer.acknowledges) see_owed(*owed, &answer);
  return answer;
}

// RFC 9293's numbers of ours, relative to our initial one. What was said relative to the edge of a
// window is said so here as well, because windows are not compared.
int32_t Side::place_in_ours(uint32_t number) const {
  const auto place = static_cast<int32_t>(number - tester_.isn);
  const auto found = edge_places_.find(place);
  return found == edge_places_.end() ? place : edge_at + found->second;
}

void Side::see(const WireSegment& segment, Answer* answer) {
  if (segment.has(flag_rst)) {
    // Its place is relative to what it answers when there is no initial number yet.
    Answer::Reset reset;
    reset.with_ack = segment.has(flag_ack);
    const bool from_nothing = !has_isn_ || segment.seq == 0;
    reset.seq =
        from_nothing ? static_cast<int32_t>(segment.seq) : static_cast<int32_t>(segment.seq - isn_);
    // To what acknowledges nothing it says how far that reached.
    if (reset.with_ack) {
      reset.ack = segment.seq == 0 ? static_cast<int32_t>(segment.ack - said_seq_)
                                   : place_in_ours(segment.ack);
    }
    answer->reset = reset;
    return;
  }
  // Until the handshake has ended it is its segments' own that is echoed.
  const bool handshake = segment.has(flag_syn) || acknowledged_ > 0;
  if (segment.timestamps && handshake) timestamp_to_echo_ = (*segment.timestamps)[0];
  if (segment.has(flag_syn)) {
    see_opening(segment, answer);
    return;
  }
  see_text(segment, answer);
}

void Side::agree() {
  window_shift_ = offer_.scaling ? stack_offer_.shift : 0;
  timestamps_agreed_ = offer_.timestamps && stack_offer_.timestamps;
}

void Side::see_opening(const WireSegment& segment, Answer* answer) {
  Answer::Opening opening;
  opening.with_ack = segment.has(flag_ack);
  opening.with_echo = segment.has(flag_ece);
  opening.has_mss = segment.mss.has_value();
  opening.has_window_scale = segment.window_scale.has_value();
  opening.sack_permitted = segment.sack_permitted;
  opening.timestamps = segment.timestamps.has_value();
  // Another number than before: it is a new connection between the same ends.
  const bool is_new = !has_isn_ || isn_ != segment.seq;
  if (is_new) {
    sent_max_ = 1;
    acknowledged_ = 0;
    written_ = 1;
    edge_ = 0;
    edge_places_.clear();
  }
  has_isn_ = true;
  isn_ = segment.seq;
  port_ = segment.from.port;
  answer->new_from = answer->new_to = sent_max_;
  stack_offer_.shift = std::min(segment.window_scale.value_or(0), shift_max);
  stack_offer_.timestamps = opening.timestamps;
  if (opening.with_ack) {
    next_ = static_cast<int32_t>(segment.ack - tester_.isn);
    opening.ack = next_;
    edge_ = std::max(edge_, next_ + segment.window);
    if (is_new) agree();
  }
  answer->opening = opening;
}

void Side::see_text(const WireSegment& segment, Answer* answer) {
  const auto seq = static_cast<int32_t>(segment.seq - isn_);
  const auto text_end = seq + static_cast<int32_t>(segment.text.size());
  const int32_t end = text_end + (segment.has(flag_fin) ? 1 : 0);
  for (size_t i = 0; i < segment.text.size(); ++i) {
    if (segment.text[i] != stream_octet(seq + static_cast<int32_t>(i), 0))
      answer->wrong_text = true;
  }
  const auto ack = static_cast<int32_t>(segment.ack - tester_.isn);
  const bool takes_space = end > seq;
  const bool repeats = takes_space && end <= sent_max_;
  if (repeats) {
    answer->repeats = true;
    // It is compared only for what it acknowledges anew.
    if (ack <= next_) return;
  } else if (takes_space) {
    sent_max_ = end;
    answer->new_to = end;
    answer->fin |= segment.has(flag_fin);
  } else {
    answer->has_bare = true;
    answer->seq_of_bare = seq;
  }
  if (!segment.has(flag_ack)) return;
  answer->acknowledges = true;
  next_ = std::max(next_, ack);
  edge_ = std::max(edge_, ack + (int32_t{segment.window} << window_shift_));
  answer->ack = place_in_ours(segment.ack);
  answer->window_open = segment.window != 0;
  answer->timestamps = segment.timestamps.has_value();
  if (segment.sack.empty()) return;
  answer->blocks.clear();
  for (const WireBlock& block : segment.sack) {
    answer->blocks.push_back({place_in_ours(block.begin), place_in_ours(block.end)});
  }
}

// As if it had been sent.
void Side::see_owed(uint32_t number, Answer* answer) {
  answer->acknowledges = true;
  answer->window_open = true;
  answer->timestamps = timestamps_agreed_;
  answer->ack = place_in_ours(number);
  next_ = std::max(next_, static_cast<int32_t>(number - tester_.isn));
}

WireSegment Side::last_word() const {
  WireSegment segment;
  segment.from = tester_.address;
  segment.to = {stack_address.address, port_};
  segment.flags = flag_rst;
  segment.seq = tester_.isn + static_cast<uint32_t>(next_);
  return segment;
}

}  // namespace millrace::diff
