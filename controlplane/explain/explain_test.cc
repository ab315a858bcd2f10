#include "controlplane/explain/explain.h"

#include <gtest/gtest.h>

#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"

namespace millrace::explain {
namespace {

constexpr auto exact = model::PathType::exact;
constexpr auto prefix = model::PathType::prefix;

struct Rule {
  const char* host;
  const char* path;
  model::PathType type;
};

// A model of these rules; rule i leads to Service i, and the cluster's default to Service 99.
model::Model model_of(const std::vector<Rule>& rules, store::Store* objects) {
  std::string text =
      "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: rest}\n"
      "spec: {defaultBackend: {service: {name: s99, port: {number: 80}}}}\n";
  for (size_t i = 0; i < rules.size(); ++i) {
    const Rule& rule = rules[i];
    const std::string host = rule.host[0] == 0 ? "" : std::string("host: '") + rule.host + "', ";
    text += "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i" +
            std::to_string(i) + "}\nspec: {rules: [{" + host +
            "http: {paths: [{path: " + rule.path + ", pathType: " + model::to_text(rule.type) +
            ", backend: {service: {name: s" + std::to_string(i) + ", port: {number: 80}}}}]}}]}\n";
  }
  objects->replace(manifests::parse_file("a.yaml", text).objects);
  return model::build(*objects, {}).model;
}

int winner(const Explanation& found) {
  if (found.winner.empty()) return -1;
  return std::stoi(found.winner[0].route->backend->service.substr(1));
}

int winner_of(const std::vector<Rule>& rules, const std::string& url) {
  store::Store objects;
  const model::Model model = model_of(rules, &objects);
  return winner(explain(model, objects, *parse_request(url, {})));
}

TEST(ExplainTest, TheEighteenDocumentedRows) {
  const struct {
    int row;
    std::vector<Rule> rules;
    const char* path;
    int expected;
  } rows[] = {
      {1, {{"", "/", prefix}}, "/any/path", 0},
      {2, {{"", "/foo", exact}}, "/foo", 0},
      {3, {{"", "/foo", exact}}, "/bar", 99},
      {4, {{"", "/foo", exact}}, "/foo/", 99},
      {5, {{"", "/foo/", exact}}, "/foo", 99},
      {6, {{"", "/foo", prefix}}, "/foo", 0},
      {6, {{"", "/foo", prefix}}, "/foo/", 0},
      {7, {{"", "/foo/", prefix}}, "/foo", 0},
      {7, {{"", "/foo/", prefix}}, "/foo/", 0},
      {8, {{"", "/aaa/bb", prefix}}, "/aaa/bbb", 99},
      {9, {{"", "/aaa/bbb", prefix}}, "/aaa/bbb", 0},
      {10, {{"", "/aaa/bbb/", prefix}}, "/aaa/bbb", 0},
      {11, {{"", "/aaa/bbb", prefix}}, "/aaa/bbb/", 0},
      {12, {{"", "/aaa/bbb", prefix}}, "/aaa/bbb/ccc", 0},
      {13, {{"", "/aaa/bbb", prefix}}, "/aaa/bbbxyz", 99},
      {14, {{"", "/", prefix}, {"", "/aaa", prefix}}, "/aaa/ccc", 1},
      {15, {{"", "/", prefix}, {"", "/aaa", prefix}, {"", "/aaa/bbb", prefix}}, "/aaa/bbb", 2},
      {16, {{"", "/", prefix}, {"", "/aaa", prefix}, {"", "/aaa/bbb", prefix}}, "/ccc", 0},
      {17, {{"", "/aaa", prefix}}, "/ccc", 99},
      {18, {{"", "/foo", prefix}, {"", "/foo", exact}}, "/foo", 1},
  };
  for (const auto& [row, rules, path, expected] : rows) {
    EXPECT_EQ(winner_of(rules, std::string("any.example") + path), expected) << "row " << row;
  }
}

TEST(ExplainTest, HostsFromPreciseToEmptyWithoutFallThrough) {
  const std::vector<Rule> rules = {
      {"foo.example", "/x", prefix}, {"*.example", "/", prefix}, {"", "/", prefix}};
  EXPECT_EQ(winner_of(rules, "foo.example/x"), 0);
  EXPECT_EQ(winner_of(rules, "foo.example/y"), 99) << "no fall-through";
  EXPECT_EQ(winner_of(rules, "bar.example/y"), 1);
  EXPECT_EQ(winner_of(rules, "baz.bar.example/y"), 2) << "one label only";
  EXPECT_EQ(winner_of(rules, "example/y"), 2);
  EXPECT_EQ(winner_of(rules, "/y"), 2) << "no host at all";
}

TEST(ExplainTest, LosersAreNamedWithTheirReasons) {
  store::Store objects;
  const model::Model model = model_of({{"a.example", "/shop", prefix},
                                       {"a.example", "/shop/cart", prefix},
                                       {"a.example", "/shop/cart", prefix},
                                       {"a.example", "/other", exact},
                                       {"*.example", "/shop", prefix},
                                       {"", "/shop", prefix}},
                                      &objects);
  const Explanation found = explain(model, objects, *parse_request("a.example/shop/cart/7", {}));
  EXPECT_EQ(winner(found), 1);
  EXPECT_EQ(found.winner[0].why, "the longest of the paths that match");
  std::map<std::string, std::string> why;
  for (const Candidate& other : found.others) why[other.route->source.ingress] = other.why;
  EXPECT_EQ(why["i0"], "matches too, but is shorter than Prefix \"/shop/cart\"");
  EXPECT_EQ(
      why["i2"],
      "asks for the same requests as Prefix \"/shop/cart\" of Ingress default/i1: as old, and "
      "its name comes first");
  EXPECT_EQ(why["i3"], "the path is not exactly this one");
  EXPECT_NE(why["i4"].find("host a.example is more specific"), std::string::npos) << why["i4"];
  EXPECT_NE(why["i5"].find("host a.example is more specific"), std::string::npos) << why["i5"];
  EXPECT_NE(why["rest"].find("only what no rule takes"), std::string::npos) << why["rest"];
  EXPECT_EQ(found.others.back().route->source.ingress, "i3") << "what does not match comes last";
  EXPECT_EQ(found.status, 503u) << "its Service is not there";
}

TEST(ExplainTest, NothingMatchesIs404AndWhatIsRefusedIs400) {
  const Explanation nothing = explain({}, {}, *parse_request("a.example/", {}));
  EXPECT_EQ(nothing.status, 404u);
  EXPECT_TRUE(nothing.winner.empty());
  store::Store objects;
  const model::Model model = model_of({{"", "/", prefix}}, &objects);
  EXPECT_EQ(explain(model, objects, *parse_request("a.example/a/..;/b", {})).status, 400u);
}

TEST(ExplainTest, ManyLosersAreCounted) {
  model::Model model;
  model::Host host;
  for (int i = 0; i < 500; ++i) {
    host.routes.push_back({exact, "/p" + std::to_string(i), std::nullopt, {"n", "i", 0, 0}});
  }
  model.hosts.push_back(host);
  const Explanation found = explain(model, {}, *parse_request("a.example/p7", {}));
  EXPECT_EQ(found.others.size(), others_named_max);
  EXPECT_EQ(found.others_more, 299u);
}

}  // namespace
}  // namespace millrace::explain
