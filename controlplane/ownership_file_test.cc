#include "controlplane/ownership_file.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(OwnershipFile, IsReadFromYaml) {
  const auto policy = parse_ownership_file("p.yaml", R"(
mode: enforce
owners:
- name: shop
  hosts: [shop.example, "*.Shop.example"]
  namespaces: [shop]
- name: teams
  hosts: ["*"]
  namespaceSelector: {matchLabels: {hosts: free}}
quota: {routes: 100, hosts: 10}
quotas:
- namespaces: [shop]
  certificates: 3
)");
  ASSERT_TRUE(policy.ok()) << policy.error();
  EXPECT_TRUE(policy->enforces());
  ASSERT_EQ(policy->owners.size(), 2u);
  EXPECT_EQ(policy->owners[0].patterns[1], "*.shop.example");
  EXPECT_EQ(policy->owners[1].match_labels, (model::Labels{{"hosts", "free"}}));
  EXPECT_EQ(policy->quota_of("any").routes, 100u);
  EXPECT_EQ(policy->quota_of("shop").certificates, 3u);
  EXPECT_FALSE(policy->quota_of("shop").routes.has_value());
}

TEST(OwnershipFile, WhatIsWrongNamesFileAndLine) {
  const auto error = [](const char* text) {
    const auto policy = parse_ownership_file("p.yaml", text);
    return policy ? std::string() : policy.error();
  };
  EXPECT_EQ(error("mode: warn\nowner: []\n"), "p.yaml:2: owner: is no key of a policy");
  EXPECT_EQ(error("owners:\n- name: a\n  host: [a.example]\n"),
            "p.yaml:3: host: is no key of a policy");
  EXPECT_EQ(error("mode: [\n").substr(0, 7), "p.yaml:");
  EXPECT_EQ(error("[]"), "p.yaml: is no mapping of keys");
  EXPECT_NE(error("quota: {routes: many}").find("p.yaml:1: quota.routes"), std::string::npos)
      << error("quota: {routes: many}");
  EXPECT_EQ(error("mode: strict"), "p.yaml: mode: \"strict\" is neither warn nor enforce");
}

TEST(OwnershipFile, AFileThatIsNotThereIsSaid) {
  const auto policy = read_ownership_file("/nonexistent/policy.yaml");
  ASSERT_FALSE(policy.ok());
  EXPECT_EQ(policy.error(), "/nonexistent/policy.yaml: cannot be read");
}

}  // namespace
}  // namespace millrace
