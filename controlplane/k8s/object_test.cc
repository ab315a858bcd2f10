#include "controlplane/k8s/object.h"

#include <gtest/gtest.h>

#include "controlplane/k8s/problem.h"

namespace millrace::k8s {
namespace {

TEST(DnsSubdomain, TakesWhatKubernetesTakes) {
  for (const char* name : {"a", "a-b", "a.b", "0.example.com", "xn--bcher-kva.example"}) {
    EXPECT_TRUE(is_dns_subdomain(name)) << name;
  }
}

TEST(DnsSubdomain, RefusesEverythingElse) {
  for (const char* name : {"", ".", "A", "a.", ".a", "a..b", "-a", "a-", "a.-b", "a-.b", "a_b",
                           "a b", "a\n", "*.a", "b\xc3\xbc"}) {
    EXPECT_FALSE(is_dns_subdomain(name)) << quote(name);
  }
  EXPECT_FALSE(is_dns_subdomain(std::string(name_bytes_max + 1, 'a')));
}

TEST(C9Quoted, NoByteOfAManifestBreaksALogLine) {
  EXPECT_EQ(quote("a\"b\\c\n\x1b[2J\xff"), "\"a\\\"b\\\\c\\x0a\\x1b[2J\\xff\"");
  EXPECT_EQ(quote(std::string(1'000'000, 'x')).size(), 120 + 2 + 3 + 16U);
}

TEST(C9Quoted, FileNamesCannotBreakALogLineEither) {
  EXPECT_EQ((Place{"a\nb.yaml", 3}).text(), "a\\x0ab.yaml:3");
}

TEST(C9Problems, OneObjectCannotFloodTheLog) {
  ProblemList list;
  for (size_t i = 0; i < 1'000; ++i) {
    list.add({Severity::warning, {"a.yaml", 1}, "Ingress a/b", "no. " + std::to_string(i)});
  }
  list.add({Severity::note, {"a.yaml", 2}, "Ingress a/c", "other"});
  const auto problems = list.take();
  ASSERT_EQ(problems.size(), object_problems_max + 2);
  EXPECT_EQ(problems[object_problems_max].text(), "a.yaml:2: Ingress a/c: other");
  EXPECT_EQ(problems.back().text(), "a.yaml:1: Ingress a/b: and 984 more problems");
  EXPECT_TRUE(list.take().empty());
}

TEST(ObjectMessages, CarryKubernetesFieldNumbers) {
  // Written by hand from the API's generated.proto: metadata 1 {name 1, namespace 3}, spec 2
  // {rules 3 {host 1, ingressRuleValue 2 {http 1 {paths 1 {path 1, pathType 3}}}}}.
  const std::string wire(
      "\x0a\x06\x0a\x01n\x1a\x01s\x12\x14\x1a\x12\x0a\x01h\x12\x0d\x0a\x0b\x0a\x09\x0a\x02/"
      "x\x1a\x03"
      "abc",
      30);
  Ingress ingress;
  ASSERT_TRUE(ingress.ParseFromString(wire));
  EXPECT_EQ(ingress.metadata().name(), "n");
  EXPECT_EQ(ingress.metadata().namespace_(), "s");
  ASSERT_EQ(ingress.spec().rules_size(), 1);
  EXPECT_EQ(ingress.spec().rules(0).host(), "h");
  EXPECT_EQ(ingress.spec().rules(0).value().http().paths(0).path(), "/x");
  EXPECT_EQ(ingress.spec().rules(0).value().http().paths(0).path_type(), "abc");
}

}  // namespace
}  // namespace millrace::k8s
