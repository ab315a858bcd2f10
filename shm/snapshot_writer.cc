#include "shm/snapshot_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "shm/content_hash.h"
#include "shm/routes_segment.h"
#include "shm/segment_bytes.h"
#include "shm/service_policy.h"
#include "shm/snapshot_hash.h"
#include "shm/snapshot_input.h"

namespace millrace::shm {
namespace {

RouteKind kind_of(PathType type) {
  switch (type) {
    case PathType::exact: return RouteKind::exact;
    case PathType::prefix: return RouteKind::prefix;
    case PathType::implementation_specific: return RouteKind::implementation_specific;
  }
  return RouteKind::prefix;
}

// ---- what an input must be ----

Status check_host(std::string_view host) {
  const auto named = [&] { return "host " + quoted(host); };  // only when something is wrong
  if (host.size() > host_bytes_max) return Error{named() + " is longer than 253 bytes"};
  const bool starred = host.substr(0, 2) == "*.";
  if (starred && host.size() == 2) return Error{named() + " has no suffix behind its wildcard"};
  for (char c : starred ? host.substr(2) : host) {
    const bool taken =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (!taken) return Error{named() + " has a byte that no host has (lower-case names only)"};
  }
  return Ok{};
}

Status check_path(std::string_view path, PathType type) {
  const auto named = [&] { return "path " + quoted(path.substr(0, 80)); };
  if (path.empty() || path.front() != '/') return Error{named() + " does not begin with '/'"};
  if (path.size() > path_bytes_max) return Error{named() + " is longer than 4096 bytes"};
  if (!is_clean(path)) return Error{named() + " has a control byte"};
  if (type != PathType::exact && element_count(canonical_prefix(path)) > prefix_elements_max) {
    return Error{named() + " has more than 63 elements"};
  }
  return Ok{};
}

Status check_policy(const ServicePolicyInput& policy) {
  const bool hashes = policy.balance == ServiceBalance::hash;
  const bool hashes_name =
      policy.hash_source == HashSource::header || policy.hash_source == HashSource::cookie;
  const bool sticks = (policy.flags & policy_sticky_cookie) != 0;
  if (hashes != (policy.hash_source != HashSource::none)) {
    return Error{"a balance by hash and what is hashed belong together"};
  }
  for (const int both : {policy_passes_encoded_slash | policy_refuses_encoded_slash,
                         policy_proxy_header_v1 | policy_proxy_header_v2}) {
    if ((policy.flags & both) == both) return Error{"a policy contradicts itself"};
  }
  if (sticks && hashes_name)
    return Error{"a sticky cookie and a hash of a name exclude each other"};
  if ((sticks || hashes_name) == policy.name.empty()) {
    return Error{"a policy's name is missing, or nothing is called by it"};
  }
  if (policy.name.size() > policy_name_bytes_max || !is_token(policy.name)) {
    return Error{"a policy's name is no token of at most " + std::to_string(policy_name_bytes_max) +
                 " octets"};
  }
  if (policy.hash_source == HashSource::header && !is_lower_case(policy.name)) {
    return Error{"a header's name is not in lower case"};
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

std::string named(const ServiceInput& service) {
  return "service " + quoted(service.service_namespace) + "/" + quoted(service.service_name) +
         " port " + quoted(service.port);
}

// A service's endpoints, sorted by id.
Result<std::vector<EndpointRecord>> endpoint_records(const ServiceInput& service) {
  std::vector<EndpointRecord> records;
  records.reserve(service.endpoints.size());
  for (const EndpointInput& input : service.endpoints) {
    if (input.id == 0 || input.port == 0 || !input.address.is_unicast()) {
      return Error{named(service) + ": endpoint " + input.address.text() + ":" +
                   std::to_string(input.port) + " has no id, no port or no unicast address"};
    }
    const uint32_t flags = (input.ready ? endpoint_ready : 0U) |
                           (input.serving ? endpoint_serving : 0U) |
                           (input.terminating ? endpoint_terminating : 0U);
    records.push_back(
        {input.id, input.address.host_order(), input.port, static_cast<uint16_t>(flags)});
  }
  std::sort(records.begin(), records.end(),
            [](const EndpointRecord& a, const EndpointRecord& b) { return a.id < b.id; });
  for (size_t i = 1; i < records.size(); ++i) {
    if (records[i - 1].id == records[i].id) {
      return Error{named(service) + ": two endpoints have the same id"};
    }
  }
  return records;
}

}  // namespace

struct SnapshotBuilder::State {
  SnapshotShape shape;
  SnapshotInput input;
  IndexTable host_by_name;
  IndexTable route_by_key;
  uint32_t cluster_default = index_none;
  uint32_t slot_count = 0;
  // Routes come by host, and many have the source of the one before: what is as it was is neither
  // checked nor looked up again.
  uint32_t last_host = index_none;
  uint32_t last_namespace = index_none;
  uint32_t last_ingress = index_none;

  uint32_t find_host(std::string_view name) const {
    if (last_host != index_none && input.hosts[last_host].name == name) return last_host;
    return host_by_name.find(host_hash(name),
                             [&](uint32_t index) { return input.hosts[index].name == name; });
  }
  // Goes before host_index(). Error: it is no host.
  Status take_host(std::string_view name) {
    last_host = find_host(name);
    return last_host == index_none ? check_host(name) : Status(Ok{});
  }
  uint32_t host_index(std::string_view name) {
    if (last_host != index_none) return last_host;
    const uint64_t hash = host_hash(name);
    last_host = static_cast<uint32_t>(input.hosts.size());
    input.hosts.push_back({input.texts.add(name), hash, false});
    host_by_name.add(hash, last_host);
    return last_host;
  }
  Status take_source(const RouteSource& source) {
    const bool is_known = last_ingress != index_none && source.service_slot < service_slots_max &&
                          input.names[last_namespace] == source.ingress_namespace &&
                          input.names[last_ingress] == source.ingress_name;
    if (is_known) return Ok{};
    Status status = check_source(source);
    if (!status.ok()) return status;
    last_namespace = input.names.add(source.ingress_namespace);
    last_ingress = input.names.add(source.ingress_name);
    return status;
  }
  // Of the source that was taken last.
  RouteInput make_route(uint32_t host, RouteKind kind, std::string_view path,
                        const RouteSource& source) {
    RouteInput route;
    route.host = host;
    route.kind = kind;
    route.path = path;
    route.service_slot = source.service_slot;
    route.rule_index = source.rule_index;
    route.ingress_namespace = last_namespace;
    route.ingress_name = last_ingress;
    return route;
  }
  // The route that has the key of this one; nullptr when the key is free.
  const RouteInput* find_key(const RouteInput& route, uint64_t hash) const {
    const uint32_t index = route_by_key.find(hash, [&](uint32_t candidate) {
      const RouteInput& other = input.routes[candidate];
      return other.host == route.host && key_of(other.kind) == key_of(route.kind) &&
             canonical_of(other) == canonical_of(route);
    });
    return index == index_none ? nullptr : &input.routes[index];
  }
  RouteId keep(RouteInput route) {
    slot_count = std::max(slot_count, route.service_slot + 1);
    route.path = input.texts.add(route.path);
    input.routes.push_back(route);
    return {static_cast<uint32_t>(input.routes.size() - 1)};
  }
  Status shadow(RouteInput route, RouteId winner) {
    if (winner.value >= input.routes.size()) {
      return Error{"the winner is not a route of this builder"};
    }
    const RouteInput& won = input.routes[winner.value];
    const bool same_kind = is_path_kind(route.kind)
                               ? is_path_kind(won.kind) && key_of(won.kind) == key_of(route.kind)
                               : won.kind == route.kind;
    if (won.host != route.host || !same_kind || canonical_of(won) != canonical_of(route)) {
      return Error{"the winner does not have the host and path of the rule it shadows"};
    }
    slot_count = std::max(slot_count, route.service_slot + 1);
    route.path = input.texts.add(route.path);
    input.shadowed.push_back({route, winner.value});
    return Ok{};
  }
};

namespace {

// The slot of a service with these endpoints; many of them go into the array.
ServiceSlot slot_of(std::span<const EndpointRecord> endpoints, std::vector<EndpointRecord>& array) {
  ServiceSlot slot{};
  slot.endpoint_count = static_cast<uint32_t>(endpoints.size());
  if (endpoints.size() <= slot_endpoints_max) {
    std::copy(endpoints.begin(), endpoints.end(), slot.few);
  } else {
    slot.first_endpoint = static_cast<uint32_t>(array.size());
    array.insert(array.end(), endpoints.begin(), endpoints.end());
  }
  return slot;
}

// Segment `index` of `count`: slots first_slot and on.
Result<BuiltSegment> lay_endpoints_segment(const SnapshotInput& input, uint32_t index,
                                           uint32_t count, uint32_t first_slot, uint32_t slot_count,
                                           uint32_t endpoints_most) {
  SegmentCounts counts;
  std::vector<ServiceSlot> slots(slot_count, ServiceSlot{});
  std::vector<ServiceNames> names(slot_count, ServiceNames{});
  std::vector<EndpointRecord> array;
  StringPool strings;
  PooledNames name(input.names, strings);
  for (auto service = input.services.lower_bound(first_slot);
       service != input.services.end() && service->first - first_slot < slot_count; ++service) {
    const uint32_t slot = service->first - first_slot;
    const ServiceInputRecord& record = service->second;
    names[slot] = {slot_in_use, 0, name(record.service_namespace), name(record.service_name),
                   name(record.port)};
    slots[slot] = slot_of(
        std::span(input.endpoints).subspan(record.first_endpoint, record.endpoint_count), array);
    slots[slot].policy = record.policy;
    if (record.policy.name_length != 0) {
      slots[slot].policy.name_offset = name(record.policy_name).offset;
    }
    if (!is_unset(record.policy)) counts.features |= feature_policies;
    counts.endpoints += record.endpoint_count;
    if (array.size() > endpoints_most) return Error{"too many endpoints for one segment"};
  }
  EndpointsHeader header{};
  header.common = {endpoints_magic, snapshot_abi, static_cast<uint32_t>(SegmentKind::endpoints),
                   index,           count,        0};
  SegmentBytes bytes(header, slots.size() * sizeof(ServiceSlot) +
                                 array.size() * sizeof(EndpointRecord) +
                                 names.size() * sizeof(ServiceNames) + strings.bytes().size() + 32);
  header.slots = bytes.append(slots);
  header.endpoints = bytes.append(array);
  header.names = bytes.append(names);
  header.strings = bytes.append(strings.bytes());
  header.first_slot = first_slot;
  if (bytes.size() > segment_bytes_max) return Error{"an endpoints segment exceeds 1 GiB"};
  BuiltSegment segment;
  segment.kind = SegmentKind::endpoints;
  segment.index = index;
  segment.bytes = SharedBytes(bytes.finish(header));
  segment.id = content_hash(segment.bytes);
  segment.counts = counts;
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
  CHECK(shape.service_slot_count <= service_slots_max);
  state_->shape = shape;
  state_->slot_count = shape.service_slot_count;
}
SnapshotBuilder::~SnapshotBuilder() = default;
SnapshotBuilder::SnapshotBuilder(SnapshotBuilder&&) noexcept = default;
SnapshotBuilder& SnapshotBuilder::operator=(SnapshotBuilder&&) noexcept = default;

Result<RouteId> SnapshotBuilder::add_route(std::string_view host, std::string_view path,
                                           PathType type, const RouteSource& source) {
  State& state = *state_;
  if (const Status status = state.take_host(host); !status.ok()) return Error{status.error()};
  if (const Status status = check_path(path, type); !status.ok()) return Error{status.error()};
  if (const Status status = state.take_source(source); !status.ok()) return Error{status.error()};
  const uint32_t index = state.host_index(host);
  const RouteInput route = state.make_route(index, kind_of(type), path, source);
  const uint64_t hash = path_hash(index, key_of(route.kind), canonical_of(route));
  if (const RouteInput* taken = state.find_key(route, hash)) {
    return Error{"host " + quoted(host) + " path " + quoted(path) +
                 " is already taken by Ingress " +
                 std::string(state.input.names[taken->ingress_namespace]) + "/" +
                 std::string(state.input.names[taken->ingress_name])};
  }
  const RouteId id = state.keep(route);
  state.route_by_key.add(hash, id.value);
  return id;
}

Result<RouteId> SnapshotBuilder::set_host_default(std::string_view host,
                                                  const RouteSource& source) {
  State& state = *state_;
  if (const Status status = state.take_host(host); !status.ok()) return Error{status.error()};
  if (const Status status = state.take_source(source); !status.ok()) return Error{status.error()};
  const uint32_t index = state.host_index(host);
  if (state.input.hosts[index].has_default) {
    return Error{"host " + quoted(host) + " already has a default backend"};
  }
  state.input.hosts[index].has_default = true;
  return state.keep(state.make_route(index, RouteKind::host_default, "", source));
}

Result<RouteId> SnapshotBuilder::set_cluster_default(const RouteSource& source) {
  const Status status = state_->take_source(source);
  if (!status.ok()) return Error{status.error()};
  if (state_->cluster_default != index_none) return Error{"there already is a cluster default"};
  state_->cluster_default = static_cast<uint32_t>(state_->input.routes.size());
  return state_->keep(state_->make_route(index_none, RouteKind::cluster_default, "", source));
}

Status SnapshotBuilder::add_host(std::string_view host) {
  Status status = state_->take_host(host);
  if (status.ok()) state_->host_index(host);
  return status;
}

Status SnapshotBuilder::add_shadowed(std::string_view host, std::string_view path, PathType type,
                                     const RouteSource& source, RouteId winner) {
  if (Status status = state_->take_host(host); !status.ok()) return status;
  if (Status status = check_path(path, type); !status.ok()) return status;
  if (Status status = state_->take_source(source); !status.ok()) return status;
  const uint32_t found = state_->last_host;
  if (found == index_none) return Error{"no route has host " + quoted(host)};
  return state_->shadow(state_->make_route(found, kind_of(type), path, source), winner);
}

Status SnapshotBuilder::add_shadowed_host_default(std::string_view host, const RouteSource& source,
                                                  RouteId winner) {
  if (Status status = state_->take_host(host); !status.ok()) return status;
  if (Status status = state_->take_source(source); !status.ok()) return status;
  const uint32_t found = state_->last_host;
  if (found == index_none) return Error{"no route has host " + quoted(host)};
  return state_->shadow(state_->make_route(found, RouteKind::host_default, "", source), winner);
}

Status SnapshotBuilder::add_shadowed_cluster_default(const RouteSource& source, RouteId winner) {
  Status status = state_->take_source(source);
  if (!status.ok()) return status;
  return state_->shadow(state_->make_route(index_none, RouteKind::cluster_default, "", source),
                        winner);
}

Status SnapshotBuilder::add_service(const ServiceInput& service) {
  if (service.slot >= service_slots_max) return Error{named(service) + ": slot is too large"};
  if (service.service_namespace.size() > object_name_bytes_max ||
      service.service_name.size() > object_name_bytes_max ||
      service.port.size() > port_name_bytes_max) {
    return Error{named(service) + ": a name is too long"};
  }
  if (!is_clean(service.service_namespace) || !is_clean(service.service_name) ||
      !is_clean(service.port)) {
    return Error{named(service) + ": a name has a control byte"};
  }
  if (service.endpoints.size() > endpoints_per_service_max) {
    return Error{named(service) + ": more than 65536 endpoints"};
  }
  State& state = *state_;
  if (state.input.services.contains(service.slot)) {
    return Error{named(service) + ": slot " + std::to_string(service.slot) + " is taken"};
  }
  if (const Status status = check_policy(service.policy); !status.ok()) {
    return Error{named(service) + ": " + status.error()};
  }
  Result<std::vector<EndpointRecord>> endpoints = endpoint_records(service);
  if (!endpoints.ok()) return Error{endpoints.error()};
  ServiceInputRecord record;
  record.service_namespace = state.input.names.add(service.service_namespace);
  record.service_name = state.input.names.add(service.service_name);
  record.port = state.input.names.add(service.port);
  record.policy = {static_cast<uint8_t>(service.policy.balance),
                   static_cast<uint8_t>(service.policy.hash_source), service.policy.flags,
                   static_cast<uint8_t>(service.policy.name.size()), 0};
  record.policy_name = state.input.names.add(service.policy.name);
  record.first_endpoint = state.input.endpoints.size();
  record.endpoint_count = static_cast<uint32_t>(endpoints->size());
  state.input.endpoints.insert(state.input.endpoints.end(), endpoints->begin(), endpoints->end());
  state.input.services.emplace_hint(state.input.services.end(), service.slot, record);
  state.slot_count = std::max(state.slot_count, service.slot + 1);
  return Ok{};
}

Result<BuiltSegment> SnapshotBuilder::build_routes_segment(
    uint32_t index, std::vector<RejectedRoute>* rejected) const {
  return RoutesSegmentBuilder(state_->input, index, state_->shape.routes_segment_count)
      .build(*rejected);
}

Result<BuiltSegment> SnapshotBuilder::build_endpoints_segment(uint32_t index,
                                                              uint32_t endpoints_most) const {
  CHECK(endpoints_most <= endpoints_max);
  const State& state = *state_;
  const uint32_t per_segment = 1U << state.shape.service_slot_shift;
  const uint32_t first = index << state.shape.service_slot_shift;
  return lay_endpoints_segment(state.input, index,
                               endpoints_segment_count(state.shape, state.slot_count), first,
                               std::min(per_segment, state.slot_count - first), endpoints_most);
}

Result<BuiltSnapshot> SnapshotBuilder::build(uint64_t version) const {
  SnapshotShape shape = state_->shape;
  shape.service_slot_count = state_->slot_count;
  const uint32_t endpoints_segments = endpoints_segment_count(shape, shape.service_slot_count);
  if (endpoints_segments > segments_per_kind_max) return Error{"too many endpoints segments"};
  std::vector<BuiltSegment> segments;
  std::vector<RejectedRoute> rejected;
  for (uint32_t i = 0; i < shape.routes_segment_count; ++i) {
    Result<BuiltSegment> segment = build_routes_segment(i, &rejected);
    if (!segment.ok()) return Error{segment.error()};
    segments.push_back(std::move(*segment));
  }
  for (uint32_t i = 0; i < endpoints_segments; ++i) {
    Result<BuiltSegment> segment = build_endpoints_segment(i);
    if (!segment.ok()) return Error{segment.error()};
    segments.push_back(std::move(*segment));
  }
  BuiltSnapshot built = assemble_snapshot(version, shape, std::move(segments));
  built.rejected = std::move(rejected);
  return built;
}

BuiltSnapshot assemble_snapshot(uint64_t version, const SnapshotShape& shape,
                                std::vector<BuiltSegment> segments) {
  RootHeader header{};
  header.version = version;
  header.routes_segment_count = shape.routes_segment_count;
  header.endpoints_segment_count = endpoints_segment_count(shape, shape.service_slot_count);
  header.service_slot_shift = shape.service_slot_shift;
  header.service_slot_count = shape.service_slot_count;
  for (const BuiltSegment& segment : segments) {
    header.features_required |= segment.counts.features;
    header.host_count += segment.counts.hosts;
    header.route_count += segment.counts.routes;
    header.shadowed_count += segment.counts.shadowed;
    header.endpoint_count += segment.counts.endpoints;
  }
  CHECK(segments.size() == header.routes_segment_count + header.endpoints_segment_count);
  BuiltSnapshot built;
  built.version = version;
  built.root = build_root(header, segments);
  built.segments = std::move(segments);
  return built;
}

}  // namespace millrace::shm
