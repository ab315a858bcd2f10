// Segment arrives: RFC 9293 section 3.10.7, in its order: sequence, RST, SYN, ACK, text, FIN.
#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

// RFC 7323 section 5.5: a clock idle for 24 days may have wrapped; its memory proves nothing.
constexpr uint32_t ts_recent_life_seconds = 24 * 86'400;
// RFC 5961 section 7: one challenge a connection in a random 100 to 200 ms.
constexpr int64_t challenge_gap_ms_min = 100;
constexpr int64_t challenge_gap_ms_max = 200;

uint32_t seconds(Instant now) {
  return static_cast<uint32_t>(now.since_origin_ns() / 1'000'000'000);
}

// The four cases of section 3.10.7.4.
[[gnu::always_inline]] inline bool is_acceptable(Seq rcv_nxt, uint32_t window, Seq seq,
                                                 uint32_t length) {
  const Seq edge = rcv_nxt + window;
  if (length == 0) {
    if (window == 0) return seq == rcv_nxt;
    return seq >= rcv_nxt && seq < edge;
  }
  if (window == 0) return false;
  const Seq last = seq + (length - 1);
  return (seq >= rcv_nxt && seq < edge) || (last >= rcv_nxt && last < edge);
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
  traffic_class_ = packet.tos;
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
    if (!on_time_wait(record, segment, back, now)) return;
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
  if (segment.may_end_handshake() && cookies_.may_return(now) &&
      take_cookie(flow, hash, segment, back, now))
    return;
  // Section 3.10.7.2, fourth: a listener drops what can be neither a SYN nor part of a connection.
  if (!segment.has(flag_syn | flag_ack | flag_rst) && is_listening(flow.local)) {
    counters_.add(Counter::tcp_missing_ack_flag);
    return;
  }
  answer_reset(flow, segment, back, now);
}

bool Tcp::acceptable(const Connection& c, const Segment& segment) const {
  const uint32_t window =
      c.receive_edge > c.rcv_nxt ? octets_between(c.rcv_nxt, c.receive_edge) : 0;
  return is_acceptable(c.rcv_nxt, window, segment.seq, segment.sequence_length());
}

// RFC 7323 section 5.3 R1, of a segment that carries timestamps.
bool Tcp::paws_rejects(const Connection& c, const Segment& segment, Instant now) {
  if (!c.timestamps || segment.has(flag_rst)) return false;
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
  // A bare SYN has made this a simultaneous open, as anybody could who guessed the ports; this
  // SYN-ACK knows our initial sequence number, and belongs to the connection we asked for.
  if (c.state == State::syn_received && !c.passive && segment.ack == t.snd_max &&
      (segment.flags & (flag_syn | flag_ack | flag_rst)) == (flag_syn | flag_ack) &&
      segment.seq != t.irs) {
    --half_open_;
    c.state = State::syn_sent;
    c.life_deadline = Tick::never();
    on_syn_sent(index, segment, now);
    return;
  }
  // RFC 7323 section 3.2: once agreed on, timestamps are in every segment but resets; one without
  // them is dropped in silence.
  if (c.timestamps && !segment.options.has_timestamps && !segment.has(flag_rst)) {
    counters_.add(Counter::tcp_missing_timestamp);
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
      on_repeated_syn(index, c, segment, now);
    } else if (process_ack(index, segment, now)) {
      acknowledge_now(c);
    }
    return;
  }
  // First, sequence.
  if (!acceptable(c, segment)) {
    on_unacceptable(index, segment, now);
    return;
  }
  t.keepalive_probes = 0;  // the peer is there
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
  if (c.ecn) take_congestion_mark(c, segment);
  // Sixth, text; seventh, FIN. (Fifth, URG: the pointer is ignored and the octets stay in line,
  // RFC 6093 section 5.)
  process_text(index, segment, now);
}

// Section 3.10.7.4, first: what is not acceptable is answered and dropped.
void Tcp::on_unacceptable(uint32_t index, const Segment& segment, Instant now) {
  Connection& c = at(index);
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
    report_duplicate(c, segment.seq, segment.seq + static_cast<uint32_t>(segment.text.size()));
    acknowledge_now(c);
  } else {
    challenge_ack(c, now);
  }
  // With a window of zero nothing with text is acceptable, and its acknowledgment counts all the
  // same ("special allowance should be made to accept valid ACKs"). One that says nothing new (a
  // keepalive stands one octet early) is no sign of loss, though.
  const bool window_is_zero = c.receive_edge <= c.rcv_nxt;
  const bool news = segment.ack > c.snd_una || segment.sequence_length() > 0;
  if (window_is_zero && news && segment.has(flag_ack) && !segment.has(flag_syn) &&
      segment.seq <= c.rcv_nxt &&
      segment.seq >= c.rcv_nxt - c.receive_slots_budget * packet::payload_bytes_max) {
    process_ack(index, segment, now);
  }
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
bool Tcp::on_time_wait(TimeWaitRecord* record, const Segment& segment,
                       const std::optional<net::Path>& back, Instant now) {
  if (segment.has(flag_rst)) return false;  // RFC 1337: a stray reset must not end the wait
  const bool newer_timestamp =
      record->timestamps && segment.options.has_timestamps &&
      static_cast<int32_t>(segment.options.timestamp_value - record->ts_recent) > 0;
  // Where nobody listens no SYN opens anything, and a forged one must not end the wait.
  if (segment.opens() && is_listening(record->flow().local) &&
      (newer_timestamp || segment.seq > record->rcv_nxt)) {
    counters_.add(Counter::tcp_time_wait_reused);
    time_wait_.remove(record);
    return true;
  }
  // Fifth: in the window, without ACK, a segment is dropped.
  const uint32_t window = uint32_t{record->window} << receive_shift_for(record->window_scaling);
  if (!segment.has(flag_syn | flag_ack) &&
      is_acceptable(record->rcv_nxt, window, segment.seq, segment.sequence_length())) {
    counters_.add(Counter::tcp_missing_ack_flag);
    return false;
  }
  HeaderFields fields;
  const FlowKey flow = record->flow();
  fields.source_port = flow.local.port;
  fields.destination_port = flow.remote.port;
  fields.seq = record->snd_nxt;
  fields.ack = record->rcv_nxt;
  fields.flags = flag_ack;
  fields.window = record->window;
  if (record->timestamps) {
    fields.options.has_timestamps = true;
    fields.options.timestamp_value =
        static_cast<uint32_t>(now.since_origin_ns() / 1'000'000) + timestamp_offset_of(flow);
    fields.options.timestamp_echo = record->ts_recent;
  }
  // Only something that takes sequence space asks for an answer; a bare ACK in the right place is
  // what the other side of a simultaneous close sends, and must not be answered for ever.
  if (segment.sequence_length() == 0) {
    if (segment.seq == record->rcv_nxt || !record->may_answer(now)) return false;
  }
  const auto path = back ? back : output_.path_to(flow.remote.address, now);
  if (path) send_stateless(flow, *path, fields, now);
  if (segment.has(flag_fin)) time_wait_.restart(record, now);
  return false;
}

}  // namespace millrace::tcp
