#include "shm/snapshot_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "shm/content_hash.h"
#include "shm/snapshot_hash.h"

namespace millrace::shm {
namespace {

struct HostState {
  std::string name;
  uint64_t hash = 0;
  bool has_default = false;
};

struct RouteState {
  uint32_t host = index_none;  // into State::hosts
  RouteKind kind = RouteKind::exact;
  std::string path;
  uint32_t service_slot = 0;
  uint32_t rule_index = 0;
  std::string ingress_namespace;
  std::string ingress_name;
};

struct ShadowedState {
  RouteState route;
  uint32_t winner = index_none;  // into State::routes
};

struct ServiceState {
  std::string service_namespace;
  std::string service_name;
  std::string port;
  std::vector<EndpointRecord> endpoints;
};

bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const uint8_t octet = static_cast<uint8_t>(c);
    return octet < 0x20 || octet == 0x7f;
  });
}

std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (char c : text) shown += is_clean({&c, 1}) ? c : '?';
  return shown + "\"";
}

RouteKind kind_of(PathType type) {
  switch (type) {
    case PathType::exact: return RouteKind::exact;
    case PathType::prefix: return RouteKind::prefix;
    case PathType::implementation_specific: return RouteKind::implementation_specific;
  }
  return RouteKind::prefix;
}
PathKey key_of(RouteKind kind) {
  return kind == RouteKind::exact ? PathKey::exact : PathKey::prefix;
}
std::string_view canonical_of(const RouteState& route) {
  return route.kind == RouteKind::exact ? std::string_view(route.path)
                                        : canonical_prefix(route.path);
}
bool is_path_kind(RouteKind kind) {
  return kind != RouteKind::host_default && kind != RouteKind::cluster_default;
}

// ---- what an input must be ----

Status check_host(std::string_view host) {
  const std::string named = "host " + quoted(host);
  if (host.size() > host_bytes_max) return Error{named + " is longer than 253 bytes"};
  const bool starred = host.substr(0, 2) == "*.";
  if (starred && host.size() == 2) return Error{named + " has no suffix behind its wildcard"};
  for (char c : starred ? host.substr(2) : host) {
    const bool taken =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (!taken) return Error{named + " has a byte that no host has (lower-case names only)"};
  }
  return Ok{};
}

Status check_path(std::string_view path, PathType type) {
  const std::string named = "path " + quoted(path.substr(0, 80));
  if (path.empty() || path.front() != '/') return Error{named + " does not begin with '/'"};
  if (path.size() > path_bytes_max) return Error{named + " is longer than 4096 bytes"};
  if (!is_clean(path)) return Error{named + " has a control byte"};
  if (type != PathType::exact && element_count(canonical_prefix(path)) > prefix_elements_max) {
    return Error{named + " has more than 63 elements"};
  }
  return Ok{};
}

Status check_source(const RouteSource& source) {
  if (source.service_slot >= service_slots_max) return Error{"service slot is too large"};
  if (source.ingress_namespace.size() > object_name_bytes_max ||
      source.ingress_name.size() > object_name_bytes_max || !is_clean(source.ingress_namespace) ||
      !is_clean(source.ingress_name)) {
    return Error{"the Ingress's namespace or name is too long or has a control byte"};
  }
  return Ok{};
}

RouteState make_route(uint32_t host, RouteKind kind, std::string_view path,
                      const RouteSource& source) {
  RouteState route;
  route.host = host;
  route.kind = kind;
  route.path = path;
  route.service_slot = source.service_slot;
  route.rule_index = source.rule_index;
  route.ingress_namespace = source.ingress_namespace;
  route.ingress_name = source.ingress_name;
  return route;
}

// ---- laying bytes ----

class SegmentBytes {
 public:
  template <class Header>
  explicit SegmentBytes(const Header&) : bytes_(sizeof(Header), 0) {}

  template <class Record>
  Section append(const std::vector<Record>& records) {
    return append_bytes(records.data(), records.size() * sizeof(Record), records.size());
  }
  Section append(const std::string& strings) {
    return append_bytes(strings.data(), strings.size(), strings.size());
  }
  template <class Header>
  std::vector<uint8_t> finish(Header& header) {
    header.common.total_bytes = bytes_.size();
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }
  uint64_t size() const { return bytes_.size(); }

 private:
  Section append_bytes(const void* from, size_t size, size_t count) {
    const Section section{static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(count)};
    const uint8_t* first = static_cast<const uint8_t*>(from);
    if (size != 0) bytes_.insert(bytes_.end(), first, first + size);
    bytes_.resize((bytes_.size() + 7) & ~size_t{7}, 0);
    return section;
  }
  std::vector<uint8_t> bytes_;
};

class StringPool {
 public:
  // For what the validator hashes or compares: laid one behind the other, never shared.
  StringRef add_text(std::string_view text) {
    const StringRef ref{static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(text.size())};
    bytes_ += text;
    return ref;
  }
  // For names that come again and again.
  StringRef add_name(const std::string& name) {
    if (name.empty()) return {0, 0};
    const auto found = names_.find(name);
    if (found != names_.end()) return found->second;
    const StringRef ref = add_text(name);
    names_.emplace(name, ref);
    return ref;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  std::unordered_map<std::string, StringRef> names_;
};

uint32_t bucket_count_for(size_t entries) {
  const uint64_t wanted = std::bit_ceil(std::max<uint64_t>(entries, 1));
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, bucket_count_max));
}

// Which of the hashes, in their order, fit into their buckets.
std::vector<bool> fitting(const std::vector<uint64_t>& hashes, uint32_t bucket_count) {
  std::vector<uint32_t> lengths(bucket_count, 0);
  std::vector<bool> fits(hashes.size(), false);
  for (size_t i = 0; i < hashes.size(); ++i) {
    uint32_t& length = lengths[bucket_of(hashes[i], bucket_count)];
    fits[i] = length < bucket_length_max;
    if (fits[i]) ++length;
  }
  return fits;
}

// Compressed rows over records already sorted by bucket.
template <class Record>
std::vector<uint32_t> bucket_rows(const std::vector<Record>& records, uint32_t bucket_count) {
  std::vector<uint32_t> rows(bucket_count + 1, 0);
  for (const Record& record : records) ++rows[bucket_of(record.hash, bucket_count) + 1];
  for (uint32_t b = 0; b < bucket_count; ++b) rows[b + 1] += rows[b];
  return rows;
}

}  // namespace

struct SnapshotBuilder::State {
  SnapshotShape shape;
  std::vector<HostState> hosts;  // in the order of their first mention
  std::unordered_map<std::string, uint32_t> host_by_name;
  std::vector<RouteState> routes;
  std::unordered_map<std::string, uint32_t> route_by_key;
  std::vector<ShadowedState> shadowed;
  std::map<uint32_t, ServiceState> services;
  uint32_t cluster_default = index_none;
  uint32_t slot_count = 0;

  uint32_t host_index(std::string_view name) {
    const auto [at, added] =
        host_by_name.try_emplace(std::string(name), static_cast<uint32_t>(hosts.size()));
    if (added) hosts.push_back({std::string(name), host_hash(name), false});
    return at->second;
  }
  RouteId keep(RouteState route) {
    slot_count = std::max(slot_count, route.service_slot + 1);
    routes.push_back(std::move(route));
    return {static_cast<uint32_t>(routes.size() - 1)};
  }
  Status shadow(RouteState route, RouteId winner) {
    if (winner.value >= routes.size()) return Error{"the winner is not a route of this builder"};
    const RouteState& won = routes[winner.value];
    const bool same_kind = is_path_kind(route.kind)
                               ? is_path_kind(won.kind) && key_of(won.kind) == key_of(route.kind)
                               : won.kind == route.kind;
    if (won.host != route.host || !same_kind || canonical_of(won) != canonical_of(route)) {
      return Error{"the winner does not have the host and path of the rule it shadows"};
    }
    slot_count = std::max(slot_count, route.service_slot + 1);
    shadowed.push_back({std::move(route), winner.value});
    return Ok{};
  }
};

namespace {

// Builds one routes segment: the hosts whose hash chose it, and their routes.
class RoutesSegmentBuilder {
 public:
  RoutesSegmentBuilder(const std::vector<HostState>& hosts, const std::vector<RouteState>& routes,
                       const std::vector<ShadowedState>& shadowed, uint32_t index, uint32_t count)
      : hosts_in_(hosts),
        routes_in_(routes),
        shadowed_in_(shadowed),
        index_(index),
        count_(count) {}

  Result<BuiltSegment> build(std::vector<RejectedRoute>& rejected);

  uint32_t host_count() const { return static_cast<uint32_t>(hosts_.size()); }
  uint32_t route_count() const { return static_cast<uint32_t>(routes_.size()); }
  uint32_t shadowed_count() const { return static_cast<uint32_t>(shadowed_.size()); }

 private:
  struct PathPlan {
    PathRecord record{};
    uint32_t input = 0;  // into routes_in_
    std::string_view text;
  };

  void place_hosts();
  void place_paths(std::vector<RejectedRoute>& rejected);
  void fill_hosts();
  void fill_routes();
  RouteRecord record_of(const RouteState& route, uint32_t host, StringRef path);
  bool is_mine(const RouteState& route) const;
  uint32_t host_of(const RouteState& route) const {
    return route.host == index_none ? index_none : placed_host_[route.host];
  }

  const std::vector<HostState>& hosts_in_;
  const std::vector<RouteState>& routes_in_;
  const std::vector<ShadowedState>& shadowed_in_;
  uint32_t index_;
  uint32_t count_;

  std::vector<uint32_t> placed_host_;   // by input host: index in hosts_, or none
  std::vector<uint32_t> host_inputs_;   // by index in hosts_: input host
  std::vector<uint32_t> placed_route_;  // by input route: index in routes_, or none
  std::vector<uint32_t> route_inputs_;  // by index in routes_: input route
  std::vector<PathPlan> plans_;
  uint32_t host_bucket_count_ = 1;
  uint32_t path_bucket_count_ = 1;
  uint32_t cluster_default_ = index_none;

  std::vector<HostRecord> hosts_;
  std::vector<RouteRecord> routes_;
  std::vector<ShadowedRecord> shadowed_;
  StringPool strings_;
};

bool RoutesSegmentBuilder::is_mine(const RouteState& route) const {
  const uint64_t hash = route.host == index_none ? host_hash("") : hosts_in_[route.host].hash;
  return segment_of(hash, count_) == index_;
}

void RoutesSegmentBuilder::place_hosts() {
  std::vector<uint32_t> mine;
  std::vector<uint64_t> hashes;
  for (uint32_t i = 0; i < hosts_in_.size(); ++i) {
    if (segment_of(hosts_in_[i].hash, count_) != index_) continue;
    mine.push_back(i);
    hashes.push_back(hosts_in_[i].hash);
  }
  host_bucket_count_ = bucket_count_for(mine.size());
  const std::vector<bool> fits = fitting(hashes, host_bucket_count_);
  for (size_t i = 0; i < mine.size(); ++i) {
    if (fits[i]) host_inputs_.push_back(mine[i]);
  }
  std::sort(host_inputs_.begin(), host_inputs_.end(), [this](uint32_t left, uint32_t right) {
    const HostState& a = hosts_in_[left];
    const HostState& b = hosts_in_[right];
    return std::tuple(bucket_of(a.hash, host_bucket_count_), a.hash, std::string_view(a.name)) <
           std::tuple(bucket_of(b.hash, host_bucket_count_), b.hash, std::string_view(b.name));
  });
  placed_host_.assign(hosts_in_.size(), index_none);
  for (uint32_t i = 0; i < host_inputs_.size(); ++i) placed_host_[host_inputs_[i]] = i;
}

void RoutesSegmentBuilder::place_paths(std::vector<RejectedRoute>& rejected) {
  const auto reject = [&](uint32_t input) {
    const RouteState& route = routes_in_[input];
    rejected.push_back({{input},
                        "host " + quoted(hosts_in_[route.host].name) + " path " +
                            quoted(std::string_view(route.path).substr(0, 80)) +
                            " is left out: too many keys share its hash bucket"});
  };
  std::vector<uint64_t> hashes;
  std::vector<bool> has_place(routes_in_.size(), false);
  for (uint32_t i = 0; i < routes_in_.size(); ++i) {
    const RouteState& route = routes_in_[i];
    if (!is_mine(route)) continue;
    const uint32_t host = host_of(route);
    if (route.host != index_none && host == index_none) {
      reject(i);
      continue;
    }
    has_place[i] = true;
    if (!is_path_kind(route.kind) || canonical_of(route).empty()) continue;
    PathPlan plan;
    plan.input = i;
    plan.text = canonical_of(route);
    plan.record.host = host;
    plan.record.key = static_cast<uint8_t>(key_of(route.kind));
    plan.record.hash = path_hash(host, key_of(route.kind), plan.text);
    plans_.push_back(plan);
    hashes.push_back(plan.record.hash);
  }
  path_bucket_count_ = bucket_count_for(plans_.size());
  const std::vector<bool> fits = fitting(hashes, path_bucket_count_);
  std::vector<PathPlan> kept;
  for (size_t i = 0; i < plans_.size(); ++i) {
    if (fits[i]) {
      kept.push_back(plans_[i]);
    } else {
      has_place[plans_[i].input] = false;
      reject(plans_[i].input);
    }
  }
  plans_ = std::move(kept);
  std::sort(plans_.begin(), plans_.end(), [this](const PathPlan& a, const PathPlan& b) {
    return std::tuple(bucket_of(a.record.hash, path_bucket_count_), a.record.hash, a.record.host,
                      a.record.key,
                      a.text) < std::tuple(bucket_of(b.record.hash, path_bucket_count_),
                                           b.record.hash, b.record.host, b.record.key, b.text);
  });
  placed_route_.assign(routes_in_.size(), index_none);
  for (uint32_t i = 0; i < routes_in_.size(); ++i) {
    if (!has_place[i]) continue;
    placed_route_[i] = static_cast<uint32_t>(route_inputs_.size());
    route_inputs_.push_back(i);
  }
}

void RoutesSegmentBuilder::fill_hosts() {
  for (uint32_t input : host_inputs_) {
    const HostState& host = hosts_in_[input];
    const StringRef name = strings_.add_text(host.name);
    HostRecord record{};
    record.hash = host.hash;
    record.name_offset = name.offset;
    record.name_length = static_cast<uint16_t>(name.length);
    const HostKind kind = host.name.empty()          ? HostKind::empty
                          : host.name.front() == '*' ? HostKind::wildcard
                                                     : HostKind::precise;
    record.kind = static_cast<uint8_t>(kind);
    record.root_route = index_none;
    record.default_route = index_none;
    hosts_.push_back(record);
  }
}

RouteRecord RoutesSegmentBuilder::record_of(const RouteState& route, uint32_t host,
                                            StringRef path) {
  RouteRecord record{};
  record.service_slot = route.service_slot;
  record.host = host;
  record.rule_index = route.rule_index;
  record.kind = static_cast<uint8_t>(route.kind);
  record.path = path;
  return record;
}

void RoutesSegmentBuilder::fill_routes() {
  for (uint32_t i = 0; i < route_inputs_.size(); ++i) {
    const RouteState& route = routes_in_[route_inputs_[i]];
    const uint32_t host = host_of(route);
    routes_.push_back(record_of(route, host, strings_.add_text(route.path)));
    if (is_path_kind(route.kind) && canonical_of(route).empty()) hosts_[host].root_route = i;
    if (route.kind == RouteKind::host_default) hosts_[host].default_route = i;
    if (route.kind == RouteKind::cluster_default) cluster_default_ = i;
  }
  std::vector<const RouteState*> shadowed_sources;
  for (const ShadowedState& lost : shadowed_in_) {
    if (!is_mine(lost.route) || placed_route_[lost.winner] == index_none) continue;
    ShadowedRecord record{};
    record.route = record_of(lost.route, host_of(lost.route), strings_.add_text(lost.route.path));
    record.shadowed_by = placed_route_[lost.winner];
    shadowed_.push_back(record);
    shadowed_sources.push_back(&lost.route);
  }
  for (PathPlan& plan : plans_) {
    const uint32_t route = placed_route_[plan.input];
    plan.record.route = route;
    plan.record.text_offset = routes_[route].path.offset;
    plan.record.text_length = static_cast<uint16_t>(plan.text.size());
    HostRecord& host = hosts_[plan.record.host];
    if (plan.record.key == static_cast<uint8_t>(PathKey::exact)) {
      host.exact_lengths |= exact_length_bit(plan.text.size());
    } else {
      host.prefix_depths |= uint64_t{1} << element_count(plan.text);
    }
  }
  // Names come last: the texts before them stay in one piece.
  for (uint32_t i = 0; i < routes_.size(); ++i) {
    const RouteState& route = routes_in_[route_inputs_[i]];
    routes_[i].ingress_namespace = strings_.add_name(route.ingress_namespace);
    routes_[i].ingress_name = strings_.add_name(route.ingress_name);
  }
  for (uint32_t i = 0; i < shadowed_.size(); ++i) {
    shadowed_[i].route.ingress_namespace =
        strings_.add_name(shadowed_sources[i]->ingress_namespace);
    shadowed_[i].route.ingress_name = strings_.add_name(shadowed_sources[i]->ingress_name);
  }
}

Result<BuiltSegment> RoutesSegmentBuilder::build(std::vector<RejectedRoute>& rejected) {
  place_hosts();
  place_paths(rejected);
  fill_hosts();
  fill_routes();
  if (hosts_.size() > hosts_max) return Error{"too many hosts for one snapshot segment"};
  if (routes_.size() > routes_max || shadowed_.size() > routes_max) {
    return Error{"too many routes for one snapshot segment"};
  }
  std::vector<PathRecord> paths;
  paths.reserve(plans_.size());
  for (const PathPlan& plan : plans_) paths.push_back(plan.record);

  RoutesHeader header{};
  header.common = {routes_magic, snapshot_abi, static_cast<uint32_t>(SegmentKind::routes),
                   index_,       count_,       0};
  SegmentBytes bytes(header);
  header.host_buckets = bytes.append(bucket_rows(hosts_, host_bucket_count_));
  header.hosts = bytes.append(hosts_);
  header.path_buckets = bytes.append(bucket_rows(paths, path_bucket_count_));
  header.paths = bytes.append(paths);
  header.routes = bytes.append(routes_);
  header.shadowed = bytes.append(shadowed_);
  header.strings = bytes.append(strings_.bytes());
  header.cluster_default_route = cluster_default_;
  if (bytes.size() > segment_bytes_max) return Error{"a routes segment exceeds 1 GiB"};
  BuiltSegment segment;
  segment.kind = SegmentKind::routes;
  segment.index = index_;
  segment.bytes = bytes.finish(header);
  segment.id = content_hash(segment.bytes);
  return segment;
}

Result<BuiltSegment> build_endpoints_segment(const std::map<uint32_t, ServiceState>& services,
                                             uint32_t index, uint32_t count, uint32_t first_slot,
                                             uint32_t slot_count, uint64_t* endpoint_count) {
  std::vector<ServiceSlot> slots(slot_count);
  std::vector<EndpointRecord> endpoints;
  StringPool strings;
  auto service = services.lower_bound(first_slot);
  for (uint32_t i = 0; i < slot_count; ++i) {
    ServiceSlot& slot = slots[i];
    slot = ServiceSlot{};
    slot.first_endpoint = static_cast<uint32_t>(endpoints.size());
    if (service == services.end() || service->first != first_slot + i) continue;
    const ServiceState& state = service->second;
    slot.flags = slot_in_use;
    slot.endpoint_count = static_cast<uint32_t>(state.endpoints.size());
    slot.service_namespace = strings.add_name(state.service_namespace);
    slot.service_name = strings.add_name(state.service_name);
    slot.port = strings.add_name(state.port);
    endpoints.insert(endpoints.end(), state.endpoints.begin(), state.endpoints.end());
    ++service;
  }
  if (endpoints.size() > endpoints_max) return Error{"too many endpoints for one segment"};
  *endpoint_count += endpoints.size();
  EndpointsHeader header{};
  header.common = {endpoints_magic, snapshot_abi, static_cast<uint32_t>(SegmentKind::endpoints),
                   index,           count,        0};
  SegmentBytes bytes(header);
  header.slots = bytes.append(slots);
  header.endpoints = bytes.append(endpoints);
  header.strings = bytes.append(strings.bytes());
  header.first_slot = first_slot;
  if (bytes.size() > segment_bytes_max) return Error{"an endpoints segment exceeds 1 GiB"};
  BuiltSegment segment;
  segment.kind = SegmentKind::endpoints;
  segment.index = index;
  segment.bytes = bytes.finish(header);
  segment.id = content_hash(segment.bytes);
  return segment;
}

std::vector<uint8_t> build_root(RootHeader header, const std::vector<BuiltSegment>& segments) {
  std::vector<uint8_t> bytes(sizeof(RootHeader) + segments.size() * sizeof(SegmentEntry), 0);
  header.magic = root_magic;
  header.abi = snapshot_abi;
  header.header_bytes = sizeof(RootHeader);
  header.total_bytes = bytes.size();
  header.segment_count = static_cast<uint32_t>(segments.size());
  uint8_t* at = bytes.data() + sizeof header;
  for (const BuiltSegment& segment : segments) {
    SegmentEntry entry{};
    entry.kind = static_cast<uint32_t>(segment.kind);
    entry.index = segment.index;
    entry.count = segment.kind == SegmentKind::routes ? header.routes_segment_count
                                                      : header.endpoints_segment_count;
    entry.segment_id = segment.id;
    entry.total_bytes = segment.bytes.size();
    std::memcpy(at, &entry, sizeof entry);
    at += sizeof entry;
  }
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = root_checksum(bytes);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

}  // namespace

SnapshotBuilder::SnapshotBuilder(SnapshotShape shape) : state_(std::make_unique<State>()) {
  CHECK(std::has_single_bit(shape.routes_segment_count));
  CHECK(shape.routes_segment_count <= segments_per_kind_max);
  CHECK(shape.service_slot_shift <= service_slot_shift_max);
  state_->shape = shape;
}
SnapshotBuilder::~SnapshotBuilder() = default;
SnapshotBuilder::SnapshotBuilder(SnapshotBuilder&&) noexcept = default;
SnapshotBuilder& SnapshotBuilder::operator=(SnapshotBuilder&&) noexcept = default;

Result<RouteId> SnapshotBuilder::add_route(std::string_view host, std::string_view path,
                                           PathType type, const RouteSource& source) {
  for (const Status& status : {check_host(host), check_path(path, type), check_source(source)}) {
    if (!status.ok()) return Error{status.error()};
  }
  const uint32_t index = state_->host_index(host);
  RouteState route = make_route(index, kind_of(type), path, source);
  std::string key = std::to_string(index) + (type == PathType::exact ? 'e' : 'p');
  key += canonical_of(route);
  const auto [at, added] = state_->route_by_key.try_emplace(
      std::move(key), static_cast<uint32_t>(state_->routes.size()));
  if (!added) {
    const RouteState& taken = state_->routes[at->second];
    return Error{"host " + quoted(host) + " path " + quoted(path) +
                 " is already taken by Ingress " + taken.ingress_namespace + "/" +
                 taken.ingress_name};
  }
  return state_->keep(std::move(route));
}

Result<RouteId> SnapshotBuilder::set_host_default(std::string_view host,
                                                  const RouteSource& source) {
  for (const Status& status : {check_host(host), check_source(source)}) {
    if (!status.ok()) return Error{status.error()};
  }
  const uint32_t index = state_->host_index(host);
  if (state_->hosts[index].has_default) {
    return Error{"host " + quoted(host) + " already has a default backend"};
  }
  state_->hosts[index].has_default = true;
  return state_->keep(make_route(index, RouteKind::host_default, "", source));
}

Result<RouteId> SnapshotBuilder::set_cluster_default(const RouteSource& source) {
  const Status status = check_source(source);
  if (!status.ok()) return Error{status.error()};
  if (state_->cluster_default != index_none) return Error{"there already is a cluster default"};
  state_->cluster_default = static_cast<uint32_t>(state_->routes.size());
  return state_->keep(make_route(index_none, RouteKind::cluster_default, "", source));
}

Status SnapshotBuilder::add_host(std::string_view host) {
  const Status status = check_host(host);
  if (!status.ok()) return Error{status.error()};
  state_->host_index(host);
  return Ok{};
}

Status SnapshotBuilder::add_shadowed(std::string_view host, std::string_view path, PathType type,
                                     const RouteSource& source, RouteId winner) {
  for (const Status& status : {check_host(host), check_path(path, type), check_source(source)}) {
    if (!status.ok()) return Error{status.error()};
  }
  const auto found = state_->host_by_name.find(std::string(host));
  if (found == state_->host_by_name.end()) return Error{"no route has host " + quoted(host)};
  return state_->shadow(make_route(found->second, kind_of(type), path, source), winner);
}

Status SnapshotBuilder::add_shadowed_host_default(std::string_view host, const RouteSource& source,
                                                  RouteId winner) {
  for (const Status& status : {check_host(host), check_source(source)}) {
    if (!status.ok()) return Error{status.error()};
  }
  const auto found = state_->host_by_name.find(std::string(host));
  if (found == state_->host_by_name.end()) return Error{"no route has host " + quoted(host)};
  return state_->shadow(make_route(found->second, RouteKind::host_default, "", source), winner);
}

Status SnapshotBuilder::add_shadowed_cluster_default(const RouteSource& source, RouteId winner) {
  const Status status = check_source(source);
  if (!status.ok()) return Error{status.error()};
  return state_->shadow(make_route(index_none, RouteKind::cluster_default, "", source), winner);
}

Status SnapshotBuilder::add_service(const ServiceInput& service) {
  const std::string named = "service " + quoted(service.service_namespace) + "/" +
                            quoted(service.service_name) + " port " + quoted(service.port);
  if (service.slot >= service_slots_max) return Error{named + ": slot is too large"};
  if (service.service_namespace.size() > object_name_bytes_max ||
      service.service_name.size() > object_name_bytes_max ||
      service.port.size() > port_name_bytes_max) {
    return Error{named + ": a name is too long"};
  }
  if (!is_clean(service.service_namespace) || !is_clean(service.service_name) ||
      !is_clean(service.port)) {
    return Error{named + ": a name has a control byte"};
  }
  if (service.endpoints.size() > endpoints_per_service_max) {
    return Error{named + ": more than 65536 endpoints"};
  }
  ServiceState state;
  for (const EndpointInput& input : service.endpoints) {
    if (input.id == 0 || input.port == 0 || !input.address.is_unicast()) {
      return Error{named + ": endpoint " + input.address.text() + ":" + std::to_string(input.port) +
                   " has no id, no port or no unicast address"};
    }
    const uint32_t flags = (input.ready ? endpoint_ready : 0U) |
                           (input.serving ? endpoint_serving : 0U) |
                           (input.terminating ? endpoint_terminating : 0U);
    state.endpoints.push_back(
        {input.id, input.address.host_order(), input.port, static_cast<uint16_t>(flags)});
  }
  std::sort(state.endpoints.begin(), state.endpoints.end(),
            [](const EndpointRecord& a, const EndpointRecord& b) { return a.id < b.id; });
  for (size_t i = 1; i < state.endpoints.size(); ++i) {
    if (state.endpoints[i - 1].id == state.endpoints[i].id) {
      return Error{named + ": two endpoints have the same id"};
    }
  }
  state.service_namespace = service.service_namespace;
  state.service_name = service.service_name;
  state.port = service.port;
  if (!state_->services.try_emplace(service.slot, std::move(state)).second) {
    return Error{named + ": slot " + std::to_string(service.slot) + " is taken"};
  }
  state_->slot_count = std::max(state_->slot_count, service.slot + 1);
  return Ok{};
}

Result<BuiltSnapshot> SnapshotBuilder::build(uint64_t version) const {
  const State& state = *state_;
  BuiltSnapshot built;
  built.version = version;
  RootHeader header{};
  header.version = version;
  header.routes_segment_count = state.shape.routes_segment_count;
  header.service_slot_shift = state.shape.service_slot_shift;
  header.service_slot_count = state.slot_count;
  for (uint32_t i = 0; i < header.routes_segment_count; ++i) {
    RoutesSegmentBuilder builder(state.hosts, state.routes, state.shadowed, i,
                                 header.routes_segment_count);
    Result<BuiltSegment> segment = builder.build(built.rejected);
    if (!segment.ok()) return Error{segment.error()};
    header.host_count += builder.host_count();
    header.route_count += builder.route_count();
    header.shadowed_count += builder.shadowed_count();
    built.segments.push_back(std::move(*segment));
  }
  const uint32_t per_segment = 1U << state.shape.service_slot_shift;
  const uint32_t segments = std::max(1U, (state.slot_count + per_segment - 1) / per_segment);
  if (segments > segments_per_kind_max) return Error{"too many endpoints segments"};
  header.endpoints_segment_count = segments;
  uint64_t endpoint_count = 0;
  for (uint32_t i = 0; i < segments; ++i) {
    const uint32_t first = i << state.shape.service_slot_shift;
    Result<BuiltSegment> segment =
        build_endpoints_segment(state.services, i, segments, first,
                                std::min(per_segment, state.slot_count - first), &endpoint_count);
    if (!segment.ok()) return Error{segment.error()};
    built.segments.push_back(std::move(*segment));
  }
  header.endpoint_count = static_cast<uint32_t>(endpoint_count);
  built.root = build_root(header, built.segments);
  return built;
}

}  // namespace millrace::shm
