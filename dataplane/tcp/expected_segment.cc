// The fast door of "segment arrives": what nearly every segment of a healthy connection is. It
// lists its conditions and leaves by one door; whoever does not meet them all goes the way of RFC
// 9293 section 3.10.7 in input.cc, with the same result (tests run with the door shut too).
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {

bool Tcp::is_expected(const Connection& c, const Transfer& t, const Segment& segment) const {
  // Nobody has begun to end the connection, and nothing is being repaired.
  Transfer::Flags unusual;
  unusual.detached = unusual.fin_queued = unusual.fin_sent = unusual.peer_fin_known = true;
  unusual.syn_to_send = unusual.retransmit_head = unusual.probe_window = true;
  unusual.in_recovery = unusual.recover_pending = unusual.probe_loss = true;
  unusual.duplicate_to_report = true;
  // ACK, with or without PSH, and no other flag.
  const bool plain = (segment.flags & ~flag_psh) == flag_ack;
  if (c.state != State::established || t.flags.has_any_of(unusual) || !plain) return false;
  const uint8_t disturbed = t.duplicate_acks | t.backoff | static_cast<uint8_t>(t.probe_in_flight) |
                            t.keepalive_probes | segment.options.sack_count;
  if (disturbed != 0 || (t.repair & t.reassembly) != none) return false;
  if (c.ecn && congestion_experienced()) return false;
  // In order, and within the window we promised.
  const auto length = static_cast<uint32_t>(segment.text.size());
  if (segment.seq != c.rcv_nxt || c.receive_edge - c.rcv_nxt < static_cast<int32_t>(length) + 1)
    return false;
  // It acknowledges something that we sent and is not a repetition of what it said before, unless
  // it carries text; the peer's window stays open.
  const uint32_t acknowledged = octets_between(c.snd_una, segment.ack);
  if (acknowledged > octets_between(c.snd_una, t.snd_max)) return false;
  if ((length | acknowledged) == 0 || segment.window == 0) return false;
  // Timestamps as agreed, and not older than the last (RFC 7323 section 5.3).
  if (segment.options.has_timestamps != c.timestamps) return false;
  if (static_cast<int32_t>(segment.options.timestamp_value - c.ts_recent) < 0) return false;
  // There is memory for the text.
  return length == 0 ||
         (arena_.free_count() > receive_reserve() && turn_piece_count_ != turn_pieces_max);
}

void Tcp::take_expected(uint32_t index, Connection& c, const Segment& segment,
                        const std::optional<net::Path>& back, Instant now) {
  if (back && c.path.is_reflected() && back->port() == c.path.port()) c.path = *back;
  // RFC 7323 section 4.3. A segment at RCV.NXT is not beyond Last.ACK.sent only if all before it
  // was acknowledged.
  if (c.timestamps && segment.seq <= c.last_ack_sent) remember_timestamp(c, segment, now);
  const bool acknowledges_more = segment.ack != c.snd_una;
  if (acknowledges_more) on_new_ack(index, c, segment, now);
  update_send_window(c, segment, acknowledges_more);
  if (segment.text.empty()) return;
  add_turn_piece(index, c, segment.text);
  c.rcv_nxt += static_cast<uint32_t>(segment.text.size());
  acknowledge_later(index, c, now);
  notify(index, c, event_readable);
}

}  // namespace millrace::tcp
