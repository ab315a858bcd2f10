// SimHost: a whole stack on one simulated port, without a proxy: what clients and origins are made
// of in simulations. Its application looks at the ready list between ingress and egress, as the
// proxy does in a worker.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/check.h"
#include "dataplane/net_stack.h"
#include "dataplane/nic/port.h"
#include "dataplane/packet/arena.h"

namespace millrace {

// Plain memory for an arena: simulations make hundreds of hosts, huge pages would be a waste.
class SimMemory {
 public:
  explicit SimMemory(uint32_t slots)
      : bytes_(std::make_unique_for_overwrite<uint8_t[]>(size_t{slots} * packet::slot_bytes + 64)),
        arena_(aligned(), slots) {}
  packet::Arena& arena() { return arena_; }

 private:
  uint8_t* aligned() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.get());
    return bytes_.get() + (64 - address % 64) % 64;
  }
  // Not touched before it is used: most runs need little of it.
  std::unique_ptr<uint8_t[]> bytes_;
  packet::Arena arena_;
};

class SimHost {
 public:
  SimHost(const NetConfig& config, const tcp::Limits& limits, uint64_t seed, packet::Arena& arena,
          nic::Port& port, Instant start)
      : SimHost(config, limits, tcp::Keys{{seed, 1}, {seed, 2}, seed ^ 3}, arena, port, start) {}
  SimHost(const NetConfig& config, const tcp::Limits& limits, const tcp::Keys& keys,
          packet::Arena& arena, nic::Port& port, Instant start)
      : arena_(arena), port_(port), stack_(config, limits, keys, arena, counters_, start) {
    const nic::PortFacts& facts = port.facts();
    stack_.set_port(0, facts.mac, facts.mtu, facts.checksum_mode);
  }

  // One turn; application() runs where the proxy would. Returns how many frames moved.
  template <class Application>
  size_t turn(Instant now, Application&& application) {
    stack_.set_room(0, port_.transmit_room());
    const size_t received = port_.receive(frames_, now);
    for (size_t i = 0; i < received; ++i) stack_.ingress(frames_[i], now);
    stack_.advance(now);
    application();
    stack_.tcp().end_reading();
    port_.release({frames_.data(), received});
    stack_.egress(0, now);
    const auto queued = stack_.queued(0);
    const size_t sent = queued.size();
    if (sent > 0) port_.transmit(queued, now);
    stack_.clear(0);
    port_.flush();
    std::array<packet::SlotIndex, nic::burst_frames_max> slots;
    for (;;) {
      const size_t count = port_.reclaim(slots);
      for (size_t i = 0; i < count; ++i) arena_.mark_sent(slots[i]);
      if (count < slots.size()) break;
    }
    CHECK(port_.frames_conserved());
    return received + sent;
  }

  // The earliest instant at which a turn has work without a frame arriving.
  Instant next_deadline() const { return stack_.next_deadline(); }
  bool has_work() { return stack_.tcp().ready_count() > 0 || stack_.has_egress(); }

  tcp::Tcp& tcp() { return stack_.tcp(); }
  NetStack& stack() { return stack_; }
  const Counters& counters() const { return counters_; }
  packet::Arena& arena() { return arena_; }

 private:
  packet::Arena& arena_;
  nic::Port& port_;
  Counters counters_;
  NetStack stack_;
  std::array<packet::Frame, nic::burst_frames_max> frames_;
};

}  // namespace millrace
