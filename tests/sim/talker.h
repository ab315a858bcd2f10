// Talker: the application on one side of a simulated conversation. On each connection it sends a
// pattern that follows from the connection's number, checks the pattern it receives, and closes in
// its own way and at its own pace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::sim {

// What one side does with one connection.
struct TalkPlan {
  uint64_t octets_to_send = 0;
  uint64_t octets_to_receive = 0;
  bool waits_for_peer_end = false;           // sends nothing before the peer has ended its side
  Duration reading_gap;                      // between two looks at what has arrived
  uint64_t reading_octets_max = UINT64_MAX;  // at each look
  Duration reading_pause;                    // once, in the middle: a reader that stops for a while
  Duration writing_gap;                      // between two writes
  uint64_t writing_octets_max = UINT64_MAX;  // at each
  bool closes_late = false;                  // not before the peer has acknowledged our end
  bool nagle = false;
  bool keepalive = false;
  Duration patience;  // resets what has not moved for so long; zero: waits for ever
};

struct Talk {
  TalkPlan plan;
  uint32_t number = 0;
  tcp::ConnId id;
  bool open = false;
  bool stood = false;    // the handshake was completed, seen from this side
  bool done = false;     // both directions complete and closed
  bool failed = false;   // reset or given up
  bool gave_up = false;  // it was us who lost patience
  uint64_t sent = 0;
  uint64_t received = 0;
  bool shut = false;
  bool peer_ended = false;
  bool waits_for_room = false;
  bool paused_once = false;
  Instant reads_at;   // not before
  Instant writes_at;  // not before
  Instant moved_at;   // when something was last read, written or acknowledged
  uint32_t acknowledged = 0;
};

// The octets of the stream that `side` sends on connection `number`, from `offset` on.
void write_pattern(uint32_t number, size_t side, uint64_t offset, ByteSpan out);
// How many octets of text, in front, are those of the pattern.
size_t matching_octets(uint32_t number, size_t side, uint64_t offset, ByteView text);

// The conversation that left from this port last: a port is used again when the client's side of an
// earlier one is over, and its peer's TIME-WAIT gives way to the new SYN (T31). `ports` is by
// number, with 0 for what was not opened yet.
std::optional<uint32_t> newest_with_port(const std::vector<uint16_t>& ports, uint16_t port);

class Talker {
 public:
  Talker(tcp::Tcp& tcp, size_t side, uint64_t seed) : tcp_(tcp), side_(side), random_(seed) {}

  // Connections are numbered in the order in which the active side opens them; the passive side
  // tells them by the peer's port, which the active side registers.
  void expect(uint32_t number, const TalkPlan& plan) {
    if (talks_.size() <= number) talks_.resize(number + 1);
    talks_[number].plan = plan;
    talks_[number].number = number;
  }
  void opened(uint32_t number, tcp::ConnId id, Instant now);
  void set_ports(const std::vector<uint16_t>* ports) { ports_ = ports; }
  // Octets are no longer compared: somebody changes text and mends its checksum.
  void trust_nothing() { compares_ = false; }

  void turn(Instant now);
  const std::vector<Talk>& talks() const { return talks_; }
  const std::string& failure() const { return failure_; }
  // The next instant at which it acts by itself.
  Instant next_event() const { return next_event_; }

 private:
  void on_ready(const tcp::Ready& ready, Instant now);
  void act(Talk& talk, Instant now);
  void note_acknowledged(Talk& talk, Instant now);
  void read(Talk& talk, Instant now);
  bool read_run(Talk& talk, ByteView run, uint64_t* left, Instant now);
  void write(Talk& talk, Instant now);
  bool may_close(const Talk& talk) const;
  void finish(Talk& talk, Instant now);
  void lose_patience(Talk& talk, Instant now);
  Instant next_event_of(const Talk& talk) const;
  Talk* accept(const tcp::Ready& ready, Instant now);
  void fail(const Talk& talk, const std::string& why);

  tcp::Tcp& tcp_;
  size_t side_;
  Random random_;
  std::vector<Talk> talks_;
  const std::vector<uint16_t>* ports_ = nullptr;
  bool compares_ = true;
  Instant next_event_ = Instant::never();
  std::string failure_;
};

}  // namespace millrace::sim
