// sim --seeds N --from S [--verbose]: runs N seeds from S; every tenth one twice, and then the two
// traces must be the same. Prints "N ok" and exits 0, or names the seeds that failed and exits 1.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/address.h"
#include "tests/sim/two_stacks.h"

namespace {

constexpr uint64_t twice_every = 10;

uint64_t number_or_exit(const char* text) {
  const auto number = millrace::parse_decimal(text == nullptr ? "" : text, UINT64_MAX);
  if (!number) {
    std::fprintf(stderr, "sim: \"%s\" is not a number\n", text == nullptr ? "" : text);
    std::exit(2);
  }
  return *number;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seeds = 500;
  uint64_t from = 1;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--seeds") == 0) {
      seeds = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--from") == 0) {
      from = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--verbose") == 0) {
      verbose = true;
    } else {
      std::fprintf(stderr, "usage: sim --seeds N --from S [--verbose]\n");
      return 2;
    }
  }
  const auto began = std::chrono::steady_clock::now();
  uint64_t ok = 0;
  uint64_t octets = 0;
  uint64_t frames = 0;
  uint64_t retransmits = 0;
  double virtual_seconds = 0;
  for (uint64_t seed = from; seed < from + seeds; ++seed) {
    millrace::sim::RunResult result = millrace::sim::run_two_stacks(seed, verbose);
    if (result.ok && seed % twice_every == 0 &&
        millrace::sim::run_two_stacks(seed, verbose).trace_hash != result.trace_hash) {
      result.ok = false;
      result.failure = "a second run gave another trace";
    }
    ok += result.ok ? 1 : 0;
    octets += result.octets_delivered;
    frames += result.frames_delivered;
    retransmits += result.retransmits;
    virtual_seconds += result.virtual_seconds;
    if (!result.ok) {
      std::printf("seed %llu FAILED: %s\n  replay: tests/sim/run --seeds 1 --from %llu --verbose\n",
                  static_cast<unsigned long long>(seed), result.failure.c_str(),
                  static_cast<unsigned long long>(seed));
    }
    if (verbose) {
      std::printf("%s\n", result.scenario.c_str());
      std::printf(
          "seed %llu: trace %016llx, %llu octets, %llu frames, %llu retransmitted, %.3f virtual "
          "seconds\n",
          static_cast<unsigned long long>(seed), static_cast<unsigned long long>(result.trace_hash),
          static_cast<unsigned long long>(result.octets_delivered),
          static_cast<unsigned long long>(result.frames_delivered),
          static_cast<unsigned long long>(result.retransmits), result.virtual_seconds);
    }
    std::fflush(stdout);
  }
  const double real_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf(
      "%llu octets in %llu frames, %llu segments sent again, %.0f virtual seconds at %.0fx\n",
      static_cast<unsigned long long>(octets), static_cast<unsigned long long>(frames),
      static_cast<unsigned long long>(retransmits), virtual_seconds,
      virtual_seconds / real_seconds);
  std::printf("%llu ok\n", static_cast<unsigned long long>(ok));
  return ok == seeds ? 0 : 1;
}
