#include "base/wipe.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace {
namespace {

TEST(Wipe, NothingIsLeftOfTheOctetsNorBehindTheEnd) {
  std::string text(1'000, 'k');
  text.resize(10);  // the rest stays where it is
  const char* const octets = text.data();
  const size_t capacity = text.capacity();
  wipe(&text);
  EXPECT_TRUE(text.empty());
  ASSERT_EQ(text.data(), octets) << "the string has kept its memory, so it can be looked at";
  ASSERT_EQ(text.capacity(), capacity);
  EXPECT_TRUE(std::all_of(octets, octets + capacity, [](char c) { return c == '\0'; }));
}

TEST(Wipe, WhatGrowsIsWhole) {
  std::string text;
  std::string wanted;
  for (int i = 0; i < 1'000; ++i) {
    const std::string piece(static_cast<size_t>(i % 37), static_cast<char>('a' + i % 26));
    append_wiping(&text, piece);
    wanted += piece;
  }
  EXPECT_EQ(text, wanted);
}

TEST(Wipe, TheEndOfAScopeWipesOnlyWhatMayBeSecret) {
  std::string secret = "key";
  std::string open = "name";
  {
    const WipeAtEnd first(&secret, true);
    const WipeAtEnd second(&open, false);
  }
  EXPECT_EQ(secret, "");
  EXPECT_EQ(open, "name");
}

}  // namespace
}  // namespace millrace
