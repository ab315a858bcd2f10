// SnapshotBuilder: plain values in, the snapshot's bytes out. The control plane feeds it; tests and
// the data plane's built-in empty snapshot use it too. The same calls in the same order give the
// same bytes.
//
// The builder resolves nothing: precedence and ties are the model's. It is given the winners (each
// key once) and the losers with the name of their winner. An object that cannot be represented is
// refused by itself, with a sentence, and leaves all others as they were.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "shm/sealed_memory.h"
#include "shm/snapshot_format.h"

namespace millrace::shm {

enum class PathType : uint8_t { exact, prefix, implementation_specific };

// Where a route leads and which rule it came from.
struct RouteSource {
  uint32_t service_slot = 0;
  std::string_view ingress_namespace;
  std::string_view ingress_name;
  uint32_t rule_index = 0;  // of spec.rules
};

struct EndpointInput {
  uint64_t id = 0;  // stable, unique inside its service, never 0
  Ipv4Address address;
  uint16_t port = 0;
  bool ready = true;
  bool serving = true;
  bool terminating = false;
};

// What is not said is as the data plane does it by itself.
struct ServicePolicyInput {
  ServiceBalance balance = ServiceBalance::unset;
  HashSource hash_source = HashSource::none;
  uint8_t flags = 0;      // policy_ of snapshot_format.h
  std::string_view name;  // of the sticky cookie, else of the header or cookie that is hashed
};

struct ServiceInput {
  uint32_t slot = 0;  // the control plane's choice, stable for the service's life
  std::string_view service_namespace;
  std::string_view service_name;
  std::string_view port;                 // name or number as the Ingress gives it
  std::vector<EndpointInput> endpoints;  // any order
  ServicePolicyInput policy;
};

// Names a route inside one builder: for add_shadowed() and for reading `rejected`.
struct RouteId {
  uint32_t value = index_none;
  bool operator==(const RouteId&) const = default;
};

// Bytes that never change, shared by the snapshots that hold them.
class SharedBytes {
 public:
  SharedBytes() : SharedBytes(std::vector<uint8_t>()) {}
  explicit SharedBytes(std::vector<uint8_t> bytes)
      : bytes_(std::make_shared<const std::vector<uint8_t>>(std::move(bytes))) {}

  // Read as either, without a copy.
  operator const std::vector<uint8_t>&() const { return *bytes_; }
  operator ByteView() const { return *bytes_; }
  const uint8_t* data() const { return bytes_->data(); }
  size_t size() const { return bytes_->size(); }
  bool operator==(const SharedBytes& other) const {
    return bytes_ == other.bytes_ || *bytes_ == *other.bytes_;
  }

 private:
  std::shared_ptr<const std::vector<uint8_t>> bytes_;  // never null
};

// What the root says of its segments together.
struct SegmentCounts {
  uint32_t hosts = 0;
  uint32_t routes = 0;
  uint32_t shadowed = 0;
  uint32_t endpoints = 0;
  uint64_t features = 0;  // required of who reads it

  bool operator==(const SegmentCounts&) const = default;
};

struct BuiltSegment {
  SegmentKind kind = SegmentKind::routes;
  uint32_t index = 0;
  uint64_t id = 0;  // hash of the bytes
  SharedBytes bytes;
  SegmentCounts counts;
};

struct RejectedRoute {
  RouteId route;
  std::string reason;  // one sentence naming host and path
};

struct BuiltSnapshot {
  uint64_t version = 0;
  std::vector<uint8_t> root;
  std::vector<BuiltSegment> segments;  // in the directory's order
  // Routes left out because too many keys fell into their bucket, which only happens when somebody
  // chose names to that end. The earliest added stay.
  std::vector<RejectedRoute> rejected;
};

struct SnapshotShape {
  uint32_t routes_segment_count = 1;                     // a power of two
  uint32_t service_slot_shift = service_slot_shift_max;  // 2^shift slots an endpoints segment
  // How many slots there are at least; more when a route or service names a higher one. Room for
  // services to come: while there is some, a new one changes one endpoints segment and no other.
  uint32_t service_slot_count = 0;

  bool operator==(const SnapshotShape&) const = default;
};

// How many endpoints segments so many slots take.
constexpr uint32_t endpoints_segment_count(const SnapshotShape& shape, uint32_t slot_count) {
  const uint64_t per_segment = uint64_t{1} << shape.service_slot_shift;
  const uint64_t segments = (slot_count + per_segment - 1) >> shape.service_slot_shift;
  return segments == 0 ? 1 : static_cast<uint32_t>(segments);
}

// The snapshot that these segments make: all of them, in the directory's order, with slots as the
// shape says.
BuiltSnapshot assemble_snapshot(uint64_t version, const SnapshotShape& shape,
                                std::vector<BuiltSegment> segments);

class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(SnapshotShape shape = {});
  ~SnapshotBuilder();
  SnapshotBuilder(SnapshotBuilder&&) noexcept;
  SnapshotBuilder& operator=(SnapshotBuilder&&) noexcept;

  // Host: lower-case, "" for all hosts, "*.suffix" for a wildcard. Path: as written, begins with
  // '/', at most path_bytes_max. Error: what is wrong with it, or that its key is taken; the
  // snapshot then stays without it.
  Result<RouteId> add_route(std::string_view host, std::string_view path, PathType type,
                            const RouteSource& source);
  // The rest of one host: requests that none of its paths matches. Once a host.
  Result<RouteId> set_host_default(std::string_view host, const RouteSource& source);
  // The rest of everything. Once.
  Result<RouteId> set_cluster_default(const RouteSource& source);
  // Makes a host known that has neither paths nor a default: its requests end at the cluster
  // default instead of at a wildcard's or the empty host's rules.
  Status add_host(std::string_view host);

  // A rule that lost to `winner`, for explanation only. The three forms follow the three above.
  Status add_shadowed(std::string_view host, std::string_view path, PathType type,
                      const RouteSource& source, RouteId winner);
  Status add_shadowed_host_default(std::string_view host, const RouteSource& source,
                                   RouteId winner);
  Status add_shadowed_cluster_default(const RouteSource& source, RouteId winner);

  // Slots not added are unused. Routes may name an unused slot: it answers 503.
  Status add_service(const ServiceInput& service);

  // The bytes. The builder may be used on, e.g. for another version. Error: the whole exceeds a
  // limit of the format (snapshot_format.h).
  Result<BuiltSnapshot> build(uint64_t version) const;

  // One segment of what build() would make; everything that belongs into other segments may be left
  // out of the builder. So a part of a table is made without the rest of it. What finds no place is
  // appended to `rejected`. For an endpoints segment all slots must be below the shape's count;
  // `endpoints_most` in its array, which is at most what the format allows.
  Result<BuiltSegment> build_routes_segment(uint32_t index,
                                            std::vector<RejectedRoute>* rejected) const;
  Result<BuiltSegment> build_endpoints_segment(uint32_t index,
                                               uint32_t endpoints_most = endpoints_max) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::shm
