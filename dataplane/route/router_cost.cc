// What one match costs. Run it under callgrind, which then counts match() only:
//   valgrind --tool=callgrind --toggle-collect='millrace::route::match*' route_cost ROUTES
// Instructions per match are the total divided by the matches printed. Hosts and paths have 20
// bytes (wildcard hosts are asked for with a label before them); a tenth of the hosts are
// wildcards.
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "dataplane/route/router.h"
#include "shm/snapshot_writer.h"

namespace {

using namespace millrace;

struct Request {
  std::string host;
  std::string path;
};

std::string number(uint64_t value, size_t width) {
  std::string text = std::to_string(value);
  return std::string(width - text.size(), '0') + text;
}

std::string host_name(uint64_t index) {
  return "tenant" + number(index, 6) + ".example";
}

// Every host has "/" as Prefix, "/api/v1" as Prefix and one Exact path.
void add_host(shm::SnapshotBuilder& builder, const std::string& host) {
  const shm::RouteSource source;
  const bool ok = builder.add_route(host, "/", shm::PathType::prefix, source).ok() &&
                  builder.add_route(host, "/api/v1", shm::PathType::prefix, source).ok() &&
                  builder.add_route(host, "/health", shm::PathType::exact, source).ok();
  CHECK(ok);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t routes = argc == 2 ? parse_decimal(argv[1], 3'000'000).value_or(0) : 0;
  if (routes == 0) {
    std::fprintf(stderr, "usage: route_cost ROUTES\n");
    return 2;
  }
  const uint64_t hosts = (routes + 2) / 3;
  const auto is_wildcard = [](uint64_t host) { return host % 10 == 9; };
  shm::SnapshotBuilder builder;
  for (uint64_t i = 0; i < hosts; ++i) {
    add_host(builder, (is_wildcard(i) ? "*." : "") + host_name(i));
  }
  const auto built = builder.build(1);
  CHECK(built.ok());
  std::vector<ByteView> segments;
  for (const shm::BuiltSegment& segment : built->segments) segments.push_back(segment.bytes);
  const auto validate_start = std::chrono::steady_clock::now();
  const auto view = shm::SnapshotView::validate(built->root, segments);
  const std::chrono::duration<double, std::milli> validated =
      std::chrono::steady_clock::now() - validate_start;
  CHECK(view.ok());

  constexpr uint32_t request_count = 4096;
  std::vector<Request> requests;
  Random random(1);
  for (uint32_t i = 0; i < request_count; ++i) {
    const uint64_t host = random.below(hosts);
    requests.push_back({is_wildcard(host) ? "w." + host_name(host) : host_name(host),
                        i % 2 == 0 ? "/api/v1/orders/98765" : "/static/js/app-12.js"});
  }
  constexpr uint32_t rounds = 8;
  uint64_t found = 0;
  const auto start = std::chrono::steady_clock::now();
  for (uint32_t round = 0; round < rounds; ++round) {
    for (const Request& request : requests) {
      found += route::match(*view, request.host, request.path).found == route::RouteFound::rule;
    }
  }
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
  CHECK(found == uint64_t{rounds} * request_count);
  std::printf("routes=%llu bytes=%zu matches=%u ns_per_match=%.1f validate_ms=%.2f\n",
              static_cast<unsigned long long>(routes), built->segments[0].bytes.size(),
              rounds * request_count, elapsed.count() / (rounds * request_count),
              validated.count());
  return 0;
}
