// controlplane_bench: what the control plane costs at a size: the first model and table of a whole
// cluster, then single changes, each from the store's change list to the finished bytes of the next
// snapshot and through the data plane's validator.
#include <getopt.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/compile/live_table.h"
#include "controlplane/model/live_model.h"
#include "perf/controlplane/bench_options.h"
#include "perf/controlplane/cluster_objects.h"
#include "perf/controlplane/step_time.h"
#include "shm/sealed_memory.h"
#include "shm/snapshot.h"

namespace {

using namespace millrace;
using perf::ms_of;
using perf::number;
using perf::print;
using perf::refuse;
using Time = perf::StepTime;

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

// One control plane without its socket.
class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : size_(arguments.size),
        changes_(arguments.changes),
        store_(perf::cluster_store(arguments.size)) {}

  void run() {
    std::printf("ingresses=%u paths=%u endpoints=%u one_host=%d resident_of_objects_mib=%.1f\n",
                size_.ingresses, size_.paths, size_.endpoints, size_.one_host ? 1 : 0,
                resident_mib());
    first_table();
    describe();
    change("endpoints of one Service", [&](uint32_t tenant, uint32_t generation) {
      store_.put(perf::cluster_slice(size_, tenant, generation));
    });
    change("a path of one Ingress", [&](uint32_t tenant, uint32_t generation) {
      store_.put(perf::cluster_ingress(size_, tenant, generation));
    });
    change("a new Ingress and Service", [&](uint32_t, uint32_t generation) {
      const uint32_t tenant = size_.ingresses + generation;
      store_.put(perf::cluster_ingress(size_, tenant));
      store_.put(perf::cluster_service(tenant));
      store_.put(perf::cluster_slice(size_, tenant));
    });
    change("an Ingress goes", [&](uint32_t tenant, uint32_t) {
      store_.remove(perf::cluster_ingress(size_, tenant).key);
    });
    std::printf("resident_mib=%.1f\n", resident_mib());
  }

 private:
  void first_table() {
    std::vector<Time> model_ms;
    std::vector<Time> table_ms;
    for (int i = 0; i < first_tables; ++i) {
      live_ = model::LiveModel({});
      table_ = compile::LiveTable();
      model_ms.push_back(ms_of([&] { live_.rebuild(store_); }));
      table_ms.push_back(ms_of([&] { take(table_.reset(live_.model())); }));
    }
    print("all: model", model_ms);
    print("all: bytes", table_ms);
    print("all: memory files", {ms_of([&] { seal(table_.snapshot(1).segments); })});
    std::printf("resident_mib=%.1f\n", resident_mib());
  }

  void describe() {
    const shm::BuiltSnapshot snapshot = table_.snapshot(1);
    size_t bytes = snapshot.root.size();
    for (const auto& segment : snapshot.segments) bytes += segment.bytes.size();
    std::printf(
        "hosts=%zu routes=%zu services=%zu endpoints=%zu segments=%zu bytes=%zu "
        "bytes_a_route=%.1f\n",
        live_.model().hosts.size(), live_.counts().routes, live_.model().services.size(),
        live_.counts().endpoints, snapshot.segments.size(), bytes,
        static_cast<double>(bytes) / static_cast<double>(live_.counts().routes));
    print("data plane: validate", {ms_of([&] { validate(snapshot); })});
  }

  // Each kind of change, at tenants far from one another.
  void change(const char* what, const std::function<void(uint32_t, uint32_t)>& act) {
    std::vector<Time> model_ms;
    std::vector<Time> table_ms;
    std::vector<Time> seal_ms;
    std::vector<Time> all_ms;
    for (uint32_t i = 1; i <= changes_; ++i) {
      act(static_cast<uint32_t>(uint64_t{i} * 2'654'435'761U % size_.ingresses), i);
      const shm::BuiltSnapshot before = table_.snapshot(1);
      model::ModelUpdate update;
      model_ms.push_back(ms_of([&] { update = live_.update(store_, store_.take_changes()); }));
      table_ms.push_back(ms_of([&] { take(table_.update(live_.model(), update.delta)); }));
      seal_ms.push_back(ms_of([&] {
        const shm::BuiltSnapshot after = table_.snapshot(1);
        std::vector<shm::BuiltSegment> sent;
        for (size_t at = 0; at < after.segments.size(); ++at) {
          const bool is_held = at < before.segments.size() &&
                               before.segments[at].bytes.data() == after.segments[at].bytes.data();
          if (!is_held) sent.push_back(after.segments[at]);
        }
        seal(sent);
      }));
      all_ms.push_back(model_ms.back() + table_ms.back() + seal_ms.back());
    }
    std::printf("%s\n", what);
    print("  model", model_ms);
    print("  bytes", table_ms);
    print("  root and memory files", seal_ms);
    print("  together", all_ms);
  }

  static void take(const Result<bool>& changed) {
    if (!changed) refuse(changed.error());
    if (!*changed) refuse("a change changed nothing");
  }
  static void seal(const std::vector<shm::BuiltSegment>& segments) {
    for (const shm::BuiltSegment& segment : segments) {
      const auto sealed = shm::seal_into_memfd(segment.bytes, "controlplane_bench");
      if (!sealed) refuse(sealed.error());
    }
  }
  static void validate(const shm::BuiltSnapshot& snapshot) {
    std::vector<ByteView> segments;
    for (const shm::BuiltSegment& segment : snapshot.segments) segments.push_back(segment.bytes);
    const auto view = shm::SnapshotView::validate(snapshot.root, segments);
    if (!view) refuse(view.error());
  }

  static constexpr int first_tables = 5;
  const perf::ClusterSize size_;
  const uint32_t changes_;
  store::Store store_;
  model::LiveModel live_{model::Options()};
  compile::LiveTable table_;
};

}  // namespace

int main(int argc, char** argv) {
  Bench(parse(argc, argv)).run();
  return 0;
}
