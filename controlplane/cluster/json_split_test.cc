#include "controlplane/cluster/json_split.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::cluster {
namespace {

std::vector<std::string_view> elements(std::string_view text, bool expected = true) {
  std::vector<std::string_view> found;
  EXPECT_EQ(json_elements(text, &found), expected) << text;
  return found;
}

TEST(JsonSplit, MembersAreFoundWhereTheyStand) {
  const std::string_view text =
      R"( { "a" : {"b": "}]\"", "items":[1]}, "items" : [ {"x":1}, 2 ] , "n":null,"t":-1.5e3 } )";
  EXPECT_EQ(json_member(text, "items"), R"([ {"x":1}, 2 ])");
  EXPECT_EQ(json_member(text, "a"), R"({"b": "}]\"", "items":[1]})");
  EXPECT_EQ(json_member(text, "n"), "null");
  EXPECT_EQ(json_member(text, "t"), "-1.5e3");
  EXPECT_EQ(json_member(text, "b"), "");
  EXPECT_EQ(json_member(R"({"a":1,"a":2})", "a"), "1") << "the first one";
  EXPECT_EQ(json_member("{}", "a"), "");
}

TEST(JsonSplit, ElementsInOrder) {
  EXPECT_EQ(elements("[]").size(), 0u);
  EXPECT_EQ(elements(" [ ] ").size(), 0u);
  const auto found = elements(R"([{"a":[1,2]}, "x,]", 3 ,[[]]])");
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0], R"({"a":[1,2]})");
  EXPECT_EQ(found[1], R"("x,]")");
  EXPECT_EQ(found[3], "[[]]");
}

TEST(JsonSplit, C9_WhatIsBrokenIsRefused) {
  for (const char* text : {"", "[", "]", "[1", "[1,", "[1,]", "[,]", "[1 2]", "[\"", "[\"\\", "[{]",
                           "[{]}", "[[}]", "{}", "null", "[1]x", "[1]]"}) {
    EXPECT_TRUE(elements(text, false).empty());
  }
  for (const char* text : {"", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}", "[1]",
                           "{\"a\":1}x", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "\"a\"", "{\"a\\"}) {
    EXPECT_EQ(json_member(text, "a"), "") << text;
  }
}

TEST(JsonSplit, C9_EveryPrefixIsRefusedAndNoneReadBeyond) {
  const std::string text = R"([{"a":"x\\\"y","b":[1,{"c":null}]},"\u0041",true])";
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string prefix = text.substr(0, size);  // its own end, for the address sanitizer
    elements(prefix, false);
  }
  EXPECT_EQ(elements(text).size(), 3u);
}

TEST(JsonSplit, C9_OneDeepElementCostsNoOther) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  const std::string text = "[1," + deep + ",2]";  // what is found looks into it
  const auto found = elements(text);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[2], "2");
}

}  // namespace
}  // namespace millrace::cluster
