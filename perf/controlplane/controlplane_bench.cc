// controlplane_bench: what the control plane costs at a size: the first model and table of a whole
// cluster, then single changes, each from the store's change list to the finished bytes of the next
// snapshot and through the data plane's validator.
#include <getopt.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "controlplane/compile/compile.h"
#include "controlplane/model/build.h"
#include "perf/controlplane/cluster_objects.h"
#include "shm/snapshot.h"

namespace {

using namespace millrace;

constexpr const char* usage_text =
    "usage: controlplane_bench [--ingresses N] [--paths N] [--endpoints N] [--changes N] "
    "[--one-host]\n"
    "  --ingresses N   default 10000\n"
    "  --paths N       of each Ingress, default 3\n"
    "  --endpoints N   of each Service, default 5\n"
    "  --changes N     of each kind, default 200\n"
    "  --one-host      all paths are of one host\n";

struct Arguments {
  perf::ClusterSize size;
  uint32_t changes = 200;
};

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "controlplane_bench: %s (--help says more)\n", what.c_str());
  std::exit(2);
}

uint32_t number(const char* name, const char* text, uint32_t most) {
  const auto value = parse_decimal(text, most);
  if (!value || *value == 0) {
    refuse(std::string(name) + " must be 1 to " + std::to_string(most) + ", not " + text);
  }
  return static_cast<uint32_t>(*value);
}

Arguments parse(int argc, char** argv) {
  static constexpr std::array<option, 7> names{{{"ingresses", 1, nullptr, 'i'},
                                                {"paths", 1, nullptr, 'p'},
                                                {"endpoints", 1, nullptr, 'e'},
                                                {"changes", 1, nullptr, 'c'},
                                                {"one-host", 0, nullptr, 'o'},
                                                {"help", 0, nullptr, 'h'},
                                                {nullptr, 0, nullptr, 0}}};
  Arguments arguments;
  opterr = 0;
  for (int key = 0; (key = getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
    switch (key) {
      case 'i': arguments.size.ingresses = number("--ingresses", optarg, 1U << 20); break;
      case 'p': arguments.size.paths = number("--paths", optarg, 1'000); break;
      case 'e': arguments.size.endpoints = number("--endpoints", optarg, 200); break;
      case 'c': arguments.changes = number("--changes", optarg, 100'000); break;
      case 'o': arguments.size.one_host = true; break;
      case 'h': std::fputs(usage_text, stdout); std::exit(0);
      default: refuse(std::string("unknown option, or one without its value: ") + argv[optind - 1]);
    }
  }
  if (optind != argc) refuse(std::string("unexpected: ") + argv[optind]);
  return arguments;
}

double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * 4096 / (1 << 20);
}

double ms_of(const std::function<void()>& step) {
  const Instant before = MonotonicClock().now();
  step();
  return static_cast<double>((MonotonicClock().now() - before).count_ns()) / 1e6;
}

void print(const char* what, std::vector<double> times_ms) {
  std::sort(times_ms.begin(), times_ms.end());
  const size_t count = times_ms.size();
  std::printf("%-34s median %9.3f ms  p99 %9.3f ms  max %9.3f ms  (%zu)\n", what,
              times_ms[count / 2], times_ms[count * 99 / 100], times_ms.back(), count);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  store::Store store = perf::cluster_store(arguments.size);
  std::printf("ingresses=%u paths=%u endpoints=%u resident_with_objects_mib=%.1f\n",
              arguments.size.ingresses, arguments.size.paths, arguments.size.endpoints,
              resident_mib());
  std::vector<double> build_ms, compile_ms;
  model::BuildResult built;
  compile::Compiled compiled;
  for (int i = 0; i < 5; ++i) {
    build_ms.push_back(ms_of([&] { built = model::build(store, {}); }));
    compile_ms.push_back(ms_of([&] {
      auto result = compile::compile(built.model, compiled.slots, 1);
      if (!result) refuse(result.error());
      compiled = std::move(*result);
    }));
  }
  print("full build", build_ms);
  print("full compile", compile_ms);
  std::printf("resident_mib=%.1f\n", resident_mib());
  size_t bytes = compiled.snapshot.root.size();
  for (const auto& segment : compiled.snapshot.segments) bytes += segment.bytes.size();
  std::printf("snapshot bytes %zu, a route %.1f\n", bytes,
              static_cast<double>(bytes) / static_cast<double>(built.model.route_count()));
  return 0;
}
