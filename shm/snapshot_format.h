// The snapshot's bytes: what the control plane writes and the data plane reads. One definition for
// both processes and for the last-good file on disk.
//
// A snapshot is a small root and a few segments, each an immutable run of bytes (a sealed memfd
// while it is being shared). The root's directory names every segment by the hash of its content,
// so a publish sends only the segments that changed.
//
//   root:               RootHeader | SegmentEntry[segment_count]
//   routes segment:     RoutesHeader | hosts | host buckets | path buckets | paths | routes |
//                       shadowed | strings
//   endpoints segment:  EndpointsHeader | slots | endpoints | names | strings
//
// The directory lists the routes segments first, then the endpoints segments, each kind in the
// order of its index. Sections stand in the order above, each begins where the one before ends,
// rounded up to 8 bytes; the bytes between are zero. So there is exactly one place for everything
// and the validator knows it. All integers are little-endian and naturally aligned. Every reference
// is an index into a section of the same segment, or an offset into its strings; only a service
// slot reaches across segments, and it is bounded by the root. There are no pointers.
//
// Hash tables are compressed rows: bucket b holds entries [buckets[b], buckets[b + 1]) of the array
// beside it, sorted by hash inside the bucket, and no bucket is longer than bucket_length_max. A
// lookup can therefore neither loop nor walk far, whatever was hashed.
//
// What a request reads lies close together, because in a large table every step is a cache miss: a
// host's bucket, its record (128 octets, two neighboring lines, with the host's name and its paths
// in it when they are few and short), the service slot (one line, with the endpoints in it when
// they are few). Names for people and what explains a route stand elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::shm {

// ---- identity ---------------------------------------------------------------------------------
// The first 16 bytes of every part (magic, ABI) never move, in any version of the format.
constexpr uint64_t root_magic = 0x31544f4f524c4c4dU;       // "MLLROOT1"
constexpr uint64_t routes_magic = 0x31455455524c4c4dU;     // "MLLRUTE1"
constexpr uint64_t endpoints_magic = 0x31444e45524c4c4dU;  // "MLLREND1"

constexpr uint32_t snapshot_abi = 2;      // what this build writes
constexpr uint32_t snapshot_abi_min = 2;  // what this build reads, both ends included
constexpr uint32_t snapshot_abi_max = 2;

// Feature bits. A reader refuses a root with a required bit that it does not know and ignores an
// unknown optional bit.
constexpr uint64_t feature_policies =
    1;  // some slot has a policy: who ignored it would serve wrong
constexpr uint64_t features_required_known = feature_policies;
constexpr uint64_t features_optional_known = 0;

// ---- limits: the validator refuses what exceeds them, the builder never produces it -------------
constexpr uint32_t segments_per_kind_max = 256;   // the routes count is a power of two
constexpr uint32_t bucket_length_max = 32;        // load is at most 1: a chance run stays below 16
constexpr uint32_t bucket_count_max = 1U << 24;   // of one table, a power of two
constexpr uint32_t hosts_max = 1U << 20;          // of one segment
constexpr uint32_t routes_max = 1U << 22;         // of one segment
constexpr uint32_t service_slots_max = 1U << 20;  // of the snapshot
constexpr uint32_t service_slot_shift_max = 20;   // 2^20 slots: one endpoints segment for all
constexpr uint32_t endpoints_max = 1U << 22;      // of one segment
constexpr uint32_t endpoints_per_service_max = 1U << 16;
constexpr uint64_t segment_bytes_max = 1U << 30;  // offsets are 32 bits with room to spare
constexpr uint32_t host_bytes_max = 253;          // RFC 1035 2.3.4, as Kubernetes checks it
constexpr uint32_t object_name_bytes_max = 253;   // Kubernetes: a DNS subdomain
constexpr uint32_t port_name_bytes_max = 63;      // Kubernetes: 15 for a name; room for "65535"
constexpr uint32_t path_bytes_max = 4096;
// Prefix paths with more elements are refused: a host's set of prefix depths is one 64-bit word.
constexpr uint32_t prefix_elements_max = 63;

constexpr uint32_t index_none = UINT32_MAX;  // "no default route", "unused"

// ---- root --------------------------------------------------------------------------------------
enum class SegmentKind : uint32_t { routes = 1, endpoints = 2 };

struct RootHeader {
  uint64_t magic;
  uint32_t abi;
  uint32_t header_bytes;  // sizeof(RootHeader)
  uint64_t features_required;
  uint64_t features_optional;
  uint64_t total_bytes;  // of the root: header and directory
  uint64_t checksum;     // XXH3, 64 bits, of the root with this field zero
  uint64_t version;      // of the content; may go back (rollback), unlike the epoch of an install
  uint32_t segment_count;
  uint32_t routes_segment_count;     // a power of two; host hash bits 32.. choose
  uint32_t endpoints_segment_count;  // slots >> service_slot_shift choose
  uint32_t service_slot_shift;
  uint32_t service_slot_count;
  // Sums over the segments, so that the root says how large the table is.
  uint32_t host_count;
  uint32_t route_count;
  uint32_t shadowed_count;
  uint32_t endpoint_count;
  uint32_t reserved;  // zero
};
static_assert(sizeof(RootHeader) == 96 && alignof(RootHeader) == 8);
static_assert(offsetof(RootHeader, abi) == 8 && offsetof(RootHeader, features_required) == 16);
static_assert(offsetof(RootHeader, total_bytes) == 32 && offsetof(RootHeader, checksum) == 40);
static_assert(offsetof(RootHeader, version) == 48 && offsetof(RootHeader, segment_count) == 56);
static_assert(offsetof(RootHeader, service_slot_count) == 72);
static_assert(offsetof(RootHeader, endpoint_count) == 88);

struct SegmentEntry {
  uint32_t kind;   // SegmentKind
  uint32_t index;  // among the segments of its kind
  uint32_t count;  // how many segments of its kind
  uint32_t reserved;
  uint64_t segment_id;   // XXH3, 64 bits, of all the segment's bytes
  uint64_t total_bytes;  // of the segment
};
static_assert(sizeof(SegmentEntry) == 32 && offsetof(SegmentEntry, segment_id) == 16);

// ---- what segments share
// -------------------------------------------------------------------------
struct SegmentHeader {
  uint64_t magic;
  uint32_t abi;
  uint32_t kind;
  uint32_t index;
  uint32_t count;
  uint64_t total_bytes;
};
static_assert(sizeof(SegmentHeader) == 32 && offsetof(SegmentHeader, total_bytes) == 24);

struct Section {
  uint32_t offset;  // from the segment's first byte
  uint32_t count;   // records; bytes for strings
};
static_assert(sizeof(Section) == 8);

struct StringRef {
  uint32_t offset;  // into the segment's strings
  uint32_t length;  // bytes; not terminated
};
static_assert(sizeof(StringRef) == 8);

// ---- routes segment --------------------------------------------------------------------------
struct RoutesHeader {
  SegmentHeader common;
  Section hosts;         // HostRecord[]
  Section host_buckets;  // uint32_t[bucket count + 1]
  Section path_buckets;  // uint32_t[bucket count + 1]
  Section paths;         // PathRecord[]
  Section routes;        // RouteRecord[]
  Section shadowed;      // ShadowedRecord[]
  Section strings;
  // The cluster's default backend: an index into routes, or index_none. It lies in the segment that
  // the empty host's hash chooses; in every other one this is index_none.
  uint32_t cluster_default_route;
  uint32_t reserved;
  uint64_t padding[4];  // zero: the hosts begin at a multiple of their size
};
static_assert(sizeof(RoutesHeader) == 128 && offsetof(RoutesHeader, cluster_default_route) == 88);

enum class HostKind : uint8_t {
  precise = 1,   // "a.example"
  wildcard = 2,  // "*.example": exactly one first DNS label, never none, never two
  empty = 3,     // "": every host that no other record takes
};

// Where a lookup ends: the route, and its service slot beside it, so that serving a request does
// not read the route's record. Without a route: index_none and 0.
struct RouteTarget {
  uint32_t route;         // index into routes, or index_none
  uint32_t service_slot;  // RouteRecord::service_slot of it
};
static_assert(sizeof(RouteTarget) == 8);

enum class PathKey : uint8_t {
  exact = 1,   // the whole path, byte for byte
  prefix = 2,  // whole elements: the path as written without one trailing slash; never empty
};

// A path that lies in its host's record.
struct HostPath {
  RouteTarget target;
  uint8_t key;     // PathKey
  uint8_t length;  // of the canonical path, in the record's text
  uint16_t reserved;
};
static_assert(sizeof(HostPath) == 12);

constexpr uint32_t host_paths_max = 3;
constexpr uint32_t host_text_bytes_max = 48;

// A host as written in the rules, lower-case ("*.example" with its star). Its hash is
// host_hash(name) of snapshot_hash.h: the low 32 bits choose the bucket, the next ones the segment.
//
// text holds the name, if it has at most host_text_bytes_max octets, and behind it the canonical
// paths of `paths`, one after the other; then zeros. A host's paths (all but "/" as Prefix, which
// most hosts have and which is `root`) lie either all here, Exact ones first and longer ones before
// shorter ones, so that the first that matches is the one, or all in the path table; there the two
// masks let a lookup skip what cannot match.
struct HostRecord {
  uint64_t hash;
  uint64_t prefix_depths;  // bit d: the path table has a Prefix of d elements, 1 to 63
  uint32_t exact_lengths;  // bit l: the path table has an Exact path with length % 32 == l
  uint32_t name_offset;    // into strings; the name stands there as well
  uint8_t name_length;
  uint8_t kind;  // HostKind
  uint8_t path_count;
  uint8_t reserved;
  RouteTarget root;  // of "/" as Prefix
  RouteTarget rest;  // the host's default
  HostPath paths[host_paths_max];
  char text[host_text_bytes_max];
};
static_assert(sizeof(HostRecord) == 128 && offsetof(HostRecord, name_length) == 24);
static_assert(offsetof(HostRecord, root) == 28 && offsetof(HostRecord, paths) == 44);
static_assert(offsetof(HostRecord, text) == 80 && host_bytes_max <= UINT8_MAX);

// How many octets of the record's text its name takes.
inline uint32_t host_name_text_bytes(const HostRecord& host) {
  return host.name_length <= host_text_bytes_max ? host.name_length : 0;
}
// Where in the record's text the path begins.
inline uint32_t host_path_offset(const HostRecord& host, uint32_t number) {
  uint32_t offset = host_name_text_bytes(host);
  for (uint32_t i = 0; i < number; ++i) offset += host.paths[i].length;
  return offset;
}

// One key of the path table: unique by (host, key, text). Its hash is path_hash() of
// snapshot_hash.h.
struct PathRecord {
  uint64_t hash;
  uint32_t host;         // index into hosts
  uint32_t text_offset;  // the canonical path: as written, for prefixes less one trailing slash
  uint16_t text_length;
  uint8_t key;  // PathKey
  uint8_t flags;
  RouteTarget target;
  uint32_t reserved;
};
static_assert(sizeof(PathRecord) == 32 && offsetof(PathRecord, text_length) == 16);
static_assert(offsetof(PathRecord, target) == 20);

enum class RouteKind : uint8_t {
  exact = 1,
  prefix = 2,
  implementation_specific = 3,  // matched as prefix
  host_default = 4,             // the rest of one host
  cluster_default = 5,          // the rest of everything
};

struct RouteRecord {
  uint32_t service_slot;  // below RootHeader::service_slot_count
  uint32_t host;          // index into hosts; index_none for cluster_default
  uint32_t rule_index;    // of spec.rules in the Ingress, for messages
  uint16_t flags;         // reserved, zero
  uint8_t kind;           // RouteKind
  uint8_t reserved;
  StringRef ingress_namespace;
  StringRef ingress_name;
  StringRef path;  // as written; empty for defaults
};
static_assert(sizeof(RouteRecord) == 40 && offsetof(RouteRecord, kind) == 14);
static_assert(offsetof(RouteRecord, ingress_namespace) == 16);

// A rule that lost its key to another one. The data path never reads it; tools explain with it.
struct ShadowedRecord {
  RouteRecord route;
  uint32_t shadowed_by;  // index into routes, of the same host
  uint32_t reserved;
};
static_assert(sizeof(ShadowedRecord) == 48 && offsetof(ShadowedRecord, shadowed_by) == 40);

// ---- endpoints segment -----------------------------------------------------------------------
struct EndpointsHeader {
  SegmentHeader common;
  Section slots;      // ServiceSlot[], for service slots first_slot ..
  Section endpoints;  // EndpointRecord[]
  Section names;      // ServiceNames[], as many as slots
  Section strings;
  uint32_t first_slot;
  uint32_t reserved;
  uint64_t padding[7];  // zero: the slots begin at a multiple of their size
};
static_assert(sizeof(EndpointsHeader) == 128 && offsetof(EndpointsHeader, first_slot) == 64);

// The conditions of discovery.k8s.io/v1, nil already resolved by the control plane.
constexpr uint16_t endpoint_ready = 1;
constexpr uint16_t endpoint_serving = 2;
constexpr uint16_t endpoint_terminating = 4;
constexpr uint16_t endpoint_flags_known = endpoint_ready | endpoint_serving | endpoint_terminating;

// Sorted by id inside a slot, each id once.
struct EndpointRecord {
  uint64_t id;       // stable for the endpoint's life; pools and ejection key on it; never zero
  uint32_t address;  // IPv4, host-order integer as in Ipv4Address
  uint16_t port;     // never zero
  uint16_t flags;
};
static_assert(sizeof(EndpointRecord) == 16 && offsetof(EndpointRecord, address) == 8);

constexpr uint32_t slot_endpoints_max = 3;

// Which endpoint takes a request; unset: as the data plane does it by itself.
enum class ServiceBalance : uint8_t { unset = 0, round_robin = 1, least_requests = 2, hash = 3 };
// Of what, for ServiceBalance::hash.
enum class HashSource : uint8_t { none = 0, client_address = 1, path = 2, header = 3, cookie = 4 };

// %2F and %5C in a path; neither bit: as the data plane does it by itself.
constexpr uint8_t policy_passes_encoded_slash = 1;
constexpr uint8_t policy_refuses_encoded_slash = 2;
constexpr uint8_t policy_sticky_cookie = 4;     // a client comes back to the endpoint it had
constexpr uint8_t policy_proxy_header_v1 = 8;   // each connection to an endpoint begins with a
constexpr uint8_t policy_proxy_header_v2 = 16;  // header of the PROXY protocol
constexpr uint8_t policy_flags_known = 31;
constexpr uint32_t policy_name_bytes_max = 48;

// How the requests of a slot are treated. All zero: as the data plane treats them by itself.
struct ServicePolicy {
  uint8_t balance;      // ServiceBalance
  uint8_t hash_source;  // HashSource
  uint8_t flags;
  // A token (RFC 9110 section 5.6.2) in the segment's strings: the name of the sticky cookie, else
  // of the header (in lower case) or cookie that is hashed; 0: there is none of them.
  uint8_t name_length;
  uint32_t name_offset;
};
static_assert(sizeof(ServicePolicy) == 8);

// Who answers for a service. Up to slot_endpoints_max endpoints lie in `few`, the rest of which is
// zero; more of them lie in the endpoints array, which such slots partition in order: each begins
// where the one before ended. A slot without endpoints, used or not, answers 503.
struct ServiceSlot {
  EndpointRecord few[slot_endpoints_max];
  uint32_t endpoint_count;
  uint32_t first_endpoint;  // index into this segment's endpoints; 0 when they lie in `few`
  ServicePolicy policy;
};
static_assert(sizeof(ServiceSlot) == 64 && offsetof(ServiceSlot, endpoint_count) == 48);

constexpr uint32_t slot_in_use = 1;  // ServiceNames::flags

// What a slot is, for messages; serving does not read it.
struct ServiceNames {
  uint32_t flags;
  uint32_t reserved;
  StringRef service_namespace;
  StringRef service_name;
  StringRef port;  // the Service port as the Ingress names it: a name or decimal digits
};
static_assert(sizeof(ServiceNames) == 32 && offsetof(ServiceNames, service_namespace) == 8);

}  // namespace millrace::shm
