// H18: what is matched is what is sent on, and no reader behind us can make another path of it.
#include "dataplane/http/path.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

// "" when it is refused.
std::string normalised(std::string_view path, const PathOptions& options = {}) {
  std::vector<char> output(path.size());
  const NormalisedPath made = normalise_path(path, options, output);
  if (made.verdict == PathVerdict::refused) return "";
  EXPECT_EQ(made.has_encoded_slash, has_encoded_slash(path));
  const std::string text(output.data(), made.bytes);
  EXPECT_EQ(text == path, made.verdict == PathVerdict::as_it_is);
  return text;
}

// As in a head, where something stands behind it.
bool is_looked_at(std::string_view path) {
  const std::string head = std::string(path) + " HTTP/1.1\r\n\r\n";
  return may_need_normalising(std::string_view(head).substr(0, path.size()));
}

struct Row {
  const char* path;
  const char* wanted;  // "": refused
};

TEST(Path, H18_WhatIsRewrittenAndHow) {
  const Row rows[] = {
      {"/a/b/c/./../../g", "/a/g"},  // RFC 3986 section 5.2.4
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/a/b/.", "/a/b/"},
      {"/a/b/..", "/a/"},
      {"/.", "/"},
      {"/./", "/"},
      {"/a/..", "/"},
      {"/a/../", "/"},
      {"/a//../b", "/a/b"},
      {"/a/.//b", "/a//b"},
      {"/%2e/a", "/a"},
      {"/a/%2E%2e/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/a/%2e./b", "/b"},
      {"/%61%41%7a%5A%30%39%2D%2e%5F%7e", "/aAzZ09-._~"},
      {"/a%2eb", "/a.b"},
      {"/%2ewell-known", "/.well-known"},
  };
  for (const Row& row : rows) {
    EXPECT_TRUE(is_looked_at(row.path)) << row.path;
    EXPECT_EQ(normalised(row.path), row.wanted) << row.path;
  }
}

TEST(Path, H18_WhatStaysAsItIs) {
  for (const char* path :
       {"/",      "/a",         "/a/b/",      "//",     "/a//b",    "/.well-known/acme-challenge/x",
        "/...",   "/a/...",     "/..a",       "/.a",    "/a.",      "/a..",
        "/a../b", "/caf%C3%A9", "/caf%c3%a9", "/a%20b", "/a%3Bb",   "/a;v=1/b",
        "/%25",   "/%2525",     "/%3F",       "/%23",   "/a:b@c,d", "/*",
        "/~user"}) {
    EXPECT_EQ(normalised(path), path);
  }
}

TEST(Path, H18_WhatIsRefused) {
  const char* refused[] = {"/..",        "/../a",      "/a/../..",
                           "/a/../../b", "/%2e%2e",    "/%2e%2e/%2e%2e/etc",
                           "/a%2Fb",     "/a%2fb",     "/a%5Cb",
                           "/a%5cb",     "/a\\b",      "/..\\a",
                           "/a%00",      "/%00",       "/a%0d%0ab",
                           "/a%1f",      "/a%7f",      "/a%09",
                           "/%",         "/a%",        "/a%4",
                           "/a%4g",      "/a%g4",      "/a%%41",
                           "/..;/a",     "/a/..;x",    "/a/.;/b",
                           "/%2e%2e;/a", "/a/%2e;x/b", "/a% 41/b",
                           "/a%+1/b",    "/a%u0041/b", "/a/%c0%2e%2e/%zz"};
  for (const char* path : refused) {
    EXPECT_TRUE(is_looked_at(path)) << path;
    EXPECT_EQ(normalised(path), "") << path;
  }
}

TEST(Path, H18_EncodedSlashesMayPassAndAreNoSlashes) {
  PathOptions passes;
  passes.passes_encoded_slash = true;
  EXPECT_EQ(normalised("/@scope%2fname", passes), "/@scope%2fname");
  EXPECT_EQ(normalised("/a%2F../b", passes), "/a%2F../b");
  EXPECT_EQ(normalised("/a%5Cb/../c", passes), "/c");
  EXPECT_EQ(normalised("/a%2F%2e%2e", passes), "/a%2F..");
  EXPECT_EQ(normalised("/a\\b", passes), "");
  EXPECT_EQ(normalised("/a%00", passes), "");
}

// A second reader finds nothing more to do, and the first look never overlooks anything.
TEST(Path, H18_OnceIsEnoughForAnyPath) {
  const std::string alphabet[] = {"/", ".", "..", "%2e", "%2E", "a",  "%61", ";", "%",
                                  "2", "f", "\\", "%2f", "%5c", "//", "%25", "?", "\xc3"};
  Random random(18);
  PathOptions passes;
  passes.passes_encoded_slash = true;
  size_t rewritten = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string path = "/";
    for (uint64_t piece = random.below(12); piece > 0; --piece)
      path += alphabet[random.below(std::size(alphabet))];
    for (const PathOptions& options : {PathOptions{}, passes}) {
      const std::string once = normalised(path, options);
      if (once.empty()) {
        ASSERT_TRUE(is_looked_at(path)) << path;
        continue;
      }
      ASSERT_EQ(normalised(once, options), once) << path;
      ASSERT_EQ(once[0], '/') << path;
      ASSERT_LE(once.size(), path.size());
      rewritten += once != path;
      if (once != path) {
        ASSERT_TRUE(is_looked_at(path)) << path;
      }
      // No reader that decodes once more and resolves dots comes out anywhere else.
      for (const char* dots : {"/./", "/../", "/%2e", "%2e/"})
        ASSERT_EQ((once + "/").find(dots), std::string::npos) << path << " -> " << once;
    }
  }
  EXPECT_GT(rewritten, 10'000U);
}

TEST(Path, H18_SoManySegmentsThatBeginWithADotAndNoMore) {
  for (const std::string dots : {"/.", "/a/..", "/%2e", "/a/%2E."}) {
    std::string path;
    for (size_t i = 0; i < dotted_segments_max; ++i) path += dots;
    EXPECT_EQ(normalised(path), "/") << dots;
    EXPECT_EQ(normalised(path + "/b"), "/b") << dots;
    EXPECT_EQ(normalised(path + dots), "") << dots;
    EXPECT_EQ(normalised(path + "/.b"), "") << dots;
  }
  std::string names;
  for (size_t i = 0; i < dotted_segments_max; ++i) names += "/.a/b.c";
  EXPECT_EQ(normalised(names), names);
}

// At every length and place of a mark, with nothing readable but what a head always has behind it.
TEST(Path, H18_TheFirstLookSeesEveryPlaceAndReadsNothingElse) {
  millrace::testing::GuardPage page(4096);
  const std::string behind = " HTTP/1.0\r\n\r\n";
  for (size_t size = 1; size <= 40; ++size) {
    std::string path(size, 'a');
    path[0] = '/';
    const auto seen = [&](const std::string& text) {
      const std::string head = text + behind;
      const auto placed = page.place(head);
      return may_need_normalising({reinterpret_cast<const char*>(placed.data()), text.size()});
    };
    EXPECT_FALSE(seen(path)) << size;
    for (size_t at = 1; at < size; ++at) {
      for (const char* mark : {"%", "\\", "/."}) {
        std::string marked = path;
        if (at + std::string(mark).size() > size) continue;
        marked.replace(at, std::string(mark).size(), mark);
        EXPECT_TRUE(seen(marked)) << marked;
      }
    }
  }
  // What stands behind does not count.
  const std::string text = "/abc%2e/.\\x HTTP/1.1\r\n\r\n";
  EXPECT_FALSE(may_need_normalising(std::string_view(text).substr(0, 4)));
}

}  // namespace
}  // namespace millrace::http
