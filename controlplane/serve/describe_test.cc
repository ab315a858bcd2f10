#include "controlplane/serve/describe.h"

#include <gtest/gtest.h>

#include "controlplane/answers/json.h"

namespace millrace::serve {
namespace {

model::Model table(const std::string& service, int endpoint) {
  model::Model model;
  const model::ServiceKey key{"shop", service, "80"};
  model::Host host;
  host.name = "a.example";
  host.routes.push_back({model::PathType::prefix, "/", key, {"shop", "a", 0, 0}});
  host.shadowed.push_back({{model::PathType::prefix, "/", key, {"shop", "late", 0, 0}}, 0});
  model.hosts.push_back(host);
  model.services.push_back(
      {key, {{Ipv4Address::from_octets(10, 0, 0, static_cast<uint8_t>(endpoint)), 8080}}});
  return model;
}

TEST(DescribeTest, ADifferenceNamesRoutesAndEndpoints) {
  const answer::Diff diff = describe(model::difference(table("web", 1), table("web", 2)), "1", "2");
  EXPECT_EQ(answer::to_json(diff),
            "{\"from\":\"1\",\"to\":\"2\",\"equal\":false,\"routes\":[],\"routes_more\":0,"
            "\"services\":[{\"change\":\"changed\",\"service\":\"shop/web:80\","
            "\"endpoints_added\":[\"10.0.0.2:8080\"],\"endpoints_removed\":[\"10.0.0.1:8080\"]}],"
            "\"services_more\":0}\n");
  const answer::Diff moved = describe(model::difference(table("web", 1), table("api", 1)), "", "");
  ASSERT_EQ(moved.routes_size(), 2);
  EXPECT_EQ(moved.routes(0).change(), "changed");
  EXPECT_EQ(moved.routes(0).before().backend(), "shop/web:80");
  EXPECT_EQ(moved.routes(0).after().backend(), "shop/api:80");
  EXPECT_TRUE(moved.routes(1).shadowed());
  EXPECT_TRUE(describe({}, "", "").equal());
}

TEST(DescribeTest, RoutesComeInPages) {
  const answer::Routes all = list_routes(table("web", 1), std::nullopt, 0, 10);
  EXPECT_EQ(all.total(), 2u);
  ASSERT_EQ(all.routes_size(), 2);
  EXPECT_EQ(all.routes(0).endpoints(), 1u);
  EXPECT_FALSE(all.routes(0).shadowed());
  EXPECT_TRUE(all.routes(1).shadowed());
  EXPECT_EQ(list_routes(table("web", 1), std::nullopt, 1, 10).routes_size(), 1);
  EXPECT_EQ(list_routes(table("web", 1), "b.example", 0, 10).total(), 0u);
}

TEST(DescribeTest, TextThatIsNoTextIsAnAnswerAllTheSame) {
  answer::Failure failure;
  failure.set_error("\xff\xfe");
  EXPECT_TRUE(answer::to_json(failure).starts_with("{\"error\":"));
}

}  // namespace
}  // namespace millrace::serve
