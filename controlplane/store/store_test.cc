#include "controlplane/store/store.h"

#include <gtest/gtest.h>

namespace millrace::store {
namespace {

k8s::Object service(const std::string& name, int port, int line = 1) {
  k8s::Service body;
  body.mutable_metadata()->set_name(name);
  body.mutable_spec()->add_ports()->set_port(port);
  return {{k8s::Kind::service, "default", name}, {"f.yaml", line}, k8s::Body(body)};
}

TEST(Store, KeepsTheLatestOfEveryKey) {
  Store store;
  EXPECT_TRUE(store.put(service("a", 80)));
  EXPECT_FALSE(store.put(service("a", 80)));
  EXPECT_TRUE(store.put(service("a", 81)));
  EXPECT_TRUE(store.put(service("b", 80)));
  EXPECT_EQ(store.size(), 2u);
  EXPECT_TRUE(store.remove({k8s::Kind::service, "default", "a"}));
  EXPECT_FALSE(store.remove({k8s::Kind::service, "default", "a"}));
  EXPECT_FALSE(store.remove({k8s::Kind::ingress, "default", "b"}));
}

TEST(Store, AMovedObjectIsNoChangeButItsPlaceIsKnown) {
  Store store;
  store.put(service("a", 80, 1));
  EXPECT_FALSE(store.put(service("a", 80, 7)));
  EXPECT_EQ(store.objects().begin()->second.place.line, 7);
}

TEST(Store, ReplaceIsACompleteList) {
  Store store;
  EXPECT_TRUE(store.replace({service("b", 80), service("a", 80)}));
  EXPECT_FALSE(store.replace({service("a", 80), service("b", 80)}));
  EXPECT_TRUE(store.replace({service("b", 80), service("c", 80)}));
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.objects().begin()->first.name, "b");
  EXPECT_TRUE(store.replace({}));
  EXPECT_FALSE(store.replace({}));
}

TEST(Store, AKindOfOneNamespaceIsReplacedAlone) {
  Store store;
  k8s::Object elsewhere = service("a", 80);
  elsewhere.key.name_space = "other";
  store.replace({service("a", 80), service("b", 80), elsewhere});
  EXPECT_TRUE(store.replace(k8s::Kind::service, "default", {service("b", 80)}));
  EXPECT_EQ(store.size(), 2u);
  EXPECT_NE(store.find({k8s::Kind::service, "other", "a"}), nullptr);
  EXPECT_FALSE(store.replace(k8s::Kind::ingress, "", {}));
  EXPECT_TRUE(store.replace(k8s::Kind::service, "", {}));
  EXPECT_TRUE(store.empty());
}

// Whoever lists a cluster neither brings nor removes what this process made of other knowledge.
TEST(Store, ReplaceLeavesDerivedObjectsAlone) {
  const auto slice = [](const std::string& name) {
    k8s::EndpointSlice body;
    body.set_address_type(name);
    return k8s::Object{{k8s::Kind::endpoint_slice, "default", name}, {}, k8s::Body(body)};
  };
  Store store;
  store.put(slice("a-1"));
  store.put(slice("a/external-name"));
  store.take_changes();
  EXPECT_TRUE(store.replace(k8s::Kind::endpoint_slice, "default", {}));
  EXPECT_FALSE(store.replace(k8s::Kind::endpoint_slice, "", {}));
  EXPECT_FALSE(store.replace({}));
  ASSERT_EQ(store.size(), 1u);
  EXPECT_EQ(store.objects().begin()->first.name, "a/external-name");
  ASSERT_EQ(store.changes().size(), 1u);
  EXPECT_EQ(store.changes().begin()->first.name, "a-1");
  EXPECT_TRUE(store.remove({k8s::Kind::endpoint_slice, "default", "a/external-name"}));
}

TEST(Store, TellsWhatChangedOnceAKey) {
  const auto kinds = [](std::vector<Change> changes) {
    std::string text;
    for (const Change& change : changes) {
      text += change.key.name + ' ' + std::string(to_text(change.kind)) + ';';
    }
    return text;
  };
  Store store;
  store.replace({service("a", 80), service("b", 80)});
  store.put(service("a", 81));
  EXPECT_EQ(kinds(store.take_changes()), "a added;b added;");
  EXPECT_FALSE(store.has_changes());
  store.put(service("a", 81, 9));  // moved in its file
  EXPECT_FALSE(store.has_changes());
  store.put(service("c", 80));
  store.remove({k8s::Kind::service, "default", "c"});  // came and went
  store.remove({k8s::Kind::service, "default", "a"});
  store.put(service("a", 82));  // went and came
  store.remove({k8s::Kind::service, "default", "b"});
  EXPECT_EQ(kinds(store.take_changes()), "a updated;b removed;");
}

}  // namespace
}  // namespace millrace::store
