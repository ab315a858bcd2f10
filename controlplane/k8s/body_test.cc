#include "controlplane/k8s/body.h"

#include <string>

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "controlplane/k8s/object.h"

namespace millrace::k8s {
namespace {

using google::protobuf::util::MessageDifferencer;

Ingress ingress_of(const std::string& host, int paths) {
  Ingress ingress;
  ingress.mutable_metadata()->set_name("web");
  ingress.mutable_metadata()->set_resource_version("7");
  IngressRule* const rule = ingress.mutable_spec()->add_rules();
  rule->set_host(host);
  for (int i = 0; i < paths; ++i) {
    rule->mutable_value()->mutable_http()->add_paths()->set_path("/" + std::to_string(i));
  }
  return ingress;
}

TEST(Body, SaysWhatItWasMadeOf) {
  const Ingress ingress = ingress_of("a.example", 3);
  const Body body(ingress);
  ASSERT_TRUE(body);
  EXPECT_EQ(body.kind(), Kind::ingress);
  EXPECT_TRUE(MessageDifferencer::Equals(body.as<Ingress>(), ingress));
}

TEST(Body, OneThatIsReadLeavesNothingOfTheOneBefore) {
  Ingress content;
  Body(ingress_of("long.name.of.a.host.example", 1'000)).read(&content);
  const Ingress ingress = ingress_of("b.example", 1);
  Body(ingress).read(&content);
  EXPECT_TRUE(MessageDifferencer::Equals(content, ingress));
  Body(Ingress()).read(&content);
  EXPECT_TRUE(MessageDifferencer::Equals(content, Ingress()));
}

TEST(Body, MetadataIsReadWithoutTheRest) {
  const Body body(ingress_of("a.example", 3));
  EXPECT_EQ(body.metadata().name(), "web");
  EXPECT_EQ(body.metadata().resource_version(), "7");
  EXPECT_TRUE(MessageDifferencer::Equals(Body(Ingress()).metadata(), ObjectMeta()));
  // No metadata, and another field first.
  Ingress without = ingress_of("a.example", 1);
  without.clear_metadata();
  EXPECT_TRUE(MessageDifferencer::Equals(Body(without).metadata(), ObjectMeta()));
}

TEST(Body, SinglePartsOfMetadataAreFoundWithoutReadingIt) {
  EndpointSlice slice;
  ObjectMeta* const metadata = slice.mutable_metadata();
  metadata->set_name("web-1");
  metadata->set_uid("u");
  metadata->set_resource_version("9");
  metadata->mutable_creation_timestamp()->set_seconds(7);
  metadata->set_generation(300);
  for (int i = 0; i < 20; ++i) (*metadata->mutable_labels())["l" + std::to_string(i)] = "v";
  (*metadata->mutable_labels())["l7"] = std::string(300, 'x');
  (*metadata->mutable_labels())["empty"] = "";
  (*metadata->mutable_annotations())["noted"] = "no label";
  const Body body(slice);
  EXPECT_EQ(body.uid(), "u");
  EXPECT_EQ(body.resource_version(), "9");
  EXPECT_EQ(body.label("l7"), std::string(300, 'x'));
  EXPECT_EQ(body.label("l19"), "v");
  EXPECT_EQ(body.label("empty"), "");
  EXPECT_EQ(body.label("noted"), std::nullopt);
  EXPECT_EQ(Body(EndpointSlice()).label("l7"), std::nullopt);
  EXPECT_EQ(Body(EndpointSlice()).uid(), "");
}

TEST(Body, TheRestIsReadWithoutItsMetadata) {
  Ingress ingress = ingress_of("a.example", 3);
  Ingress content;
  Body(ingress_of("b.example", 9)).read(&content);
  Body(ingress).read_without_metadata(&content);
  ingress.clear_metadata();
  EXPECT_TRUE(MessageDifferencer::Equals(content, ingress));
  Body(ingress).read_without_metadata(&content);  // it has none
  EXPECT_TRUE(MessageDifferencer::Equals(content, ingress));
  Body(Ingress()).read_without_metadata(&content);
  EXPECT_TRUE(MessageDifferencer::Equals(content, Ingress()));
}

TEST(Body, FieldsAreFoundAndNothingIsReadBehindItsEnd) {
  Ingress ingress = ingress_of("a.example", 1);
  const Body without(ingress);
  const auto spec = without.field(Ingress::kSpecFieldNumber);
  ASSERT_TRUE(spec);
  EXPECT_FALSE(find_field(*spec, IngressSpec::kTlsFieldNumber));
  ingress.mutable_spec()->add_tls()->set_secret_name("s");
  const Body with(ingress);
  const auto tls = find_field(*with.field(Ingress::kSpecFieldNumber), IngressSpec::kTlsFieldNumber);
  ASSERT_TRUE(tls);
  EXPECT_EQ(find_field(*tls, IngressTLS::kSecretNameFieldNumber), "s");
  const std::string bytes(with.bytes());
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::string cut = bytes.substr(0, length);
    const auto found = find_field(cut, Ingress::kSpecFieldNumber);
    EXPECT_TRUE(!found || found->data() + found->size() <= cut.data() + cut.size());
  }
}

TEST(Body, MetadataStandsFirstInEveryKind) {
  for (const Kind kind : {Kind::ingress, Kind::ingress_class, Kind::service, Kind::endpoint_slice,
                          Kind::secret, Kind::node, Kind::name_space}) {
    AnyObject object = empty_object(kind);
    std::visit([](auto& one) { one.mutable_metadata()->set_uid("u"); }, object);
    EXPECT_EQ(Body(object).kind(), kind);
    EXPECT_EQ(Body(object).metadata().uid(), "u");
  }
}

TEST(Body, IsEqualWhenItSaysTheSameInWhateverOrder) {
  EndpointSlice left;
  EndpointSlice right;
  constexpr int labels = 50;
  for (int i = 0; i < labels; ++i) {
    (*left.mutable_metadata()->mutable_labels())[std::to_string(i)] = "x";
    (*right.mutable_metadata()->mutable_labels())[std::to_string(labels - 1 - i)] = "x";
  }
  EXPECT_EQ(Body(left), Body(right));
  (*right.mutable_metadata()->mutable_labels())["7"] = "y";
  EXPECT_NE(Body(left), Body(right));
}

TEST(Body, OfAnotherKindOrOfNoneIsNotEqual) {
  EXPECT_EQ(Body(), Body());
  EXPECT_FALSE(Body());
  EXPECT_NE(Body(), Body(Ingress()));
  EXPECT_NE(Body(Service()), Body(Ingress()));  // of no bytes, both
  EXPECT_EQ(Body(Service()), Body(Service()));
}

// An absent condition means something else than false (discovery/v1).
TEST(Body, WhatIsAbsentStaysAbsent) {
  EndpointSlice slice;
  slice.add_endpoints()->mutable_conditions()->set_ready(false);
  const auto read = Body(slice).as<EndpointSlice>();
  EXPECT_TRUE(read.endpoints(0).conditions().has_ready());
  EXPECT_FALSE(read.endpoints(0).conditions().has_serving());
}

}  // namespace
}  // namespace millrace::k8s
