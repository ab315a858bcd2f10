#include "controlplane/model/live_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/random.h"
#include "controlplane/k8s/external_name.h"
#include "controlplane/model/dump.h"
#include "controlplane/model/random_cluster_testing.h"
#include "perf/controlplane/cluster_objects.h"

namespace millrace::model {
namespace {

using testing::RandomCluster;

// By what a reader of the log knows: a line number is no news.
std::vector<k8s::Problem> sorted(std::vector<k8s::Problem> problems) {
  for (k8s::Problem& problem : problems) problem.place.line = 0;
  std::sort(problems.begin(), problems.end());
  return problems;
}

std::vector<k8s::Problem> after_changes(std::vector<k8s::Problem> problems,
                                        const ProblemChanges& changes) {
  for (const k8s::Problem& solved : changes.solved) {
    const auto at = std::find(problems.begin(), problems.end(), solved);
    EXPECT_NE(at, problems.end()) << "never said: " << solved.text();
    if (at != problems.end()) problems.erase(at);
  }
  problems.insert(problems.end(), changes.appeared.begin(), changes.appeared.end());
  return problems;
}

ModelCounts counts_of(const BuildResult& built) {
  return {built.ingresses, built.ingresses_ignored, built.model.route_count(),
          built.model.shadowed_count(), built.model.endpoint_count()};
}

// Steps through a random life and compares with a model from nothing at every one.
void live_through(
    uint64_t seed, const Options& options,
    const std::function<void(store::Store*)>& more = [](store::Store*) {}) {
  RandomCluster cluster(seed);
  store::Store store;
  LiveModel live(options);
  Model model;
  std::vector<k8s::Problem> problems;
  for (int step = 0; step < 150; ++step) {
    cluster.step(&store);
    more(&store);
    const ModelUpdate update = live.update(store, store.take_changes());
    const BuildResult built = build(store, options);
    ASSERT_EQ(live.model(), built.model) << "seed " << seed << " step " << step << '\n'
                                         << dump(live.model()) << "--- from nothing:\n"
                                         << dump(built.model);
    ASSERT_EQ(dump(live.problems()), dump(built.problems)) << "seed " << seed << " step " << step;
    ASSERT_EQ(live.counts(), counts_of(built)) << "seed " << seed << " step " << step;
    ASSERT_EQ(update.delta, difference(model, built.model)) << "seed " << seed << " step " << step;
    problems = after_changes(std::move(problems), update.problems);
    ASSERT_EQ(sorted(problems), sorted(built.problems)) << "seed " << seed << " step " << step;
    model = built.model;
  }
}

TEST(C8LiveModel, IsAfterAnyChangesTheModelFromNothing) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    live_through(seed, {});
    if (HasFatalFailure()) return;
  }
}

// Some Services become, or stay, of type ExternalName, and get a name.
void name_services(Random* random, store::Store* store) {
  std::vector<k8s::Object> named;
  for (const auto& [key, object] : store->objects()) {
    if (key.kind != k8s::Kind::service) continue;
    auto service = object.body.as<k8s::Service>();
    if (!k8s::is_external_name(service) && random->below(10) != 0) continue;
    service.mutable_spec()->set_type("ExternalName");
    service.mutable_spec()->set_external_name(random->below(8) == 0 ? "10.0.0.1" : "x.example");
    if (random->below(4) == 0) service.mutable_spec()->clear_ports();
    named.push_back({key, object.place, k8s::Body(service)});
  }
  for (k8s::Object& object : named) store->put(std::move(object));
}

// What DNS says of one Service, whatever its type, becomes something else.
void answer_name(Random* random, store::Store* store) {
  const std::string name_space(1, static_cast<char>('a' + random->below(3)));
  const std::string service = "s" + std::to_string(random->between(1, 3));
  const k8s::ObjectKey key = k8s::derived_slice_key(name_space, service);
  if (random->below(5) == 0) {
    store->remove(key);
    return;
  }
  k8s::EndpointSlice slice;
  k8s::ObjectMeta* metadata = slice.mutable_metadata();
  (*metadata->mutable_labels())[k8s::service_name_label] = service;
  (*metadata->mutable_annotations())[k8s::dns_name_annotation] =
      random->below(6) == 0 ? "y.example" : "x.example";
  if (random->below(3) == 0) {
    (*metadata->mutable_annotations())[k8s::dns_failure_annotation] = "no DNS server answers";
  }
  for (uint64_t i = random->below(4); i > 0; --i) {
    slice.add_endpoints()->add_addresses(random->below(4) == 0 ? "127.0.0.1"
                                                               : "10.1.0." + std::to_string(i));
  }
  store->put({key, {}, k8s::Body(slice)});
}

TEST(C8LiveModel, DerivedSlicesAreFollowedLikeOthers) {
  Options options;
  options.serve_external_names = true;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    live_through(seed, options, [&](store::Store* store) {
      name_services(&random, store);
      answer_name(&random, store);
    });
    if (HasFatalFailure()) return;
  }
}

// Owners by name and by label, and quotas of every kind.
OwnershipPolicy some_policy(OwnershipMode mode) {
  OwnershipPolicy policy;
  policy.mode = mode;
  policy.owners.push_back({"x", {"x.example"}, {"a"}, Labels{{"team", "red"}}});
  policy.owners.push_back({"below", {"*.example", "*"}, {"b", "c"}, std::nullopt});
  policy.quota = {4, 2, 1};
  policy.quotas["b"] = {std::nullopt, 1, std::nullopt};
  return policy;
}

// Large enough that every step of a model from nothing is shared out.
TEST(C8LiveModel, IsTheSameModelWithAnyNumberOfThreads) {
  perf::ClusterSize size;
  size.ingresses = 3'000;
  for (const bool one_host : {false, true}) {
    size.one_host = one_host;
    store::Store store = perf::cluster_store(size);
    // And what there are problems about, among them those of many objects in a row.
    RandomCluster cluster(3);
    for (int step = 0; step < 60; ++step) cluster.step(&store);
    for (uint32_t tenant = 0; tenant < size.ingresses; tenant += 3) {
      store.remove(
          (tenant % 2 == 0 ? perf::cluster_service(tenant) : perf::cluster_slice(size, tenant))
              .key);
    }
    Options options;
    options.bounds.services = 2'900;
    options.ownership = some_policy(OwnershipMode::warn);
    options.threads = {1};
    const BuildResult alone = build(store, options);
    EXPECT_GT(alone.problems.size(), 900U);
    for (const size_t threads : {2U, 4U, 7U}) {
      options.threads = {threads};
      const BuildResult together = build(store, options);
      EXPECT_EQ(alone.model, together.model) << threads;
      EXPECT_EQ(dump(alone.problems), dump(together.problems)) << threads;
      EXPECT_EQ(counts_of(alone), counts_of(together)) << threads;
    }
  }
}

TEST(C8LiveModel, KeepsTheBoundsOfTheWholeExactly) {
  Options tight;
  tight.bounds = {12, 5, 2};
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    live_through(seed, tight);
    if (HasFatalFailure()) return;
  }
}

TEST(C8LiveModel, KeepsOwnershipAndQuotasExactly) {
  for (const OwnershipMode mode : {OwnershipMode::warn, OwnershipMode::enforce}) {
    Options options;
    options.ownership = some_policy(mode);
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      live_through(seed, options);
      if (HasFatalFailure()) return;
    }
    options.bounds = {8, 4, 2};
    for (uint64_t seed = 31; seed <= 50; ++seed) {
      live_through(seed, options);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(C8LiveModel, TheOrderOfEventsLeavesNoTrace) {
  Options tight;
  tight.bounds = {20, 8, 3};
  tight.ownership = some_policy(OwnershipMode::enforce);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    RandomCluster cluster(seed);
    store::Store expected;
    for (int step = 0; step < 60; ++step) cluster.step(&expected);
    const BuildResult built = build(expected, tight);
    store::Store store;
    LiveModel live(tight);
    for (const k8s::Object& object : cluster.shuffled(expected)) {
      cluster.step(&store);  // a detour
      live.update(store, store.take_changes());
      store.put(object);
      live.update(store, store.take_changes());
    }
    store.replace(cluster.shuffled(expected));
    live.update(store, store.take_changes());
    ASSERT_EQ(live.model(), built.model) << "seed " << seed;
    ASSERT_EQ(live.problems(), built.problems) << "seed " << seed;
  }
}

TEST(LiveModel, AChangeThatChangesNothingIsSilent) {
  RandomCluster cluster(3);
  store::Store store;
  LiveModel live({});
  for (int step = 0; step < 60; ++step) cluster.step(&store);
  live.update(store, store.take_changes());
  std::vector<store::Change> all;
  for (const auto& [key, object] : store.objects()) {
    all.push_back({key, store::ChangeKind::updated, "", "", object.place});
  }
  EXPECT_TRUE(live.update(store, all).empty());
  EXPECT_TRUE(live.update(store, {}).empty());
}

// ---- what the bounds of the whole mean ---------------------------------------------------------

class BoundsTest : public ::testing::Test {
 protected:
  // `age`: seconds since 1970; one path of a host of its own to the Service `to`.
  void put(const std::string& name, int64_t age, const std::string& to,
           const std::string& hash_header = "") {
    k8s::Ingress ingress;
    ingress.mutable_metadata()->mutable_creation_timestamp()->set_seconds(age);
    if (!hash_header.empty()) {
      (*ingress.mutable_metadata()->mutable_annotations())["millrace.dev/hash-by"] =
          "header:" + hash_header;
    }
    k8s::IngressRule* rule = ingress.mutable_spec()->add_rules();
    rule->set_host(name + ".example");
    k8s::HTTPIngressPath* path = rule->mutable_value()->mutable_http()->add_paths();
    path->set_path("/");
    path->set_path_type("Prefix");
    path->mutable_backend()->mutable_service()->set_name(to);
    path->mutable_backend()->mutable_service()->mutable_port()->set_number(80);
    store_.put({key_of(name), {}, k8s::Body(std::move(ingress))});
  }
  void remove(const std::string& name) { store_.remove(key_of(name)); }
  static k8s::ObjectKey key_of(const std::string& name) { return {k8s::Kind::ingress, "ns", name}; }

  void update() { live_.update(store_, store_.take_changes()); }
  std::string routed() const {
    std::string text;
    for (const Host& host : live_.model().hosts) {
      if (!host.routes.empty()) text += host.name.substr(0, host.name.find('.')) + ' ';
    }
    return text;
  }
  std::string services() const {
    std::string text;
    for (const Service& service : live_.model().services) text += service.key.text() + ' ';
    return text;
  }
  size_t said(const std::string& words) const {
    size_t count = 0;
    for (const k8s::Problem& problem : live_.problems()) {
      count += problem.sentence.find(words) != std::string::npos;
    }
    return count;
  }

  static Options tight() {
    Options options;
    options.bounds = {2, 2, 2};
    return options;
  }
  store::Store store_;
  LiveModel live_{tight()};
};

TEST_F(BoundsTest, TheYoungestRoutesDoWithout) {
  put("c", 3, "s");
  put("b", 2, "s");
  update();
  EXPECT_EQ(routed(), "b c ");
  put("a", 1, "s");
  update();
  EXPECT_EQ(routed(), "a b ");
  EXPECT_EQ(said("the cluster has more than 2 routes"), 1u);
  remove("b");
  update();
  EXPECT_EQ(routed(), "a c ");
  EXPECT_EQ(said("routes"), 0u);
}

TEST_F(BoundsTest, ThePoliciesOfTheYoungestDoWithout) {
  Options options;
  options.bounds.service_policies = 2;
  live_ = LiveModel(options);
  put("c", 3, "s", "c");
  put("b", 2, "s", "b");
  put("d", 4, "s", "b");
  update();
  EXPECT_EQ(services(), "ns/s:80 (hash-by=header:b) ns/s:80 (hash-by=header:c) ");
  put("a", 1, "s", "a");
  update();
  EXPECT_EQ(services(), "ns/s:80 ns/s:80 (hash-by=header:a) ns/s:80 (hash-by=header:b) ");
  EXPECT_EQ(said("its annotations count for nothing"), 1u);
  remove("b");  // d asks for the same, but is younger than c
  update();
  EXPECT_EQ(services(), "ns/s:80 ns/s:80 (hash-by=header:a) ns/s:80 (hash-by=header:c) ");
}

TEST_F(BoundsTest, TheLastServicesDoWithout) {
  Options options;
  options.bounds.services = 2;
  live_ = LiveModel(options);
  put("a", 1, "s3");
  put("b", 2, "s1");
  update();
  EXPECT_EQ(services(), "ns/s1:80 ns/s3:80 ");
  put("c", 3, "s2");
  update();
  EXPECT_EQ(services(), "ns/s1:80 ns/s2:80 ");
  EXPECT_EQ(said("routes name more than 2 Service ports"), 1u);
  EXPECT_EQ(routed(), "a b c ");
  remove("b");
  update();
  EXPECT_EQ(services(), "ns/s2:80 ns/s3:80 ");
}

}  // namespace
}  // namespace millrace::model
