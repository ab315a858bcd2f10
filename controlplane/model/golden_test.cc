// testdata/NAME.in.yaml through the reader and the model to testdata/NAME.out.txt. To write the
// expectations anew after a change of mind: MILLRACE_GOLDEN_WRITE=1 model_test, then read the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "controlplane/model/dump.h"

namespace millrace::model {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(MILLRACE_TESTDATA)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".in.yaml")) names.push_back(name.substr(0, name.size() - 8));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<k8s::Object> objects_of(const std::string& name) {
  const std::string file = name + ".in.yaml";
  manifests::ParsedFile parsed =
      manifests::parse_file(file, read_file(fs::path(MILLRACE_TESTDATA) / file));
  for (const auto& problem : parsed.problems) ADD_FAILURE() << problem.text();
  return std::move(parsed.objects);
}

std::string text_of(const BuildResult& built) {
  return dump(built.model) + (built.problems.empty() ? "" : "\n") + dump(built.problems);
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, IsAsWritten) {
  store::Store store;
  store.replace(objects_of(GetParam()));
  const std::string got = text_of(build(store, Options()));
  const fs::path expected = fs::path(MILLRACE_TESTDATA) / (GetParam() + ".out.txt");
  if (std::getenv("MILLRACE_GOLDEN_WRITE") != nullptr) std::ofstream(expected) << got;
  EXPECT_EQ(got, read_file(expected));
}

// Whatever order objects come in, through detours and with deletions between, the end is the same.
TEST_P(GoldenTest, C8AnyOrderOfEventsEndsInTheSameModel) {
  const std::vector<k8s::Object> objects = objects_of(GetParam());
  store::Store in_order;
  in_order.replace(objects);
  const BuildResult expected = build(in_order, Options());
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    std::vector<k8s::Object> shuffled = objects;
    for (size_t i = shuffled.size(); i > 1; --i) {
      std::swap(shuffled[i - 1], shuffled[random.below(i)]);
    }
    store::Store store;
    for (const k8s::Object& object : shuffled) {
      k8s::Object detour = shuffled[random.below(shuffled.size())];
      store.put(detour);
      if (random.chance(0.5)) store.remove(detour.key);
      store.put(object);
      build(store, Options());  // a state on the way leaves no trace
    }
    for (const k8s::Object& object : shuffled) store.put(object);
    const BuildResult built = build(store, Options());
    ASSERT_TRUE(built.model == expected.model) << "seed " << seed << '\n' << dump(built.model);
    ASSERT_EQ(built.problems, expected.problems) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Model, GoldenTest, ::testing::ValuesIn(case_names()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace millrace::model
