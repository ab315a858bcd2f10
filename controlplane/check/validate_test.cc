#include "controlplane/check/validate.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace millrace::check {
namespace {

namespace fs = std::filesystem;

std::string ingress(const std::string& name, const std::string& type = "Prefix") {
  return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
         "}\nspec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: " + type +
         ", backend: {service: {name: web, port: {number: 80}}}}]}}]}\n";
}
const std::string service =
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, labels: "
    "{kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: "
    "[{addresses: [10.0.0.1]}]\n";

TEST(ValidateTest, WhatIsRightIsValid) {
  std::string text;
  const auto answer = validate({{"a.yaml", ingress("a") + service}}, {}, &text);
  EXPECT_TRUE(answer.valid()) << answer.DebugString();
  EXPECT_EQ(answer.objects(), 3u);
  EXPECT_EQ(answer.problems_size(), 0);
  EXPECT_NE(text.find("host a.example"), std::string::npos);
}

TEST(ValidateTest, WhatIsWrongIsNamedWithItsPlace) {
  const auto answer = validate(
      {{"a.yaml", ingress("a", "Sorted") + service}, {"b.yaml", "kind: [\n"}}, {}, nullptr);
  EXPECT_FALSE(answer.valid());
  EXPECT_EQ(answer.errors(), 2u) << answer.DebugString();
  EXPECT_TRUE(answer.problems(0).place().starts_with("b.yaml:")) << answer.DebugString();
  EXPECT_EQ(answer.problems(1).object(), "Ingress default/a");
}

TEST(ValidateTest, MissingServicesCountUnlessTheFilesArePartial) {
  ValidateOptions options;
  EXPECT_FALSE(validate({{"a.yaml", ingress("a")}}, options, nullptr).valid());
  options.is_partial = true;
  EXPECT_TRUE(validate({{"a.yaml", ingress("a")}}, options, nullptr).valid());
}

// DNS is asked where it is served, not in a pipeline.
TEST(ValidateTest, AnExternalNameIsRefusedOrANote) {
  const std::vector<File> files = {
      {"a.yaml", ingress("a") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: "
                                "{type: ExternalName, externalName: nas.example}\n"}};
  ValidateOptions options;
  options.is_strict = true;
  EXPECT_FALSE(validate(files, options, nullptr).valid());
  options.model.serve_external_names = true;
  const auto answer = validate(files, options, nullptr);
  EXPECT_TRUE(answer.valid()) << answer.DebugString();
  ASSERT_EQ(answer.notes(), 1u);
  EXPECT_EQ(answer.problems(0).sentence(),
            "backend default/web:80: DNS has not been asked for \"nas.example\", which the running "
            "control plane does; its requests are answered 503");
}

TEST(ValidateTest, AWarningCountsWhenItIsStrict) {
  ValidateOptions options;
  const std::vector<File> twice = {{"a.yaml", ingress("a") + service}, {"b.yaml", ingress("a")}};
  const auto answer = validate(twice, options, nullptr);
  EXPECT_TRUE(answer.valid());
  EXPECT_EQ(answer.warnings(), 1u);
  EXPECT_EQ(answer.problems(0).sentence(), "is defined in a.yaml:1 already; this one is not used");
  options.is_strict = true;
  EXPECT_FALSE(validate(twice, options, nullptr).valid());
}

TEST(ValidateTest, ThatTlsIsNotTerminatedIsANoteAndNoMistake) {
  std::string with_tls = ingress("a");
  with_tls.insert(with_tls.find("rules:"), "tls: [{hosts: [a.example], secretName: s}], ");
  ValidateOptions options;
  options.is_strict = true;
  const auto answer = validate({{"a.yaml", with_tls + service}}, options, nullptr);
  EXPECT_TRUE(answer.valid()) << answer.DebugString();
  ASSERT_EQ(answer.problems_size(), 1);
  EXPECT_EQ(answer.problems(0).severity() + ' ' + answer.problems(0).reason(),
            "note TLSNotTerminated");
  EXPECT_EQ(answer.problems(0).place(), "a.yaml:1");
}

TEST(ValidateTest, FoldersAreReadWholeAndWhatIsMissingIsAnError) {
  char name[] = "/tmp/millrace-validate-XXXXXX";
  const fs::path root = mkdtemp(name);
  fs::create_directories(root / "team/.git");
  for (const char* file : {"b.yaml", "team/a.yml", "team/.git/x.yaml", "readme.md", ".z.yaml"}) {
    std::ofstream(root / file) << "{}\n";
  }
  const auto files = read_files({root});
  ASSERT_TRUE(files.ok()) << files.error();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].name, (root / "b.yaml").string());
  EXPECT_EQ((*files)[1].name, (root / "team/a.yml").string());
  EXPECT_FALSE(read_files({root / "nowhere.yaml"}).ok());
  fs::remove_all(root);
}

}  // namespace
}  // namespace millrace::check
