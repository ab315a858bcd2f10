#include "controlplane/publish/held_routes.h"

#include <gtest/gtest.h>

#include "controlplane/k8s/external_name.h"

namespace millrace::publish {
namespace {

// A Service port that only the held table names, of a Service whose addresses come from DNS.
class HeldExternalNameTest : public ::testing::Test {
 protected:
  HeldExternalNameTest() {
    held_.services.push_back({{"home", "nas", "80", {}}, {}});
    k8s::Service service;
    service.mutable_spec()->set_type("ExternalName");
    service.mutable_spec()->set_external_name("nas.example");
    objects_.put({{k8s::Kind::service, "home", "nas"}, {}, k8s::Body(service)});
  }
  void answer(const std::string& address) {
    k8s::EndpointSlice slice;
    (*slice.mutable_metadata()->mutable_labels())[k8s::service_name_label] = "nas";
    (*slice.mutable_metadata()->mutable_annotations())[k8s::dns_name_annotation] = "nas.example";
    slice.add_endpoints()->add_addresses(address);
    objects_.put({key_, {}, k8s::Body(slice)});
  }
  static std::string endpoints_of(const model::Service& service) {
    std::string text;
    for (const model::Endpoint& one : service.endpoints) text += one.address.text() + ' ';
    return text;
  }

  const k8s::ObjectKey key_ = k8s::derived_slice_key("home", "nas");
  model::Model held_;
  store::Store objects_;
  std::vector<k8s::Problem> problems_;
};

TEST_F(HeldExternalNameTest, HasTheAddressesOfNow) {
  answer("192.0.2.7");
  const model::Model table = with_current_endpoints(held_, {}, objects_, &problems_);
  ASSERT_EQ(table.services.size(), 1u);
  EXPECT_EQ(endpoints_of(table.services[0]), "192.0.2.7 ");
  EXPECT_TRUE(problems_.empty());
  objects_.take_changes();
  answer("192.0.2.8");
  const model::ModelDelta change =
      endpoints_change(table, {}, {}, objects_.take_changes(), objects_);
  ASSERT_EQ(change.services.size(), 1u);
  EXPECT_EQ(endpoints_of(*change.services[0].after), "192.0.2.8 ");
}

// Nobody asks DNS: there is no slice.
TEST_F(HeldExternalNameTest, IsNotServedWhereNamesAreNot) {
  const model::Model table = with_current_endpoints(held_, {}, objects_, &problems_);
  EXPECT_EQ(endpoints_of(table.services.at(0)), "");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_NE(problems_[0].sentence.find("(see --external-names)"), std::string::npos)
      << problems_[0].sentence;
}

}  // namespace
}  // namespace millrace::publish
