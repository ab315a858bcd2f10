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
#include <vector>

#include "base/address.h"
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

struct BuiltSegment {
  SegmentKind kind = SegmentKind::routes;
  uint32_t index = 0;
  uint64_t id = 0;  // hash of the bytes
  std::vector<uint8_t> bytes;
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
};

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

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::shm
