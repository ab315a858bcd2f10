// A dialogue: what a peer says and an application does, drawn from a seed, and played to a stack.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "dataplane/tcp/segment.h"
#include "tests/diff/endpoint.h"

namespace millrace::diff {

struct Step {
  enum class Kind : uint8_t { segment, read, write, shutdown, close };
  Kind kind = Kind::segment;
  std::string name;  // what it is a case of
  // Of a segment; numbers count from the sender's initial one.
  uint8_t flags = 0;
  int64_t seq = 0;
  int64_t ack = 0;
  uint16_t window = 65'535;
  uint32_t octets = 0;  // of text; or how many to write
  bool bears_timestamp = true;
  bool old_timestamp = false;
  std::vector<std::pair<int64_t, int64_t>> sack;
  std::string told() const;
};

struct Handshake {
  bool mss = true;
  bool sack = true;
  bool timestamps = true;
  bool scaling = true;
};

// What a stack answers to one step, without what may differ: initial numbers, clocks, windows, and
// how many segments say it.
struct Answer {
  bool any = false;
  bool reset = false;
  int64_t reset_seq = 0;
  bool acknowledges = false;
  int64_t ack = 0;       // the highest
  int64_t text_end = 0;  // behind the last octet sent so far
  bool fin = false;      // sent so far
  bool window_shut = false;
  std::vector<std::pair<int64_t, int64_t>> sack;  // of the last acknowledgment, sorted
  std::string state;
  std::string read;  // what the application got
  bool operator==(const Answer&) const = default;
  std::string told() const;
};

// The peer of one stack.
class Player {
 public:
  Player(Endpoint& endpoint, uint64_t seed, const Handshake& handshake);
  // False when no connection came of it.
  bool shake_hands(std::string* syn_ack);
  Answer play(const Step& step);
  // What comes after a step only when an acknowledgment's delay is over.
  void wait_for_more(Answer* answer);

 private:
  std::string state();
  void send(const Step& step);
  void collect(const std::vector<std::vector<uint8_t>>& datagrams, Answer* answer);

  Endpoint& endpoint_;
  Handshake handshake_;
  uint32_t peer_address_;
  uint16_t peer_port_;
  uint32_t peer_isn_;
  uint32_t stack_isn_ = 0;
  uint32_t clock_ = 1'000;  // the peer's TSval
  uint32_t last_time_value_ = 0;
  int64_t text_end_ = 1;
  bool fin_ = false;
  size_t written_ = 0;
};

// The next step, given what the peer has said and heard so far.
class Drawer {
 public:
  explicit Drawer(uint64_t seed);
  Handshake handshake() const { return handshake_; }
  Step next();
  // What the stack has sent so far, so that it can be acknowledged.
  void heard(const Answer& answer);

 private:
  Step segment(std::string name, uint8_t flags, int64_t seq, uint32_t octets);
  Step draw_text();
  Step draw_bare();
  Step draw_strange();
  Step draw_call();

  Random random_;
  Handshake handshake_;
  int64_t next_ = 1;       // what the stack has acknowledged of the peer's
  int64_t stack_end_ = 1;  // behind what the stack has sent
  bool stack_fin_ = false;
  bool shut_ = false;
  bool closed_ = false;
};

}  // namespace millrace::diff
