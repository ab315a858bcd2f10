#include "dataplane/route/router.h"

#include <array>

#include "shm/snapshot_hash.h"

namespace millrace::route {
namespace {

using shm::HostKind;
using shm::HostPath;
using shm::HostRecord;
using shm::index_none;
using shm::PathKey;
using shm::PathRecord;
using shm::RoutesSegment;
using shm::RouteTarget;
using shm::SnapshotView;

// Names and paths are short: whole words beat a call.
[[gnu::always_inline]] inline bool equal(const char* left, const char* right, size_t size) {
  if (size >= 8) {
    const size_t last = size - 8;
    for (size_t at = 0; at < last; at += 8) {
      if (shm::load_word(left + at) != shm::load_word(right + at)) return false;
    }
    return shm::load_word(left + last) == shm::load_word(right + last);
  }
  if (size >= 4) {
    return shm::load_half_word(left) == shm::load_half_word(right) &&
           shm::load_half_word(left + size - 4) == shm::load_half_word(right + size - 4);
  }
  for (size_t at = 0; at < size; ++at) {
    if (left[at] != right[at]) return false;
  }
  return true;
}

struct ChosenHost {
  const RoutesSegment* segment = nullptr;  // nullptr: no rule has this host
  uint32_t segment_index = 0;
  uint32_t host = index_none;
};

// The host of the given kind whose name, behind its first `skipped` bytes, is `rest`.
[[gnu::always_inline]] inline bool find_host(const SnapshotView& snapshot, uint64_t hash,
                                             HostKind kind, std::string_view rest, size_t skipped,
                                             ChosenHost* chosen) {
  const uint32_t index = shm::segment_of(hash, snapshot.routes_segment_count());
  const RoutesSegment& segment = snapshot.routes_segment(index);
  const uint32_t* const bucket =
      segment.host_buckets + shm::bucket_of(hash, segment.host_bucket_count);
  const uint32_t end = bucket[1];
  for (uint32_t i = bucket[0]; i < end; ++i) {
    const HostRecord& host = segment.hosts[i];
    if (host.hash != hash || host.kind != static_cast<uint8_t>(kind)) continue;
    if (host.name_length != rest.size() + skipped) continue;
    const char* const name = host.name_length <= shm::host_text_bytes_max
                                 ? host.text
                                 : segment.strings + host.name_offset;
    if (equal(name + skipped, rest.data(), rest.size())) {
      *chosen = {&segment, index, i};
      return true;
    }
  }
  return false;
}

bool find_wildcard(const SnapshotView& snapshot, std::string_view host, ChosenHost* chosen) {
  const size_t dot = host.find('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view suffix = host.substr(dot);  // with its dot
  return find_host(snapshot, shm::wildcard_hash(suffix), HostKind::wildcard, suffix, 1, chosen);
}

[[gnu::always_inline]] inline void choose_host(const SnapshotView& snapshot, std::string_view host,
                                               ChosenHost* chosen) {
  if (!host.empty()) {
    const uint64_t hash = shm::precise_hash(host);
    if (find_host(snapshot, hash, HostKind::precise, host, 0, chosen)) return;
    if (snapshot.has_wildcards() && find_wildcard(snapshot, host, chosen)) return;
  }
  const shm::RouteRef empty = snapshot.empty_host();
  if (empty.route == index_none) return;
  *chosen = {&snapshot.routes_segment(empty.segment), empty.segment, empty.route};
}

constexpr RouteTarget no_target{index_none, 0};

// The target of a key in the path table, or none.
[[gnu::always_inline]] inline RouteTarget find_path(const RoutesSegment& segment, uint32_t host,
                                                    PathKey key, uint64_t state, const char* text,
                                                    size_t length) {
  const uint64_t hash = shm::path_hash_end(state, key);
  const uint32_t* const bucket =
      segment.path_buckets + shm::bucket_of(hash, segment.path_bucket_count);
  const uint32_t end = bucket[1];
  for (uint32_t i = bucket[0]; i < end; ++i) {
    const PathRecord& path = segment.paths[i];
    if (path.hash == hash && path.host == host && path.key == static_cast<uint8_t>(key) &&
        path.text_length == length && equal(segment.strings + path.text_offset, text, length)) {
      return path.target;
    }
  }
  return no_target;
}

RouteTarget find_exact(const RoutesSegment& segment, uint32_t host, std::string_view path) {
  const uint64_t state = hash_text(path, shm::path_hash_start(host));
  return find_path(segment, host, PathKey::exact, state, path.data(), path.size());
}

// An element boundary of the request path at which this host has prefixes of that depth.
struct Boundary {
  uint64_t state;
  size_t length;
};

// One pass over the path: the hash at each boundary that could matter, then the longest first. Goes
// no further into the path than the host's deepest prefix.
RouteTarget find_prefix(const RoutesSegment& segment, uint32_t host, uint64_t depths,
                        std::string_view path) {
  std::array<Boundary, shm::prefix_elements_max> boundaries;  // written before it is read
  uint32_t boundary_count = 0;
  const char* const begin = path.data();
  const char* const end = begin + path.size();
  // The first slash stands before element 1; depth 0 is not in the table.
  uint64_t state = hash_octet('/', shm::path_hash_start(host));
  uint64_t left = depths >> 1;  // bit 0: the depth of the boundary ahead
  const char* at = begin + 1;
  for (; at != end; ++at) {
    const uint8_t octet = static_cast<uint8_t>(*at);
    if (octet == '/') {
      if ((left & 1) != 0) boundaries[boundary_count++] = {state, static_cast<size_t>(at - begin)};
      left >>= 1;
      if (left == 0) break;  // no prefix is deeper than this
    }
    state = hash_octet(octet, state);
  }
  if ((left & 1) != 0) boundaries[boundary_count++] = {state, path.size()};
  while (boundary_count != 0) {
    const Boundary& boundary = boundaries[--boundary_count];
    const RouteTarget target =
        find_path(segment, host, PathKey::prefix, boundary.state, begin, boundary.length);
    if (target.route != index_none) return target;
  }
  return no_target;
}

// The first of the paths in the host's record that takes the request; they stand in the order of
// precedence.
[[gnu::always_inline]] inline RouteTarget find_in_record(const HostRecord& host,
                                                         std::string_view path) {
  const char* text = host.text + shm::host_name_text_bytes(host);
  for (uint32_t i = 0; i < host.path_count; ++i) {
    const HostPath& rule = host.paths[i];
    const size_t length = rule.length;
    // An Exact path ends where the request's does, a Prefix there or before a slash.
    const bool ends = path.size() == length || (path.size() > length && path[length] == '/' &&
                                                rule.key == static_cast<uint8_t>(PathKey::prefix));
    if (ends && equal(text, path.data(), length)) return rule.target;
    text += length;
  }
  return no_target;
}

[[gnu::always_inline]] inline RouteTarget find_in_host(const RoutesSegment& segment,
                                                       uint32_t host_index, std::string_view path) {
  if (path.empty() || path.front() != '/') return no_target;
  const HostRecord& host = segment.hosts[host_index];
  if (host.path_count != 0) {
    const RouteTarget target = find_in_record(host, path);
    return target.route != index_none ? target : host.root;
  }
  if ((host.exact_lengths & shm::exact_length_bit(path.size())) != 0) {
    const RouteTarget target = find_exact(segment, host_index, path);
    if (target.route != index_none) return target;
  }
  if (host.prefix_depths != 0) {
    const RouteTarget target = find_prefix(segment, host_index, host.prefix_depths, path);
    if (target.route != index_none) return target;
  }
  return host.root;  // "/" as Prefix takes every path
}

}  // namespace

RouteMatch match(const SnapshotView& snapshot, std::string_view host, std::string_view path) {
  ChosenHost chosen;
  choose_host(snapshot, host, &chosen);
  if (chosen.segment != nullptr) {
    const RouteTarget rule = find_in_host(*chosen.segment, chosen.host, path);
    if (rule.route != index_none) {
      return {RouteFound::rule, rule.service_slot, {chosen.segment_index, rule.route}};
    }
    const RouteTarget& rest = chosen.segment->hosts[chosen.host].rest;
    if (rest.route != index_none) {
      return {RouteFound::host_default, rest.service_slot, {chosen.segment_index, rest.route}};
    }
  }
  const shm::RouteRef rest = snapshot.cluster_default();
  if (rest.route == index_none) return {};
  return {RouteFound::cluster_default, snapshot.route(rest).service_slot, rest};
}

uint64_t host_hint(std::string_view host) {
  return shm::precise_hash(host);
}

void prefetch_row(const SnapshotView& snapshot, uint64_t hint) {
  const RoutesSegment& segment =
      snapshot.routes_segment(shm::segment_of(hint, snapshot.routes_segment_count()));
  __builtin_prefetch(segment.host_buckets + shm::bucket_of(hint, segment.host_bucket_count));
}

void prefetch_record(const SnapshotView& snapshot, uint64_t hint) {
  const RoutesSegment& segment =
      snapshot.routes_segment(shm::segment_of(hint, snapshot.routes_segment_count()));
  const uint32_t first = segment.host_buckets[shm::bucket_of(hint, segment.host_bucket_count)];
  // Both lines; an index at the end of the hosts is not read, only asked for.
  const char* const record = reinterpret_cast<const char*>(segment.hosts + first);
  __builtin_prefetch(record);
  __builtin_prefetch(record + sizeof(HostRecord) / 2);
}

void prefetch_slots(const SnapshotView& snapshot, uint64_t hint) {
  const RoutesSegment& segment =
      snapshot.routes_segment(shm::segment_of(hint, snapshot.routes_segment_count()));
  const uint32_t* const bucket =
      segment.host_buckets + shm::bucket_of(hint, segment.host_bucket_count);
  const uint32_t end = bucket[1];
  for (uint32_t i = bucket[0]; i < end; ++i) {
    const HostRecord& host = segment.hosts[i];
    if (host.hash != hint) continue;
    if (host.root.route != index_none) {
      __builtin_prefetch(&snapshot.slot_record(host.root.service_slot));
    }
    if (host.path_count != 0) {
      __builtin_prefetch(&snapshot.slot_record(host.paths[0].target.service_slot));
    }
    return;
  }
}

}  // namespace millrace::route
