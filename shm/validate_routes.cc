#include <algorithm>
#include <memory>
#include <tuple>

#include "shm/snapshot_hash.h"
#include "shm/snapshot_validator.h"

namespace millrace::shm {
namespace {

bool is_host_octet(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_prefix_kind(uint8_t kind) {
  return kind == static_cast<uint8_t>(RouteKind::prefix) ||
         kind == static_cast<uint8_t>(RouteKind::implementation_specific);
}
bool is_path_kind(uint8_t kind) {
  return kind == static_cast<uint8_t>(RouteKind::exact) || is_prefix_kind(kind);
}

}  // namespace

bool SnapshotValidator::check_routes_segment(uint32_t index) {
  where_ = "routes segment " + std::to_string(index) + ": ";
  const RoutesHeader* header =
      open_segment<RoutesHeader>(segment_bytes_[index], directory_[index], routes_magic);
  if (header == nullptr) return false;
  RoutesSegment& s = routes_;
  s = RoutesSegment{};
  constexpr uint64_t buckets_max = uint64_t{bucket_count_max} + 1;
  for (const uint64_t padding : header->padding) {
    if (padding != 0) return fail("padding is not zero");
  }
  if (!take_section("hosts", header->hosts, hosts_max, &s.hosts) ||
      !take_section("host_buckets", header->host_buckets, buckets_max, &s.host_buckets) ||
      !take_section("path_buckets", header->path_buckets, buckets_max, &s.path_buckets) ||
      !take_section("paths", header->paths, routes_max, &s.paths) ||
      !take_section("routes", header->routes, routes_max, &s.routes) ||
      !take_section("shadowed", header->shadowed, routes_max, &s.shadowed) ||
      !take_strings(header->strings, &s.strings) || !close_segment()) {
    return false;
  }
  s.host_count = header->hosts.count;
  s.path_count = header->paths.count;
  s.route_count = header->routes.count;
  s.shadowed_count = header->shadowed.count;
  referred_.assign(s.route_count, 0);
  depths_.assign(s.host_count, 0);
  lengths_.assign(s.host_count, 0);
  if (!check_buckets("host_buckets", s.host_buckets, header->host_buckets, s.host_count,
                     &s.host_bucket_count) ||
      !check_buckets("path_buckets", s.path_buckets, header->path_buckets, s.path_count,
                     &s.path_bucket_count) ||
      !check_hosts(index) || !check_routes() || !check_defaults(index, *header) || !check_paths() ||
      !check_shadowed()) {
    return false;
  }
  facts_.identity = std::make_shared<char>();
  view_.facts_[index] = facts_;
  add_routes_segment(index, s);
  return true;
}

void SnapshotValidator::add_routes_segment(uint32_t index, const RoutesSegment& segment) {
  host_sum_ += segment.host_count;
  route_sum_ += segment.route_count;
  shadowed_sum_ += segment.shadowed_count;
  view_.has_wildcards_ |= segment.has_wildcards;
  if (segment.empty_host != index_none) view_.empty_host_ = {index, segment.empty_host};
  if (segment.cluster_default_route != index_none) {
    view_.cluster_default_ = {index, segment.cluster_default_route};
  }
  view_.routes_[index] = segment;
}

bool SnapshotValidator::check_hosts(uint32_t segment) {
  for (uint32_t b = 0; b < routes_.host_bucket_count; ++b) {
    const uint32_t begin = routes_.host_buckets[b];
    for (uint32_t i = begin; i < routes_.host_buckets[b + 1]; ++i) {
      if (!check_host(segment, b, i, i == begin)) return false;
    }
  }
  return true;
}

bool SnapshotValidator::check_host(uint32_t segment, uint32_t bucket, uint32_t index,
                                   bool first_in_bucket) {
  const HostRecord& host = routes_.hosts[index];
  if (!take_text("host", index, "name", {host.name_offset, host.name_length}, host_bytes_max)) {
    return false;
  }
  const std::string_view name = routes_.name(host);
  const bool starred = name.substr(0, 2) == "*.";
  for (char c : starred ? name.substr(2) : name) {
    if (!is_host_octet(c)) return fail("host %u: name has a byte that no host has", index);
  }
  const HostKind kind = name.empty() ? HostKind::empty
                        : starred    ? HostKind::wildcard
                                     : HostKind::precise;
  if (host.kind != static_cast<uint8_t>(kind))
    return fail("host %u: kind is not its name's", index);
  if (starred && name.size() < 3) return fail("host %u: name has no suffix", index);
  if (host.hash != host_hash(name)) return fail("host %u: hash is not its name's", index);
  if (bucket_of(host.hash, routes_.host_bucket_count) != bucket) {
    return fail("host %u: hash belongs to another bucket", index);
  }
  if (segment_of(host.hash, root_->routes_segment_count) != segment) {
    return fail("host %u: hash belongs to another segment", index);
  }
  if (!first_in_bucket) {
    const HostRecord& before = routes_.hosts[index - 1];
    const bool ascends =
        before.hash != host.hash ? before.hash < host.hash : routes_.name(before) < name;
    if (!ascends) return fail("host %u: out of order or twice", index);
  }
  if (host.reserved != 0) return fail("host %u: reserved is not zero", index);
  if (kind == HostKind::empty) routes_.empty_host = index;
  if (kind == HostKind::wildcard) routes_.has_wildcards = true;
  return true;
}

bool SnapshotValidator::check_route(const char* record, uint32_t index, const RouteRecord& route) {
  if (route.service_slot >= root_->service_slot_count) {
    return fail("%s %u: service_slot %u does not exist", record, index, route.service_slot);
  }
  facts_.service_slot_end = std::max(facts_.service_slot_end, route.service_slot + 1);
  if (route.kind < static_cast<uint8_t>(RouteKind::exact) ||
      route.kind > static_cast<uint8_t>(RouteKind::cluster_default)) {
    return fail("%s %u: kind is unknown", record, index);
  }
  if (route.flags != 0 || route.reserved != 0) {
    return fail("%s %u: flags or reserved is not zero", record, index);
  }
  const bool of_cluster = route.kind == static_cast<uint8_t>(RouteKind::cluster_default);
  if (of_cluster ? route.host != index_none : route.host >= routes_.host_count) {
    return fail("%s %u: host does not exist", record, index);
  }
  if (!check_name(record, index, "ingress_namespace", route.ingress_namespace,
                  object_name_bytes_max) ||
      !check_name(record, index, "ingress_name", route.ingress_name, object_name_bytes_max) ||
      !take_text(record, index, "path", route.path, path_bytes_max)) {
    return false;
  }
  const std::string_view path = routes_.text(route.path);
  if (is_path_kind(route.kind) ? path.empty() || path.front() != '/' : !path.empty()) {
    return fail("%s %u: path does not fit its kind", record, index);
  }
  return true;
}

bool SnapshotValidator::check_routes() {
  for (uint32_t i = 0; i < routes_.route_count; ++i) {
    if (!check_route("route", i, routes_.routes[i])) return false;
  }
  return true;
}

// Every route has exactly one way in, so that a wrong index cannot hide behind a right one.
bool SnapshotValidator::refer_to_route(const char* record, uint32_t index, uint32_t route) {
  if (route >= routes_.route_count) return fail("%s %u: route does not exist", record, index);
  if (referred_[route] != 0) return fail("%s %u: route is another record's", record, index);
  referred_[route] = 1;
  return true;
}

// The way to a route and to its service slot; nothing else may stand where there is none.
bool SnapshotValidator::take_target(const char* record, uint32_t index, const char* field,
                                    const RouteTarget& target) {
  if (target.route == index_none) {
    if (target.service_slot == 0) return true;
    return fail("%s %u: %s has a service_slot without a route", record, index, field);
  }
  if (!refer_to_route(record, index, target.route)) return false;
  if (target.service_slot != routes_.routes[target.route].service_slot) {
    return fail("%s %u: %s has another service_slot than its route", record, index, field);
  }
  return true;
}

bool SnapshotValidator::check_host_defaults(uint32_t index) {
  const HostRecord& host = routes_.hosts[index];
  if (!take_target("host", index, "root", host.root) ||
      !take_target("host", index, "rest", host.rest)) {
    return false;
  }
  if (host.root.route != index_none) {
    const RouteRecord& record = routes_.routes[host.root.route];
    if (!is_prefix_kind(record.kind) || record.host != index || record.path.length != 1) {
      return fail("host %u: root is not this host's Prefix \"/\"", index);
    }
  }
  if (host.rest.route != index_none) {
    const RouteRecord& record = routes_.routes[host.rest.route];
    if (record.kind != static_cast<uint8_t>(RouteKind::host_default) || record.host != index) {
      return fail("host %u: rest is not a default of this host", index);
    }
  }
  return true;
}

// The paths that lie in the host's record.
bool SnapshotValidator::check_host_paths(uint32_t index) {
  const HostRecord& host = routes_.hosts[index];
  if (host.path_count > host_paths_max) return fail("host %u: path_count is too large", index);
  if (host.path_count > 0 && (host.prefix_depths != 0 || host.exact_lengths != 0)) {
    return fail("host %u: has paths in its record and in the table", index);
  }
  uint32_t end = host_name_text_bytes(host);
  if (routes_.name(host).substr(0, end) != std::string_view(host.text, end)) {
    return fail("host %u: text does not begin with its name", index);
  }
  for (uint32_t i = 0; i < host_paths_max; ++i) {
    const HostPath& path = host.paths[i];
    if (i >= host.path_count) {
      if (path.target.route != 0 || path.target.service_slot != 0 || path.key != 0 ||
          path.length != 0 || path.reserved != 0) {
        return fail("host %u: path %u is not there and not zero", index, i);
      }
      continue;
    }
    end += path.length;
    if (end > host_text_bytes_max) return fail("host %u: path %u is outside its text", index, i);
    if (!check_host_path(index, i)) return false;
  }
  for (; end < host_text_bytes_max; ++end) {
    if (host.text[end] != 0) return fail("host %u: text has bytes behind its last path", index);
  }
  return true;
}

bool SnapshotValidator::check_host_path(uint32_t index, uint32_t number) {
  const HostRecord& host = routes_.hosts[index];
  const HostPath& path = host.paths[number];
  const std::string_view text = RoutesSegment::text(host, number);
  if (path.reserved != 0) return fail("host %u: path %u: reserved is not zero", index, number);
  if (!check_key("host", index, path.key)) return false;
  if (path.target.route == index_none) return fail("host %u: path %u has no route", index, number);
  if (!take_target("host", index, "path", path.target)) return false;
  const RouteRecord& route = routes_.routes[path.target.route];
  if (route.host != index) return fail("host %u: path %u: host is not its route's", index, number);
  if (!check_key_of_route("host", index, path.key, route)) return false;
  if (text != canonical_of(route)) {
    return fail("host %u: path %u: text is not its route's canonical path", index, number);
  }
  const bool prefix = path.key == static_cast<uint8_t>(PathKey::prefix);
  if (text.empty() || (prefix && element_count(text) > prefix_elements_max)) {
    return fail("host %u: path %u: text is empty or has too many elements", index, number);
  }
  if (number == 0) return true;
  const HostPath& before = host.paths[number - 1];
  const std::string_view text_before = RoutesSegment::text(host, number - 1);
  const bool ascends = before.key != path.key         ? before.key < path.key
                       : before.length != path.length ? before.length > path.length
                                                      : text_before < text;
  if (!ascends) return fail("host %u: path %u: out of order or twice", index, number);
  return true;
}

bool SnapshotValidator::check_defaults(uint32_t segment, const RoutesHeader& header) {
  for (uint32_t i = 0; i < routes_.host_count; ++i) {
    if (!check_host_defaults(i) || !check_host_paths(i)) return false;
  }
  const uint32_t route = header.cluster_default_route;
  routes_.cluster_default_route = route;
  if (route == index_none) return true;
  if (segment != segment_of(host_hash(""), root_->routes_segment_count)) {
    return fail("cluster_default_route stands in the wrong segment");
  }
  if (!refer_to_route("header", 0, route)) return false;
  if (routes_.routes[route].kind != static_cast<uint8_t>(RouteKind::cluster_default)) {
    return fail("cluster_default_route is not a cluster default");
  }
  return true;
}

bool SnapshotValidator::check_paths() {
  for (uint32_t b = 0; b < routes_.path_bucket_count; ++b) {
    const uint32_t begin = routes_.path_buckets[b];
    for (uint32_t i = begin; i < routes_.path_buckets[b + 1]; ++i) {
      if (!check_path(b, i, i == begin)) return false;
    }
  }
  for (uint32_t i = 0; i < routes_.host_count; ++i) {
    const HostRecord& host = routes_.hosts[i];
    if (host.prefix_depths != depths_[i])
      return fail("host %u: prefix_depths are not its paths'", i);
    if (host.exact_lengths != lengths_[i]) {
      return fail("host %u: exact_lengths are not its paths'", i);
    }
  }
  for (uint32_t i = 0; i < routes_.route_count; ++i) {
    if (referred_[i] == 0) return fail("route %u: no path or default leads to it", i);
  }
  return true;
}

bool SnapshotValidator::check_key(const char* record, uint32_t index, uint8_t key) {
  if (key == static_cast<uint8_t>(PathKey::exact) || key == static_cast<uint8_t>(PathKey::prefix)) {
    return true;
  }
  return fail("%s %u: key is unknown", record, index);
}

bool SnapshotValidator::check_key_of_route(const char* record, uint32_t index, uint8_t key,
                                           const RouteRecord& route) {
  const bool exact = key == static_cast<uint8_t>(PathKey::exact);
  if (exact ? route.kind == static_cast<uint8_t>(RouteKind::exact) : is_prefix_kind(route.kind)) {
    return true;
  }
  return fail("%s %u: key is not its route's kind", record, index);
}

std::string_view SnapshotValidator::canonical_of(const RouteRecord& route) const {
  const std::string_view written = routes_.text(route.path);
  return route.kind == static_cast<uint8_t>(RouteKind::exact) ? written : canonical_prefix(written);
}

bool SnapshotValidator::check_path_route(uint32_t index, const PathRecord& path) {
  if (path.target.route == index_none) return fail("path %u: route does not exist", index);
  if (!take_target("path", index, "target", path.target)) return false;
  const RouteRecord& route = routes_.routes[path.target.route];
  if (route.host != path.host) return fail("path %u: host is not its route's", index);
  if (!check_key_of_route("path", index, path.key, route)) return false;
  if (path.text_offset != route.path.offset || path.text_length != canonical_of(route).size()) {
    return fail("path %u: text is not its route's canonical path", index);
  }
  return true;
}

bool SnapshotValidator::check_path(uint32_t bucket, uint32_t index, bool first_in_bucket) {
  const PathRecord& path = routes_.paths[index];
  if (path.host >= routes_.host_count) return fail("path %u: host does not exist", index);
  if (!check_key("path", index, path.key)) return false;
  if (path.flags != 0 || path.reserved != 0) {
    return fail("path %u: flags or reserved is not zero", index);
  }
  if (!check_path_route(index, path)) return false;
  const PathKey key = static_cast<PathKey>(path.key);
  const std::string_view text = routes_.text(path);
  if (key == PathKey::exact) {
    lengths_[path.host] |= exact_length_bit(text.size());
  } else {
    const uint32_t depth = element_count(text);
    if (depth == 0) return fail("path %u: text is empty, it belongs to its host's record", index);
    if (depth > prefix_elements_max) return fail("path %u: text has too many elements", index);
    depths_[path.host] |= uint64_t{1} << depth;
  }
  if (path.hash != path_hash(path.host, key, text)) {
    return fail("path %u: hash is not its text's", index);
  }
  if (bucket_of(path.hash, routes_.path_bucket_count) != bucket) {
    return fail("path %u: hash belongs to another bucket", index);
  }
  if (first_in_bucket) return true;
  const PathRecord& before = routes_.paths[index - 1];
  if (before.hash != path.hash ? before.hash > path.hash
                               : std::tuple(before.host, before.key, routes_.text(before)) >=
                                     std::tuple(path.host, path.key, text)) {
    return fail("path %u: out of order or twice", index);
  }
  return true;
}

bool SnapshotValidator::check_shadowed() {
  for (uint32_t i = 0; i < routes_.shadowed_count; ++i) {
    const ShadowedRecord& record = routes_.shadowed[i];
    if (!check_route("shadowed", i, record.route)) return false;
    if (record.reserved != 0) return fail("shadowed %u: reserved is not zero", i);
    if (record.shadowed_by >= routes_.route_count) {
      return fail("shadowed %u: shadowed_by does not exist", i);
    }
    const RouteRecord& winner = routes_.routes[record.shadowed_by];
    if (winner.host != record.route.host)
      return fail("shadowed %u: shadowed_by has another host", i);
    const bool both_prefix = is_prefix_kind(winner.kind) && is_prefix_kind(record.route.kind);
    if (!both_prefix && winner.kind != record.route.kind) {
      return fail("shadowed %u: shadowed_by has another kind", i);
    }
    const std::string_view won = routes_.text(winner.path);
    const std::string_view lost = routes_.text(record.route.path);
    if (both_prefix ? canonical_prefix(won) != canonical_prefix(lost) : won != lost) {
      return fail("shadowed %u: shadowed_by has another path", i);
    }
  }
  return true;
}

}  // namespace millrace::shm
