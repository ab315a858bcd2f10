// Generated tables and the hashes that their models and bytes had when they were recorded: whoever
// makes the way to a table faster changes neither. Who changes what a model says or how bytes are
// laid records them anew, with the change: a failure prints the hashes there are now.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/hash.h"
#include "controlplane/compile/compile.h"
#include "controlplane/compile/live_table.h"
#include "controlplane/model/build.h"
#include "controlplane/model/dump.h"
#include "controlplane/model/random_cluster_testing.h"
#include "perf/controlplane/cluster_objects.h"

namespace millrace::compile {
namespace {

struct Hashes {
  uint64_t model = 0;  // of its dump and of that of its problems
  uint64_t bytes = 0;  // of the root, which has the hash of every segment

  bool operator==(const Hashes&) const = default;
};

void PrintTo(const Hashes& hashes, std::ostream* out) {
  *out << std::hex << "{0x" << hashes.model << ", 0x" << hashes.bytes << '}' << std::dec;
}

uint64_t hash_of(const std::vector<uint8_t>& bytes) {
  return hash_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Hashes hashes_of(const store::Store& store, const model::Options& options) {
  const model::BuildResult built = model::build(store, options);
  const auto compiled = compile(built.model, SlotTable(), 1);
  EXPECT_TRUE(compiled.ok()) << compiled.error();
  LiveTable live(options.bounds.services);
  EXPECT_TRUE(live.reset(built.model).ok());
  EXPECT_EQ(live.snapshot(1).root, compiled->snapshot.root);
  return {hash_text(model::dump(built.problems), hash_text(model::dump(built.model))),
          hash_of(compiled->snapshot.root)};
}

store::Store random_store(uint64_t seed) {
  model::testing::RandomCluster cluster(seed);
  store::Store store;
  for (int step = 0; step < 80; ++step) cluster.step(&store);
  return store;
}

model::Options tight() {
  model::Options options;
  options.bounds = {30, 6, 2};
  options.ownership.mode = model::OwnershipMode::enforce;
  options.ownership.owners.push_back({"x", {"x.example"}, {"a", "b"}, std::nullopt});
  options.ownership.quota = {6, 3, 1};
  return options;
}

TEST(RecordedTable, OfManyHosts) {
  perf::ClusterSize size;
  size.ingresses = 3'000;
  EXPECT_EQ(hashes_of(perf::cluster_store(size), {}),
            (Hashes{0xf3fc8331c601a414, 0x8cef4b9dac0324d4}));
}

TEST(RecordedTable, OfOneHostOfManyPaths) {
  perf::ClusterSize size;
  size.ingresses = 1'500;
  size.one_host = true;
  EXPECT_EQ(hashes_of(perf::cluster_store(size), {}),
            (Hashes{0x019267fe387277cf, 0x50d08640ab3f7e30}));
}

TEST(RecordedTable, OfHostsWithMorePathsThanARecordHolds) {
  perf::ClusterSize size;
  size.ingresses = 40;
  size.paths = 60;
  size.endpoints = 150;
  EXPECT_EQ(hashes_of(perf::cluster_store(size), {}),
            (Hashes{0x59a3eb0e8a0b6422, 0x71e197942490a2d9}));
}

TEST(RecordedTable, OfClustersInWhichRulesCollide) {
  const std::vector<Hashes> recorded{
      {0x70cbab167d32893, 0x69368a4c3a07dc70},  {0x1b242ed13d899827, 0x7a8f2901abcf1e39},
      {0xbc725ddbf9007179, 0x59f31aeb9361d5d2}, {0x9961e75d63df9e27, 0x2ae303bda50ed918},
      {0x7de14407b804e97a, 0xef63e1e36362d3d3}, {0x21bbb7075f837573, 0x199c5133774c01bc},
      {0x8ffed93a58cd1ed9, 0x4029d715ca4615e5}, {0xcbf29ce484222325, 0x69368a4c3a07dc70}};
  std::vector<Hashes> now;
  for (uint64_t seed = 1; seed <= 8; ++seed) now.push_back(hashes_of(random_store(seed), {}));
  EXPECT_EQ(now, recorded);
}

TEST(RecordedTable, OfClustersAtTheirBounds) {
  const std::vector<Hashes> recorded{
      {0x70cbab167d32893, 0x69368a4c3a07dc70},  {0xf98da38af9ad48e6, 0x5f41826bb4bedbe},
      {0x2319bffe43f40479, 0x59f31aeb9361d5d2}, {0x90b5547182b68d2d, 0xf199e93a2234ff82},
      {0x7de14407b804e97a, 0xef63e1e36362d3d3}, {0x8fc997fe217e68f4, 0x199c5133774c01bc},
      {0x3a665f3bdf3a594a, 0x40dee8c22a7f73bd}, {0xcbf29ce484222325, 0x69368a4c3a07dc70}};
  std::vector<Hashes> now;
  for (uint64_t seed = 1; seed <= 8; ++seed) now.push_back(hashes_of(random_store(seed), tight()));
  EXPECT_EQ(now, recorded);
}

}  // namespace
}  // namespace millrace::compile
