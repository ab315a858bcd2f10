// Services of type ExternalName: whether they are served, by which addresses and ports, and what is
// said of those that are not.
#include "controlplane/k8s/external_name.h"

#include <gtest/gtest.h>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "controlplane/model/dump.h"

namespace millrace::model {
namespace {

class ExternalNameTest : public ::testing::Test {
 protected:
  ExternalNameTest() { options_.serve_external_names = true; }

  void put(const std::string& yaml) {
    manifests::ParsedFile parsed = manifests::parse_file("f.yaml", yaml);
    for (const auto& problem : parsed.problems) ADD_FAILURE() << problem.text();
    for (k8s::Object& object : parsed.objects) store_.put(std::move(object));
  }
  // An Ingress that leads to this port of the Service.
  void route(const std::string& port) {
    put("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: shop}\n"
        "spec: {rules: [{host: nas.example, http: {paths: [{path: /, pathType: Prefix, backend: "
        "{service: {name: nas, port: {" +
        port + "}}}}]}}]}\n");
  }
  void service(const std::string& spec) {
    put("apiVersion: v1\nkind: Service\nmetadata: {name: nas, namespace: shop}\nspec: {" + spec +
        "}\n");
  }
  void derived(const std::vector<std::string>& addresses, const std::string& failure = "",
               const std::string& name = "nas.home.arpa") {
    k8s::EndpointSlice slice;
    auto* metadata = slice.mutable_metadata();
    (*metadata->mutable_labels())[k8s::service_name_label] = "nas";
    (*metadata->mutable_annotations())[k8s::dns_name_annotation] = name;
    if (!failure.empty()) {
      (*metadata->mutable_annotations())[k8s::dns_failure_annotation] = failure;
    }
    for (const std::string& address : addresses) slice.add_endpoints()->add_addresses(address);
    store_.put({k8s::derived_slice_key("shop", "nas"), {}, k8s::Body(slice)});
  }
  // What the one backend leads to, and what is said, a line each.
  std::string endpoints() {
    const BuildResult built = build(store_, options_);
    problems_ = dump(built.problems);
    std::string text;
    EXPECT_EQ(built.model.services.size(), 1u);
    for (const Endpoint& one : built.model.services.at(0).endpoints) {
      text += one.address.text() + ':' + std::to_string(one.port) + ' ';
    }
    return text;
  }

  store::Store store_;
  Options options_;
  std::string problems_;
};

const std::string with_ports =
    "type: ExternalName, externalName: nas.home.arpa, ports: [{name: ui, port: 5000}, {name: old, "
    "port: 80}]";

// A plan lays Services of files over the cluster's slices.
TEST_F(ExternalNameTest, WhatDnsSaidOfAnotherNameIsNoAnswer) {
  route("name: ui");
  service(with_ports);
  derived({"192.0.2.7"}, "", "elsewhere.example");
  EXPECT_EQ(endpoints(), "");
  EXPECT_NE(problems_.find("has not been asked for \"nas.home.arpa\""), std::string::npos)
      << problems_;
}

TEST_F(ExternalNameTest, IsServedOnlyWhereThatIsAskedFor) {
  route("name: ui");
  service(with_ports);
  derived({"192.0.2.8", "192.0.2.7"});
  EXPECT_EQ(endpoints(), "192.0.2.7:5000 192.0.2.8:5000 ");
  EXPECT_EQ(problems_, "");
  options_.serve_external_names = false;
  EXPECT_EQ(endpoints(), "");
  EXPECT_EQ(problems_,
            "error: f.yaml:1: Ingress shop/i: backend shop/nas:ui: the Service is of type "
            "ExternalName, which is not served (see --external-names); its requests are answered "
            "503\n");
}

TEST_F(ExternalNameTest, ThePortIsTheServicesOrTheBackendsWhereTheServiceHasNone) {
  service(with_ports);
  derived({"192.0.2.7"});
  route("number: 80");
  EXPECT_EQ(endpoints(), "192.0.2.7:80 ");
  route("number: 81");
  EXPECT_EQ(endpoints(), "");
  EXPECT_NE(problems_.find("the Service has no port \"81\""), std::string::npos) << problems_;
  service("type: ExternalName, externalName: nas.home.arpa");
  EXPECT_EQ(endpoints(), "192.0.2.7:81 ");
  route("name: ui");
  EXPECT_EQ(endpoints(), "");
  EXPECT_NE(problems_.find("no number of a TCP port for \"ui\""), std::string::npos) << problems_;
  service(
      "type: ExternalName, externalName: nas.home.arpa, ports: [{name: ui, protocol: UDP, "
      "port: 80}]");
  EXPECT_EQ(endpoints(), "");
  EXPECT_NE(problems_.find("speaks \"UDP\", not TCP"), std::string::npos) << problems_;
  service("type: ExternalName, externalName: nas.home.arpa, ports: [{name: ui, port: 70000}]");
  EXPECT_EQ(endpoints(), "");
  EXPECT_NE(problems_.find("no number of a TCP port"), std::string::npos) << problems_;
}

// A slice that somebody wrote would lead past DNS; a derived one is of no other type of Service.
TEST_F(ExternalNameTest, OnlyDerivedSlicesCountAndOnlyForThisType) {
  route("name: ui");
  service(with_ports);
  put("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: nas-1, namespace: "
      "shop, labels: {kubernetes.io/service-name: nas}}\naddressType: IPv4\nports: [{name: ui, "
      "port: 1}]\nendpoints: [{addresses: [10.0.0.1]}]\n");
  derived({"192.0.2.7"});
  EXPECT_EQ(endpoints(), "192.0.2.7:5000 ");
  service("ports: [{name: ui, port: 5000}]");
  EXPECT_EQ(endpoints(), "10.0.0.1:1 ");
  EXPECT_EQ(problems_, "");
}

// What is behind "localhost" and its like is the node itself.
TEST_F(ExternalNameTest, SpecialAddressesAreRefused) {
  route("name: ui");
  service("type: ExternalName, externalName: localhost, ports: [{name: ui, port: 5000}]");
  derived({"127.0.0.1"}, "", "localhost");
  EXPECT_EQ(endpoints(), "");
  EXPECT_EQ(problems_,
            "error: f.yaml:1: Service shop/nas: externalName \"localhost\": address \"127.0.0.1\" "
            "is no address of a pod; it is skipped\n"
            "note: f.yaml:1: Ingress shop/i: backend shop/nas:ui: no address of \"localhost\" can "
            "be used; its requests are answered 503\n");
  derived({"0.0.0.0", "127.1.2.3", "169.254.169.254", "192.0.2.7", "224.0.0.1", "255.255.255.255"},
          "", "localhost");
  EXPECT_EQ(endpoints(), "192.0.2.7:5000 ");
}

TEST_F(ExternalNameTest, WhatHasNoAddressSaysWhy) {
  route("name: ui");
  service(with_ports);
  const std::string begin = "f.yaml:1: Ingress shop/i: backend shop/nas:ui: ";
  const std::string end = "; its requests are answered 503\n";
  EXPECT_EQ(endpoints(), "");
  EXPECT_EQ(problems_, "note: " + begin +
                           "DNS has not been asked for \"nas.home.arpa\", which the running "
                           "control plane does" +
                           end);
  derived({});
  EXPECT_EQ(endpoints(), "");
  EXPECT_EQ(problems_, "note: " + begin + "DNS has not answered for \"nas.home.arpa\" yet" + end);
  derived({}, "there is no such name");
  EXPECT_EQ(endpoints(), "");
  EXPECT_EQ(problems_, "warning: " + begin +
                           "DNS has no address of \"nas.home.arpa\": there is no such name" + end);
  derived({"192.0.2.7"}, "there is no such name");
  EXPECT_EQ(endpoints(), "192.0.2.7:5000 ");
  EXPECT_EQ(problems_,
            "warning: f.yaml:1: Service shop/nas: externalName \"nas.home.arpa\": there is no such "
            "name; the last addresses known are used\n");
  service("type: ExternalName, externalName: 192.0.2.7, ports: [{name: ui, port: 5000}]");
  EXPECT_EQ(endpoints(), "");
  EXPECT_EQ(problems_, "error: " + begin + "externalName \"192.0.2.7\" is no DNS name" + end);
}

}  // namespace
}  // namespace millrace::model
