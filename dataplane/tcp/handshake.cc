// Handshakes: RFC 9293 sections 3.5, 3.10.7.2 and 3.10.7.3, what is agreed on in them, and SYN
// cookies (RFC 4987 section 3.6).
#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr Duration syn_received_life = Duration::seconds(64);  // 5 retransmissions: 1+2+4+8+16+32
// RFC 9293 section 3.7.1: without an MSS option.
constexpr uint16_t mss_default = 536;
constexpr uint16_t mss_default_ipv6 = 1'220;
// The smallest MSS we honour (T35): every host takes 576-octet datagrams (RFC 1122 section 3.3.2),
// and smaller segments only multiply our work.
constexpr uint16_t mss_min = 536;
constexpr uint32_t reopened_isn_gap = 65'536;  // a full unscaled window

uint32_t seconds(Instant now) {
  return static_cast<uint32_t>(now.since_origin_ns() / 1'000'000'000);
}

}  // namespace

// A SYN for a listener (section 3.10.7.2).
void Tcp::on_listen(const FlowKey& flow, uint32_t hash, const Segment& segment,
                    const net::Path& path, std::optional<Seq> used_before, Instant now) {
  if (half_open_ >= limits_.half_open) {
    answer_with_cookie(flow, segment, path, now);
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
  c.snd_una = t.snd_nxt = t.snd_max = t.limited_until = t.iss;
  t.send_end = t.iss + 1;
  agree_on_options(c, segment.options, now);
  c.ecn = limits_.features.ecn_agreed_to && segment.asks_for_ecn();
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

// Whoever says its SYN again is there: it gets an answer, one more repetition of it, and the time
// for that. So a client on a bad path, which goes on for minutes, does not meet a record that ends
// just now.
void Tcp::on_repeated_syn(uint32_t index, Connection& c, const Segment& segment, Instant now) {
  Transfer& t = transfer(c);
  // RFC 3168 section 6.1.1.1: its first SYN was lost, perhaps because it asked.
  if (!segment.asks_for_ecn()) c.ecn = false;
  t.flags.syn_to_send = true;
  t.backoff = std::min<uint8_t>(t.backoff, syn_ack_retransmits_max - 1);
  t.stalled_since = Tick::never();
  c.retransmit_deadline = Tick::at_or_after(now + c.round_trip.timeout(t.backoff));
  c.life_deadline = Tick::at_or_after(now + syn_received_life);
  set_timer(index, c);
  queue_egress(c);
}

void Tcp::agree_on_options(Connection& c, const Options& options, Instant now) {
  c.timestamps = limits_.features.timestamps && options.has_timestamps;
  c.window_scaling = limits_.features.window_scaling && options.has_window_scale;
  c.selective_acknowledgments =
      limits_.features.selective_acknowledgments && options.sack_permitted;
  c.send_shift = c.window_scaling ? options.window_scale & 0xf : 0;
  c.receive_shift = receive_shift_for(c.window_scaling) & 0xf;
  const Ipv4Address peer = c.flow.remote.address;
  const uint16_t mss_unsaid = net::is_ipv6_alias(peer) ? mss_default_ipv6 : mss_default;
  const uint16_t peer_mss = std::max(options.has_mss ? options.mss : mss_unsaid, mss_min);
  const uint16_t path_mtu = path_mtus_.limit(path_mtu_key(peer), output_.mtu(c.path.port()), now);
  const auto path_mss =
      static_cast<uint16_t>(path_mtu - net::ip_header_bytes(peer) - header_bytes_min);
  // RFC 6691: the MSS counts no options; what we always send is taken off here.
  c.send_mss = static_cast<uint16_t>(std::min(peer_mss, path_mss) -
                                     (c.timestamps ? timestamps_option_bytes : 0));
  c.congestion.start(c.send_mss);
}

// Our window is announced in units of 2^shift: the smallest shift that can say the largest budget.
uint8_t Tcp::receive_shift_for(bool window_scaling) const {
  uint8_t shift = 0;
  if (!window_scaling) return shift;
  while ((limits_.receive_slots_max * packet::payload_bytes_max >> shift) > 65'535) ++shift;
  return shift;
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

// Our SYN is acknowledged. It measures the round trip if it was said once only (Karn's rule,
// RFC 6298 section 3).
void Tcp::take_handshake_round_trip(Connection& c, Transfer& t, Instant now) {
  if (!t.syn_repeated && t.syn_sent_at != Instant::never())
    take_round_trip(c, t, now - t.syn_sent_at, now);
  if (t.backoff > 0) c.round_trip.start_after_repeated_syn();
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
  agree_on_options(c, segment.options, now);
  if (!acknowledges) {
    // Simultaneous open (RFC 9293 figure 8): our SYN goes out again, with an ACK. RFC 3168 does not
    // say who has agreed to what then.
    c.ecn = false;
    c.state = State::syn_received;
    ++half_open_;
    c.snd_wnd = segment.window;
    c.snd_wnd_max = c.snd_wnd;
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = t.iss;
    t.snd_nxt = t.iss;
    t.flags.syn_to_send = true;
    c.life_deadline = Tick::at_or_after(now + syn_received_life);
    set_timer(index, c);
    queue_egress(c);
    return;
  }
  c.ecn = c.ecn && segment.agrees_to_ecn();
  c.snd_wl1 = segment.seq;
  take_handshake_round_trip(c, t, now);
  c.snd_una = segment.ack;
  t.snd_nxt = seq_max(t.snd_nxt, segment.ack);
  t.backoff = 0;
  t.stalled_since = Tick::never();
  c.retransmit_deadline = Tick::never();
  become_established(index, c, segment, now);
  acknowledge_now(c);
  set_timer(index, c);
  // "Continue processing at the sixth step": its FIN counts. Nothing promised room for text yet, so
  // that is not taken (T42).
  Segment behind_syn = segment;
  behind_syn.seq = c.rcv_nxt;
  behind_syn.flags &= static_cast<uint8_t>(~flag_syn);
  process_text(index, behind_syn, now);
}

// A SYN for which there is no room: the answer is made of it and forgotten. It is not said again,
// so whoever forges SYNs gets one segment for each, at most the four octets of an MSS option longer
// than what it sent (T10).
void Tcp::answer_with_cookie(const FlowKey& flow, const Segment& segment, const net::Path& path,
                             Instant now) {
  const Options& asked = segment.options;
  const bool timestamps = limits_.features.timestamps && asked.has_timestamps;
  HeaderFields fields;
  fields.source_port = flow.local.port;
  fields.destination_port = flow.remote.port;
  fields.seq = cookies_.make(flow, segment.seq, asked, now);
  fields.ack = segment.seq + 1;
  fields.flags = flag_syn | flag_ack;
  fields.window = static_cast<uint16_t>(
      std::min(limits_.receive_slots_initial * uint32_t{mss_default}, 65'535U));
  Options& options = fields.options;
  options.has_mss = true;
  options.mss = static_cast<uint16_t>(output_.mtu(path.port()) -
                                      net::ip_header_bytes(flow.remote.address) - header_bytes_min);
  // Only what comes back with the timestamp can be agreed on.
  options.has_timestamps = timestamps;
  options.has_window_scale =
      timestamps && limits_.features.window_scaling && asked.has_window_scale;
  options.window_scale = receive_shift_for(options.has_window_scale);
  options.sack_permitted =
      timestamps && limits_.features.selective_acknowledgments && asked.sack_permitted;
  if (timestamps) {
    Options said = asked;
    said.has_window_scale = options.has_window_scale;
    said.sack_permitted = options.sack_permitted;
    const auto clock_ms = static_cast<uint32_t>(now.since_origin_ns() / 1'000'000);
    options.timestamp_value =
        SynCookies::timestamp_with(said, clock_ms + timestamp_offset_of(flow));
    options.timestamp_echo = asked.timestamp_value;
  }
  counters_.add(Counter::tcp_syn_cookies_sent);
  send_stateless(flow, path, fields, now);
}

// The third segment of a handshake that nobody remembers. True when it was one.
bool Tcp::take_cookie(const FlowKey& flow, uint32_t hash, const Segment& segment,
                      const std::optional<net::Path>& back, Instant now) {
  if (!is_listening(flow.local)) return false;
  const Seq irs = segment.seq - 1;
  const Seq iss = segment.ack - 1;
  const auto mss = cookies_.check(flow, irs, iss, now);
  if (!mss) {
    counters_.add(Counter::tcp_syn_cookies_refused);
    return false;
  }
  const auto path = back ? back : output_.path_to(flow.remote.address, now);
  if (!path) return true;
  // Without room nothing is said: the peer repeats itself, and may find some.
  const uint32_t index = open_record(flow, hash, *path);
  if (index == none) return true;
  counters_.add(Counter::tcp_syn_cookies_taken);
  ++half_open_;
  Connection& c = at(index);
  Transfer& t = transfer(c);
  c.passive = true;
  c.state = State::syn_received;
  t.irs = irs;
  c.rcv_nxt = segment.seq;
  c.last_ack_sent = c.rcv_nxt;
  c.receive_edge =
      c.rcv_nxt + std::min(limits_.receive_slots_initial * uint32_t{mss_default}, 65'535U);
  t.iss = iss;
  c.snd_una = iss;
  t.snd_nxt = t.snd_max = t.send_end = t.limited_until = iss + 1;
  Options options = segment.options.has_timestamps
                        ? SynCookies::options_in(segment.options.timestamp_echo)
                        : Options{};
  options.has_mss = true;
  options.mss = *mss;
  agree_on_options(c, options, now);
  c.snd_wnd = c.snd_wnd_max = segment.window;
  c.snd_wl1 = irs;
  c.snd_wl2 = iss;
  c.ts_recent = segment.options.timestamp_value;
  c.ts_recent_at_seconds = seconds(now);
  on_segment_engaged(index, segment, back, now);
  return true;
}

}  // namespace millrace::tcp
