// Connection: all that the load program knows of one TCP connection, one cache line. Addresses and
// ports follow from the record's place in its table; what is sent follows from the sequence number,
// because every message of a sender is as long as the next and ends at send_end.
#pragma once

#include <cstdint>

namespace millrace::load {

enum class State : uint8_t {
  closed = 0,    // a record of zeros is closed
  syn_sent,      // client
  syn_received,  // backend
  idle,          // stands; nothing is asked (client), or it serves (backend)
  waiting,       // client: a request is under way
  closing,       // our FIN is wanted or sent
};

enum ConnectionFlag : uint16_t {
  flag_timestamps = 1 << 0,        // agreed on
  flag_ack_now = 1 << 1,           // an acknowledgment is owed at once
  flag_ack_owed = 1 << 2,          // one is owed within ack_delay_ms
  flag_in_ack_queue = 1 << 3,      // stands in the queue of those
  flag_in_watch = 1 << 4,          // in the queue that looks after retransmissions
  flag_in_ready = 1 << 5,          // in the queue of those that could not send all they may
  flag_in_idle = 1 << 6,           // client: in the queue of those that may be asked on
  flag_fin_wanted = 1 << 7,        // behind the last text
  flag_peer_fin = 1 << 8,          // the peer has sent its last octet
  flag_recovering = 1 << 9,        // RFC 6582: until everything up to `recover` is acknowledged
  flag_body_start = 1 << 10,       // the next octet received is the first of a body
  flag_bad_message = 1 << 11,      // what is being received has been counted as an error
  flag_close_announced = 1 << 12,  // the peer said Connection: close
  flag_slow_reader = 1 << 13,      // client: offers no more window than its trickle allows
  flag_in_body = 1 << 14,          // of the message being received
  flag_in_pause = 1 << 15,         // client: waits to be opened again
  // Backend, which has no queue of idle ones: a head of this connection has been read in full.
  flag_known_peer = flag_in_idle,
};

inline constexpr uint8_t window_scale_none = 0xff;

struct Connection {
  // Client: when the request under way was meant to be sent, or the SYN was; ns. A slow client:
  // up to which sequence number it has offered to read.
  uint64_t since_ns;
  uint32_t send_unacknowledged;
  uint32_t send_next;
  uint32_t send_max;  // highest ever sent
  uint32_t send_end;  // behind the last octet of the last message; a FIN has this number
  uint32_t recover;   // RFC 6582
  uint32_t receive_next;
  uint32_t peer_window;     // octets
  uint32_t timestamp_echo;  // the peer's last timestamp
  uint32_t incoming_left;   // octets of the body being received
  uint32_t variant;         // client: which host the request under way names
  uint32_t progress_ms;     // when the peer last gave a sign of going on
  uint16_t congestion_segments;
  uint16_t text_bytes_max;  // of a segment
  uint16_t head_buffer;     // one more than the index of the buffer of a head in pieces; 0: none
  uint16_t flags;
  State state;
  uint8_t peer_window_scale;        // window_scale_none: windows are not scaled, either way
  uint8_t retries_and_duplicates;   // 4 bits each; duplicates: of acknowledgments
  uint8_t unacknowledged_segments;  // received since we last sent anything

  uint8_t retries() const { return retries_and_duplicates >> 4; }
  uint8_t duplicates() const { return retries_and_duplicates & 15; }
  void count_retry() {
    if (retries() < 15) retries_and_duplicates = static_cast<uint8_t>(retries_and_duplicates + 16);
  }
  void count_duplicate() {
    if (duplicates() < 15) ++retries_and_duplicates;
  }

  bool is(uint16_t flag) const { return (flags & flag) != 0; }
  void set(uint16_t flag) { flags = static_cast<uint16_t>(flags | flag); }
  void unset(uint16_t flag) { flags = static_cast<uint16_t>(flags & ~flag); }
};
static_assert(sizeof(Connection) == 64);

// RFC 9293 section 3.4: comparison of sequence numbers modulo 2^32.
inline bool seq_less(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}
inline bool seq_less_equal(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) <= 0;
}

}  // namespace millrace::load
