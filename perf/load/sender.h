// Sender: the half of the load program's TCP that client and backend share, over the records of
// one table. Deliberately little: it is correct towards any peer, but knows only what traffic of
// requests and responses needs.
//
//  - Sending: slow start to a fixed limit, the peer's window, one fast retransmission a loss
//    (RFC 5681, 6582), and after a timeout all over again from the first octet that is missing.
//  - Receiving: in order only; what is out of order is answered with a duplicate acknowledgment and
//    dropped, and comes again.
//  - No timer a connection: two queues, in which every entry waits equally long.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "perf/load/connection.h"
#include "perf/load/index_queue.h"
#include "perf/load/output.h"
#include "perf/load/wire.h"

namespace millrace::load {

// As Linux has it.
inline constexpr uint32_t ack_delay_ms = 40;
// RFC 6298 asks for a second; both ends are near one another here.
inline constexpr uint32_t retransmission_timeout_ms = 200;
inline constexpr uint32_t watch_interval_ms = 100;
inline constexpr uint8_t retries_max = 6;  // with doubling: 25 s
inline constexpr uint32_t receive_window_bytes = 256 * 1024;
inline constexpr uint8_t receive_window_scale = 7;
// What a slow reader reads in each slow_reader_interval_ms, and never offers more than: 10 kB/s.
inline constexpr uint32_t slow_reader_bytes = 1024;
inline constexpr uint32_t slow_reader_interval_ms = watch_interval_ms;
inline constexpr uint16_t congestion_segments_initial = 10;  // RFC 6928
inline constexpr uint16_t congestion_segments_max = 512;
inline constexpr uint32_t pump_segments_max = 16;  // of one connection before others have a turn
inline constexpr uint32_t queue_steps_per_turn_max = 64;
inline constexpr uint8_t duplicates_for_loss = 3;  // RFC 5681 section 3.2

struct SenderOptions {
  bool timestamps = true;
  uint16_t mss = 1460;  // what we can receive in one segment, options included
  uint32_t connections_max = 0;
};

struct SenderCounters {
  uint64_t retransmits = 0;
  uint64_t out_of_order = 0;
};

// What taking an acknowledgment brought about.
enum class AckEffect : uint8_t {
  none,
  progress,
  send_again,    // a segment is missing: send_again()
  unacceptable,  // it acknowledges what was never sent
};

class Sender {
 public:
  Sender(Output& output, const SenderOptions& options)
      : output_(output),
        options_(options),
        ready_(options.connections_max),
        acks_(options.connections_max, ack_delay_ms),
        watch_(options.connections_max, watch_interval_ms) {}

  // The time of the turn, for timestamps and timeouts.
  void begin(Instant now) { now_ms_ = static_cast<uint32_t>(now.since_origin_ns() / 1'000'000); }
  uint32_t now_ms() const { return now_ms_; }
  SenderCounters& counters() { return counters_; }
  Output& output() { return output_; }

  // --- opening and ending ---
  // c becomes the beginning of a connection whose own SYN has this number. What else the record
  // held is forgotten, but for the queues it stands in.
  void begin_connection(Connection& c, State state, uint32_t initial_seq);
  // Sends the SYN, again or for the first time; flags: syn, or syn | ack. Without room it is as if
  // the frame had been lost.
  void send_syn(Connection& c, const Flow& flow, uint8_t flags);
  // What the peer's SYN says about it; receive_next is set.
  void take_syn(Connection& c, const Segment& segment);
  void send_reset(const Connection& c, const Flow& flow);
  // To a segment that belongs to no connection: a reset (RFC 9293 section 3.10.7.1). Only a FIN is
  // acknowledged instead, because the connection it ends is one that ended well here.
  void answer_stranger(const Flow& flow, const Segment& segment);

  // --- receiving ---
  AckEffect take_ack(Connection& c, const Segment& segment);
  // Cuts what was received before off the segment's text. True when the rest (a FIN alone, too)
  // goes on where receive_next stands; otherwise there is nothing to take, and an acknowledgment
  // is owed if the segment held anything.
  bool take_in_order(Connection& c, Segment* segment);
  // Text was consumed: receive_next moves on and an acknowledgment is owed, at once for every
  // second segment.
  void consumed(Connection& c, uint32_t index, uint32_t bytes);

  // --- sending ---
  // Text is called as uint16_t(uint8_t* to, uint32_t seq, uint32_t bytes): it writes the text at
  // that sequence number and returns its sum as a number. Sends what the connection may and must;
  // what finds no room now follows by way of ready().
  template <class Text>
  void pump(Connection& c, uint32_t index, const Flow& flow, const Text& text);
  // The first segment that is not acknowledged; one octet if the window is shut.
  template <class Text>
  void send_again(Connection& c, const Flow& flow, const Text& text);

  // --- queues: whoever pops takes the flag off ---
  IndexQueue& ready() { return ready_; }
  DelayQueue& acks() { return acks_; }
  DelayQueue& watch() { return watch_; }
  void make_ready(Connection& c, uint32_t index) {
    if (c.is(flag_in_ready)) return;
    c.set(flag_in_ready);
    ready_.push(index);
  }
  void look_after(Connection& c, uint32_t index) {
    if (c.is(flag_in_watch)) return;
    c.set(flag_in_watch);
    watch_.push(index, now_ms_);
  }
  static bool has_unacknowledged(const Connection& c) {
    return c.send_unacknowledged != c.send_max || seq_less(c.send_next, c.send_end);
  }
  // True when the retransmission timeout, doubled for each try, has passed; then it is counted as
  // a try, and sending begins again with what is not acknowledged.
  bool is_due_again(Connection& c);
  static bool gave_up(const Connection& c) { return c.retries() > retries_max; }

 private:
  HeaderFields fields(Connection& c, uint32_t seq, uint8_t flags) const;
  uint16_t window_of(const Connection& c) const;
  template <class Text>
  void send_text(Connection& c, const Flow& flow, const Text& text, uint32_t seq, uint32_t bytes,
                 uint8_t flags);
  void send_bare(Connection& c, const Flow& flow, uint32_t seq, uint8_t flags);
  void sent(Connection& c, uint32_t seq_end);
  // Octets that may be sent now from send_next on; 0: wait for a larger window.
  static uint32_t sendable_bytes(const Connection& c);

  Output& output_;
  SenderOptions options_;
  SenderCounters counters_;
  uint32_t now_ms_ = 0;
  IndexQueue ready_;
  DelayQueue acks_;
  DelayQueue watch_;
};

inline uint32_t Sender::sendable_bytes(const Connection& c) {
  const uint32_t allowed =
      std::min(c.peer_window, uint32_t{c.congestion_segments} * c.text_bytes_max);
  const uint32_t in_flight = c.send_next - c.send_unacknowledged;
  if (in_flight >= allowed) return 0;
  const uint32_t left = c.send_end - c.send_next;
  const uint32_t bytes = std::min({left, allowed - in_flight, uint32_t{c.text_bytes_max}});
  // RFC 9293 section 3.8.6.2.1: no small piece while more is there and something is in flight.
  if (bytes < left && bytes < c.text_bytes_max && in_flight > 0) return 0;
  return bytes;
}

template <class Text>
void Sender::send_text(Connection& c, const Flow& flow, const Text& text, uint32_t seq,
                       uint32_t bytes, uint8_t flags) {
  const HeaderFields header = fields(c, seq, flags);
  const uint32_t headers = header_bytes(header);
  uint8_t* at = output_.text();
  const uint16_t sum = text(at, seq, bytes);
  write_headers(at - headers, output_.mac(), flow, header, bytes, sum);
  output_.commit(headers, bytes);
}

template <class Text>
void Sender::pump(Connection& c, uint32_t index, const Flow& flow, const Text& text) {
  for (uint32_t segments = 0;; ++segments) {
    const bool more = seq_less(c.send_next, c.send_end);
    const bool fin_due = c.is(flag_fin_wanted) && c.send_next == c.send_end;
    const uint32_t bytes = more ? sendable_bytes(c) : 0;
    if (bytes == 0 && !fin_due) break;
    if (output_.room() == 0 || segments == pump_segments_max) {
      make_ready(c, index);
      break;
    }
    const bool last = c.send_next + bytes == c.send_end;
    const bool ends = last && c.is(flag_fin_wanted);
    const auto flags = static_cast<uint8_t>(ack | (last && bytes > 0 ? psh : 0) | (ends ? fin : 0));
    if (bytes > 0) {
      send_text(c, flow, text, c.send_next, bytes, flags);
    } else {
      send_bare(c, flow, c.send_next, flags);
    }
    sent(c, c.send_next + bytes + (ends ? 1 : 0));
  }
  if (c.is(flag_ack_now)) {
    if (output_.room() == 0) {
      make_ready(c, index);
    } else {
      send_bare(c, flow, c.send_next, ack);
    }
  }
  if (has_unacknowledged(c)) look_after(c, index);
}

template <class Text>
void Sender::send_again(Connection& c, const Flow& flow, const Text& text) {
  if (output_.room() == 0) return;  // the next timeout will
  const uint32_t seq = c.send_unacknowledged;
  ++counters_.retransmits;
  if (!seq_less(seq, c.send_end)) {
    send_bare(c, flow, seq, static_cast<uint8_t>(ack | (c.is(flag_fin_wanted) ? fin : 0)));
    if (c.is(flag_fin_wanted) && c.send_next == seq) sent(c, seq + 1);
    return;
  }
  const uint32_t window = std::max(c.peer_window, 1U);
  const uint32_t bytes = std::min({c.send_end - seq, window, uint32_t{c.text_bytes_max}});
  send_text(c, flow, text, seq, bytes, ack | psh);
  if (c.send_next == seq) sent(c, seq + bytes);
}

}  // namespace millrace::load
