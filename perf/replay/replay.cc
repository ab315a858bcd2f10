// What the data plane costs from the driver's ring to the driver's ring, in instructions: a real
// worker over a port in memory, clients and origins that say what was recorded (exchanges/*.http)
// and check every octet of what they get. perf/replay.sh runs it under callgrind and reads the
// counts; by itself it runs a row and prints what happened as one line of JSON.
//
//   replay --list
//   replay --scenario NAME --exchanges FOLDER [--requests N] [--table FILE] [--fast-paths on|off]
//          [--repeat N] [--connections N] [--routes N] [--frames-per-turn N]
#include <getopt.h>
#include <gnu/libc-version.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "perf/replay/scenario.h"
#include "perf/replay/world.h"
#include "shm/last_good.h"

#if __has_include(<valgrind/callgrind.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#include <valgrind/callgrind.h>
static void begin_counting() {
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
}
static void end_counting() {
  CALLGRIND_STOP_INSTRUMENTATION;
}
static bool can_count() {
  return true;
}
#pragma GCC diagnostic pop
#else
static void begin_counting() {}
static void end_counting() {}
static bool can_count() {
  return false;
}
#endif

namespace {

using namespace millrace;
using namespace millrace::perf;

constexpr uint32_t connections_max = 512;  // that ask: each needs two frames of the port at a time
constexpr uint32_t requests_max = 100'000'000;
constexpr uint32_t repeats_max = 1'001;
constexpr double segment_octets = 1'460;

constexpr const char* usage_text =
    "usage: replay --list | --build\n"
    "       replay --scenario NAME [--exchanges FOLDER] [--requests N] [--table FILE]\n"
    "              [--fast-paths on|off] [--repeat N] [--connections N] [--routes N]\n"
    "              [--frames-per-turn N]\n"
    "  --list               the scenarios, tab-separated: name, requests, requests of the gate,\n"
    "                       routes, unit, note\n"
    "  --build              what this was built with and what it runs on, as JSON\n"
    "  --exchanges FOLDER   default perf/replay/exchanges\n"
    "  --requests N         counted requests (or turns), instead of the scenario's\n"
    "  --table FILE         the routing table, as perf/table/make_table wrote it with\n"
    "                       --backend 10.20.0.11:8081 --backend-count 4\n"
    "  --fast-paths on|off  forces them; default: as the worker is built\n"
    "  --repeat N           runs the requests N times and gives the median time of one\n"
    "  --connections, --routes, --frames-per-turn: instead of the scenario's\n";

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "replay: %s (--help says more)\n", what.c_str());
  std::exit(2);
}

struct Arguments {
  Scenario scenario;
  std::string exchanges = "perf/replay/exchanges";
  std::string table;
  FastPaths fast_paths = FastPaths::as_built;
  uint32_t repeats = 1;
};

uint32_t number(const char* name, const char* text, uint32_t most) {
  const auto value = parse_decimal(text, most);
  if (!value || *value == 0) {
    refuse(std::string("--") + name + " must be 1 to " + std::to_string(most) + ", not " + text);
  }
  return static_cast<uint32_t>(*value);
}

void list() {
  for (const Scenario& row : scenarios()) {
    std::printf("%.*s\t%u\t%u\t%u\t%.*s\t%.*s\n", static_cast<int>(row.name.size()),
                row.name.data(), row.requests, row.gate_requests, row.routes,
                static_cast<int>(unit_name(row.unit).size()), unit_name(row.unit).data(),
                static_cast<int>(row.note.size()), row.note.data());
  }
}

// What decides which instructions are executed, beside the source.
void print_build() {
#if defined(__clang__)
  constexpr const char* compiler = "clang " __clang_version__;
#else
  constexpr const char* compiler = "g++ " __VERSION__;
#endif
#if defined(__x86_64__)
  const char* vectors = __builtin_cpu_supports("avx2") ? "avx2" : "none";
#else
  const char* vectors = "none";
#endif
  std::printf("{\"compiler\": \"%s\", \"c_library\": \"glibc %s\", \"vectors\": \"%s\"}\n",
              compiler, gnu_get_libc_version(), vectors);
}

FastPaths fast_paths_of(const std::string& text) {
  if (text != "on" && text != "off") refuse("--fast-paths must be on or off, not " + text);
  if (!World::has_fast_paths_switch()) refuse("--fast-paths: this worker has no such switch");
  return text == "on" ? FastPaths::on : FastPaths::off;
}

Arguments parse(int argc, char** argv) {
  static constexpr std::array<option, 13> names{{{"list", 0, nullptr, 'l'},
                                                 {"scenario", 1, nullptr, 's'},
                                                 {"exchanges", 1, nullptr, 'e'},
                                                 {"requests", 1, nullptr, 'n'},
                                                 {"table", 1, nullptr, 't'},
                                                 {"fast-paths", 1, nullptr, 'f'},
                                                 {"repeat", 1, nullptr, 'x'},
                                                 {"connections", 1, nullptr, 'c'},
                                                 {"routes", 1, nullptr, 'r'},
                                                 {"frames-per-turn", 1, nullptr, 'p'},
                                                 {"build", 0, nullptr, 'b'},
                                                 {"help", 0, nullptr, 'h'},
                                                 {nullptr, 0, nullptr, 0}}};
  Arguments arguments;
  uint32_t requests = 0;
  uint32_t connections = 0;
  uint32_t routes = 0;
  uint32_t frames = 0;
  opterr = 0;
  for (int key = 0; (key = getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
    switch (key) {
      case 'l': list(); std::exit(0);
      case 'b': print_build(); std::exit(0);
      case 'h': std::fputs(usage_text, stdout); std::exit(0);
      case 's': {
        const Scenario* found = find_scenario(optarg);
        if (found == nullptr) refuse(std::string("--scenario: none is called ") + optarg);
        arguments.scenario = *found;
        break;
      }
      case 'e': arguments.exchanges = optarg; break;
      case 't': arguments.table = optarg; break;
      case 'f': arguments.fast_paths = fast_paths_of(optarg); break;
      case 'n': requests = number("requests", optarg, requests_max); break;
      case 'x': arguments.repeats = number("repeat", optarg, repeats_max); break;
      case 'c': connections = number("connections", optarg, connections_max); break;
      case 'r': routes = number("routes", optarg, tenant_routes_max); break;
      case 'p': frames = number("frames-per-turn", optarg, nic::burst_frames_max); break;
      default: refuse(std::string("unknown option, or one without its value: ") + argv[optind - 1]);
    }
  }
  if (optind != argc) refuse(std::string("unexpected: ") + argv[optind]);
  if (arguments.scenario.name.empty()) refuse("--scenario is missing");
  if (requests != 0) arguments.scenario.requests = requests;
  if (connections != 0) arguments.scenario.connections = connections;
  if (routes != 0) arguments.scenario.routes = routes;
  if (frames != 0) arguments.scenario.frames_per_turn = frames;
  return arguments;
}

std::shared_ptr<const shm::Snapshot> table_of(const Arguments& arguments) {
  auto snapshot = arguments.table.empty()
                      ? build_tenant_table(replay_table(arguments.scenario.routes))
                      : shm::load_last_good(arguments.table);
  if (!snapshot.ok()) refuse(snapshot.error());
  if ((*snapshot)->view().root().route_count != arguments.scenario.routes) {
    refuse(arguments.table + " does not have " + std::to_string(arguments.scenario.routes) +
           " routes");
  }
  return std::move(*snapshot);
}

// What the counted part began with.
struct Begin {
  uint64_t turns;
  uint64_t ticks;
  uint64_t received_frames;
  uint64_t transmitted_frames;
  uint64_t bare;
  uint64_t octets;

  explicit Begin(const World& world)
      : turns(world.turn_count()),
        ticks(world.ticks()),
        received_frames(world.frames().received_frames),
        transmitted_frames(world.frames().transmitted_frames),
        bare(world.peers().bare_segments()),
        octets(world.peers().octets()) {}
};

// How many of its unit the counted part was, in one of `repeats`.
double unit_count(const Scenario& scenario, const World& world, const Begin& begin,
                  uint32_t repeats) {
  if (scenario.unit != Unit::segment) return scenario.requests;
  const auto octets = static_cast<double>(world.peers().octets() - begin.octets);
  return octets / segment_octets / repeats;
}

void print(const Arguments& arguments, const World& world, const Begin& begin,
           std::vector<uint64_t> ticks) {
  const Scenario& scenario = arguments.scenario;
  const double units = unit_count(scenario, world, begin, arguments.repeats);
  const double all = units * arguments.repeats;
  const auto each = [&](uint64_t now, uint64_t before) {
    return static_cast<double>(now - before) / all;
  };
  std::sort(ticks.begin(), ticks.end());
  const MemoryUse memory = world.memory();
  std::printf("{\"scenario\": \"%.*s\", \"unit\": \"%.*s\", \"units\": %.3f, ",
              static_cast<int>(scenario.name.size()), scenario.name.data(),
              static_cast<int>(unit_name(scenario.unit).size()), unit_name(scenario.unit).data(),
              units);
  std::printf("\"requests\": %u, \"connections\": %u, \"idle_connections\": %u, \"routes\": %u, ",
              scenario.unit == Unit::turn ? 0 : scenario.requests, scenario.connections,
              scenario.idle_connections, scenario.routes);
  std::printf("\"upstream_connections\": %zu, ", world.peers().origin_connections());
  std::printf("\"turns\": %.4f, \"frames_received\": %.4f, \"frames_sent\": %.4f, ",
              each(world.turn_count(), begin.turns),
              each(world.frames().received_frames, begin.received_frames),
              each(world.frames().transmitted_frames, begin.transmitted_frames));
  std::printf("\"bare_segments\": %.4f, ", each(world.peers().bare_segments(), begin.bare));
  std::printf("\"ticks\": %.1f, \"ticks_least\": %.1f, \"ticks_most\": %.1f, ",
              static_cast<double>(ticks[ticks.size() / 2]) / units,
              static_cast<double>(ticks.front()) / units,
              static_cast<double>(ticks.back()) / units);
  std::printf("\"memory\": {\"worker_octets\": %" PRIu64 ", \"opening_octets\": %" PRIu64
              ", \"table_octets\": %" PRIu64 "}, ",
              memory.resident_made - memory.resident_before,
              memory.resident_open - memory.resident_made, memory.tables);
  std::printf("\"wire_hash\": \"%016" PRIx64 "\"}\n", world.peers().wire_hash());
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const Scenario& scenario = arguments.scenario;
  const auto recording =
      Recording::read(arguments.exchanges + "/" + std::string(scenario.exchange) + ".http");
  if (!recording.ok()) refuse(recording.error());
  if (!can_count()) {
    std::fprintf(stderr, "replay: built without valgrind's header: callgrind counts nothing\n");
  }
  const auto world =
      std::make_unique<World>(scenario, *recording, table_of(arguments), arguments.fast_paths);
  world->prepare(arguments.repeats);
  if (scenario.unit == Unit::turn) world->settle();
  const Begin begin(*world);
  std::vector<uint64_t> ticks;
  begin_counting();
  for (uint32_t repeat = 0; repeat < arguments.repeats; ++repeat) {
    const uint64_t before = world->ticks();
    if (scenario.unit == Unit::turn) {
      world->turns(scenario.requests);
    } else {
      world->ask(scenario.requests);
    }
    ticks.push_back(world->ticks() - before);
  }
  end_counting();
  CHECK(world->worker().frames_conserved());
  print(arguments, *world, begin, std::move(ticks));
  return 0;
}
