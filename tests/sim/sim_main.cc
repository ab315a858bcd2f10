// sim --seeds N --from S [--topology two|proxy|hostile] [--jobs J] [--verbose | --frames]: runs N
// seeds from S; every tenth one twice, and then the two traces must be the same. Prints "N ok" and
// exits 0, or names the seeds that failed and exits 1.
//
// With J jobs there are J processes, each of which runs every J-th seed: a seed whose invariants
// end its process takes no other with it but those of the same job, and is named all the same.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "tests/sim/proxy_chain.h"
#include "tests/sim/run_result.h"
#include "tests/sim/two_stacks.h"

namespace {

using millrace::sim::RunResult;
using millrace::sim::Telling;

constexpr uint64_t twice_every = 10;
constexpr uint64_t jobs_max = 64;

enum class Topology : uint8_t { two, proxy, hostile };
constexpr std::array<std::string_view, 3> topology_names = {"two", "proxy", "hostile"};

struct Arguments {
  uint64_t seeds = 500;
  uint64_t from = 1;
  uint64_t jobs = 1;
  Topology topology = Topology::two;
  Telling telling = Telling::result;
};

// What a job has to tell at its end.
struct Totals {
  uint64_t ok = 0;
  uint64_t octets = 0;
  uint64_t frames = 0;
  uint64_t retransmits = 0;
  double virtual_seconds = 0;
};

const char* topology_name(const Arguments& arguments) {
  return topology_names[static_cast<size_t>(arguments.topology)].data();
}

[[noreturn]] void exit_with_usage(const char* what) {
  std::fprintf(stderr,
               "sim: %s; usage: sim --seeds N --from S [--topology two|proxy|hostile] [--jobs J] "
               "[--verbose | --frames]\n",
               what);
  std::exit(2);
}

uint64_t number_or_exit(const char* option, const char* text, uint64_t most) {
  const auto number = millrace::parse_decimal(text == nullptr ? "" : text, most);
  if (!number) exit_with_usage((std::string(option) + " needs a number").c_str());
  return *number;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--verbose") {
      arguments.telling = Telling::scenario;
    } else if (option == "--frames") {
      arguments.telling = Telling::frames;
    } else if (option == "--seeds") {
      arguments.seeds = number_or_exit("--seeds", argv[++i], UINT64_MAX);
    } else if (option == "--from") {
      arguments.from = number_or_exit("--from", argv[++i], UINT64_MAX);
    } else if (option == "--jobs") {
      arguments.jobs = number_or_exit("--jobs", argv[++i], jobs_max);
    } else if (option == "--topology") {
      const char* name = argv[++i];
      const auto* const found = std::find(topology_names.begin(), topology_names.end(),
                                          std::string_view(name == nullptr ? "" : name));
      if (found == topology_names.end()) exit_with_usage("no such topology");
      arguments.topology = static_cast<Topology>(found - topology_names.begin());
    } else {
      exit_with_usage(("no such option: " + std::string(option)).c_str());
    }
  }
  if (arguments.jobs == 0) exit_with_usage("--jobs needs at least 1");
  return arguments;
}

RunResult run_once(const Arguments& arguments, uint64_t seed, Telling telling) {
  switch (arguments.topology) {
    case Topology::two: return millrace::sim::run_two_stacks(seed, telling);
    case Topology::proxy: return millrace::sim::run_proxy_chain(seed, telling);
    case Topology::hostile: return millrace::sim::run_hostile_reader(seed, telling);
  }
  return {};
}

RunResult run(const Arguments& arguments, uint64_t seed) {
  RunResult result = run_once(arguments, seed, arguments.telling);
  if (result.ok && seed % twice_every == 0 &&
      run_once(arguments, seed, Telling::result).trace_hash != result.trace_hash) {
    result.ok = false;
    result.failure = "a second run gave another trace";
  }
  return result;
}

void print_replay(const Arguments& arguments, uint64_t seed) {
  std::printf("  replay: tests/sim/run --topology %s --seeds 1 --from %llu --verbose\n",
              topology_name(arguments), static_cast<unsigned long long>(seed));
}

void print(const Arguments& arguments, uint64_t seed, const RunResult& result) {
  const auto number = static_cast<unsigned long long>(seed);
  if (arguments.telling != Telling::result) {
    std::printf("%s\n", result.scenario.c_str());
    std::printf(
        "seed %llu: trace %016llx, %llu octets, %llu frames, %llu retransmitted, %.3f "
        "virtual seconds\n",
        number, static_cast<unsigned long long>(result.trace_hash),
        static_cast<unsigned long long>(result.octets_delivered),
        static_cast<unsigned long long>(result.frames_delivered),
        static_cast<unsigned long long>(result.retransmits), result.virtual_seconds);
  }
  if (!result.ok) {
    std::printf("seed %llu FAILED: %s\n", number, result.failure.c_str());
    print_replay(arguments, seed);
  }
  std::fflush(stdout);
}

// The seed under way, for when an invariant or a fault ends the process in the middle of it.
const Arguments* arguments_of_job = nullptr;
volatile uint64_t seed_of_job = 0;

void on_fatal_signal(int signal) {
  const uint64_t seed = seed_of_job;
  std::printf(
      "seed %llu FAILED: %s\n", static_cast<unsigned long long>(seed),
      signal == SIGABRT ? "an invariant does not hold" : "the process was ended by a fault");
  print_replay(*arguments_of_job, seed);
  std::fflush(stdout);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

Totals run_job(const Arguments& arguments, uint64_t job) {
  arguments_of_job = &arguments;
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    std::signal(signal, on_fatal_signal);
  Totals totals;
  for (uint64_t i = job; i < arguments.seeds; i += arguments.jobs) {
    const uint64_t seed = arguments.from + i;
    seed_of_job = seed;
    const RunResult result = run(arguments, seed);
    totals.ok += result.ok ? 1 : 0;
    totals.octets += result.octets_delivered;
    totals.frames += result.frames_delivered;
    totals.retransmits += result.retransmits;
    totals.virtual_seconds += result.virtual_seconds;
    print(arguments, seed, result);
  }
  return totals;
}

// One process a job; what it has to tell comes through a pipe.
Totals run_jobs(const Arguments& arguments) {
  if (arguments.jobs == 1) return run_job(arguments, 0);
  std::fflush(stdout);
  std::vector<int> pipes;
  std::vector<pid_t> children;
  for (uint64_t job = 0; job < arguments.jobs; ++job) {
    int ends[2];
    if (pipe(ends) != 0) exit_with_usage("no pipe to a job");
    const pid_t child = fork();
    if (child < 0) exit_with_usage("no process for a job");
    if (child == 0) {
      close(ends[0]);
      const Totals totals = run_job(arguments, job);
      const bool told = write(ends[1], &totals, sizeof totals) == sizeof totals;
      std::_Exit(told ? 0 : 1);
    }
    close(ends[1]);
    pipes.push_back(ends[0]);
    children.push_back(child);
  }
  Totals sum;
  for (size_t job = 0; job < children.size(); ++job) {
    Totals totals;
    const bool told = read(pipes[job], &totals, sizeof totals) == sizeof totals;
    close(pipes[job]);
    waitpid(children[job], nullptr, 0);
    if (!told) continue;  // it has named its seed itself
    sum.ok += totals.ok;
    sum.octets += totals.octets;
    sum.frames += totals.frames;
    sum.retransmits += totals.retransmits;
    sum.virtual_seconds += totals.virtual_seconds;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const auto began = std::chrono::steady_clock::now();
  const Totals totals = run_jobs(arguments);
  const double real_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf(
      "%llu octets in %llu frames, %llu segments sent again, %.0f virtual seconds at %.0fx\n",
      static_cast<unsigned long long>(totals.octets),
      static_cast<unsigned long long>(totals.frames),
      static_cast<unsigned long long>(totals.retransmits), totals.virtual_seconds,
      totals.virtual_seconds / real_seconds);
  std::printf("%llu ok\n", static_cast<unsigned long long>(totals.ok));
  return totals.ok == arguments.seeds ? 0 : 1;
}
