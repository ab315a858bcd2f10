#include "controlplane/explain/request.h"

#include <gtest/gtest.h>

namespace millrace::explain {
namespace {

TEST(RequestTest, HostAndPathAsTheyAreMatched) {
  const struct {
    const char* url;
    const char* host;
    const char* path;
  } cases[] = {
      {"http://Shop.Example:8080/cart?x=/y#z", "shop.example", "/cart"},
      {"https://user:word@shop.example./", "shop.example", "/"},
      {"shop.example", "shop.example", "/"},
      {"shop.example?x", "shop.example", "/"},
      {"/only/a/path", "", "/only/a/path"},
      {"http://[2001:db8::1]:80/x", "[2001:db8::1]", "/x"},
      {"a.example/%61/./b/../c%2D", "a.example", "/a/c-"},
      {"a.example/b/..", "a.example", "/"},
      {"a.example/b/c/.", "a.example", "/b/c/"},
      {"a.example//b/;x", "a.example", "//b/;x"},
      {"a.example/%20", "a.example", "/%20"},
  };
  for (const auto& [url, host, path] : cases) {
    const auto request = parse_request(url, {});
    ASSERT_TRUE(request.ok()) << url;
    EXPECT_EQ(request->host, host) << url;
    EXPECT_EQ(request->path, path) << url;
    EXPECT_EQ(request->refusal, "") << url;
  }
}

TEST(RequestTest, WhatHasTwoReadingsIsRefused) {
  for (const char* path : {"/a\\b", "/%", "/%4", "/%zz", "/%0a", "/..", "/a/../..", "/a/..;x/b",
                           "/.;/x", "/%2e%2e/a"}) {
    EXPECT_NE(parse_request(std::string("a.example") + path, {})->refusal, "") << path;
  }
  EXPECT_TRUE(parse_request("a.example/a%2fb", {})->has_encoded_slash);
  EXPECT_TRUE(parse_request("a.example/a%5Cb", {})->has_encoded_slash);
}

TEST(RequestTest, TheHostFieldGoesBeforeTheUrls) {
  EXPECT_EQ(parse_request("10.0.0.1/x", {"Accept: */*", "HOST: A.example:81"})->host, "a.example");
  EXPECT_FALSE(parse_request("a.example", {"nonsense"}).ok());
  EXPECT_FALSE(parse_request("ftp://a.example", {}).ok());
}

}  // namespace
}  // namespace millrace::explain
