#include "dataplane/route/router.h"

#include <array>
#include <bit>
#include <cstring>

#include "shm/snapshot_hash.h"

namespace millrace::route {
namespace {

using shm::HostKind;
using shm::HostRecord;
using shm::index_none;
using shm::PathKey;
using shm::PathRecord;
using shm::RoutesSegment;
using shm::SnapshotView;

bool equal(const char* left, const char* right, size_t size) {
  return std::memcmp(left, right, size) == 0;
}

// hash_text() with four octets a round; a host or path is short and its loop is half of its cost.
uint64_t hash_span(const char* at, const char* end, uint64_t hash) {
  for (; end - at >= 4; at += 4) {
    hash = hash_octet(static_cast<uint8_t>(at[0]), hash);
    hash = hash_octet(static_cast<uint8_t>(at[1]), hash);
    hash = hash_octet(static_cast<uint8_t>(at[2]), hash);
    hash = hash_octet(static_cast<uint8_t>(at[3]), hash);
  }
  for (; at != end; ++at) hash = hash_octet(static_cast<uint8_t>(*at), hash);
  return hash;
}

struct ChosenHost {
  const RoutesSegment* segment = nullptr;
  uint32_t segment_index = 0;
  uint32_t host = index_none;
};

// The host of the given kind whose name, behind its first `skipped` bytes, is `rest`.
ChosenHost find_host(const SnapshotView& snapshot, uint64_t state, HostKind kind,
                     std::string_view rest, size_t skipped) {
  const uint64_t hash = hash_finish(state);
  const uint32_t index = shm::segment_of(hash, snapshot.routes_segment_count());
  const RoutesSegment& segment = snapshot.routes_segment(index);
  const uint32_t bucket = shm::bucket_of(hash, segment.host_bucket_count);
  const uint32_t end = segment.host_buckets[bucket + 1];
  for (uint32_t i = segment.host_buckets[bucket]; i < end; ++i) {
    const HostRecord& host = segment.hosts[i];
    if (host.hash != hash || host.kind != static_cast<uint8_t>(kind)) continue;
    if (host.name_length == rest.size() + skipped &&
        equal(segment.strings + host.name_offset + skipped, rest.data(), rest.size())) {
      return {&segment, index, i};
    }
  }
  return {};
}

ChosenHost choose_host(const SnapshotView& snapshot, std::string_view host) {
  if (!host.empty()) {
    const uint64_t state = hash_span(host.data(), host.data() + host.size(), text_hash_seed);
    const ChosenHost precise = find_host(snapshot, state, HostKind::precise, host, 0);
    if (precise.segment != nullptr) return precise;
    if (snapshot.has_wildcards()) {
      const size_t dot = host.find('.');
      if (dot != std::string_view::npos && dot != 0) {
        constexpr uint64_t star = hash_octet('*', text_hash_seed);
        const std::string_view suffix = host.substr(dot);  // with its dot
        const uint64_t wildcard_state =
            hash_span(suffix.data(), suffix.data() + suffix.size(), star);
        const ChosenHost wildcard =
            find_host(snapshot, wildcard_state, HostKind::wildcard, suffix, 1);
        if (wildcard.segment != nullptr) return wildcard;
      }
    }
  }
  const shm::RouteRef empty = snapshot.empty_host();
  if (empty.route == index_none) return {};
  return {&snapshot.routes_segment(empty.segment), empty.segment, empty.route};
}

// The route of a key in the path table, or index_none.
uint32_t find_path(const RoutesSegment& segment, uint32_t host, PathKey key, uint64_t state,
                   std::string_view text) {
  const uint64_t hash = shm::path_hash_end(state, key);
  const uint32_t bucket = shm::bucket_of(hash, segment.path_bucket_count);
  const uint32_t end = segment.path_buckets[bucket + 1];
  for (uint32_t i = segment.path_buckets[bucket]; i < end; ++i) {
    const PathRecord& path = segment.paths[i];
    if (path.hash == hash && path.host == host && path.key == static_cast<uint8_t>(key) &&
        path.text_length == text.size() &&
        equal(segment.strings + path.text_offset, text.data(), text.size())) {
      return path.route;
    }
  }
  return index_none;
}

// An element boundary of the request path at which this host has prefixes of that depth.
struct Boundary {
  uint64_t state;
  size_t length;
};

// One pass over the path: the hash at each boundary that could matter, then the longest first.
uint32_t find_in_host(const RoutesSegment& segment, uint32_t host_index, std::string_view path) {
  if (path.empty() || path.front() != '/') return index_none;
  const HostRecord& host = segment.hosts[host_index];
  const uint64_t start = shm::path_hash_start(host_index);
  const bool wants_exact = (host.flags & shm::host_has_exact) != 0;
  const uint64_t depths = host.prefix_depths;
  if (depths <= 1 && !wants_exact) {
    // The commonest host has "/" only: every path matches, none needs hashing.
    if (depths == 0) return index_none;
    return find_path(segment, host_index, PathKey::prefix, start, path.substr(0, 0));
  }

  std::array<Boundary, shm::prefix_elements_max + 1> boundaries;  // written before it is read
  uint32_t boundary_count = 0;
  uint64_t left = depths;  // bit 0: the depth of the boundary ahead
  uint64_t state = start;
  const char* const begin = path.data();
  const char* const end = begin + path.size();
  const char* at = begin;
  for (; at != end; ++at) {
    if (*at == '/') {
      if ((left & 1) != 0) boundaries[boundary_count++] = {state, static_cast<size_t>(at - begin)};
      left >>= 1;
      if (left == 0) break;  // no prefix is deeper than this
    }
    state = hash_octet(static_cast<uint8_t>(*at), state);
  }
  if (at == end && (left & 1) != 0) boundaries[boundary_count++] = {state, path.size()};

  if (wants_exact) {
    state = hash_span(at, end, state);
    const uint32_t route = find_path(segment, host_index, PathKey::exact, state, path);
    if (route != index_none) return route;
  }
  while (boundary_count != 0) {
    const Boundary& boundary = boundaries[--boundary_count];
    const uint32_t route = find_path(segment, host_index, PathKey::prefix, boundary.state,
                                     path.substr(0, boundary.length));
    if (route != index_none) return route;
  }
  return index_none;
}

RouteMatch found_as(RouteFound found, const SnapshotView& snapshot, shm::RouteRef route) {
  return {found, snapshot.route(route).service_slot, route};
}

}  // namespace

RouteMatch match(const SnapshotView& snapshot, std::string_view host, std::string_view path) {
  const ChosenHost chosen = choose_host(snapshot, host);
  if (chosen.segment != nullptr) {
    const uint32_t route = find_in_host(*chosen.segment, chosen.host, path);
    if (route != index_none) {
      return found_as(RouteFound::rule, snapshot, {chosen.segment_index, route});
    }
    const uint32_t rest = chosen.segment->hosts[chosen.host].default_route;
    if (rest != index_none) {
      return found_as(RouteFound::host_default, snapshot, {chosen.segment_index, rest});
    }
  }
  const shm::RouteRef rest = snapshot.cluster_default();
  if (rest.route == index_none) return {};
  return found_as(RouteFound::cluster_default, snapshot, rest);
}

}  // namespace millrace::route
