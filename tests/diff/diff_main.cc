// diff --dialogues N --from S [--partings N] [--verbose]: holds N dialogues from seed S with our
// stack and with Linux. Prints "N ok" and exits 0, or shows where they part and exits 1. Exits 77
// where it may not make a network namespace.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/diff/dialogue.h"

namespace {

using namespace millrace;

constexpr int exit_skipped = 77;
constexpr uint32_t attempts = 3;
// One dialogue in so many may be disturbed by the clock; more is a fault of the comparison.
constexpr uint64_t unsteady_one_in = 500;

struct Wanted {
  uint64_t dialogues = 300;
  uint64_t from = 1;
  uint64_t partings_shown = 10;
  bool verbose = false;
};

[[noreturn]] void usage() {
  std::fprintf(stderr, "usage: diff --dialogues N --from S [--partings N] [--verbose]\n");
  std::exit(2);
}

uint64_t number_or_exit(const char* text) {
  const auto number = parse_decimal(text == nullptr ? "" : text, UINT64_MAX);
  if (!number) usage();
  return *number;
}

Wanted read_arguments(int argc, char** argv) {
  Wanted wanted;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--dialogues") == 0) {
      wanted.dialogues = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--from") == 0) {
      wanted.from = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--partings") == 0) {
      wanted.partings_shown = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--verbose") == 0) {
      wanted.verbose = true;
    } else {
      usage();
    }
  }
  return wanted;
}

struct Totals {
  uint64_t ok = 0;
  uint64_t unsteady = 0;
  uint64_t parted = 0;
  uint64_t steps = 0;
  std::map<std::string, uint64_t> known;
};

void show(uint64_t seed, const diff::DialogueResult& result) {
  std::printf(
      "seed %llu PARTED at %s\n  replay:   tests/diff/run --dialogues 1 --from %llu --verbose\n",
      static_cast<unsigned long long>(seed), result.parting.c_str(),
      static_cast<unsigned long long>(seed));
  std::fflush(stdout);
}

// What does not happen again was the kernel's clock, not its rules.
bool happens_again(uint64_t seed, diff::KernelPeer& kernel) {
  for (uint32_t attempt = 1; attempt < attempts; ++attempt) {
    if (diff::hold_dialogue(seed, attempt, kernel, false).parting.empty()) return false;
  }
  return true;
}

void hold(uint64_t seed, diff::KernelPeer& kernel, const Wanted& wanted, Totals* totals) {
  if (wanted.verbose) std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  const diff::DialogueResult result = diff::hold_dialogue(seed, 0, kernel, wanted.verbose);
  totals->steps += result.steps;
  for (const auto& [name, count] : result.known) totals->known[name] += count;
  if (result.parting.empty()) {
    ++totals->ok;
  } else if (!happens_again(seed, kernel)) {
    ++totals->unsteady;
  } else if (++totals->parted <= wanted.partings_shown) {
    show(seed, result);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Wanted wanted = read_arguments(argc, argv);
  if (geteuid() != 0) {
    std::printf("skipped: a network namespace of its own needs root\n");
    return exit_skipped;
  }
  auto kernel = diff::KernelNamespace::create();
  if (!kernel) {
    std::fprintf(stderr, "diff: %s\n", kernel.error().c_str());
    return 1;
  }
  diff::KernelPeer peer(*kernel);
  Totals totals;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < wanted.dialogues; ++i) {
    hold(wanted.from + i, peer, wanted, &totals);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("%llu steps in %.1f s\n", static_cast<unsigned long long>(totals.steps), seconds);
  for (const auto& [name, count] : totals.known) {
    std::printf("known: %s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
  }
  std::printf("%llu disturbed by the kernel's clock\n",
              static_cast<unsigned long long>(totals.unsteady));
  std::printf("%llu ok\n", static_cast<unsigned long long>(totals.ok));
  const bool steady = totals.unsteady <= 1 + wanted.dialogues / unsteady_one_in;
  return totals.parted == 0 && steady ? 0 : 1;
}
