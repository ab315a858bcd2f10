#include "tests/sim/meddler.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "dataplane/net/ethernet.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6.h"

namespace millrace::sim {
namespace {

constexpr std::string_view forged_text = "This was never said. This was never said. ";
// Half of the sequence space is old, half is new; a guess stays clear of the border.
constexpr uint64_t far_octets_max = uint64_t{1} << 30;

// What a blind sender may try.
enum class Forgery : uint8_t {
  reset_out_of_window,  // RFC 9293 section 3.10.7.4: ignored
  reset_in_window,      // RFC 5961 section 3.2: challenged
  syn,                  // RFC 5961 section 4.2: challenged
  fin_of_unsent,        // RFC 5961 section 5.2: acknowledges what was never sent
  text_of_unsent,
  text_of_long_ago,  // acknowledges less than SND.UNA - MAX.SND.WND
  text_out_of_window,
  text_with_old_timestamp,  // RFC 7323 section 5.3: PAWS
  text_without_timestamp,   // RFC 7323 section 3.2
};
constexpr uint64_t forgeries = 9;

}  // namespace

Meddler::Meddler(const MeddlerPlan& plan, nic::SimLink& link, Sight sight, uint64_t seed,
                 Instant begin)
    : plan_(plan), link_(link), sight_(std::move(sight)), random_(seed) {
  if (plan_.gap > Duration()) next_act_ = begin + next_gap();
}

Duration Meddler::next_gap() {
  const auto mean = static_cast<uint64_t>(plan_.gap.count_ns());
  return Duration::nanoseconds(static_cast<int64_t>(random_.between(mean / 8, mean * 15 / 8)));
}

void Meddler::on_frame(size_t from, ByteView bytes, Instant now) {
  if (plan_.bleaches || (plan_.marks_congestion > 0 && !stopped_)) bytes = remark(bytes);
  if (plan_.strips() && strip(from, bytes, now)) return;
  if (!stopped_) {
    if (plan_.replays) keep(from, bytes);
    if (plan_.hostile_side == from && turn_hostile(from, bytes, now)) return;
  }
  link_.pass(from, bytes, now);
}

void Meddler::act(Instant now) {
  if (now < next_act_) return;
  next_act_ = now + next_gap();
  const bool has_choice = plan_.forges || plan_.kills;
  if (plan_.replays && (!has_choice || random_.chance(0.5))) {
    replay(now);
  } else if (has_choice) {
    forge(now);
  }
}

// The frame with other bits of ECN, if it has any and its turn has come.
ByteView Meddler::remark(ByteView bytes) {
  constexpr size_t header_at = 14;
  if (bytes.size() < header_at + net::ipv4_header_bytes) return bytes;
  const uint16_t ethertype = load_be16(&bytes[12]);
  const bool over_ipv6 = ethertype == net::ethertype_ipv6;
  if (!over_ipv6 && ethertype != net::ethertype_ipv4) return bytes;
  // The traffic class begins in the first octet (RFC 8200 section 3).
  const auto ecn = static_cast<uint8_t>(
      (over_ipv6 ? bytes[header_at + 1] >> 4 : bytes[header_at + 1]) & net::ecn_mask);
  if (ecn == net::ecn_not_capable) return bytes;
  if (!plan_.bleaches && !random_.chance(plan_.marks_congestion)) return bytes;
  remarked_.assign(bytes.begin(), bytes.end());
  const uint8_t set = plan_.bleaches ? net::ecn_not_capable : net::ecn_congestion;
  if (over_ipv6) {
    net::set_ipv6_ecn(&remarked_[header_at], set);
  } else {
    net::set_ecn(&remarked_[header_at], set);
  }
  ++changed_;
  return remarked_;
}

// True when the frame has gone on in another form.
bool Meddler::strip(size_t from, ByteView bytes, Instant now) {
  auto frame = parse_segment_frame(bytes);
  if (!frame || !frame->segment.has(tcp::flag_syn)) return false;
  tcp::Options& options = frame->segment.options;
  if (plan_.strips_sack) options.sack_permitted = false;
  if (plan_.strips_timestamps) options.has_timestamps = false;
  if (plan_.strips_scaling) options.has_window_scale = false;
  pass(from, *frame, now);
  return true;
}

// --- old frames ---

void Meddler::keep(size_t from, ByteView bytes) {
  if (kept_.size() < kept_frames) {
    kept_.push_back({from, {bytes.begin(), bytes.end()}});
    return;
  }
  // A frame in eight takes another's place, so that some are very old.
  if (!random_.chance(0.125)) return;
  Kept& place = kept_[random_.below(kept_frames)];
  place.from = from;
  place.bytes.assign(bytes.begin(), bytes.end());
}

void Meddler::replay(Instant now) {
  if (kept_.empty()) return;
  const Kept& old = kept_[random_.below(kept_.size())];
  nic::SimWire& wire = port_of(1 - old.from).wire();
  if (wire.is_too_long(old.bytes)) return;
  ++replayed_;
  wire.insert(old.bytes, now);
}

// --- forged segments ---

void Meddler::forge(Instant now) {
  const uint32_t count = sight_.conversations();
  if (count == 0) return;
  const auto conversation = static_cast<uint32_t>(random_.below(count));
  const size_t side = random_.below(2);
  const bool kills = plan_.kills && (!plan_.forges || random_.chance(0.1));
  const ConnectionState state = sight_.by_number(side, conversation);
  if (state.connection == nullptr || sight_.is_away(side)) return;
  if (kills) {
    kill(side, conversation, state, now);
    return;
  }
  SegmentFrame frame = segment_for(side, state);
  if (!forge_segment(state, &frame)) return;
  ++forged_;
  insert(side, frame, now);
}

// From the other side, all of it as that side would say it next, without text.
SegmentFrame Meddler::segment_for(size_t side, const ConnectionState& state) const {
  const tcp::Connection& c = *state.connection;
  SegmentFrame frame;
  frame.source_mac = port_of(1 - side).facts().mac;
  frame.destination_mac = port_of(side).facts().mac;
  frame.source = c.flow.remote.address;
  frame.destination = c.flow.local.address;
  if (state.tcp->is_ipv6(c.flow.remote.address))
    frame.ipv6 = {state.tcp->ipv6_address(c.flow.remote.address),
                  state.tcp->ipv6_address(c.flow.local.address)};
  tcp::Segment& segment = frame.segment;
  segment.source_port = c.flow.remote.port;
  segment.destination_port = c.flow.local.port;
  segment.seq = c.rcv_nxt;
  segment.ack = c.snd_una;
  segment.flags = tcp::flag_ack;
  segment.window = 1'000;
  segment.options.has_timestamps = c.timestamps;
  segment.options.timestamp_value = c.ts_recent;
  return frame;
}

// False when this forgery is not possible against the connection.
bool Meddler::forge_segment(const ConnectionState& state, SegmentFrame* frame) {
  const tcp::Connection& c = *state.connection;
  tcp::Segment& segment = frame->segment;
  const uint32_t window =
      c.receive_edge > c.rcv_nxt ? tcp::octets_between(c.rcv_nxt, c.receive_edge) : 0;
  const auto far = static_cast<uint32_t>(random_.between(1, far_octets_max));
  const auto in_window = static_cast<uint32_t>(window < 2 ? 0 : random_.between(1, window - 1));
  const ByteView text = as_bytes(forged_text).first(random_.between(1, forged_text.size()));
  switch (static_cast<Forgery>(random_.below(forgeries))) {
    case Forgery::reset_out_of_window:
      segment.flags = tcp::flag_rst;
      segment.seq = random_.chance(0.5) ? c.rcv_nxt - far : c.rcv_nxt + window + far;
      return true;
    case Forgery::reset_in_window:
      segment.flags = tcp::flag_rst;
      segment.seq = c.rcv_nxt + in_window;
      return in_window > 0;
    case Forgery::syn:
      segment.flags = tcp::flag_syn;
      segment.seq = c.rcv_nxt + static_cast<uint32_t>(random_.next());
      return true;
    case Forgery::fin_of_unsent:
      segment.flags = tcp::flag_ack | tcp::flag_fin;
      segment.ack = state.transfer->snd_max + far;
      return true;
    case Forgery::text_of_unsent:
      segment.seq = c.rcv_nxt + in_window;
      segment.ack = state.transfer->snd_max + far;
      segment.text = text;
      return true;
    case Forgery::text_of_long_ago:
      segment.ack = c.snd_una - c.snd_wnd_max - far;
      segment.text = text;
      return true;
    case Forgery::text_out_of_window:
      segment.seq = c.rcv_nxt + window + far;
      segment.text = text;
      return true;
    case Forgery::text_with_old_timestamp:
      segment.options.timestamp_value = c.ts_recent - far;
      segment.text = text;
      return c.timestamps;
    case Forgery::text_without_timestamp:
      segment.options.has_timestamps = false;
      segment.text = text;
      return c.timestamps;
  }
  return false;
}

void Meddler::kill(size_t side, uint32_t conversation, const ConnectionState& state, Instant now) {
  SegmentFrame frame = segment_for(side, state);
  frame.segment.flags = tcp::flag_rst;
  killed_.push_back(conversation);
  insert(side, frame, now);
}

// It arrives before everything that is sent from now on: the state that it was made for is the
// state that it meets.
void Meddler::insert(size_t side, const SegmentFrame& frame, Instant now) {
  build_segment_frame(frame, &built_);
  port_of(side).wire().insert(built_, now);
}

// --- the hostile peer ---

// True when the frame has gone on in another form.
bool Meddler::turn_hostile(size_t from, ByteView bytes, Instant now) {
  if (!random_.chance(plan_.hostility)) return false;
  auto frame = parse_segment_frame(bytes);
  if (!frame || (frame->segment.flags & (tcp::flag_syn | tcp::flag_rst)) != 0) return false;
  const ConnectionState victim =
      sight_.by_ports(1 - from, frame->segment.destination_port, frame->segment.source_port);
  if (victim.connection == nullptr) return false;
  add_hostile_segments(from, *frame, victim, now);
  bool is_changed = plan_.shrinks_windows && change_window(&*frame);
  if (plan_.lies_in_sack && change_sack(&*frame, victim)) is_changed = true;
  if (plan_.acknowledges_unreceived) {
    frame->segment.ack = victim.transfer->snd_max;
    is_changed = true;
  }
  if (!is_changed) return false;
  ++changed_;
  pass(from, *frame, now);
  return true;
}

void Meddler::add_hostile_segments(size_t from, const SegmentFrame& frame,
                                   const ConnectionState& victim, Instant now) {
  SegmentFrame added = frame;
  added.segment.text = {};
  added.segment.flags = tcp::flag_ack;
  const tcp::Seq una = victim.connection->snd_una;
  if (plan_.divides_acks_octets != 0 && frame.segment.ack > una) {
    const uint32_t octets = tcp::octets_between(una, frame.segment.ack);
    const uint32_t step = std::max(plan_.divides_acks_octets, octets / plan_.ack_pieces_max + 1);
    for (uint32_t told = step; told < octets; told += step) {
      added.segment.ack = una + told;
      pass(from, added, now);
    }
  }
  added.segment.ack = frame.segment.ack;
  if (plan_.repeats_acks) {
    for (uint64_t left = random_.between(1, 4); left > 0; --left) pass(from, added, now);
  }
  // At once, or the victim would have sent it before the acknowledgment is there.
  if (plan_.acknowledges_unsent && !sight_.is_away(1 - from)) {
    added.segment.ack = victim.transfer->snd_max + static_cast<uint32_t>(random_.between(1, 9'999));
    insert(1 - from, added, now);
  }
}

// T27: to less than was announced before, and to nothing.
bool Meddler::change_window(SegmentFrame* frame) {
  uint16_t& window = frame->segment.window;
  window =
      random_.chance(0.3) ? uint16_t{0} : static_cast<uint16_t>(window >> random_.between(1, 6));
  return true;
}

// Blocks that tell of what was not received, of nothing, or of what was never sent. A block that
// says the truth next time is a peer that has thrown text away (RFC 2018 section 8).
bool Meddler::change_sack(SegmentFrame* frame, const ConnectionState& victim) {
  tcp::Options& options = frame->segment.options;
  constexpr size_t room_max = 1'400;
  if (!victim.connection->selective_acknowledgments || frame->segment.text.size() > room_max)
    return false;
  const uint8_t blocks_max = options.has_timestamps ? 3 : 4;
  options.sack_count = static_cast<uint8_t>(random_.between(0, blocks_max));
  const tcp::Seq una = victim.connection->snd_una;
  const uint32_t flight = tcp::octets_between(una, victim.transfer->snd_max);
  for (uint8_t i = 0; i < options.sack_count; ++i) {
    const uint32_t around = flight + (random_.chance(0.2) ? 100'000U : 0U);
    const auto begin = static_cast<uint32_t>(random_.below(uint64_t{around} + 1));
    const auto length = static_cast<uint32_t>(random_.below(uint64_t{around} + 1));
    options.sack[i] = {una + begin, una + begin + length};
    if (random_.chance(0.1)) std::swap(options.sack[i].begin, options.sack[i].end);
  }
  return true;
}

void Meddler::pass(size_t from, const SegmentFrame& frame, Instant now) {
  build_segment_frame(frame, &built_);
  link_.pass(from, built_, now);
}

}  // namespace millrace::sim
