// What the control plane explains is what the data plane does: the same rules and requests, made up
// from few names so that they meet often, through both matchers and both readings of a path.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "controlplane/compile/compile.h"
#include "controlplane/explain/explain.h"
#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "dataplane/http/path.h"
#include "dataplane/route/router.h"
#include "shm/snapshot.h"

namespace millrace {
namespace {

template <size_t count>
const char* any(Random& random, const std::array<const char*, count>& of) {
  return of[random.below(count)];
}

constexpr std::array rule_hosts = {"",          "a.example",   "b.example",
                                   "*.example", "*.a.example", "x.a.example"};
constexpr std::array request_hosts = {"",        "a.example",   "b.example",   "c.example",
                                      "example", "x.a.example", "y.a.example", "z.y.a.example",
                                      ".example"};
constexpr std::array segments = {"a", "b", "aa", "A", ""};

std::string any_path(Random& random, size_t depth_max) {
  std::string path;
  for (uint64_t depth = random.below(depth_max + 1); depth > 0; --depth) {
    path += std::string("/") + any(random, segments);
  }
  return path.empty() ? "/" : path;
}

std::string ingress(Random& random, int number) {
  constexpr std::array types = {"Prefix", "Exact", "ImplementationSpecific"};
  const std::string backend =
      "{service: {name: s" + std::to_string(number) + ", port: {number: 80}}}";
  std::string spec;
  if (random.below(4) == 0) spec = "defaultBackend: " + backend + ", ";
  const std::string host = any(random, rule_hosts);
  spec += "rules: [{";
  if (!host.empty()) spec += "host: '" + host + "', ";
  spec += "http: {paths: [{path: '" + any_path(random, 3) + "', pathType: " + any(random, types) +
          ", backend: " + backend + "}]}}]";
  if (random.below(20) == 0) spec = "defaultBackend: " + backend;
  return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i" +
         std::to_string(number) + "}\nspec: {" + spec + "}\n";
}

class Both {
 public:
  explicit Both(Random& random) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += ingress(random, i);
    objects_.replace(manifests::parse_file("a.yaml", text).objects);
    model_ = model::build(objects_, {}).model;
    auto compiled = compile::compile(model_, compile::SlotTable(), 1);
    EXPECT_TRUE(compiled.ok());
    std::vector<ByteView> parts;
    for (const shm::BuiltSegment& segment : compiled->snapshot.segments) {
      parts.emplace_back(segment.bytes);
    }
    auto snapshot = shm::Snapshot::from_bytes(compiled->snapshot.root, parts);
    EXPECT_TRUE(snapshot.ok());
    snapshot_ = std::move(*snapshot);
    for (const model::Service& service : model_.services) {
      slots_[service.key] = compiled->slots.slot_of(service.key);
    }
  }

  void expect_same(const std::string& host, const std::string& path) const {
    explain::Request request;
    request.host = host;
    request.path = path;
    const explain::Explanation found = explain::explain(model_, objects_, request);
    const route::RouteMatch match = route::match(snapshot_->view(), host, path);
    const std::string what = "host \"" + host + "\" path \"" + path + "\"";
    ASSERT_EQ(found.winner.empty(), match.found == route::RouteFound::none) << what;
    if (found.winner.empty()) return;
    EXPECT_EQ(slots_.at(*found.winner.front().route->backend), match.service_slot)
        << what << ": explained by " << found.winner.front().route->source.object();
  }

 private:
  store::Store objects_;
  model::Model model_;
  std::shared_ptr<const shm::Snapshot> snapshot_;
  std::map<model::ServiceKey, uint32_t> slots_;
};

TEST(ExplainAgrees, TheSameRuleAnswersInBoth) {
  Random random(20'261'128);
  for (int table = 0; table < 400; ++table) {
    const Both both(random);
    for (int i = 0; i < 100; ++i) {
      const std::string host = any(random, request_hosts);
      ASSERT_NO_FATAL_FAILURE(both.expect_same(host, any_path(random, 5))) << "table " << table;
    }
    if (::testing::Test::HasFailure()) FAIL() << "in table " << table;
  }
}

TEST(ExplainAgrees, PathsHaveTheSameReading) {
  constexpr std::array pieces = {"/", "a",   ".",   "..", "%2e", "%2F", "%5c", "%41", "%7e", "%",
                                 ";", "%0a", "%zz", "\\", "%20", "x.",  ".y",  "//",  "%2",  "%7f"};
  Random random(7);
  int refused = 0;
  int rewritten = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string path = "/";
    for (uint64_t count = random.below(9); count > 0; --count) path += any(random, pieces);
    std::string refusal;
    bool has_encoded_slash = false;
    const std::string mine = explain::normalise_path(path, &refusal, &has_encoded_slash);
    // Where a head's path lies there are octets behind it.
    const std::string padded = path + " HTTP/1.1\r\n\r\n" + std::string(64, ' ');
    std::string output(path.size(), '\0');
    const auto its = http::normalise_path(std::string_view(padded).substr(0, path.size()),
                                          {.passes_encoded_slash = true}, output);
    const bool is_refused = its.verdict == http::PathVerdict::refused;
    ASSERT_EQ(!refusal.empty(), is_refused) << path << " (" << refusal << ")";
    refused += is_refused ? 1 : 0;
    if (is_refused) continue;
    const std::string read =
        its.verdict == http::PathVerdict::as_it_is ? path : output.substr(0, its.bytes);
    rewritten += read != path ? 1 : 0;
    ASSERT_EQ(mine, read) << path;
    ASSERT_EQ(has_encoded_slash, its.has_encoded_slash) << path;
  }
  EXPECT_GT(refused, 10'000);
  EXPECT_GT(rewritten, 10'000);
}

}  // namespace
}  // namespace millrace
