// install_bench: what a publish costs the data plane at a size: one changed segment, from its
// memory file to the table that workers enter, step by step; and the saving of the table on disk.
#include <getopt.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/compile/live_table.h"
#include "controlplane/model/live_model.h"
#include "dataplane/traffic_rows.h"
#include "perf/controlplane/bench_options.h"
#include "perf/controlplane/cluster_objects.h"
#include "perf/controlplane/step_time.h"
#include "shm/last_good.h"
#include "shm/sealed_memory.h"
#include "shm/snapshot.h"
#include "shm/snapshot_store.h"
#include "shm/traffic_page.h"

namespace {

using namespace millrace;
using perf::ms_of;
using perf::number;
using perf::refuse;
using perf::StepTime;

constexpr const char* usage_text =
    "usage: install_bench [--ingresses N] [--paths N] [--endpoints N] [--changes N] "
    "[--traffic-rows N] [--folder F]\n"
    "  --ingresses N     default 10000\n"
    "  --paths N         of each Ingress, default 3\n"
    "  --endpoints N     of each Service, default 5\n"
    "  --changes N       of each kind, default 200\n"
    "  --traffic-rows N  default 65000\n"
    "  --folder F        where the table is saved, default /tmp\n";

struct Arguments {
  perf::ClusterSize size;
  uint32_t changes = 200;
  uint32_t traffic_rows = 65'000;
  std::string folder = "/tmp";
};

Arguments parse(int argc, char** argv) {
  static constexpr std::array<option, 8> names{{{"ingresses", 1, nullptr, 'i'},
                                                {"paths", 1, nullptr, 'p'},
                                                {"endpoints", 1, nullptr, 'e'},
                                                {"changes", 1, nullptr, 'c'},
                                                {"traffic-rows", 1, nullptr, 't'},
                                                {"folder", 1, nullptr, 'f'},
                                                {"help", 0, nullptr, 'h'},
                                                {nullptr, 0, nullptr, 0}}};
  constexpr uint32_t rows_most = shm::traffic_rows_max - shm::traffic_rows_fixed;
  Arguments arguments;
  opterr = 0;
  for (int key = 0; (key = getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
    switch (key) {
      case 'i': arguments.size.ingresses = number("--ingresses", optarg, 1U << 20); break;
      case 'p': arguments.size.paths = number("--paths", optarg, 1'000); break;
      case 'e': arguments.size.endpoints = number("--endpoints", optarg, 200); break;
      case 'c': arguments.changes = number("--changes", optarg, 100'000); break;
      case 't': arguments.traffic_rows = number("--traffic-rows", optarg, rows_most); break;
      case 'f': arguments.folder = optarg; break;
      case 'h': std::fputs(usage_text, stdout); std::exit(0);
      default: refuse(std::string("unknown option, or one without its value: ") + argv[optind - 1]);
    }
  }
  if (optind != argc) refuse(std::string("unexpected: ") + argv[optind]);
  return arguments;
}

template <class Value>
Value need(Result<Value> result) {
  if (!result.ok()) refuse(result.error());
  return std::move(*result);
}

// One data plane without socket and worker, fed by a control plane without its socket.
class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : size_(arguments.size),
        changes_(arguments.changes),
        path_(arguments.folder + "/install_bench.snapshot"),
        store_(perf::cluster_store(arguments.size)),
        page_(need(shm::TrafficPage::create(shm::traffic_rows_fixed + arguments.traffic_rows, 1))),
        rows_(*page_),
        cell_(1) {
    cell_.set_traffic_maps([this](const shm::SnapshotView& view) {
      std::shared_ptr<const shm::TrafficMap> map;
      rows_ms_.push_back(ms_of([&] { map = rows_.map(view); }));
      return map;
    });
  }

  void run() {
    live_.rebuild(store_);
    need(table_.reset(live_.model()));
    publish();
    describe();
    std::printf("the first table\n");
    print_steps();
    change("endpoints of one Service", [&](uint32_t tenant, uint32_t generation) {
      store_.put(perf::cluster_slice(size_, tenant, generation));
    });
    change("a path of one Ingress", [&](uint32_t tenant, uint32_t generation) {
      store_.put(perf::cluster_ingress(size_, tenant, generation));
    });
    save();
  }

 private:
  void describe() {
    const shm::Snapshot& current = *cell_.window().front();
    size_t bytes = current.root_bytes().size();
    for (const shm::SegmentMemory& segment : current.segments()) bytes += segment->view().size();
    std::printf("routes=%u endpoints=%u segments=%zu bytes=%zu\n",
                current.view().root().route_count, current.view().root().endpoint_count,
                current.segments().size(), bytes);
  }

  // Changes at tenants far from one another.
  void change(const char* what, const std::function<void(uint32_t, uint32_t)>& act) {
    for (uint32_t i = 1; i <= changes_; ++i) {
      act(static_cast<uint32_t>(uint64_t{i} * 2'654'435'761U % size_.ingresses), i);
      const model::ModelUpdate update = live_.update(store_, store_.take_changes());
      need(table_.update(live_.model(), update.delta));
      publish();
    }
    std::printf("%s\n", what);
    print_steps();
  }

  // As the channel's server does it, with what the channel's client would send.
  void publish() {
    const shm::BuiltSnapshot built = table_.snapshot(++version_);
    std::map<uint64_t, UniqueFd> sent;
    for (const shm::BuiltSegment& segment : built.segments) {
      if (cell_.find_segment(segment.id) != nullptr) continue;
      sent.emplace(segment.id, need(shm::seal_into_memfd(segment.bytes, "install_bench")));
    }
    const UniqueFd root_fd = need(shm::seal_into_memfd(built.root, "install_bench"));
    shm::MappedBytes root;
    std::vector<shm::SegmentMemory> segments;
    map_ms_.push_back(ms_of([&] {
      root = need(shm::MappedBytes::map_sealed(root_fd.get(), shm::segment_bytes_max));
      for (const shm::BuiltSegment& segment : built.segments) {
        const auto found = sent.find(segment.id);
        segments.push_back(
            found == sent.end()
                ? cell_.find_segment(segment.id)
                : std::make_shared<const shm::MappedBytes>(need(
                      shm::MappedBytes::map_sealed(found->second.get(), shm::segment_bytes_max))));
      }
    }));
    std::vector<ByteView> views;
    for (const shm::SegmentMemory& segment : segments) views.push_back(segment->view());
    whole_ms_.push_back(ms_of([&] { need(shm::SnapshotView::validate(root.view(), views)); }));
    std::shared_ptr<const shm::Snapshot> snapshot;
    validate_ms_.push_back(ms_of([&] {
      const std::vector<std::shared_ptr<const shm::Snapshot>> known(cell_.window().begin(),
                                                                    cell_.window().end());
      snapshot = need(shm::Snapshot::create(std::move(root), std::move(segments), known));
    }));
    install_ms_.push_back(ms_of([&] { need(cell_.install(std::move(snapshot))); }));
  }

  void print_steps() {
    std::vector<StepTime> together;
    for (size_t i = 0; i < map_ms_.size(); ++i) {
      together.push_back(map_ms_[i] + validate_ms_[i] + install_ms_[i]);
    }
    for (const auto& [what, times] : {std::pair{"  map the memory", &map_ms_},
                                      {"  validate", &validate_ms_},
                                      {"  install, with its rows", &install_ms_},
                                      {"    rows", &rows_ms_},
                                      {"  together", &together},
                                      {"  (validate the whole)", &whole_ms_}}) {
      perf::print(what, *times);
      times->clear();
    }
  }

  void save() {
    std::vector<StepTime> times;
    for (int i = 0; i < saves; ++i) {
      times.push_back(ms_of([&] {
        const Status saved = shm::save_last_good(path_, *cell_.window().front());
        if (!saved.ok()) refuse(saved.error());
      }));
    }
    std::filesystem::remove(path_);
    perf::print("save the table", times);
  }

  static constexpr int saves = 20;
  const perf::ClusterSize size_;
  const uint32_t changes_;
  const std::string path_;
  store::Store store_;
  model::LiveModel live_{model::Options()};
  compile::LiveTable table_;
  uint64_t version_ = 0;
  std::unique_ptr<shm::TrafficPage> page_;
  TrafficRows rows_;
  shm::SnapshotCell cell_;
  std::vector<StepTime> map_ms_, whole_ms_, validate_ms_, install_ms_, rows_ms_;
};

}  // namespace

int main(int argc, char** argv) {
  Bench(parse(argc, argv)).run();
  return 0;
}
