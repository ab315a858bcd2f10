#include "controlplane/model/build.h"

#include <gtest/gtest.h>

#include "controlplane/manifests/file.h"
#include "controlplane/model/dump.h"
#include "controlplane/model/limits.h"

namespace millrace::model {
namespace {

store::Store store_of(const std::string& yaml) {
  manifests::ParsedFile parsed = manifests::parse_file("f.yaml", yaml);
  for (const auto& problem : parsed.problems) ADD_FAILURE() << problem.text();
  store::Store store;
  store.replace(std::move(parsed.objects));
  return store;
}

std::string ingress(const std::string& name, const std::string& spec) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
         "}\nspec: " + spec + "\n";
}

const std::string backend = "backend: {service: {name: web, port: {number: 80}}}";

size_t count_errors(const BuildResult& built) {
  size_t count = 0;
  for (const auto& problem : built.problems) count += problem.severity == k8s::Severity::error;
  return count;
}

TEST(ModelOptions, ClasslessIngressesAreAnOption) {
  const store::Store store = store_of(ingress("a", "{rules: [{host: a.example}]}"));
  EXPECT_EQ(build(store, {}).ingresses, 1u);
  Options strict;
  strict.accept_classless = false;
  EXPECT_EQ(build(store, strict).ingresses, 0u);
  EXPECT_EQ(build(store, strict).ingresses_ignored, 1u);
}

TEST(ModelOptions, ClassAndControllerNamesAreOptions) {
  const store::Store store =
      store_of(ingress("a", "{ingressClassName: inside, rules: [{host: a.example}]}") +
               ingress("b", "{ingressClassName: outside, rules: [{host: b.example}]}") +
               "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: "
               "outside}\nspec: {controller: x.dev/y}\n");
  Options options;
  options.ingress_class = "inside";
  options.controller_name = "x.dev/y";
  EXPECT_EQ(build(store, options).ingresses, 2u);
  // A class object's controller counts for more than its name.
  options = Options();
  options.ingress_class = "outside";
  EXPECT_EQ(build(store, options).ingresses, 0u);
}

TEST(C9Model, TooManyPathsCostThatIngressItsLastOnesOnly) {
  k8s::Ingress huge;  // made without YAML, whose reader would take most of the test's time
  huge.mutable_metadata()->set_name("a-huge");
  k8s::IngressRule* rule = huge.mutable_spec()->add_rules();
  rule->set_host("a.example");
  for (size_t i = 0; i < 100'000; ++i) {
    k8s::HTTPIngressPath* path = rule->mutable_value()->mutable_http()->add_paths();
    path->set_path("/" + std::to_string(i));
    path->set_path_type("Exact");
    path->mutable_backend()->mutable_service()->set_name("web");
    path->mutable_backend()->mutable_service()->mutable_port()->set_number(80);
  }
  store::Store store = store_of(
      ingress("b", "{rules: [{host: a.example, http: {paths: [{path: /b, pathType: Exact, " +
                       backend + "}]}}]}"));
  store.put({{k8s::Kind::ingress, "default", "a-huge"}, {"f.yaml", 2}, k8s::Body(huge)});
  const BuildResult built = build(store, {});
  ASSERT_EQ(built.model.hosts.size(), 1u);
  EXPECT_EQ(built.model.hosts[0].routes.size(), ingress_paths_max + 1);
  ASSERT_EQ(count_errors(built), 2u) << dump(built.problems);  // and the Service that is not there
  EXPECT_EQ(built.problems[0].text(),
            "f.yaml:2: Ingress default/a-huge: has more than 5000 paths; those from "
            "spec.rules[0].http.paths[5000] on are left out");
}

TEST(C9Model, TooManyRulesCostThatIngressItsLastOnesOnly) {
  std::string rules;
  for (size_t i = 0; i < ingress_rules_max + 50; ++i) {
    rules += "{host: h" + std::to_string(i) + ".example},";
  }
  const store::Store store = store_of(ingress("a", "{rules: [" + rules + "]}") +
                                      ingress("b", "{rules: [{host: b.example}]}"));
  const BuildResult built = build(store, {});
  EXPECT_EQ(built.model.hosts.size(), ingress_rules_max + 1);
  EXPECT_EQ(count_errors(built), 1u);
}

TEST(C9Model, HostilePathsAndHostsAreLeftOutAndSaidInOneBoundedLine) {
  const std::string long_path = "/" + std::string(1 << 20, 'a');
  std::string deep_path;
  for (int i = 0; i < 100; ++i) deep_path += "/a";
  const store::Store store = store_of(ingress(
      "a", "{rules: [{host: a.example, http: {paths: [{path: " + long_path + ", pathType: Exact, " +
               backend + "}, {path: " + deep_path + ", pathType: Prefix, " + backend +
               "}, {path: \"/\\e[2J\\n\", pathType: Prefix, " + backend +
               "}, {path: /ok, pathType: Prefix, " + backend +
               "}]}}, {host: " + std::string(300, 'h') + "}]}"));
  const BuildResult built = build(store, {});
  ASSERT_EQ(built.model.hosts.size(), 1u);
  ASSERT_EQ(built.model.hosts[0].routes.size(), 1u);
  EXPECT_EQ(built.model.hosts[0].routes[0].path, "/ok");
  EXPECT_EQ(count_errors(built), 5u) << dump(built.problems);
  for (const auto& problem : built.problems) {
    EXPECT_LT(problem.text().size(), 500u);
    for (char c : problem.text()) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  }
}

TEST(C9Model, TooManyEndpointsAreCut) {
  std::string text = ingress("a",
                             "{rules: [{host: a.example, http: {paths: [{path: /, pathType: "
                             "Prefix, " +
                                 backend + "}]}}]}") +
                     "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: "
                     "[{port: 80}]}\n";
  for (int slice = 0; slice < 11; ++slice) {
    text += "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: w" +
            std::to_string(slice) +
            ", labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: "
            "8080}]\nendpoints:\n";
    for (int i = 0; i < 1'000; ++i) {
      text += "- {addresses: [10." + std::to_string(slice) + "." + std::to_string(i / 250) + "." +
              std::to_string(i % 250 + 1) + "]}\n";
    }
  }
  const BuildResult built = build(store_of(text), {});
  ASSERT_EQ(built.model.services.size(), 1u);
  EXPECT_EQ(built.model.services[0].endpoints.size(), service_endpoints_max);
  EXPECT_EQ(count_errors(built), 1u);
}

TEST(ModelSlots, TheKeyOfABackendDoesNotDependOnItsService) {
  const std::string rule = ingress("a",
                                   "{rules: [{http: {paths: [{path: /, pathType: Prefix, backend: "
                                   "{service: {name: web, port: {name: http}}}}]}}]}");
  const BuildResult without = build(store_of(rule), {});
  const BuildResult with =
      build(store_of(rule + "---\napiVersion: v1\nkind: Service\nmetadata: {name: "
                            "web}\nspec: {ports: [{name: http, port: 80}]}\n"),
            {});
  ASSERT_EQ(without.model.services.size(), 1u);
  EXPECT_EQ(without.model.services[0].key, with.model.services[0].key);
  EXPECT_EQ(with.model.services[0].key.text(), "default/web:http");
}

}  // namespace
}  // namespace millrace::model
