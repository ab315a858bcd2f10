// What one match costs, and the endpoints behind it.
//
//   route_cost ROUTES
//
// Instructions: run it under callgrind, which then counts match() only, and divide the total by
// the matches printed:
//   valgrind --tool=callgrind --toggle-collect='millrace::route::match*' route_cost ROUTES
//
// Time: batches of 64 requests, whose texts are made before and are in the cache; the time of a
// batch is the time-stamp counter's, what is printed is the median over all batches, in ticks and
// nanoseconds a match:
//   hot     the same 64 requests again and again: the table's lines are in the nearest cache
//   random  each request for another host, drawn from all
//   cold    the same, and between two batches two MiB of other memory are walked, as the rest of a
//           worker's turn would
// Hosts and paths have 20 octets (wildcard hosts are asked for with a label before them); a tenth
// of the hosts are wildcards.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "dataplane/route/router.h"
#include "shm/snapshot_writer.h"

namespace {

using namespace millrace;

constexpr uint32_t batch_requests = 64;
constexpr uint32_t batch_count = 501;
constexpr uint32_t routes_per_host = 3;
constexpr size_t other_memory_bytes = size_t{2} << 20;
constexpr size_t cache_line_bytes = 64;

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
bool is_wildcard(uint64_t host) {
  return host % 10 == 9;
}

// Every host has "/" as Prefix, "/api/v1" as Prefix and one Exact path, and a Service of its own.
void add_host(shm::SnapshotBuilder& builder, uint32_t index) {
  const std::string name = host_name(index);
  const std::string host = (is_wildcard(index) ? "*." : "") + name;
  shm::RouteSource source;
  source.service_slot = index;
  shm::ServiceInput service;
  service.slot = index;
  service.service_name = name;
  service.endpoints = {{1, Ipv4Address::from_octets(10, 0, 0, 1), 80}};
  const bool ok = builder.add_route(host, "/", shm::PathType::prefix, source).ok() &&
                  builder.add_route(host, "/api/v1", shm::PathType::prefix, source).ok() &&
                  builder.add_route(host, "/health", shm::PathType::exact, source).ok() &&
                  builder.add_service(service).ok();
  CHECK(ok);
}

uint64_t ticks_now() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return MonotonicClock{}.now().since_origin_ns();
#endif
}

void draw(Random& random, uint64_t hosts, std::vector<Request>& requests) {
  for (uint32_t i = 0; i < batch_requests; ++i) {
    const uint64_t host = random.below(hosts);
    requests[i].host = is_wildcard(host) ? "w." + host_name(host) : host_name(host);
    requests[i].path = i % 2 == 0 ? "/api/v1/orders/98765" : "/static/js/app-12.js";
  }
}

// The found routes' endpoints' sum, so that nothing is optimised away; their number is checked.
uint64_t match_all(const shm::SnapshotView& view, const std::vector<Request>& requests) {
  uint64_t sum = 0;
  for (const Request& request : requests) {
    const route::RouteMatch found = route::match(view, request.host, request.path);
    CHECK(found.found == route::RouteFound::rule);
    sum += view.endpoints(found.service_slot)[0].id;
  }
  return sum;
}

enum class Caches { hot, random, cold };

// Median ticks a match.
double measure(const shm::SnapshotView& view, uint64_t hosts, Caches caches) {
  Random random(1);
  std::vector<Request> requests(batch_requests);
  std::vector<uint8_t> other(other_memory_bytes, 1);
  std::vector<uint64_t> ticks;
  draw(random, hosts, requests);
  for (uint32_t batch = 0; batch < batch_count; ++batch) {
    if (caches != Caches::hot) draw(random, hosts, requests);
    if (caches == Caches::cold) {
      for (size_t at = 0; at < other.size(); at += cache_line_bytes) ++other[at];
      for (const Request& request : requests) {
        CHECK(!request.host.empty() && !request.path.empty());  // near again
      }
    }
    const uint64_t before = ticks_now();
    CHECK(match_all(view, requests) == batch_requests);
    ticks.push_back(ticks_now() - before);
  }
  std::nth_element(ticks.begin(), ticks.begin() + batch_count / 2, ticks.end());
  return static_cast<double>(ticks[batch_count / 2]) / batch_requests;
}

double ticks_per_ns() {
  const auto start = std::chrono::steady_clock::now();
  const uint64_t before = ticks_now();
  while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(20)) {
  }
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(ticks_now() - before) / elapsed.count();
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t routes = argc == 2 ? parse_decimal(argv[1], 3'000'000).value_or(0) : 0;
  if (routes == 0) {
    std::fprintf(stderr, "usage: route_cost ROUTES (1 to 3000000)\n");
    return 2;
  }
  const auto hosts = static_cast<uint32_t>((routes + routes_per_host - 1) / routes_per_host);
  using Milliseconds = std::chrono::duration<double, std::milli>;
  const auto build_start = std::chrono::steady_clock::now();
  shm::SnapshotBuilder builder;
  for (uint32_t i = 0; i < hosts; ++i) add_host(builder, i);
  const auto built = builder.build(1);
  CHECK(built.ok());
  const Milliseconds build_time = std::chrono::steady_clock::now() - build_start;
  std::vector<ByteView> segments;
  uint64_t bytes = built->root.size();
  for (const shm::BuiltSegment& segment : built->segments) {
    segments.push_back(segment.bytes);
    bytes += segment.bytes.size();
  }
  const auto open_start = std::chrono::steady_clock::now();
  const auto snapshot = shm::Snapshot::from_bytes(built->root, segments);
  const Milliseconds open_time = std::chrono::steady_clock::now() - open_start;
  CHECK(snapshot.ok());
  const shm::SnapshotView& view = (*snapshot)->view();
  const double rate = ticks_per_ns();
  std::printf("routes=%" PRIu64 " bytes=%" PRIu64 " build_ms=%.0f copy_and_validate_ms=%.1f\n",
              routes, bytes, build_time.count(), open_time.count());
  for (const auto& [name, caches] :
       {std::pair{"hot", Caches::hot}, {"random", Caches::random}, {"cold", Caches::cold}}) {
    const double ticks = measure(view, hosts, caches);
    std::printf("%-6s matches=%u ticks=%.0f ns=%.1f\n", name, batch_requests * batch_count, ticks,
                ticks / rate);
  }
  return 0;
}
