#include "controlplane/model/ownership.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "controlplane/model/dump.h"
#include "controlplane/model/live_model.h"
#include "controlplane/model/ownership.pb.h"

namespace millrace::model {
namespace {

Result<OwnershipPolicy> parse(const std::string& text) {
  OwnershipFile file;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &file));
  return parse_ownership(file);
}

OwnershipPolicy policy(const std::string& text) {
  auto parsed = parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.error();
  return parsed.ok() ? std::move(*parsed) : OwnershipPolicy();
}

constexpr char owners[] = R"(
  owners { name: "shop" hosts: "shop.example" hosts: "*.shop.example" namespaces: "shop" }
  owners { name: "blog" hosts: "blog.shop.example" namespaces: "blog" }
  owners { name: "red" hosts: "*.example" namespace_selector {
    match_labels { key: "team" value: "red" } } }
)";

TEST(HostOwners, TheMostSpecificPatternDecides) {
  const OwnershipPolicy its = policy(owners);
  const HostOwners by_host(its);
  const auto may = [&](const char* name_space, const char* host, const Labels& labels = {}) {
    return !by_host.refusal(name_space, labels, host);
  };
  EXPECT_TRUE(may("shop", "shop.example"));
  EXPECT_FALSE(may("blog", "shop.example"));
  EXPECT_TRUE(may("shop", "a.b.shop.example"));    // at any depth
  EXPECT_TRUE(may("shop", "*.shop.example"));      // the wildcard itself
  EXPECT_TRUE(may("shop", "*.b.shop.example"));    // and those below
  EXPECT_FALSE(may("shop", "blog.shop.example"));  // a name is more specific
  EXPECT_TRUE(may("blog", "blog.shop.example"));
  EXPECT_FALSE(may("shop", "other.example"));
  EXPECT_TRUE(may("any", "other.example", {{"team", "red"}, {"x", "y"}}));
  EXPECT_FALSE(may("any", "other.example", {{"team", "blue"}}));
  EXPECT_FALSE(may("any", "shop.example", {{"team", "red"}}));
  EXPECT_TRUE(may("any", "example"));  // no pattern covers it
  EXPECT_TRUE(may("any", "a.elsewhere"));
  EXPECT_TRUE(may("any", ""));
}

TEST(HostOwners, AStarIsEverythingElse) {
  const OwnershipPolicy its =
      policy(std::string(owners) + "owners { name: 'rest' hosts: '*' namespaces: 'infra' }");
  const HostOwners by_host(its);
  EXPECT_TRUE(by_host.refusal("shop", {}, "").has_value());
  EXPECT_FALSE(by_host.refusal("infra", {}, "").has_value());
  EXPECT_TRUE(by_host.refusal("shop", {}, "a.elsewhere").has_value());
  EXPECT_TRUE(by_host.refusal("infra", {}, "shop.example").has_value());
}

TEST(OwnershipFile, WhatIsWrongNamesItsField) {
  const auto error = [](const std::string& text) {
    const auto parsed = parse(text);
    return parsed ? std::string() : parsed.error();
  };
  EXPECT_EQ(error("mode: 'strict'"), "mode: \"strict\" is neither warn nor enforce");
  EXPECT_EQ(error("owners { hosts: 'a.example' namespaces: 'a' }"),
            "owners[0].name is missing; problems call the owner by it");
  EXPECT_EQ(error("owners { name: 'a' namespaces: 'a' }"),
            "owners[0].hosts is empty; the owner has nothing");
  EXPECT_EQ(error("owners { name: 'a' hosts: '1.2.3.4' namespaces: 'a' }"),
            "owners[0].hosts: \"1.2.3.4\" is an IP address; only names are allowed");
  EXPECT_EQ(error("owners { name: 'a' hosts: 'a.example' }"),
            "owners[0] has neither namespaces nor a namespaceSelector");
  EXPECT_EQ(error("owners { name: 'a' hosts: 'a.example' namespaces: 'A b' }"),
            "owners[0].namespaces: \"A b\" is no name of a namespace");
  EXPECT_EQ(error("quotas { namespaces: 'a' } quotas { namespaces: 'a' }"),
            "quotas[1].namespaces: \"a\" has a quota already");
  EXPECT_EQ(error("quota { routes: -1 }"), "quota: a quota is 0 or more");
  EXPECT_EQ(error("quota { namespaces: 'a' }"),
            "quota.namespaces: this one is of every namespace that quotas does not name");
}

// ---- what becomes of Ingresses -----------------------------------------------------------------

std::string ingress(const char* name_space, const char* name, int year, const std::string& spec) {
  return std::string(
             "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {namespace: ") +
         name_space + ", name: " + name + ", creationTimestamp: \"" + std::to_string(year) +
         "-01-01T00:00:00Z\"}\nspec: " + spec + "\n";
}

std::string rule(const char* host) {
  return std::string("{host: ") + host +
         ", http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: "
         "{number: 80}}}}]}}";
}

BuildResult build_with(const std::string& yaml, const std::string& text) {
  manifests::ParsedFile parsed = manifests::parse_file("f.yaml", yaml);
  for (const auto& problem : parsed.problems) ADD_FAILURE() << problem.text();
  store::Store store;
  store.replace(std::move(parsed.objects));
  Options options;
  options.ownership = policy(text);
  return build(store, options);
}

std::string routed(const BuildResult& built) {
  std::string text;
  for (const Host& host : built.model.hosts) {
    if (!host.routes.empty()) text += host.name + ' ';
  }
  return text;
}

size_t said(const BuildResult& built, k8s::Severity severity, const std::string& words) {
  size_t count = 0;
  for (const k8s::Problem& problem : built.problems) {
    count += problem.severity == severity && problem.sentence.find(words) != std::string::npos;
  }
  return count;
}

TEST(Ownership, AClaimOfAnothersHostIsSaidOrLeftOut) {
  const std::string yaml = ingress(
      "thief", "a", 2020, "{rules: [" + rule("shop.example") + ", " + rule("own.elsewhere") + "]}");
  const BuildResult warned = build_with(yaml, owners);
  EXPECT_EQ(routed(warned), "own.elsewhere shop.example ");
  EXPECT_EQ(
      said(warned, k8s::Severity::warning, "the policy's owner \"shop\" has \"shop.example\""), 1u)
      << dump(warned.problems);
  const BuildResult enforced = build_with(yaml, std::string("mode: 'enforce' ") + owners);
  EXPECT_EQ(routed(enforced), "own.elsewhere ");
  EXPECT_EQ(
      said(enforced, k8s::Severity::error, "the policy's owner \"shop\" has \"shop.example\""), 1u)
      << dump(enforced.problems);
}

TEST(Ownership, TheYoungestExceedAQuota) {
  const std::string yaml = ingress("a", "young", 2022, "{rules: [" + rule("y.example") + "]}") +
                           ingress("a", "old", 2020, "{rules: [" + rule("o.example") + "]}") +
                           ingress("a", "middle", 2021, "{rules: [" + rule("m.example") + "]}") +
                           ingress("b", "other", 2023, "{rules: [" + rule("b.example") + "]}");
  for (const char* quota : {"quota { hosts: 2 }", "quota { routes: 2 }"}) {
    const BuildResult warned = build_with(yaml, quota);
    EXPECT_EQ(routed(warned), "b.example m.example o.example y.example ");
    EXPECT_EQ(said(warned, k8s::Severity::warning, "exceeds the quota of 2"), 1u);
    const BuildResult enforced = build_with(yaml, std::string("mode: 'enforce' ") + quota);
    EXPECT_EQ(routed(enforced), "b.example m.example o.example ");
    EXPECT_EQ(said(enforced, k8s::Severity::error, "exceeds the quota of 2"), 1u);
  }
  const BuildResult none =
      build_with(yaml, "mode: 'enforce' quota { hosts: 2 } quotas { namespaces: 'b' routes: 0 }");
  EXPECT_EQ(routed(none), "m.example o.example ");
}

TEST(Ownership, CertificatesAreCountedByTheirSecret) {
  const auto with_tls = [](const char* name, int year, const char* secret) {
    return ingress("a", name, year,
                   "{tls: [{secretName: " + std::string(secret) + "}], rules: [" +
                       rule((std::string(name) + ".example").c_str()) + "]}");
  };
  const BuildResult built = build_with(
      with_tls("one", 2020, "s") + with_tls("two", 2021, "s") + with_tls("three", 2022, "t"),
      "quota { certificates: 1 }");
  EXPECT_EQ(said(built, k8s::Severity::warning, "\"t\" exceeds the quota of 1 certificates"), 1u)
      << dump(built.problems);
  EXPECT_EQ(said(built, k8s::Severity::warning, "exceeds the quota"), 1u);
}

TEST(Ownership, ACertificateOverAnEnforcedQuotaIsLeftOut) {
  const auto with_tls = [](const char* name, int year, const char* secret) {
    return ingress("a", name, year,
                   "{tls: [{secretName: " + std::string(secret) + "}], rules: [" +
                       rule((std::string(name) + ".example").c_str()) + "]}");
  };
  const std::string yaml = with_tls("old", 2020, "s") + with_tls("new", 2021, "t");
  const k8s::ObjectKey newer{k8s::Kind::ingress, "a", "new"};
  store::Store objects;
  objects.replace(manifests::parse_file("f.yaml", yaml).objects);
  for (const bool enforces : {false, true}) {
    Options options;
    options.ownership =
        policy((enforces ? "mode: 'enforce' " : "") + std::string("quota { certificates: 1 }"));
    EXPECT_EQ(options.ownership.limits_certificates(), enforces);
    LiveModel live(options);
    live.rebuild(objects);
    EXPECT_TRUE(live.has_certificate({k8s::Kind::ingress, "a", "old"}, "s"));
    EXPECT_EQ(live.has_certificate(newer, "t"), !enforces);
    EXPECT_TRUE(live.has_certificate(newer, "s")) << "that one is counted already";
  }
}

}  // namespace
}  // namespace millrace::model
