// For tests: a built snapshot as ByteViews, checksums mended after a change, and a walk that reads
// everything a validated snapshot offers.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "shm/content_hash.h"
#include "shm/snapshot.h"
#include "shm/snapshot_writer.h"

namespace millrace::shm::testing {

inline std::vector<ByteView> segment_views(const BuiltSnapshot& built) {
  std::vector<ByteView> views;
  for (const BuiltSegment& segment : built.segments) views.push_back(segment.bytes);
  return views;
}

// The bytes of a built snapshot, to be changed.
struct Parts {
  std::vector<uint8_t> root;
  std::vector<std::vector<uint8_t>> segments;
};

inline Parts parts_of(const BuiltSnapshot& built) {
  Parts parts{built.root, {}};
  for (const BuiltSegment& segment : built.segments) parts.segments.push_back(segment.bytes);
  return parts;
}

inline std::shared_ptr<const Snapshot> open_built(const BuiltSnapshot& built) {
  auto snapshot = Snapshot::from_bytes(built.root, segment_views(built));
  if (!snapshot.ok()) std::fprintf(stderr, "%s\n", snapshot.error().c_str());
  CHECK(snapshot.ok());
  return *snapshot;
}

inline std::shared_ptr<const Snapshot> open_builder(const SnapshotBuilder& builder,
                                                    uint64_t version) {
  auto built = builder.build(version);
  CHECK(built.ok());
  return open_built(*built);
}

// Makes every hash right again for bytes somebody changed: the directory's ids, where the directory
// is still in place, and the root's checksum.
inline void mend_checksums(std::vector<uint8_t>& root,
                           const std::vector<std::vector<uint8_t>>& segments) {
  for (size_t i = 0; i < segments.size(); ++i) {
    const size_t at =
        sizeof(RootHeader) + i * sizeof(SegmentEntry) + offsetof(SegmentEntry, segment_id);
    const uint64_t id = content_hash(segments[i]);
    if (at + sizeof id <= root.size()) std::memcpy(&root[at], &id, sizeof id);
  }
  if (root.size() < sizeof(RootHeader)) return;
  const uint64_t checksum = root_checksum(root);
  std::memcpy(&root[offsetof(RootHeader, checksum)], &checksum, sizeof checksum);
}

// Reads every record and every byte of every string that a reader could reach, and gives a sum so
// that nothing is optimised away.
inline uint64_t walk(const SnapshotView& view) {
  uint64_t sum = view.version();
  const auto add = [&sum](std::string_view text) {
    for (char c : text) sum = sum * 31 + static_cast<uint8_t>(c);
  };
  const auto add_route = [&](const RoutesSegment& segment, const RouteRecord& route) {
    add(segment.text(route.ingress_namespace));
    add(segment.text(route.ingress_name));
    add(segment.text(route.path));
    add(view.service_namespace(route.service_slot));
    add(view.service_name(route.service_slot));
    add(view.service_port(route.service_slot));
    for (const EndpointRecord& endpoint : view.endpoints(route.service_slot)) {
      sum = sum * 31 + endpoint.id + endpoint.address + endpoint.port + endpoint.flags;
    }
    if (route.host != index_none) add(segment.name(segment.hosts[route.host]));
    sum += route.rule_index + route.kind;
  };
  const auto add_target = [&](const RoutesSegment& segment, const RouteTarget& target) {
    if (target.route == index_none) return;
    add_route(segment, segment.routes[target.route]);
    CHECK(segment.routes[target.route].service_slot == target.service_slot);
  };
  for (uint32_t s = 0; s < view.routes_segment_count(); ++s) {
    const RoutesSegment& segment = view.routes_segment(s);
    for (uint32_t b = 0; b < segment.host_bucket_count; ++b) {
      for (uint32_t i = segment.host_buckets[b]; i < segment.host_buckets[b + 1]; ++i) {
        const HostRecord& host = segment.hosts[i];
        add(segment.name(host));
        add_target(segment, host.root);
        add_target(segment, host.rest);
        add({host.text, host_text_bytes_max});
        for (uint32_t p = 0; p < host.path_count; ++p) {
          add(RoutesSegment::text(host, p));
          add_target(segment, host.paths[p].target);
        }
      }
    }
    for (uint32_t b = 0; b < segment.path_bucket_count; ++b) {
      for (uint32_t i = segment.path_buckets[b]; i < segment.path_buckets[b + 1]; ++i) {
        add(segment.text(segment.paths[i]));
        add_target(segment, segment.paths[i].target);
      }
    }
    for (uint32_t i = 0; i < segment.shadowed_count; ++i) {
      add_route(segment, segment.shadowed[i].route);
      add_route(segment, segment.routes[segment.shadowed[i].shadowed_by]);
    }
  }
  const RouteRef rest = view.cluster_default();
  if (rest.route != index_none) add_route(view.routes_segment(rest.segment), view.route(rest));
  for (uint32_t slot = 0; slot < view.service_slot_count(); ++slot) {
    add(view.service_name(slot));
    add(view.policy_name(slot));
    for (const EndpointRecord& endpoint : view.endpoints(slot)) sum = sum * 31 + endpoint.id;
  }
  return sum;
}

// A snapshot with every kind of record: all host kinds and path types, defaults, losers, an empty
// service, an unused slot, endpoints of all conditions.
inline SnapshotBuilder realistic_builder(SnapshotShape shape = {}) {
  SnapshotBuilder builder(shape);
  const auto source = [](uint32_t slot, std::string_view name, uint32_t rule = 0) {
    RouteSource from;
    from.service_slot = slot;
    from.ingress_namespace = "shop";
    from.ingress_name = name;
    from.rule_index = rule;
    return from;
  };
  const auto root = builder.add_route("shop.example", "/", PathType::prefix, source(0, "web"));
  CHECK(root.ok());
  CHECK(builder.add_route("shop.example", "/cart", PathType::exact, source(1, "web", 1)).ok());
  const auto api =
      builder.add_route("shop.example", "/api/v1/", PathType::prefix, source(2, "api"));
  CHECK(api.ok());
  CHECK(builder
            .add_route("shop.example", "/.well-known/acme-challenge/token",
                       PathType::implementation_specific, source(4, "cm-acme-http-solver-x1"))
            .ok());
  // More paths than a host's record holds, and a name that is too long for it.
  for (uint32_t i = 0; i < 5; ++i) {
    const std::string path = "/part/" + std::to_string(i);
    const PathType type = i % 2 == 0 ? PathType::prefix : PathType::exact;
    CHECK(builder.add_route("many.example", path, type, source(i % 3, "many", i)).ok());
  }
  const std::string long_name = std::string(60, 'n') + ".example";
  CHECK(builder.add_route(long_name, "/long", PathType::prefix, source(2, "long")).ok());
  CHECK(builder.add_route(long_name, "/long/er", PathType::exact, source(1, "long")).ok());
  CHECK(builder.add_route("*.apps.example", "/", PathType::prefix, source(1, "apps")).ok());
  CHECK(builder.set_host_default("*.apps.example", source(0, "apps")).ok());
  CHECK(builder.add_route("", "/healthz", PathType::exact, source(3, "health")).ok());
  CHECK(builder.set_cluster_default(source(0, "fallback")).ok());
  CHECK(builder.add_host("parked.example").ok());
  CHECK(builder.add_shadowed("shop.example", "/api/v1", PathType::prefix, source(1, "late"), *api)
            .ok());
  for (uint32_t i = 0; i < 12; ++i) {
    const std::string host = "tenant" + std::to_string(i) + ".example";
    CHECK(builder.add_route(host, "/app", PathType::prefix, source(i % 3, "tenant", i)).ok());
  }
  uint64_t id = 100;
  for (uint32_t slot : {0U, 1U, 2U, 4U}) {
    ServiceInput service;
    service.slot = slot;
    service.service_namespace = "shop";
    const std::string name = "service-" + std::to_string(slot);
    service.service_name = name;
    service.port = slot == 2 ? "http" : "80";
    // None, as many as lie in the slot, more than that.
    const uint8_t endpoint_count = slot == 4 ? 0 : slot == 1 ? 5 : 3;
    for (uint8_t i = 1; i <= endpoint_count; ++i) {
      EndpointInput endpoint;
      endpoint.id = id++;
      endpoint.address = Ipv4Address::from_octets(10, 0, static_cast<uint8_t>(slot), i);
      endpoint.port = 8080;
      endpoint.ready = i != 3;
      endpoint.terminating = i == 3;
      service.endpoints.push_back(endpoint);
    }
    if (slot == 1) {
      service.policy = {ServiceBalance::hash, HashSource::header, policy_passes_encoded_slash,
                        "x-tenant"};
    }
    if (slot == 4) {
      service.policy = {ServiceBalance::least_requests, HashSource::none,
                        policy_sticky_cookie | policy_proxy_header_v2, "session"};
    }
    CHECK(builder.add_service(service).ok());
  }
  return builder;
}

}  // namespace millrace::shm::testing
