#include "controlplane/cluster/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/cluster/messages_test_support.h"

namespace millrace::cluster {
namespace {

using k8s::Kind;
using ::testing::HasSubstr;

constexpr char ingress_json[] = R"({
  "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "77",
    "creationTimestamp": "2026-03-01T10:00:00Z", "generation": "3",
    "annotations": {"millrace.dev/balance": "least-requests"}, "labels": null,
    "managedFields": [
      {"manager": "kubectl", "operation": "Apply", "time": "2026-03-01T10:00:00Z",
       "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}}}},
      {"manager": "status", "subresource": "status", "time": "2026-03-02T10:00:00Z"}]},
  "spec": {"ingressClassName": "millrace", "tls": [{"hosts": ["a.example"], "secretName": "s"}],
    "rules": [{"host": "a.example", "http": {"paths": [{"path": "/x", "pathType": "Exact",
      "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]},
  "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, "unknown": [1, {"a": "b"}]})";

k8s::Ingress ingress(const std::string& name = "web") {
  k8s::Ingress ingress;
  k8s::ObjectMeta* metadata = ingress.mutable_metadata();
  metadata->set_name(name);
  metadata->set_namespace_("shop");
  metadata->set_uid("u-1");
  metadata->set_resource_version("77");
  metadata->set_generation(3);
  metadata->mutable_creation_timestamp()->set_seconds(1'772'359'200);
  (*metadata->mutable_annotations())["millrace.dev/balance"] = "least-requests";
  auto* manager = metadata->add_managed_fields();
  manager->set_manager("kubectl");
  manager->mutable_time()->set_seconds(1);
  auto* spec = ingress.mutable_spec();
  spec->set_ingress_class_name("millrace");
  auto* tls = spec->add_tls();
  tls->add_hosts("a.example");
  tls->set_secret_name("s");
  auto* rule = spec->add_rules();
  rule->set_host("a.example");
  auto* path = rule->mutable_value()->mutable_http()->add_paths();
  path->set_path("/x");
  path->set_path_type("Exact");
  path->mutable_backend()->mutable_service()->set_name("web");
  path->mutable_backend()->mutable_service()->mutable_port()->set_number(80);
  ingress.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip("192.0.2.1");
  return ingress;
}

std::string json_list(const std::string& items) {
  return R"({"kind":"IngressList","metadata":{"resourceVersion":"9","continue":"c"},"items":)" +
         items + "}";
}

std::string bytes_of(const k8s::Object& object) {
  return object.body.as<k8s::Ingress>().DebugString();
}

TEST(Decode, BothEncodingsGiveEqualObjects) {
  const auto json =
      decode_list(Kind::ingress, Encoding::json, json_list("[" + std::string(ingress_json) + "]"));
  ASSERT_TRUE(json.ok()) << json.error();
  const auto wire = decode_list(Kind::ingress, Encoding::protobuf,
                                list_body<k8s::Ingress>(Encoding::protobuf, "9", "c", {ingress()}));
  ASSERT_TRUE(wire.ok()) << wire.error();
  ASSERT_EQ(json->objects.size(), 1u);
  ASSERT_EQ(wire->objects.size(), 1u);
  EXPECT_EQ(bytes_of(json->objects[0]), bytes_of(wire->objects[0]));
  EXPECT_EQ(json->objects[0].key, wire->objects[0].key);
  EXPECT_EQ(json->objects[0].field_manager, "kubectl");
  EXPECT_EQ(wire->objects[0].field_manager, "kubectl");
  EXPECT_EQ(json->resource_version + json->continue_token, "9c");
  EXPECT_EQ(wire->resource_version + wire->continue_token, "9c");
  EXPECT_EQ(json->objects[0].body.as<k8s::Ingress>().spec().rules(0).value().http().paths(0).path(),
            "/x");
}

TEST(Decode, EmptyListsAndNoLists) {
  for (const char* items : {"null", "[]"}) {
    const auto list = decode_list(Kind::ingress, Encoding::json, json_list(items));
    ASSERT_TRUE(list.ok());
    EXPECT_TRUE(list->objects.empty());
  }
  for (const char* text : {"", "{}", "[]", "null", "{\"items\":[]}", "{\"metadata\":{}}",
                           "{\"metadata\":{},\"items\":{}}", "{\"metadata\":[],\"items\":[]}"}) {
    EXPECT_FALSE(decode_list(Kind::ingress, Encoding::json, text).ok()) << text;
    EXPECT_FALSE(decode_list(Kind::ingress, Encoding::protobuf, text).ok()) << text;
  }
}

TEST(Decode, C9_ABadItemCostsOnlyItself) {
  const std::string good(ingress_json);
  const auto json = decode_list(
      Kind::ingress, Encoding::json,
      json_list("[" + good + R"(,{"metadata":{"name":"UPPER","namespace":"shop"}},{"metadata":7},
        {"spec":{"rules":"x"}},7,"x",null,)" +
                std::string(5'000, '[') + std::string(5'000, ']') +
                R"(,{"metadata":{"name":"a\u0000b","namespace":"shop"}},)" + good + "]"));
  ASSERT_TRUE(json.ok()) << json.error();
  EXPECT_EQ(json->objects.size(), 2u);
  EXPECT_EQ(json->problems.size(), 8u);
  ObjectList wire;
  wire.mutable_metadata()->set_resource_version("9");
  for (const std::string& item :
       {ingress().SerializeAsString(), std::string("\xff\xff\xff"), std::string(),
        ingress("../up").SerializeAsString(), ingress(std::string("a\0b", 3)).SerializeAsString(),
        ingress("b\xc3\xbc").SerializeAsString(), ingress("good").SerializeAsString()}) {
    wire.add_items(item);
  }
  const auto list = decode_list(Kind::ingress, Encoding::protobuf, encode_message("v1", "L", wire));
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->objects.size(), 2u);
  EXPECT_EQ(list->problems.size(), 5u);
  for (const auto& problems : {json->problems, list->problems}) {
    for (const k8s::Problem& problem : problems) {
      for (char c : problem.text()) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
    }
  }
}

TEST(Decode, C9_HostilePathsHostsAndAnnotations) {
  k8s::Ingress hostile = ingress();
  auto* paths = hostile.mutable_spec()->mutable_rules(0)->mutable_value()->mutable_http();
  for (int i = 0; i < 100'000; ++i) paths->add_paths()->set_path("/../" + std::to_string(i));
  hostile.mutable_spec()->add_rules()->set_host(
      "b\xc3\xbc"
      "cher.example");
  hostile.mutable_spec()->add_rules()->set_host(std::string("a\0b", 3));
  (*hostile.mutable_metadata()->mutable_annotations())["big"] = std::string(1 << 20, 'x');
  for (const Encoding encoding : {Encoding::json, Encoding::protobuf}) {
    k8s::Ingress sent = hostile;
    if (encoding == Encoding::json) {  // as JSON writes it
      for (auto& rule : *sent.mutable_spec()->mutable_rules()) {
        *rule.mutable_http_in_json() = rule.value().http();
        rule.clear_value();
      }
    }
    const auto list = decode_list(
        Kind::ingress, encoding, list_body<k8s::Ingress>(encoding, "9", "", {sent, ingress("ok")}));
    ASSERT_TRUE(list.ok());
    ASSERT_EQ(list->objects.size(), 2u);
    const auto read = list->objects[0].body.as<k8s::Ingress>();
    EXPECT_EQ(read.spec().rules(0).value().http().paths_size(), 100'001);
    EXPECT_EQ(read.spec().rules(2).host(), std::string("a\0b", 3));
    EXPECT_FALSE(read.metadata().annotations().contains("big")) << "not kept";
    EXPECT_TRUE(read.metadata().annotations().contains("millrace.dev/balance"));
  }
}

TEST(Decode, KeysOfSecretsAreNotKept) {
  k8s::Secret secret;
  secret.mutable_metadata()->set_name("s");
  secret.mutable_metadata()->set_namespace_("shop");
  secret.set_type("kubernetes.io/tls");
  const std::string certificate = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
  const std::string key =
      "-----BEGIN RSA PRIVATE KEY-----\nPRIVATE\n-----END RSA PRIVATE KEY-----\n";
  // A chain of two, as it should be.
  (*secret.mutable_data())["tls.crt"] = certificate + certificate;
  (*secret.mutable_data())["tls.key"] = "PRIVATE";
  (*secret.mutable_data())["other"] = "PRIVATE";
  // kubectl apply keeps a copy of everything.
  (*secret.mutable_metadata()
        ->mutable_annotations())["kubectl.kubernetes.io/last-applied-configuration"] =
      "UFJJVkFURQ== PRIVATE";
  (*secret.mutable_metadata()->mutable_annotations())["note"] = "PRIVATE";
  for (const Encoding encoding : {Encoding::json, Encoding::protobuf}) {
    const auto list =
        decode_list(Kind::secret, encoding, list_body<k8s::Secret>(encoding, "1", "", {secret}));
    ASSERT_TRUE(list.ok());
    ASSERT_EQ(list->objects.size(), 1u);
    const auto kept = list->objects[0].body.as<k8s::Secret>();
    EXPECT_EQ(kept.data().at("tls.crt"), certificate + certificate);
    EXPECT_FALSE(kept.key_in_certificate());
    EXPECT_TRUE(kept.data().contains("tls.key"));
    EXPECT_EQ(kept.SerializeAsString().find("PRIVATE"), std::string::npos);
    EXPECT_EQ(kept.SerializeAsString().find("UFJJ"), std::string::npos);
  }
  // Keys where the certificate belongs, and what somebody wrote beside it.
  const struct {
    std::string written;
    std::string kept;
    bool holds_key;
  } mistakes[] = {{key, "", true},
                  {certificate + key, certificate, true},
                  {key + "PRIVATE\r\n" + certificate + "PRIVATE", certificate, true},
                  {"-----BEGIN CERTIFICATE-----\n" + key, "", true},
                  {"-----BEGIN CERTIFICATE-----\nPRIVATE\n", "", false},
                  {"PRIVATE", "", false}};
  for (const auto& one : mistakes) {
    (*secret.mutable_data())["tls.crt"] = one.written;
    const auto list = decode_list(Kind::secret, Encoding::protobuf,
                                  list_body<k8s::Secret>(Encoding::protobuf, "1", "", {secret}));
    ASSERT_TRUE(list.ok());
    const auto kept = list->objects[0].body.as<k8s::Secret>();
    EXPECT_EQ(kept.data().at("tls.crt"), one.kept) << one.written;
    EXPECT_EQ(kept.key_in_certificate(), one.holds_key) << one.written;
  }
}

TEST(WatchDecoder, FramesAreCutAtEveryOffset) {
  for (const Encoding encoding : {Encoding::json, Encoding::protobuf}) {
    const std::string stream = event(encoding, "ADDED", service("a", "1")) +
                               bookmark(encoding, "2", true) +
                               event(encoding, "ERROR", status_of(410, "Gone", "old"));
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
      WatchDecoder decoder(Kind::service, encoding);
      std::vector<DecodedEvent> events;
      ASSERT_TRUE(decoder.feed(std::string_view(stream).substr(0, cut), &events).ok());
      ASSERT_TRUE(decoder.feed(std::string_view(stream).substr(cut), &events).ok());
      ASSERT_TRUE(decoder.is_between_events());
      ASSERT_EQ(events.size(), 3u);
      ASSERT_EQ(events[0].object->key.name, "a");
      ASSERT_TRUE(events[1].ends_initial_events);
      ASSERT_EQ(events[1].resource_version, "2");
      ASSERT_EQ(events[2].status.code(), 410);
    }
  }
}

TEST(WatchDecoder, C9_ABadObjectInTheStreamCostsOnlyItself) {
  for (const Encoding encoding : {Encoding::json, Encoding::protobuf}) {
    WatchDecoder decoder(Kind::service, encoding);
    std::vector<DecodedEvent> events;
    std::string bad = "{\"type\":\"ADDED\",\"object\":{\"spec\":{\"ports\":\"x\"}}}\n";
    if (encoding == Encoding::protobuf) {
      WatchEvent wire;
      wire.set_type("ADDED");
      wire.mutable_object()->set_raw("no envelope");
      bad =
          std::string(3, '\0') + static_cast<char>(wire.ByteSizeLong()) + wire.SerializeAsString();
    }
    ASSERT_TRUE(decoder.feed(bad + event(encoding, "ADDED", service("a", "1")), &events).ok());
    ASSERT_EQ(events.size(), 2u);
    EXPECT_TRUE(events[0].problem && !events[0].object);
    EXPECT_TRUE(events[1].object);
  }
}

TEST(WatchDecoder, C9_WhatIsNoStreamIsAnError) {
  const auto fed = [](Encoding encoding, std::string_view bytes) {
    WatchDecoder decoder(Kind::service, encoding);
    std::vector<DecodedEvent> events;
    return decoder.feed(bytes, &events).ok();
  };
  using namespace std::string_view_literals;
  EXPECT_FALSE(fed(Encoding::protobuf, "\0\0\0\0"sv)) << "an event of nothing";
  EXPECT_FALSE(fed(Encoding::protobuf, "\xff\xff\xff\xff"sv)) << "4 GiB";
  EXPECT_FALSE(fed(Encoding::protobuf, "\x01\0\0\1"sv)) << "16 MiB and one";
  EXPECT_TRUE(fed(Encoding::protobuf, "\x01\0\0\0"sv)) << "16 MiB may come";
  EXPECT_FALSE(fed(Encoding::protobuf, "\0\0\0\2\xff\xff"sv));
  EXPECT_FALSE(fed(Encoding::json, "garbage\n"));
  EXPECT_FALSE(fed(Encoding::json, "{\"type\":\"NEW\",\"object\":{}}\n"));
  EXPECT_FALSE(fed(Encoding::json, "{\"type\":7,\"object\":{}}\n"));
  EXPECT_FALSE(fed(Encoding::json, "{\"type\":\"ADDED\"}\n"));
  EXPECT_TRUE(fed(Encoding::json, "\n \r\n"));
  WatchDecoder endless(Kind::service, Encoding::json);
  std::vector<DecodedEvent> events;
  bool is_read = true;
  for (int i = 0; i < 20 && is_read; ++i)
    is_read = endless.feed(std::string(1 << 20, 'x'), &events).ok();
  EXPECT_FALSE(is_read) << "a line without an end";
}

TEST(Decode, RefusalsAreSentencesWhateverComes) {
  const Status status = status_of(403, "Forbidden", "no rights");
  EXPECT_EQ(decode_status(403, Encoding::json, json_of(status)).message(), "no rights");
  EXPECT_EQ(decode_status(403, Encoding::protobuf, encode_message("v1", "Status", status)).reason(),
            "Forbidden");
  EXPECT_EQ(decode_status(502, std::nullopt, "<html>\n").message(), "<html>\\x0a");
  EXPECT_EQ(decode_status(500, Encoding::json, "").message(), "no reason given");
  EXPECT_EQ(decode_status(500, Encoding::json, "{").code(), 500);
}

}  // namespace
}  // namespace millrace::cluster
