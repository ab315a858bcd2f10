// Scenario: everything that a seed decides about two stacks on a link: what the hosts offer each
// other, what goes wrong on the wires and when, who stands in the middle, what is said and how
// slowly. A scenario is plain data; two_stacks.cc plays it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "dataplane/nic/sim_port.h"
#include "dataplane/tcp/tcp.h"
#include "tests/sim/meddler.h"
#include "tests/sim/talker.h"

namespace millrace::sim {

// What may be asked of a run.
enum class Verdict : uint8_t {
  // Every connection ends well and every octet arrives.
  whole,
  // Connections may break, as faults last longer than a stack must wait (T23) or an acknowledgment
  // has lied. What arrives is still what was sent, and everything is closed in time.
  may_break,
  // Text was changed with its checksum: nobody can tell. Everything is closed in time.
  untrusted,
};

// Something that happens at an instant, counted from the run's begin.
struct Change {
  enum class Kind : uint8_t {
    down,    // the wire towards `side`
    up,      //
    delay,   // of the wire towards `side`, from now on
    pause,   // the host gets no turns, as a virtual machine that is not scheduled
    resume,  //
    vanish,  // the host is gone for ever, and nobody is told
    open,    // the client opens conversation `conversation`
    calm,    // from here on nothing goes wrong
  };
  Duration at;
  Kind kind = Kind::calm;
  size_t side = 0;
  Duration delay;
  uint32_t conversation = 0;
};

// What the first connection begins close to the end of.
enum class NearWrap : uint8_t { nothing, client_sequence, server_sequence, client_timestamps };

struct HostPlan {
  tcp::Limits limits;
  uint32_t slots = 2'048;
  Duration completion_delay;
};

inline constexpr size_t client_side = 0;
inline constexpr size_t server_side = 1;

struct Scenario {
  uint64_t seed = 0;
  Verdict verdict = Verdict::whole;
  Instant begin;
  Duration calm_at;  // nothing is begun that goes wrong after it
  // Everything is over before this.
  Duration over_at;
  std::array<HostPlan, 2> hosts;
  std::array<nic::WireFaults, 2> faults;  // of the wire towards that side
  std::vector<Change> changes;            // in the order of `at`
  std::vector<std::array<TalkPlan, 2>> conversations;
  MeddlerPlan meddler;
  NearWrap near_wrap = NearWrap::nothing;
  std::optional<size_t> vanishes;  // the side that does
  // Over what the ends speak: one seed in three over IPv6, of these every third in turns over both.
  // IPv4 alone where numbers are near their wrap: the keys for that are drawn for IPv4.
  enum class Family : uint8_t { ipv4, ipv6, both };
  Family family = Family::ipv4;
  bool has_ipv6() const { return family != Family::ipv4; }
  bool is_over_ipv6(uint32_t conversation) const {
    return family == Family::ipv6 || (family == Family::both && conversation % 2 == 0);
  }

  std::string told() const;  // for people
};

Scenario draw_scenario(uint64_t seed);
// One large transfer to a hostile client over wires without faults.
Scenario draw_transfer(uint64_t seed);
// A client without malice, with about one acknowledgment for every segment (RFC 5681 section 4.2
// allows no more). Our own stack, which takes a burst in one turn, sends one for all.
MeddlerPlan honest_acknowledgments();

}  // namespace millrace::sim
