#include "controlplane/manifests/folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace millrace::manifests {
namespace {

namespace fs = std::filesystem;

std::string service(const std::string& name, int port = 80) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec: {ports: [{port: " + std::to_string(port) + "}]}\n";
}

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    char name[] = "/tmp/millrace-folder-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~FolderTest() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  // "name:port" of every Service, and the problems.
  std::string look(Folder& folder) {
    const Status status = folder.scan({}, {});
    if (!status) return status.error();
    take_news(folder);
    std::string text;
    for (const auto& [key, object] : objects_) {
      const auto body = object.body.as<k8s::Service>();
      text += (text.empty() ? "" : " ") + object.key.name + ":" +
              std::to_string(body.spec().ports_size() > 0 ? body.spec().ports(0).port() : 0);
    }
    return text;
  }

  // As the store is told them.
  void take_news(Folder& folder) {
    FolderNews news = folder.take_news();
    for (auto& object : news.objects) objects_.insert_or_assign(object.key, object);
    for (const auto& key : news.gone) objects_.erase(key);
    problems_.clear();
    for (const auto& problem : news.problems) problems_.push_back(problem.text());
  }

  fs::path root_;
  std::map<k8s::ObjectKey, k8s::Object> objects_;
  std::vector<std::string> problems_;
};

using ::testing::Test;

TEST_F(FolderTest, ReadsManifestsAndNothingElse) {
  write("a.yaml", service("a"));
  write("b.yml", service("b"));
  write("c.json", R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"c"}})");
  write("deep/er/d.yaml", service("d"));
  write(".hidden.yaml", service("x"));
  write(".git/x.yaml", service("x"));
  write("a.yaml~", service("x"));
  write("a.yaml.swp", "%%%");
  write("README.md", "# no");
  Folder folder(root_.string() + "//");
  EXPECT_EQ(look(folder), "a:80 b:80 c:0 d:80");
  EXPECT_TRUE(problems_.empty());
  EXPECT_EQ(folder.directories().size(), 3u);
}

TEST_F(FolderTest, SeesEditsCreationsRenamesAndDeletions) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80");
  write("a.yaml", service("a", 81));
  write("b.yaml", service("b"));
  EXPECT_EQ(look(folder), "a:81 b:80");
  fs::rename(root_ / "b.yaml", root_ / "c.yaml");
  EXPECT_EQ(look(folder), "a:81 b:80");
  write("new.tmp", service("a", 82));
  fs::rename(root_ / "new.tmp", root_ / "a.yaml");
  EXPECT_EQ(look(folder), "a:82 b:80");
  fs::remove(root_ / "c.yaml");
  EXPECT_EQ(look(folder), "a:82");
  fs::remove(root_ / "a.yaml");
  EXPECT_EQ(look(folder), "");
  EXPECT_TRUE(problems_.empty());
}

TEST_F(FolderTest, ABrokenFileKeepsItsLastGoodObjectsAndSaysSo) {
  write("a.yaml", service("a") + "---\n" + service("b"));
  write("z.yaml", service("z"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80 b:80 z:80");

  // One document broken as YAML: the other is taken, everything else of the file is kept.
  write("a.yaml", "kind: [\n---\n" + service("b", 81));
  write("z.yaml", service("z", 81));
  EXPECT_EQ(look(folder), "a:80 b:81 z:81");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_TRUE(problems_[0].starts_with("a.yaml:")) << problems_[0];
  EXPECT_TRUE(problems_[0].ends_with("; kept as last read: Service default/a")) << problems_[0];

  // One object of a wrong type: that object is kept.
  write("a.yaml",
        service("a") + "---\n" + "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: 7\n");
  EXPECT_EQ(look(folder), "a:80 b:81 z:81");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_EQ(
      problems_[0],
      "a.yaml:9: Service default/b: spec: a mapping is wanted, not the number \"7\"; its last "
      "good version is kept");

  write("a.yaml", service("a", 90));
  EXPECT_EQ(look(folder), "a:90 z:81");
  EXPECT_TRUE(problems_.empty());
}

TEST_F(FolderTest, AFileBrokenFromTheStartSaysThatNothingIsKept) {
  write("a.yaml", "kind: [\n");
  write("b.yaml", service("b"));
  write("c.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: c}\nspec: 7\n");
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "b:80");
  ASSERT_EQ(problems_.size(), 2u);
  EXPECT_TRUE(problems_[0].ends_with("nothing was read from it before, so nothing is kept of it"))
      << problems_[0];
  EXPECT_TRUE(problems_[1].ends_with("no earlier version is known, so this object is left out"))
      << problems_[1];
}

TEST_F(FolderTest, ABrokenDocumentBehindAllThatTheFileHeldTakesNothing) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  look(folder);
  write("a.yaml", service("a", 81) + "---\nkind: [\n");
  EXPECT_EQ(look(folder), "a:81");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_TRUE(
      problems_[0].ends_with("all that was read from it before stands in its other documents"))
      << problems_[0];
}

TEST_F(FolderTest, ATruncatedFileKeepsItsObjects) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80");
  write("a.yaml", "");
  EXPECT_EQ(look(folder), "a:80");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_EQ(problems_[0],
            "a.yaml: is empty; delete the file to remove its objects; kept as last read: Service "
            "default/a");
  write("a.yaml", "# really nothing\n");
  EXPECT_EQ(look(folder), "");
}

TEST_F(FolderTest, ABusyFileKeepsItsLastVersion) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80");
  write("a.yaml", service("a", 81));
  ASSERT_TRUE(folder.scan({}, {"a.yaml"}).ok());
  const FolderNews news = folder.take_news();
  EXPECT_TRUE(news.objects.empty() && news.gone.empty());
  EXPECT_EQ(look(folder), "a:81");
}

TEST_F(FolderTest, AnUnreadableFileKeepsItsObjects) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80");
  // A file too large to read stands for every reason why reading fails; root reads any mode.
  fs::resize_file(root_ / "a.yaml", file_bytes_max + 1);
  EXPECT_EQ(look(folder), "a:80");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_EQ(problems_[0],
            "a.yaml: cannot be read: is larger than 32 MiB; kept as last read: Service default/a");
}

TEST_F(FolderTest, TheSameObjectTwiceHasOneWinner) {
  write("b.yaml", service("a", 2));
  write("a.yaml", "\n" + service("a", 1) + "---\n" + service("a", 3));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:1");
  ASSERT_EQ(problems_.size(), 2u);
  EXPECT_EQ(
      problems_[1],
      "b.yaml:1: Service default/a: is defined at a.yaml:2 too, which counts because it comes "
      "first; this one is left out");
}

TEST_F(FolderTest, AVanishedFolderKeepsEverything) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80");
  fs::remove_all(root_);
  EXPECT_EQ(look(folder), root_.string() + ": No such file or directory");
  take_news(folder);
  EXPECT_EQ(objects_.size(), 1u);
}

TEST_F(FolderTest, C4FilesThatVanishTogetherAreKept) {
  for (const char* name : {"a", "b", "c"}) write(std::string(name) + ".yaml", service(name));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80 b:80 c:80");
  for (const char* name : {"a", "b", "c"}) fs::remove(root_ / (std::string(name) + ".yaml"));
  EXPECT_EQ(look(folder), "a:80 b:80 c:80");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_EQ(problems_[0], "3 manifest files of 3 disappeared from " + root_.string() +
                              " at once; their objects are kept until the files come back (to "
                              "accept the removal, send SIGHUP)");
  // They come back one after the other, and none is dropped meanwhile.
  write("a.yaml", service("a", 81));
  EXPECT_EQ(look(folder), "a:81 b:80 c:80");
  folder.accept_removals();
  EXPECT_EQ(look(folder), "a:81");
  EXPECT_TRUE(problems_.empty());
}

TEST_F(FolderTest, C4FilesDeletedOneByOneAreBelieved) {
  for (const char* name : {"a", "b", "c"}) write(std::string(name) + ".yaml", service(name));
  Folder folder(root_.string());
  look(folder);
  fs::remove(root_ / "a.yaml");
  EXPECT_EQ(look(folder), "b:80 c:80");
  fs::remove(root_ / "b.yaml");
  EXPECT_EQ(look(folder), "c:80");
  fs::remove(root_ / "c.yaml");
  EXPECT_EQ(look(folder), "");
}

TEST_F(FolderTest, FollowsTheLinksOfAMountedConfigMap) {
  write("..one/a.yaml", service("a", 1));
  write("..two/a.yaml", service("a", 2));
  fs::create_directory_symlink("..one", root_ / "..data");
  fs::create_symlink("..data/a.yaml", root_ / "a.yaml");
  fs::create_symlink("nowhere", root_ / "b.yaml");
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:1");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_EQ(problems_[0],
            "b.yaml: the link leads nowhere; anything read from it before is kept: No such file or "
            "directory");
  fs::create_directory_symlink("..two", root_ / "..data_tmp");
  fs::rename(root_ / "..data_tmp", root_ / "..data");
  EXPECT_EQ(look(folder), "a:2");
}

// An object that moved to another file is what it is there, whatever is kept of the file it left.
TEST_F(FolderTest, WhatIsKeptYieldsToWhatIsSaidNow) {
  write("a.yaml", service("a"));
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80");
  write("a.yaml", "");
  write("b.yaml", service("a", 81));
  EXPECT_EQ(look(folder), "a:81");
  write("b.yaml", service("a", 82));
  EXPECT_EQ(look(folder), "a:82");
}

TEST_F(FolderTest, ALinkThatLeadsNowhereKeepsWhatItLedTo) {
  write(".target", service("a"));
  write("b.yaml", service("b"));
  fs::create_symlink(".target", root_ / "a.yaml");
  Folder folder(root_.string());
  EXPECT_EQ(look(folder), "a:80 b:80");
  fs::remove(root_ / ".target");
  EXPECT_EQ(look(folder), "a:80 b:80");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_NE(problems_[0].find("the link leads nowhere; anything read from it before is kept"),
            std::string::npos)
      << problems_[0];
}

// C4: an unmount leaves an empty folder in the place; one file is enough to be missed.
TEST_F(FolderTest, C4AnotherFolderInThePlaceIsNotBelieved) {
  write("m/a.yaml", service("a"));
  Folder folder((root_ / "m").string());
  EXPECT_EQ(look(folder), "a:80");
  fs::rename(root_ / "m", root_ / "old");
  fs::create_directories(root_ / "m");
  EXPECT_EQ(look(folder), "a:80");
  folder.accept_removals();
  EXPECT_EQ(look(folder), "");
}

std::string slice(const std::string& name, const std::string& address) {
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " + name +
         "}\naddressType: IPv4\nendpoints: [{addresses: [" + address + "]}]\n";
}

class ReadAheadTest : public FolderTest {
 protected:
  // What the next look would hand over: "name@address" of slices that changed, "-name" of those
  // gone.
  static std::string news(Folder& folder) {
    std::string text;
    const FolderNews news = folder.take_news();
    for (const auto& object : news.objects) {
      const auto body = object.body.as<k8s::EndpointSlice>();
      text += object.key.name + "@" + body.endpoints(0).addresses(0) + " ";
    }
    for (const auto& key : news.gone) text += "-" + key.name + " ";
    return text;
  }
};

TEST_F(ReadAheadTest, AFileOfSlicesIsReadByItself) {
  write("a.yaml", slice("a", "10.0.0.1") + "---\n" + slice("b", "10.0.0.2"));
  Folder folder(root_.string());
  ASSERT_TRUE(folder.scan({}, {}).ok());
  EXPECT_EQ(news(folder), "a@10.0.0.1 b@10.0.0.2 ");
  EXPECT_EQ(news(folder), "");
  write("a.yaml", slice("a", "10.0.0.1") + "---\n" + slice("b", "10.0.0.3"));
  EXPECT_TRUE(folder.read_ahead("a.yaml"));
  EXPECT_EQ(news(folder), "a@10.0.0.1 b@10.0.0.3 ");
  ASSERT_TRUE(folder.scan({}, {}).ok());
  EXPECT_EQ(news(folder), "") << "it is not read again";
  write("new.yaml", slice("c", "10.0.0.4"));
  EXPECT_TRUE(folder.read_ahead("new.yaml"));
  EXPECT_EQ(news(folder), "c@10.0.0.4 ");
}

TEST_F(ReadAheadTest, WhatTakesAwayOrBelongsToOthersWaits) {
  write("a.yaml", slice("a", "10.0.0.1") + "---\n" + slice("b", "10.0.0.2"));
  write("s.yaml", service("s"));
  Folder folder(root_.string());
  ASSERT_TRUE(folder.scan({}, {}).ok());
  folder.take_news();
  const std::vector<std::pair<std::string, std::string>> waiting = {
      {"a.yaml", slice("a", "10.0.0.1")},                           // a slice less
      {"a.yaml", ""},                                               // cut to nothing
      {"a.yaml", slice("a", "10.0.0.1") + "---\nkind: [\n"},        // broken
      {"b.yaml", slice("b", "10.0.0.9")},                           // a.yaml has it as well
      {"s.yaml", service("s", 81)},                                 // no slice
      {"t.yaml", slice("t", "10.0.0.1") + "---\n" + service("t")},  // not only slices
  };
  for (const auto& [name, text] : waiting) {
    write(name, text);
    EXPECT_FALSE(folder.read_ahead(name)) << name << ": " << text;
  }
  EXPECT_FALSE(folder.read_ahead("none.yaml"));
  // However many files are new, the scan is what reads most of them.
  for (size_t i = 0; i < 2 * new_files_read_ahead_max; ++i) {
    const std::string name = "n" + std::to_string(i) + ".yaml";
    write(name, service("n" + std::to_string(i)));
    EXPECT_FALSE(folder.read_ahead(name));
  }
  write("late.yaml", slice("late", "10.0.0.1"));
  EXPECT_FALSE(folder.read_ahead("late.yaml"));
  EXPECT_EQ(news(folder), "");
}

}  // namespace
}  // namespace millrace::manifests
