#include "controlplane/metrics/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

namespace millrace::metrics {
namespace {

shm::TrafficReading row(shm::TrafficKind kind, const std::string& name, uint64_t requests) {
  shm::TrafficReading reading;
  reading.kind = kind;
  reading.name = name;
  reading.answers[2] = requests;
  reading.times[shm::traffic_bucket(1'000)] = requests;
  reading.time_us_sum = 1'000 * requests;
  return reading;
}

bool has_line(const std::string& text, const std::string& line) {
  const bool found = ("\n" + text).find("\n" + line + "\n") != std::string::npos;
  if (!found) ADD_FAILURE() << "not in it: " << line << "\n" << text.substr(0, 6'000);
  return found;
}

TEST(MetricsTest, StateAndCounts) {
  Metrics metrics;
  metrics.note_version();
  metrics.note_build(Duration::milliseconds(3));
  metrics.note_applied(Duration::milliseconds(15));
  Observed observed;
  observed.status.mutable_published()->set_version(42);
  answer::Status::Count* shadowed = observed.status.add_counts();
  shadowed->set_severity("warning");
  shadowed->set_reason("Shadowed");
  shadowed->set_problems(3);
  observed.certificates.push_back({"shop", "shop-tls", 1'790'000'000});
  const std::string text = metrics.text(observed);
  has_line(text,
           "millrace_certificate_expiry_seconds{namespace=\"shop\",name=\"shop-tls\"} 1790000000");
  has_line(text, "millrace_versions_total 1");
  has_line(text, "millrace_refusals_total 0");
  has_line(text, "millrace_table_version 42");
  has_line(text, "millrace_problems{severity=\"warning\",reason=\"Shadowed\"} 3");
  has_line(text, "millrace_problems{severity=\"error\",reason=\"Refused\"} 0");
  has_line(text, "millrace_build_duration_seconds_bucket{le=\"0.002\"} 0");
  has_line(text, "millrace_build_duration_seconds_bucket{le=\"0.005\"} 1");
  has_line(text, "millrace_apply_duration_seconds_count 1");
  EXPECT_EQ(text.find("millrace_dataplane_start"), std::string::npos) << "no data plane, no page";
}

TEST(MetricsTest, ThePagesOfTheDataPlane) {
  shm::StatsReading stats;
  stats.counters.push_back({"tcp_accepted", {5, 6}, 11});
  stats.counters.push_back({"gauge_tcp_connections", {2, 3}, 5});
  stats.counters.push_back({"xdp_eth0-1_pass", {1}, 1});
  const std::vector<shm::TrafficReading> traffic = {
      row(shm::TrafficKind::route, "shop/cart a.example/\"x\"\\", 7),
      row(shm::TrafficKind::service, "shop/cart:http", 7),
      row(shm::TrafficKind::status_class, "2xx", 7)};
  Observed observed;
  observed.stats = &stats;
  observed.traffic = &traffic;
  const std::string text = Metrics().text(observed);
  has_line(text, "millrace_dataplane_tcp_accepted_total{worker=\"1\"} 6");
  has_line(text, "# TYPE millrace_dataplane_tcp_connections gauge");
  has_line(text, "millrace_dataplane_xdp_eth0_1_pass_total{worker=\"0\"} 1");
  has_line(text, "millrace_service_requests_total{service=\"shop/cart:http\",code=\"2xx\"} 7");
  has_line(
      text,
      "millrace_service_duration_seconds_bucket{service=\"shop/cart:http\",le=\"0.000512\"} 0");
  has_line(
      text,
      "millrace_service_duration_seconds_bucket{service=\"shop/cart:http\",le=\"0.001024\"} 7");
  has_line(text, "millrace_request_duration_seconds_count{code=\"2xx\"} 7");
  EXPECT_NE(text.find("route=\"shop/cart a.example/\\\"x\\\""), std::string::npos);
}

TEST(MetricsTest, MoreRoutesThanHaveSeriesAreOneTogether) {
  std::vector<shm::TrafficReading> traffic;
  for (int i = 0; i < 600; ++i) {
    traffic.push_back(row(shm::TrafficKind::route, "r" + std::to_string(i), 1));
  }
  Observed observed;
  observed.traffic = &traffic;
  const std::string text = Metrics().text(observed);
  has_line(text, "millrace_route_requests_total{route=\"r499\",code=\"2xx\"} 1");
  has_line(text, "millrace_route_requests_total{route=\"(others)\",code=\"2xx\"} 100");
  EXPECT_EQ(text.find("route=\"r500\""), std::string::npos);
}

TEST(MetricsTest, NoFamilyStandsTwice) {
  shm::StatsReading stats;
  stats.counters.push_back({"tcp_accepted", {5}, 5});
  const std::vector<shm::TrafficReading> traffic;
  Observed observed;
  observed.stats = &stats;
  observed.traffic = &traffic;
  std::istringstream lines(Metrics().text(observed));
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(seen.insert(line).second) << line;
    }
  }
  EXPECT_GT(seen.size(), 20u);
}

}  // namespace
}  // namespace millrace::metrics
