// Talker: the application on one side of a simulated conversation. On each connection it sends a
// pattern that follows from the connection's number, checks the pattern it receives, and closes in
// its own way and at its own pace.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::sim {

// What one side does with one connection.
struct TalkPlan {
  uint64_t octets_to_send = 0;
  uint64_t octets_to_receive = 0;
  bool waits_for_peer_end = false;  // sends nothing before the peer has ended its side
  double reading_pace = 1;          // chance that a turn reads at all
  Duration reading_pause;           // once, in the middle: a reader that stops for a while
};

struct Talk {
  TalkPlan plan;
  uint32_t number = 0;
  tcp::ConnId id;
  bool open = false;
  bool was_accepted = false;  // it stood, on the passive side
  bool done = false;          // both directions complete and closed
  bool failed = false;        // reset or given up
  uint64_t sent = 0;
  uint64_t received = 0;
  bool shut = false;
  bool peer_ended = false;
  Instant paused_until;
  bool paused_once = false;
};

// The octet at `offset` of the stream that `side` sends on connection `number`.
inline uint8_t pattern_octet(uint32_t number, int side, uint64_t offset) {
  uint64_t mixed = (offset >> 3) * 0x9e3779b97f4a7c15U + number * 0xbf58476d1ce4e5b9U +
                   static_cast<uint64_t>(side);
  mixed ^= mixed >> 29;
  mixed *= 0x94d049bb133111ebU;
  return static_cast<uint8_t>(mixed >> (8 * (offset & 7)));
}

class Talker {
 public:
  Talker(tcp::Tcp& tcp, int side, uint64_t seed) : tcp_(tcp), side_(side), random_(seed) {}

  // Connections are numbered in the order in which the active side opens them; the passive side
  // tells them by the peer's port, which the active side registers.
  void expect(uint32_t number, const TalkPlan& plan) {
    if (talks_.size() <= number) talks_.resize(number + 1);
    talks_[number].plan = plan;
    talks_[number].number = number;
  }
  void opened(uint32_t number, tcp::ConnId id) {
    talks_[number].id = id;
    talks_[number].open = true;
  }
  // nagle: on every connection. keepalive: too.
  void set_options(bool nagle, bool keepalive) {
    nagle_ = nagle;
    keepalive_ = keepalive;
  }
  // Whether a connection that stands is read in some turns only.
  bool is_reading_slowly() const;
  void set_number_of(std::vector<uint16_t>* ports) { ports_ = ports; }

  void turn(Instant now);
  const std::vector<Talk>& talks() const { return talks_; }
  const std::string& failure() const { return failure_; }
  // The next instant after now at which a pause ends.
  Instant next_event(Instant now) const;

 private:
  void on_ready(const tcp::Ready& ready, Instant now);
  void read(Talk& talk, Instant now);
  void write(Talk& talk, Instant now);
  void finish(Talk& talk, Instant now);
  Talk* accept(const tcp::Ready& ready);

  tcp::Tcp& tcp_;
  int side_;
  Random random_;
  std::vector<Talk> talks_;
  std::vector<uint16_t>* ports_ = nullptr;
  std::string failure_;
  bool nagle_ = false;
  bool keepalive_ = false;
};

}  // namespace millrace::sim
