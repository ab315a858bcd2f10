#include "controlplane/manifests/definitions.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace millrace::manifests {
namespace {

using k8s::Object;
using k8s::ObjectKey;

Object object(uint64_t name, const std::string& file, int line) {
  return {{k8s::Kind::service, "shop", "s" + std::to_string(name)},
          {file, line},
          k8s::Body(k8s::Service())};
}

// What the folder is said to be, told the long way.
struct Folder {
  struct File {
    std::vector<Object> objects;
    size_t fresh_count = 0;
    bool missing = false;
  };
  std::map<std::string, File> files;

  const Object* find(const ObjectKey& key) const {
    for (const bool fresh : {true, false}) {
      for (const auto& [name, file] : files) {
        for (size_t i = 0; i < file.objects.size(); ++i) {
          const bool is_fresh = !file.missing && i < file.fresh_count;
          if (is_fresh == fresh && file.objects[i].key == key) return &file.objects[i];
        }
      }
    }
    return nullptr;
  }
  size_t losers(const ObjectKey& key) const {
    size_t said = 0;
    for (const auto& [name, file] : files) {
      for (size_t i = 0; i < file.fresh_count && !file.missing; ++i) {
        said += file.objects[i].key == key;
      }
    }
    return said > 1 ? said - 1 : 0;
  }
};

TEST(Definitions, AreThoseOfAWalkThroughAllFilesWhateverChanges) {
  constexpr uint64_t names = 6;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    Definitions definitions;
    Folder folder;
    std::map<ObjectKey, std::string> told;
    for (int step = 0; step < 60; ++step) {
      const std::string name(1, static_cast<char>('a' + random.below(4)));
      const uint64_t what = random.below(8);
      if (what == 0) {
        definitions.remove(name);
        folder.files.erase(name);
      } else if (what == 1 && folder.files.contains(name)) {
        bool& missing = folder.files[name].missing;
        missing = !missing;
        definitions.set_missing(name, missing);
      } else {
        Folder::File file;
        for (uint64_t i = random.below(5); i > 0; --i) {
          file.objects.push_back(
              object(random.below(names), name, step * 10 + static_cast<int>(i)));
        }
        file.fresh_count = random.below(file.objects.size() + 1);
        definitions.set(name, file.objects, file.fresh_count);
        folder.files[name] = file;
      }
      for (const ObjectKey& key : definitions.take_changed()) {
        const Object* found = definitions.find(key);
        told[key] = found == nullptr ? "" : found->place.text();
      }
      size_t losers = 0;
      size_t missing = 0;
      for (const auto& [file_name, file] : folder.files) missing += file.missing;
      for (uint64_t i = 0; i < names; ++i) {
        const ObjectKey key = object(i, "", 0).key;
        const Object* expected = folder.find(key);
        ASSERT_EQ(told[key], expected == nullptr ? "" : expected->place.text())
            << "seed " << seed << " step " << step;
        losers += folder.losers(key);
      }
      k8s::ProblemList problems;
      definitions.tell_contested(&problems);
      ASSERT_EQ(problems.take().size(), losers) << "seed " << seed << " step " << step;
      ASSERT_EQ(definitions.missing_count(), missing);
    }
  }
}

TEST(Definitions, AFileOfOneObjectTwiceHoldsItAlone) {
  Definitions definitions;
  definitions.set("a", {object(1, "a", 1), object(1, "a", 2)}, 2);
  const ObjectKey key = object(1, "", 0).key;
  EXPECT_TRUE(definitions.is_only_in(key, "a"));
  EXPECT_FALSE(definitions.is_only_in(key, "b"));
  definitions.set("b", {object(1, "b", 1)}, 0);
  EXPECT_FALSE(definitions.is_only_in(key, "a"));
  EXPECT_EQ(definitions.find(key)->place.line, 1);
  definitions.remove("a");
  EXPECT_TRUE(definitions.is_only_in(key, "b"));
  definitions.remove("b");
  EXPECT_EQ(definitions.find(key), nullptr);
}

}  // namespace
}  // namespace millrace::manifests
