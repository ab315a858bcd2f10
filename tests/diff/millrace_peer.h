// Ours: a whole stack on virtual time, frames in and out by hand, with an application that holds
// at most one connection.
#pragma once

#include <deque>
#include <memory>

#include "dataplane/net_stack.h"
#include "tests/diff/peer.h"

namespace millrace::diff {

class MillracePeer final : public Peer {
 public:
  explicit MillracePeer(uint64_t seed);
  ~MillracePeer() override;

  void begin(SocketAddress remote, bool listens) override;
  void end() override;
  void deliver(const Octets& datagram) override;
  Reading read() override;
  void write(ByteView octets) override;
  void shutdown() override;
  void close() override;
  void abort() override;
  void settle() override;
  bool has_connection() const override { return static_cast<bool>(id_); }
  std::optional<uint32_t> owed_acknowledgment() const override;
  std::string state() const override;
  std::vector<WireSegment> take_sent() override;

  // How many challenge ACKs (RFC 5961) its limit has withheld in this dialogue.
  uint64_t challenges_withheld() const { return counters_[Counter::tcp_challenge_ack_limited]; }

 private:
  tcp::Tcp& tcp() { return stack_->tcp(); }
  void turn();
  void look_at_events();
  void take_frames();
  void answer_arp(ByteView frame);
  void pass(Duration span);
  Duration until_timer() const;
  void deliver_frame(const Octets& frame);

  std::vector<uint8_t> memory_;
  std::unique_ptr<packet::Arena> arena_;
  Counters counters_;
  std::unique_ptr<NetStack> stack_;
  Instant now_;
  uint64_t seed_;
  SocketAddress remote_;
  tcp::ConnId id_;
  tcp::ConnId watched_;        // the same, also after the application has closed
  Duration passed_unwatched_;  // while there was none that could be asked for its timers
  bool broken_ = false;
  std::deque<Octets> frames_;  // lent to the stack until its turn ends
  std::vector<WireSegment> sent_;
};

}  // namespace millrace::diff
