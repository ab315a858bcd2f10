#include "controlplane/publish/causes.h"

#include <gtest/gtest.h>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"

namespace millrace::publish {
namespace {

using k8s::Kind;

std::string backend(const std::string& name, const std::string& address) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec: {ports: [{port: 80}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: "
         "EndpointSlice\nmetadata: {name: " +
         name + "-1, labels: {kubernetes.io/service-name: " + name +
         "}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [" + address +
         "]}]\n";
}
std::string ingress(const std::string& name, const std::string& path, const std::string& service) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
         "}\nspec: {rules: [{host: a.example, http: {paths: [{path: " + path +
         ", pathType: Prefix, backend: {service: {name: " + service +
         ", port: {number: 80}}}}]}}]}\n";
}

class CausesTest : public ::testing::Test {
 protected:
  // The difference that these objects make against those before.
  model::ModelDelta become(const std::string& manifest) {
    store_.replace(manifests::parse_file("a.yaml", manifest).objects);
    model::Model next = model::build(store_, {}).model;
    model::ModelDelta change = model::difference(model_, next);
    model_ = std::move(next);
    return change;
  }
  bool has(const Causes& causes, Kind kind, const std::string& name) {
    const bool is_global =
        kind == Kind::node || kind == Kind::name_space || kind == Kind::ingress_class;
    return causes.contains({kind, is_global ? "" : "default", name}, store_);
  }

  store::Store store_;
  model::Model model_;
};

TEST_F(CausesTest, OfAHostOnlyWhoseRoutesDiffer) {
  const std::string services = backend("red", "10.0.0.1") + backend("blue", "10.0.0.2");
  become(services + ingress("a", "/a", "red") + ingress("b", "/b", "red") +
         ingress("c", "/c", "blue"));
  const Causes causes(become(services + ingress("a", "/a", "red") + ingress("b", "/b", "blue") +
                             ingress("c", "/c", "blue")),
                      Changed::just_now, false);
  EXPECT_TRUE(has(causes, Kind::ingress, "b"));
  EXPECT_FALSE(has(causes, Kind::ingress, "a")) << "it has routes of the same host, and no more";
  EXPECT_FALSE(has(causes, Kind::ingress, "c"));
  EXPECT_FALSE(has(causes, Kind::service, "red"));
  EXPECT_FALSE(has(causes, Kind::endpoint_slice, "blue-1"));
  EXPECT_TRUE(has(causes, Kind::ingress_class, "millrace"));
}

TEST_F(CausesTest, EndpointsComeFromTheirServiceAndItsSlices) {
  const std::string routes = ingress("a", "/a", "red") + ingress("b", "/b", "blue");
  become(backend("red", "10.0.0.1") + backend("blue", "10.0.0.2") + routes);
  const Causes causes(become(backend("red", "10.0.0.9") + backend("blue", "10.0.0.2") + routes),
                      Changed::just_now, false);
  EXPECT_TRUE(has(causes, Kind::endpoint_slice, "red-1"));
  EXPECT_TRUE(has(causes, Kind::service, "red"));
  EXPECT_FALSE(has(causes, Kind::endpoint_slice, "blue-1"));
  EXPECT_TRUE(has(causes, Kind::endpoint_slice, "gone-7")) << "nobody knows whose it was";
  EXPECT_FALSE(causes.contains({Kind::endpoint_slice, "other", "gone-7"}, store_));
  EXPECT_FALSE(has(causes, Kind::ingress, "a"));
  EXPECT_FALSE(has(causes, Kind::ingress_class, "millrace")) << "no route is another one";
}

TEST_F(CausesTest, WhatNoTableIsMadeOfIsNoCause) {
  const Causes causes(become(backend("red", "10.0.0.1") + ingress("a", "/a", "red")),
                      Changed::just_now, false);
  EXPECT_FALSE(has(causes, Kind::node, "worker-1"));
  EXPECT_FALSE(has(causes, Kind::secret, "tls"));
  EXPECT_FALSE(has(causes, Kind::name_space, "default")) << "no policy reads its labels";
  EXPECT_TRUE(has(causes, Kind::service, "red")) << "new, as is the rule that names it";
}

TEST_F(CausesTest, AHostWithoutRoutesIsOfWhoeverChanged) {
  const Causes causes(become("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: "
                             "bare}\nspec: {rules: [{host: bare.example}]}\n"),
                      Changed::just_now, false);
  EXPECT_TRUE(has(causes, Kind::ingress, "bare"));
  EXPECT_FALSE(has(causes, Kind::service, "red"));
}

TEST_F(CausesTest, ANamespacesLabelsDecideWhereAPolicyReadsThem) {
  const Causes causes(become(backend("red", "10.0.0.1") + ingress("a", "/a", "red")),
                      Changed::just_now, true);
  EXPECT_TRUE(has(causes, Kind::name_space, "default"));
  EXPECT_FALSE(has(causes, Kind::name_space, "other"));
}

TEST_F(CausesTest, AfterARestartARuleThatBeganToNameAServiceSaysNothingOfTheService) {
  const Causes causes(become(backend("red", "10.0.0.1") + ingress("a", "/a", "red")),
                      Changed::perhaps, true);
  EXPECT_TRUE(has(causes, Kind::ingress, "a"));
  EXPECT_FALSE(has(causes, Kind::service, "red"));
  EXPECT_FALSE(has(causes, Kind::name_space, "default"));
  EXPECT_FALSE(has(causes, Kind::ingress_class, "millrace"));
}

}  // namespace
}  // namespace millrace::publish
