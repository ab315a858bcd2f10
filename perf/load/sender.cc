#include "perf/load/sender.h"

namespace millrace::load {
namespace {

constexpr uint16_t queue_flags = flag_in_ack_queue | flag_in_watch | flag_in_ready | flag_in_pause;
constexpr uint16_t window_unscaled_max = 65'535;

}  // namespace

void Sender::begin_connection(Connection& c, State state, uint32_t initial_seq) {
  const auto kept = static_cast<uint16_t>(c.flags & queue_flags);
  c = Connection{};
  c.flags = kept;
  c.state = state;
  c.send_unacknowledged = c.recover = initial_seq;
  c.send_next = c.send_max = c.send_end = initial_seq + 1;
  c.congestion_segments = congestion_segments_initial;
  c.peer_window_scale = window_scale_none;
  c.progress_ms = now_ms_;
}

uint16_t Sender::window_of(const Connection& c) const {
  uint32_t window = receive_window_bytes;
  if (c.is(flag_slow_reader)) {
    const auto edge = static_cast<uint32_t>(c.since_ns);
    window = seq_less(c.receive_next, edge) ? edge - c.receive_next : 0;
  }
  if (c.peer_window_scale == window_scale_none) {
    return static_cast<uint16_t>(std::min<uint32_t>(window, window_unscaled_max));
  }
  return static_cast<uint16_t>(window >> receive_window_scale);
}

HeaderFields Sender::fields(Connection& c, uint32_t seq, uint8_t flags) const {
  HeaderFields header;
  header.seq = seq;
  header.ack = c.receive_next;
  header.flags = flags;
  header.window = window_of(c);
  header.timestamps = c.is(flag_timestamps);
  header.timestamp_value = now_ms_;
  header.timestamp_echo = c.timestamp_echo;
  // Whatever goes out acknowledges.
  c.unset(flag_ack_now | flag_ack_owed);
  c.unacknowledged_segments = 0;
  return header;
}

void Sender::send_bare(Connection& c, const Flow& flow, uint32_t seq, uint8_t flags) {
  const HeaderFields header = fields(c, seq, flags);
  const uint32_t headers = header_bytes(header);
  write_headers(output_.text() - headers, output_.mac(), flow, header, 0, 0);
  output_.commit(headers, 0);
}

void Sender::sent(Connection& c, uint32_t seq_end) {
  if (c.send_unacknowledged == c.send_next) c.progress_ms = now_ms_;
  c.send_next = seq_end;
  if (seq_less(c.send_max, seq_end)) c.send_max = seq_end;
}

void Sender::send_syn(Connection& c, const Flow& flow, uint8_t flags) {
  if (output_.room() == 0) return;
  const bool first = (flags & ack) == 0;
  HeaderFields header;
  header.seq = c.send_unacknowledged;
  header.ack = c.receive_next;
  header.flags = flags;
  header.window = static_cast<uint16_t>(std::min<uint32_t>(
      c.is(flag_slow_reader) ? slow_reader_bytes : receive_window_bytes, window_unscaled_max));
  header.timestamps = first ? options_.timestamps : c.is(flag_timestamps);
  header.timestamp_value = now_ms_;
  header.timestamp_echo = c.timestamp_echo;
  header.mss = options_.mss;
  if (first || c.peer_window_scale != window_scale_none) header.window_scale = receive_window_scale;
  const uint32_t headers = header_bytes(header);
  write_headers(output_.text() - headers, output_.mac(), flow, header, 0, 0);
  output_.commit(headers, 0);
}

void Sender::take_syn(Connection& c, const Segment& segment) {
  c.receive_next = segment.seq + 1;
  c.timestamp_echo = segment.timestamp_value;
  if (segment.timestamps && options_.timestamps) c.set(flag_timestamps);
  c.peer_window_scale =
      segment.window_scale < 0 ? window_scale_none : static_cast<uint8_t>(segment.window_scale);
  c.peer_window = segment.window;  // never scaled on a SYN (RFC 7323 section 2.2)
  const uint16_t said = segment.mss == 0 ? mss_default : segment.mss;
  const uint16_t mss = std::min(std::max<uint16_t>(said, 64), options_.mss);
  c.text_bytes_max = static_cast<uint16_t>(mss - (c.is(flag_timestamps) ? timestamps_bytes : 0));
}

void Sender::send_reset(const Connection& c, const Flow& flow) {
  if (output_.room() == 0) return;
  HeaderFields header;
  header.seq = c.send_next;
  header.ack = c.receive_next;
  header.flags = rst | ack;
  write_headers(output_.text() - headers_bytes_min, output_.mac(), flow, header, 0, 0);
  output_.commit(headers_bytes_min, 0);
}

void Sender::answer_stranger(const Flow& flow, const Segment& segment) {
  if (segment.has(rst) || output_.room() == 0) return;
  HeaderFields header;
  const uint32_t length =
      segment.text_bytes + (segment.has(syn) ? 1 : 0) + (segment.has(fin) ? 1 : 0);
  if (segment.has(ack)) {
    header.seq = segment.ack;
    header.flags = rst;
    if (segment.has(fin)) {
      header.flags = ack;
      header.ack = segment.seq + length;
    }
  } else {
    header.ack = segment.seq + length;
    header.flags = rst | ack;
  }
  write_headers(output_.text() - headers_bytes_min, output_.mac(), flow, header, 0, 0);
  output_.commit(headers_bytes_min, 0);
}

AckEffect Sender::take_ack(Connection& c, const Segment& segment) {
  if (!segment.has(ack)) return AckEffect::none;
  if (seq_less(c.send_max, segment.ack)) return AckEffect::unacceptable;
  if (seq_less(segment.ack, c.send_unacknowledged)) return AckEffect::none;
  const uint8_t scale = c.peer_window_scale == window_scale_none ? 0 : c.peer_window_scale;
  const uint32_t window = uint32_t{segment.window} << scale;
  if (segment.ack != c.send_unacknowledged) {
    const uint32_t acknowledged = segment.ack - c.send_unacknowledged;
    c.send_unacknowledged = segment.ack;
    if (seq_less(c.send_next, segment.ack)) c.send_next = segment.ack;
    c.peer_window = window;
    c.progress_ms = now_ms_;
    c.retries_and_duplicates = 0;
    if (c.is(flag_recovering)) {
      if (seq_less(segment.ack, c.recover)) return AckEffect::send_again;
      c.unset(flag_recovering);
    }
    if (acknowledged > 1 && c.congestion_segments < congestion_segments_max) {
      const uint32_t segments = 1 + acknowledged / c.text_bytes_max;
      c.congestion_segments = static_cast<uint16_t>(
          std::min<uint32_t>(c.congestion_segments + segments, congestion_segments_max));
    }
    return AckEffect::progress;
  }
  const bool bare = segment.text_bytes == 0 && !segment.has(syn | fin);
  if (bare && window == c.peer_window && c.send_unacknowledged != c.send_max && window != 0) {
    c.count_duplicate();
    if (c.duplicates() == duplicates_for_loss && !c.is(flag_recovering) &&
        seq_less(c.recover, segment.ack)) {
      const uint32_t in_flight = (c.send_max - c.send_unacknowledged) / c.text_bytes_max;
      c.congestion_segments =
          static_cast<uint16_t>(std::clamp<uint32_t>(in_flight / 2, 2, congestion_segments_max));
      c.recover = c.send_max;
      c.set(flag_recovering);
      return AckEffect::send_again;
    }
    return AckEffect::none;
  }
  // The peer lives, however long it keeps its window shut (RFC 9293 section 3.8.6.1).
  if (window == 0) c.retries_and_duplicates = 0;
  c.peer_window = window;
  return AckEffect::none;
}

bool Sender::take_in_order(Connection& c, Segment* segment) {
  const uint32_t before = c.receive_next - segment->seq;  // octets that we have
  if (before != 0) {
    const uint32_t length = segment->text_bytes + (segment->has(fin) ? 1 : 0);
    if (length > 0 || segment->has(syn)) c.set(flag_ack_now);
    // A keepalive probe lies one octet before the window and wants an answer (RFC 9293 3.8.4).
    if (length == 0 && before == 1) c.set(flag_ack_now);
    if (static_cast<int32_t>(before) < 0) {
      if (length > 0) ++counters_.out_of_order;
      return false;
    }
    if (before >= length) return false;
    segment->text += before;
    segment->text_bytes -= std::min(before, segment->text_bytes);
    segment->seq += before;
  }
  if (segment->timestamps) c.timestamp_echo = segment->timestamp_value;
  return true;
}

void Sender::consumed(Connection& c, uint32_t index, uint32_t bytes) {
  c.receive_next += bytes;
  if (++c.unacknowledged_segments >= 2) {
    c.set(flag_ack_now);
    return;
  }
  c.set(flag_ack_owed);
  if (c.is(flag_in_ack_queue)) return;
  c.set(flag_in_ack_queue);
  acks_.push(index, now_ms_);
}

bool Sender::is_due_again(Connection& c) {
  if (!has_unacknowledged(c)) return false;
  const uint32_t timeout = retransmission_timeout_ms << std::min<uint32_t>(c.retries(), 8);
  if (now_ms_ - c.progress_ms < timeout) return false;
  c.count_retry();
  c.progress_ms = now_ms_;
  c.send_next = c.send_unacknowledged;
  c.recover = c.send_max;
  c.unset(flag_recovering);
  c.congestion_segments = 2;
  return true;
}

}  // namespace millrace::load
