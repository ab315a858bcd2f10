// Segment arrives: RFC 9293 section 3.10.7, in its order: sequence, RST, SYN, ACK, text, FIN.
#include <algorithm>

#include "base/check.h"
#include "dataplane/tcp/reassembly.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr Duration delayed_ack =
    Duration::milliseconds(40);  // RFC 9293 section 3.8.6.3: below 500 ms
constexpr uint8_t segments_per_ack = 2;
constexpr uint8_t duplicate_acks_for_loss = 3;                 // RFC 5681 section 3.2
constexpr Duration syn_received_life = Duration::seconds(64);  // 5 retransmissions: 1+2+4+8+16+32
// RFC 7323 section 5.5: a clock idle for 24 days may have wrapped; its memory proves nothing.
constexpr uint32_t ts_recent_life_seconds = 24 * 86'400;
// RFC 9293 section 3.7.1: without an MSS option.
constexpr uint16_t mss_default = 536;
// The smallest MSS we honour (T35): every host takes 576-octet datagrams (RFC 1122 section 3.3.2),
// and smaller segments only multiply our work.
constexpr uint16_t mss_min = 536;
constexpr uint32_t ip_and_tcp_header_bytes = 40;
constexpr uint32_t reopened_isn_gap = 65'536;  // a full unscaled window
// RFC 5961 section 7: one challenge a connection in a random 100 to 200 ms.
constexpr int64_t challenge_gap_ms_min = 100;
constexpr int64_t challenge_gap_ms_max = 200;

uint32_t seconds(Instant now) {
  return static_cast<uint32_t>(now.since_origin_ns() / 1'000'000'000);
}

// The window of a SYN is never scaled (RFC 7323 section 2.2).
uint32_t announced_window(const Connection& c, const Segment& segment) {
  return uint32_t{segment.window} << (segment.has(flag_syn) ? 0 : c.send_shift);
}

}  // namespace

void Tcp::ingress(const net::Ipv4Packet& packet, const std::optional<net::Path>& back,
                  Instant now) {
  SegmentError error{};
  Segment segment;
  if (!parse_segment_into(&segment, packet.payload, &error)) {
    counters_.add(Counter::tcp_malformed_segment);
    return;
  }
  counters_.add(Counter::tcp_segments_received);
  octets_behind_ = packet.octets_behind;
  const FlowKey flow{{packet.destination, segment.destination_port},
                     {packet.source, segment.source_port}};
  const uint32_t hash = flows_.hash(flow);
  const uint32_t index = find_flow(flow, hash);
  if (index != none) {
    on_segment(index, segment, back, now);
    return;
  }
  std::optional<Seq> used_before;
  if (TimeWaitRecord* record = time_wait_.find(flow, hash)) {
    used_before = record->snd_nxt;
    if (!on_time_wait(record, segment, now)) return;
  }
  if (segment.opens() && is_listening(flow.local)) {
    const auto path = back ? back : output_.path_to(flow.remote.address, now);
    if (path) {
      on_listen(flow, hash, segment, *path, used_before, now);
    } else {
      counters_.add(Counter::tcp_syn_no_route);
    }
    return;
  }
  answer_reset(flow, segment, back, now);
}

// A SYN for a listener (section 3.10.7.2).
void Tcp::on_listen(const FlowKey& flow, uint32_t hash, const Segment& segment,
                    const net::Path& path, std::optional<Seq> used_before, Instant now) {
  if (half_open_ >= limits_.half_open) {
    counters_.add(Counter::tcp_syn_queue_full);
    return;
  }
  const uint32_t index = open_record(flow, hash, path);
  if (index == none) return;
  ++half_open_;
  counters_.add(Counter::tcp_passive_opens);
  Connection& c = at(index);
  Transfer& t = transfer(c);
  c.passive = true;
  c.state = State::syn_received;
  t.irs = segment.seq;
  c.rcv_nxt = segment.seq + 1;
  c.receive_edge = c.rcv_nxt;
  c.last_ack_sent = c.rcv_nxt;
  t.iss = initial_sequence_number(flow, now);
  // Section 3.6.1: a flow reopened out of TIME-WAIT begins beyond every number it has used.
  if (used_before && t.iss <= *used_before) t.iss = *used_before + reopened_isn_gap;
  c.snd_una = t.snd_nxt = t.snd_max = t.iss;
  t.send_end = t.iss + 1;
  agree_on_options(c, segment.options);
  c.snd_wnd = segment.window;  // never scaled on a SYN (RFC 7323 section 2.2)
  c.snd_wnd_max = c.snd_wnd;
  c.snd_wl1 = segment.seq;
  c.snd_wl2 = t.iss;
  c.ts_recent = segment.options.timestamp_value;
  c.ts_recent_at_seconds = seconds(now);
  t.flags.syn_to_send = true;
  c.life_deadline = Tick::at_or_after(now + syn_received_life);
  set_timer(index, c);
  // Text on a SYN (TFO, RFC 7413) is not taken: the peer sends it again after the handshake (T42).
  queue_egress(c);
}

void Tcp::agree_on_options(Connection& c, const Options& options) {
  c.timestamps = limits_.features.timestamps && options.has_timestamps;
  c.window_scaling = limits_.features.window_scaling && options.has_window_scale;
  c.send_shift = c.window_scaling ? options.window_scale & 0xf : 0;
  // Our window is announced in units of 2^shift: the smallest shift that can say the largest
  // budget.
  c.receive_shift = 0;
  if (c.window_scaling) {
    while ((limits_.receive_slots_max * packet::payload_bytes_max >> c.receive_shift) > 65'535)
      ++c.receive_shift;
  }
  const uint16_t peer_mss = std::max(options.has_mss ? options.mss : mss_default, mss_min);
  const auto path_mss = static_cast<uint16_t>(output_.mtu(c.path.port()) - ip_and_tcp_header_bytes);
  // RFC 6691: the MSS counts no options; what we always send is taken off here.
  c.send_mss = static_cast<uint16_t>(std::min(peer_mss, path_mss) -
                                     (c.timestamps ? timestamps_option_bytes : 0));
  c.congestion.start(c.send_mss);
}

void Tcp::become_established(uint32_t index, Connection& c, const Segment& segment, Instant now) {
  Transfer& t = transfer(c);
  if (c.state == State::syn_received) --half_open_;
  c.state = State::established;
  c.snd_wnd = announced_window(c, segment);
  c.snd_wnd_max = std::max(c.snd_wnd_max, c.snd_wnd);
  c.snd_wl1 = segment.seq;
  c.snd_wl2 = segment.ack;
  c.life_deadline = Tick::never();
  t.tuned_at = now;
  // The application may have shut down while the handshake was under way.
  if (t.flags.fin_queued) c.state = State::fin_wait_1;
  notify(index, c, c.passive ? event_accepted : event_connected);
  queue_egress(c);
}

// SYN-SENT (section 3.10.7.3).
void Tcp::on_syn_sent(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  const bool acknowledges = segment.has(flag_ack);
  if (acknowledges && (segment.ack <= t.iss || segment.ack > t.snd_max)) {
    if (!segment.has(flag_rst)) answer_reset(c.flow, segment, c.path, now);
    return;
  }
  if (segment.has(flag_rst)) {
    // RFC 5961 section 3.2: in SYN-SENT a reset counts only if it acknowledges our SYN.
    if (!acknowledges) return;
    counters_.add(Counter::tcp_connect_refused);
    end_connection(index, c);
    return;
  }
  if (!segment.has(flag_syn)) return;
  t.irs = segment.seq;
  c.rcv_nxt = segment.seq + 1;
  c.receive_edge = c.rcv_nxt;
  c.last_ack_sent = c.rcv_nxt;
  c.ts_recent = segment.options.timestamp_value;
  c.ts_recent_at_seconds = seconds(now);
  agree_on_options(c, segment.options);
  if (!acknowledges) {
    // Simultaneous open (RFC 9293 figure 8): our SYN goes out again, with an ACK.
    c.state = State::syn_received;
    ++half_open_;
    c.snd_wnd = segment.window;
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = t.iss;
    t.snd_nxt = t.iss;
    t.flags.syn_to_send = true;
    c.life_deadline = Tick::at_or_after(now + syn_received_life);
    set_timer(index, c);
    queue_egress(c);
    return;
  }
  c.snd_wl1 = segment.seq;
  if (t.backoff == 0) c.round_trip.sample(now - t.syn_sent_at);
  c.snd_una = segment.ack;
  t.snd_nxt = seq_max(t.snd_nxt, segment.ack);
  t.backoff = 0;
  t.stalled_since = Tick::never();
  c.retransmit_deadline = Tick::never();
  become_established(index, c, segment, now);
  acknowledge_now(c);
  set_timer(index, c);
}

// The four cases of section 3.10.7.4.
bool Tcp::acceptable(const Connection& c, const Segment& segment) const {
  const uint32_t window =
      c.receive_edge > c.rcv_nxt ? octets_between(c.rcv_nxt, c.receive_edge) : 0;
  const uint32_t length = segment.sequence_length();
  const Seq edge = c.rcv_nxt + window;
  if (length == 0) {
    if (window == 0) return segment.seq == c.rcv_nxt;
    return segment.seq >= c.rcv_nxt && segment.seq < edge;
  }
  if (window == 0) return false;
  const Seq last = segment.seq + (length - 1);
  return (segment.seq >= c.rcv_nxt && segment.seq < edge) || (last >= c.rcv_nxt && last < edge);
}

// RFC 7323 section 5.3 R1, and section 3.2: once agreed, a segment without timestamps is dropped.
bool Tcp::paws_rejects(Connection& c, const Segment& segment, Instant now) {
  if (!c.timestamps || segment.has(flag_rst)) return false;
  if (!segment.options.has_timestamps) {
    counters_.add(Counter::tcp_missing_timestamp);
    return true;
  }
  const auto age = static_cast<int32_t>(segment.options.timestamp_value - c.ts_recent);
  if (age >= 0) return false;
  if (seconds(now) - c.ts_recent_at_seconds > ts_recent_life_seconds) return false;
  counters_.add(Counter::tcp_paws_rejected);
  return true;
}

void Tcp::on_segment(uint32_t index, const Segment& segment, const std::optional<net::Path>& back,
                     Instant now) {
  Connection& c = at(index);
  if (c.state == State::closed) {
    // The application has not taken notice yet; for the peer there is no connection
    // (section 3.10.7.1).
    answer_reset(c.flow, segment, c.path, now);
    return;
  }
  if (!engage(index, c, transfers_reserve())) return;
  if (limits_.fast_paths && is_expected(c, transfer(c), segment)) {
    take_expected(index, c, segment, back, now);
    return;
  }
  on_segment_engaged(index, segment, back, now);
}

void Tcp::on_segment_engaged(uint32_t index, const Segment& segment,
                             const std::optional<net::Path>& back, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  if (c.state == State::syn_sent) {
    on_syn_sent(index, segment, now);
    return;
  }
  if (paws_rejects(c, segment, now)) {
    challenge_ack(c, now);
    return;
  }
  // Our SYN-ACK, or the peer's ACK of it, was lost: the peer says its SYN again (with text, if it
  // tries Fast Open), or its SYN-ACK in a simultaneous open.
  if (c.state == State::syn_received && segment.has(flag_syn) && segment.seq == t.irs) {
    if (!segment.has(flag_ack)) {
      t.flags.syn_to_send = true;
      queue_egress(c);
    } else if (process_ack(index, segment, now)) {
      acknowledge_now(c);
    }
    return;
  }
  // First, sequence.
  if (!acceptable(c, segment)) {
    if (segment.has(flag_rst)) {
      counters_.add(Counter::tcp_reset_out_of_window);
      return;
    }
    counters_.add(Counter::tcp_out_of_window);
    // A repeated FIN or repeated text means that our ACK was lost: answer at once. Everything else
    // gets a challenge at a limited rate, or two confused stacks would answer each other for ever
    // (T7).
    const bool repeated = segment.sequence_length() > 0 && segment.seq < c.rcv_nxt &&
                          segment.seq + segment.sequence_length() <= c.rcv_nxt;
    if (repeated) {
      acknowledge_now(c);
    } else {
      challenge_ack(c, now);
    }
    // A probe or a zero window must not hide the peer's own acknowledgment (section 3.10.7.4: "the
    // RCV.WND is zero ... special allowance should be made to accept valid ACKs").
    // One that says nothing new (a keepalive stands one octet early) is no sign of loss, though.
    const bool news = segment.ack > c.snd_una || segment.sequence_length() > 0;
    if (news && segment.has(flag_ack) && !segment.has(flag_syn) && segment.seq <= c.receive_edge &&
        segment.seq >= c.rcv_nxt - c.receive_slots_budget * packet::payload_bytes_max) {
      process_ack(index, segment, now);
    }
    return;
  }
  // Second, RST (RFC 5961 section 3.2).
  if (segment.has(flag_rst)) {
    if (segment.seq != c.rcv_nxt) {
      challenge_ack(c, now);
      return;
    }
    on_reset(index, c);
    return;
  }
  // Third, SYN in a synchronized state (RFC 5961 section 4.2).
  if (segment.has(flag_syn)) {
    challenge_ack(c, now);
    return;
  }
  // Fourth, ACK.
  if (!segment.has(flag_ack)) {
    counters_.add(Counter::tcp_missing_ack_flag);
    return;
  }
  if (!process_ack(index, segment, now)) return;
  // What a segment says about its sender counts only now: a guesser has one number in the window,
  // but not also a believable acknowledgment (RFC 5961 section 5). A path back follows the peer:
  // behind a borrowed address its gateway may fail over (only segments inside the window move it).
  if (c.path.is_reflected() && back && back->port() == c.path.port()) c.path = *back;
  // RFC 7323 section 4.3: the timestamp to echo.
  if (c.timestamps && segment.seq <= c.last_ack_sent &&
      (static_cast<int32_t>(segment.options.timestamp_value - c.ts_recent) >= 0 ||
       seconds(now) - c.ts_recent_at_seconds > ts_recent_life_seconds)) {
    remember_timestamp(c, segment, now);
  }
  // Sixth, text; seventh, FIN. (Fifth, URG: the pointer is ignored and the octets stay in line,
  // RFC 6093 section 5.)
  process_text(index, segment, now);
}

void Tcp::remember_timestamp(Connection& c, const Segment& segment, Instant now) {
  c.ts_recent = segment.options.timestamp_value;
  c.ts_recent_at_seconds = seconds(now);
}

// A reset at exactly RCV.NXT (section 3.10.7.4, second).
void Tcp::on_reset(uint32_t index, Connection& c) {
  Transfer& t = transfer(c);
  // RFC 1337: both sides have said everything; an old duplicate that met a forgotten connection
  // must not take from the application what it has not read yet.
  if (c.state == State::time_wait) return;
  counters_.add(Counter::tcp_reset_by_peer);
  // The peer is done in these too, and so are we if it has all our text: no error to report.
  const bool last_word = c.state == State::closing || c.state == State::last_ack;
  if (last_word && t.send_queue.empty() && !t.flags.detached) {
    c.state = State::closed;
    wheel_.cancel(index);
    return;
  }
  end_connection(index, c);
}

// False when the segment is to be dropped, or when it ended the connection.
bool Tcp::process_ack(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  if (c.state == State::syn_received) {
    if (segment.ack <= c.snd_una || segment.ack > t.snd_max) {
      answer_reset(c.flow, segment, c.path, now);
      return false;
    }
    become_established(index, c, segment, now);
  }
  // RFC 5961 section 5.2.
  if (segment.ack > t.snd_max || segment.ack < c.snd_una - c.snd_wnd_max) {
    counters_.add(Counter::tcp_unacceptable_ack);
    challenge_ack(c, now);
    return false;
  }
  const uint32_t window = announced_window(c, segment);
  if (segment.ack > c.snd_una) {
    on_new_ack(index, c, segment, now);
    if (!connections_.live_at(index)) return false;
  } else if (segment.ack == c.snd_una && segment.sequence_length() == 0 && window == c.snd_wnd &&
             c.snd_una != t.snd_max) {
    if (window == 0) {
      // The answer to a probe: the peer is alive and says "not yet" (section 3.8.6.1). That is no
      // sign of loss, and no reason to give up.
      t.stalled_since = Tick::never();
    } else {
      on_duplicate_ack(c);  // RFC 5681 section 2: all five conditions
    }
  }
  update_send_window(c, segment);
  // The FIN of ours is acknowledged.
  if (t.flags.fin_sent && c.snd_una == t.fin_seq + 1) {
    if (c.state == State::fin_wait_1) {
      c.state = State::fin_wait_2;
      if (t.flags.detached) {
        watch_orphan(c, now);
        set_timer(index, c);
      }
    } else if (c.state == State::closing) {
      enter_time_wait(index, c, now);
      return false;
    } else if (c.state == State::last_ack) {
      if (t.flags.detached) {
        release(index);
      } else {
        c.state = State::closed;
        wheel_.cancel(index);
      }
      return false;
    }
  }
  return true;
}

void Tcp::on_new_ack(uint32_t index, Connection& c, const Segment& segment, Instant now) {
  Transfer& t = transfer(c);
  const uint32_t flight_before = octets_between(c.snd_una, t.snd_nxt);
  const uint32_t octets = octets_between(c.snd_una, segment.ack);
  Instant sampled_from = Instant::never();
  bool repeated = false;
  while (!t.send_queue.empty()) {
    const SlotIndex slot = t.send_queue.head;
    SlotRecord& record = records_[slot];
    if (record.end() <= segment.ack) {
      sampled_from = record.sent_at;
      repeated |= record.retransmitted;
      if (slot == t.unsent) t.unsent = record.next;
      if (t.flags.keep_sent && record.seq - record.offset >= t.kept_from) {
        keep_head(t);
      } else {
        records_.pop_front(t.send_queue);
      }
      continue;
    }
    if (record.seq < segment.ack) {
      const uint32_t part = octets_between(record.seq, segment.ack);
      repeated |= record.retransmitted;
      record.trim_front(static_cast<uint16_t>(part));
    }
    break;
  }
  c.snd_una = segment.ack;
  // After a pull-back the peer may acknowledge more than we have sent again.
  t.snd_nxt = seq_max(t.snd_nxt, segment.ack);
  if (t.flags.fin_queued && segment.ack > t.fin_seq) t.flags.fin_sent = true;
  // Karn's rule (RFC 6298 section 3): what a repetition may have brought about measures nothing.
  if (sampled_from != Instant::never() && !repeated) c.round_trip.sample(now - sampled_from);
  t.duplicate_acks = 0;
  t.backoff = 0;
  t.stalled_since = Tick::never();
  if (segment.ack >= t.recover) t.flags.recover_pending = false;

  if (t.flags.in_recovery) {
    if (segment.ack >= t.recover) {
      t.flags.in_recovery = false;
      c.congestion.leave_recovery(octets_between(c.snd_una, t.snd_nxt), c.send_mss);
    } else {
      // RFC 6582 section 3.2 step 3: the next hole is lost as well.
      c.congestion.partial(octets, c.send_mss);
      t.flags.retransmit_head = true;
    }
  } else {
    const bool limited =
        flight_before + 2U * c.send_mss >= c.congestion.window() ||
        (c.congestion.in_slow_start() && flight_before * 2 >= c.congestion.window());
    c.congestion.acknowledged(octets, limited, c.send_mss);
  }
  if (t.flags.detached) watch_orphan(c, now);
  restart_retransmit_timer(index, c, now);
  if (t.flags.wants_room && t.send_queue.count <= send_slots_allowed(c) / 2) {
    t.flags.wants_room = false;
    notify(index, c, event_writable);
  }
  if (t.unsent != slot_none || t.flags.retransmit_head ||
      (t.flags.fin_queued && t.snd_nxt == t.fin_seq))
    queue_egress(c);
}

void Tcp::on_duplicate_ack(Connection& c) {
  Transfer& t = transfer(c);
  if (t.flags.in_recovery) {
    // By no more than what was in flight: a peer that repeats itself for ever opens no window
    // (T21).
    if (c.congestion.window() < c.congestion.threshold() + octets_between(c.snd_una, t.recover)) {
      c.congestion.inflate(c.send_mss);
      queue_egress(c);
    }
    return;
  }
  if (t.duplicate_acks < UINT8_MAX) ++t.duplicate_acks;
  if (t.duplicate_acks < duplicate_acks_for_loss) {
    queue_egress(c);  // limited transmit (RFC 3042): one new segment each
    return;
  }
  if (t.duplicate_acks != duplicate_acks_for_loss) return;
  // RFC 6582 section 3.2 step 2: not again for a window that was already repaired.
  if (t.flags.recover_pending) return;
  counters_.add(Counter::tcp_fast_retransmits);
  t.flags.in_recovery = true;
  t.flags.recover_pending = true;
  t.recover = t.snd_max;
  c.congestion.enter_recovery(octets_between(c.snd_una, t.snd_nxt), c.send_mss);
  t.flags.retransmit_head = true;
  queue_egress(c);
}

void Tcp::update_send_window(Connection& c, const Segment& segment) {
  Transfer& t = transfer(c);
  // Section 3.10.7.4: only a newer segment may change the window.
  if (!(c.snd_wl1 < segment.seq || (c.snd_wl1 == segment.seq && c.snd_wl2 <= segment.ack))) return;
  const uint32_t window = announced_window(c, segment);
  const bool was_shut = c.snd_wnd == 0;
  const bool opened = window > c.snd_wnd;
  c.snd_wnd = window;
  c.snd_wnd_max = std::max(c.snd_wnd_max, window);
  c.snd_wl1 = segment.seq;
  c.snd_wl2 = segment.ack;
  if (!opened) return;
  if (was_shut && c.snd_una != t.snd_max && is_synchronized(c.state)) {
    // What met the closed window was thrown away: it goes again now, and under an ordinary timer,
    // not the one that was backed off between probes.
    t.snd_nxt = c.snd_una;
    t.unsent = t.send_queue.head;
  }
  if (was_shut) {
    t.backoff = 0;
    c.retransmit_deadline = Tick::never();
  }
  queue_egress(c);
}

void Tcp::process_text(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
  Transfer& t = transfer(c);
  ByteView text = segment.text;
  Seq seq = segment.seq;
  const Seq fin_at = seq + static_cast<uint32_t>(text.size());
  if (!may_receive_data(c.state)) {
    // The peer has ended its side (or a FIN of it is all that can come): nothing new is text.
    if (segment.has(flag_fin)) acknowledge_now(c);
    return;
  }
  if (segment.has(flag_fin) && !t.flags.peer_fin_known && fin_at < c.receive_edge + 1) {
    t.flags.peer_fin_known = true;
    t.peer_fin_seq = fin_at;
  }
  if (!text.empty()) {
    // Trim to the window: what lies before it was taken already, what lies beyond was not offered.
    if (seq < c.rcv_nxt) {
      const uint32_t taken =
          std::min<uint32_t>(octets_between(seq, c.rcv_nxt), static_cast<uint32_t>(text.size()));
      text = text.subspan(taken);
      seq += taken;
    }
    if (!text.empty() && t.flags.detached) {
      // RFC 9293 section 3.6.1: nobody will read it, and the peer must learn that.
      counters_.add(Counter::tcp_reset_text_after_close);
      send_reset(c, now);
      release(index);
      return;
    }
    const Seq edge =
        t.flags.peer_fin_known ? seq_min(c.receive_edge, t.peer_fin_seq) : c.receive_edge;
    const int32_t room = edge - seq;
    if (room <= 0) {
      text = {};
    } else if (static_cast<uint32_t>(room) < text.size()) {
      text = text.first(static_cast<uint32_t>(room));
    }
  }
  if (!text.empty()) {
    if (arena_.free_count() <= receive_reserve() || turn_piece_count_ == turn_pieces_max) {
      counters_.add(Counter::tcp_text_dropped_no_memory);
      acknowledge_now(c);
      return;
    }
    if (seq == c.rcv_nxt) {
      const bool hole = !t.out_of_order.empty();
      take_in_order(index, c, text);
      if (hole) {
        acknowledge_now(c);  // RFC 5681 section 4.2: at once when a hole is filled
      } else {
        acknowledge_later(index, c, now);
      }
      notify(index, c, event_readable);
    } else {
      const auto outcome =
          reassembly_insert(records_, t.out_of_order, seq, text, out_of_order_reserve());
      counters_.add(outcome == ReassemblyOutcome::full ? Counter::tcp_out_of_order_dropped
                                                       : Counter::tcp_out_of_order_stored);
      acknowledge_now(c);  // a duplicate ACK tells the sender of the hole
    }
  }
  if (t.flags.peer_fin_known && !t.flags.peer_fin_taken && c.rcv_nxt == t.peer_fin_seq)
    process_fin(index, c, now);
}

// Text at RCV.NXT. Octets that already wait out of order came first and win, so the text may be
// taken in several runs with theirs in between.
void Tcp::take_in_order(uint32_t index, Connection& c, ByteView text) {
  Transfer& t = transfer(c);
  while (!text.empty() && turn_piece_count_ < turn_pieces_max) {
    ByteView run = text;
    if (!t.out_of_order.empty()) {
      run = text.first(std::min<size_t>(
          text.size(), octets_between(c.rcv_nxt, records_[t.out_of_order.head].seq)));
    }
    const Seq text_begin = c.rcv_nxt;
    add_turn_piece(index, c, run);
    c.rcv_nxt += static_cast<uint32_t>(run.size());
    drain_out_of_order(c);
    text = text.subspan(std::min<size_t>(text.size(), octets_between(text_begin, c.rcv_nxt)));
  }
}

void Tcp::add_turn_piece(uint32_t index, Connection& c, ByteView text) {
  Transfer& t = transfer(c);
  const uint32_t piece = turn_piece_count_++;
  turn_pieces_[piece] = {text.data(), static_cast<uint32_t>(text.size()), none, octets_behind_};
  if (t.turn_tail == none) {
    t.turn_head = piece;
    turn_connections_[turn_connection_count_++] = index;
  } else {
    turn_pieces_[t.turn_tail].next = piece;
  }
  t.turn_tail = piece;
}

void Tcp::drain_out_of_order(Connection& c) {
  Transfer& t = transfer(c);
  while (!t.out_of_order.empty() && records_[t.out_of_order.head].seq == c.rcv_nxt) {
    settle(c);  // the queue is read in order: what still lies in frames goes in front
    const SlotIndex slot = t.out_of_order.head;
    t.out_of_order.head = records_[slot].next;
    if (t.out_of_order.head == slot_none) t.out_of_order.tail = slot_none;
    --t.out_of_order.count;
    c.rcv_nxt += records_[slot].length;
    records_.push_back(t.receive_queue, slot);
  }
}

void Tcp::process_fin(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  t.flags.peer_fin_taken = true;
  c.rcv_nxt += 1;
  c.receive_edge = seq_max(c.receive_edge, c.rcv_nxt);
  acknowledge_now(c);
  notify(index, c, event_peer_ended);
  switch (c.state) {
    case State::established: c.state = State::close_wait; return;
    case State::fin_wait_1: c.state = State::closing; return;  // our FIN is not acknowledged yet
    case State::fin_wait_2: enter_time_wait(index, c, now); return;
    default: return;
  }
}

void Tcp::acknowledge_now(Connection& c) {
  Transfer& t = transfer(c);
  t.flags.ack_now = true;
  queue_egress(c);
}

void Tcp::acknowledge_later(uint32_t index, Connection& c, Instant now) {
  Transfer& t = transfer(c);
  // Every second segment with text at the latest (RFC 9293 section 3.8.6.3).
  if (++t.unacknowledged_segments >= segments_per_ack) {
    acknowledge_now(c);
    return;
  }
  if (c.ack_deadline.is_never()) {
    c.ack_deadline = Tick::at_or_after(now + delayed_ack);
    set_timer(index, c);
  }
}

void Tcp::challenge_ack(Connection& c, Instant now) {
  // A tick set so long ago that the circle has come round is told by its distance.
  const Tick tick = Tick::at_or_before(now);
  const Duration left =
      c.challenge_ack_allowed.is_never() ? Duration() : tick.until(c.challenge_ack_allowed);
  if (left > Duration() && left <= Duration::milliseconds(challenge_gap_ms_max + 1)) {
    counters_.add(Counter::tcp_challenge_ack_limited);
    return;
  }
  counters_.add(Counter::tcp_challenge_acks);
  const auto gap_ms =
      static_cast<int64_t>(random_.between(challenge_gap_ms_min, challenge_gap_ms_max));
  c.challenge_ack_allowed = Tick::at_or_after(now + Duration::milliseconds(gap_ms));
  acknowledge_now(c);
}

// TIME-WAIT (section 3.10.7.4 and RFC 6191). True when a new SYN may open the flow again: the
// record is gone then.
bool Tcp::on_time_wait(TimeWaitRecord* record, const Segment& segment, Instant now) {
  if (segment.has(flag_rst)) return false;  // RFC 1337: a stray reset must not end the wait
  const bool newer_timestamp =
      record->timestamps && segment.options.has_timestamps &&
      static_cast<int32_t>(segment.options.timestamp_value - record->ts_recent) > 0;
  if (segment.opens() && (newer_timestamp || segment.seq > record->rcv_nxt)) {
    counters_.add(Counter::tcp_time_wait_reused);
    time_wait_.remove(record);
    return true;
  }
  HeaderFields fields;
  fields.source_port = record->flow.local.port;
  fields.destination_port = record->flow.remote.port;
  fields.seq = record->snd_nxt;
  fields.ack = record->rcv_nxt;
  fields.flags = flag_ack;
  fields.window = record->window;
  if (record->timestamps) {
    fields.options.has_timestamps = true;
    fields.options.timestamp_value =
        static_cast<uint32_t>(now.since_origin_ns() / 1'000'000) + record->timestamp_offset;
    fields.options.timestamp_echo = record->ts_recent;
  }
  // Only something that takes sequence space asks for an answer; a bare ACK in the right place is
  // what the other side of a simultaneous close sends, and must not be answered for ever.
  if (segment.sequence_length() == 0) {
    if (segment.seq == record->rcv_nxt || now < record->answer_allowed_at) return false;
    record->answer_allowed_at = now + Duration::milliseconds(challenge_gap_ms_max);
  }
  send_stateless(record->flow, record->path, fields, now);
  if (segment.has(flag_fin)) time_wait_.restart(record, now);
  return false;
}

void Tcp::icmp_error(const net::IcmpError& error) {
  const FlowKey flow{{error.source, error.source_port},
                     {error.destination, error.destination_port}};
  const uint32_t index = find_flow(flow, flows_.hash(flow));
  if (index == none) {
    counters_.add(Counter::tcp_icmp_unknown_flow);
    return;
  }
  Connection& c = at(index);
  const Seq seq{error.tcp_sequence_number};
  // RFC 5927 section 4: believe only an error about something that is really in flight.
  if (c.state == State::closed || seq < c.snd_una || seq >= sent_up_to(c)) {
    counters_.add(Counter::tcp_icmp_out_of_window);
    return;
  }
  // RFC 5927 section 5, RFC 9293 section 3.9.2.2: hard errors end only a connection that does not
  // stand yet; afterwards they are as soft as the others, and retransmission decides.
  if (c.state == State::syn_sent && error.is_hard()) {
    counters_.add(Counter::tcp_connect_unreachable);
    end_connection(index, c);
    return;
  }
  counters_.add(Counter::tcp_icmp_soft_errors);
}

}  // namespace millrace::tcp
