// core_distance A B: how far two cores are from one another, as the time in which a cache line goes
// from one to the other and back. A hypervisor that moves virtual cores changes that by a factor,
// and with it every figure of a lane whose two ends are on two cores.
//
// Prints the round trip in ns. Exit status: 0; 2 for options.
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "base/address.h"
#include "base/time.h"

namespace {

using namespace millrace;

constexpr uint32_t core_max = 1'023;
constexpr uint32_t trips_per_round = 200;
// Others may take a core in some rounds; the quarter mark does not mind.
constexpr uint32_t rounds = 41;
constexpr uint32_t rounds_to_warm = 5;

struct alignas(128) Ball {
  std::atomic<uint32_t> value{0};
};

bool pin_to(uint32_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

// Waits for `expected`, and answers with the number after it. Yields now and then: the other side
// may wait for this very core.
void answer(Ball& ball, uint32_t expected) {
  constexpr uint32_t looks_before_yield = 100'000;
  for (uint32_t looks = 0; ball.value.load(std::memory_order_acquire) != expected; ++looks) {
    if (looks % looks_before_yield == looks_before_yield - 1) sched_yield();
  }
  ball.value.store(expected + 1, std::memory_order_release);
}

int64_t quarter_mark_of_round_ns(Ball& ball) {
  const MonotonicClock clock;
  std::array<int64_t, rounds> round_ns{};
  uint32_t at = 0;
  for (uint32_t round = 0; round < rounds_to_warm + rounds; ++round) {
    const Instant began = clock.now();
    for (uint32_t trip = 0; trip < trips_per_round; ++trip, at += 2) answer(ball, at);
    if (round >= rounds_to_warm)
      round_ns[round - rounds_to_warm] = (clock.now() - began).count_ns();
  }
  std::nth_element(round_ns.begin(), round_ns.begin() + rounds / 4, round_ns.end());
  return round_ns[rounds / 4];
}

}  // namespace

int main(int argc, char** argv) {
  const auto first = parse_decimal(argc == 3 ? argv[1] : "", core_max);
  const auto second = parse_decimal(argc == 3 ? argv[2] : "", core_max);
  if (!first || !second || *first == *second || !pin_to(static_cast<uint32_t>(*second)) ||
      !pin_to(static_cast<uint32_t>(*first))) {
    std::fprintf(stderr, "core_distance: wants two different cores to run on, by number\n");
    return 2;
  }
  Ball ball;
  std::thread far_side([&ball, core = static_cast<uint32_t>(*second)] {
    pin_to(core);
    constexpr uint32_t trips = (rounds_to_warm + rounds) * trips_per_round;
    for (uint32_t trip = 0; trip < trips; ++trip) answer(ball, 2 * trip + 1);
  });
  const int64_t round_ns = quarter_mark_of_round_ns(ball);
  far_side.join();
  std::printf("%.0f\n", static_cast<double>(round_ns) / trips_per_round);
  return 0;
}
