// What the builder was given, as it keeps it until the bytes are laid. Part of the writer
// (snapshot_writer.h).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "shm/snapshot_format.h"
#include "shm/snapshot_hash.h"

namespace millrace::shm {

// Names of objects, each kept once: a table has far fewer of them than routes.
class NameTable {
 public:
  uint32_t add(std::string_view name) {
    const auto found = index_.find(name);
    if (found != index_.end()) return found->second;
    const auto number = static_cast<uint32_t>(names_.size());
    index_.emplace(names_.emplace_back(name), number);
    return number;
  }
  std::string_view operator[](uint32_t number) const { return names_[number]; }

 private:
  std::deque<std::string> names_;  // does not move what index_ looks at
  std::unordered_map<std::string_view, uint32_t> index_;
};

struct HostInput {
  std::string name;
  uint64_t hash = 0;
  bool has_default = false;
};

struct RouteInput {
  uint32_t host = index_none;  // into SnapshotInput::hosts
  RouteKind kind = RouteKind::exact;
  uint32_t service_slot = 0;
  uint32_t rule_index = 0;
  uint32_t ingress_namespace = 0;  // into SnapshotInput::names
  uint32_t ingress_name = 0;
  uint32_t next_same_hash = index_none;  // another route whose key has the same hash
  std::string path;
};

struct ShadowedInput {
  RouteInput route;
  uint32_t winner = index_none;  // into SnapshotInput::routes
};

struct ServiceInputRecord {
  uint32_t service_namespace = 0;  // into SnapshotInput::names
  uint32_t service_name = 0;
  uint32_t port = 0;
  uint32_t endpoint_count = 0;
  size_t first_endpoint = 0;  // into SnapshotInput::endpoints
  ServicePolicy policy{};     // its name_offset is still unknown
  uint32_t policy_name = 0;   // into SnapshotInput::names
};

struct SnapshotInput {
  NameTable names;
  std::deque<HostInput> hosts;  // in the order of their first mention
  std::vector<RouteInput> routes;
  std::vector<ShadowedInput> shadowed;
  std::map<uint32_t, ServiceInputRecord> services;  // by slot
  std::vector<EndpointRecord> endpoints;            // of all services, each's sorted by id
};

inline bool is_clean(std::string_view text) {
  for (char c : text) {
    const uint8_t octet = static_cast<uint8_t>(c);
    if (octet < 0x20 || octet == 0x7f) return false;
  }
  return true;
}

inline std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (char c : text) shown += is_clean({&c, 1}) ? c : '?';
  return shown + "\"";
}

inline PathKey key_of(RouteKind kind) {
  return kind == RouteKind::exact ? PathKey::exact : PathKey::prefix;
}
inline std::string_view canonical_of(const RouteInput& route) {
  return route.kind == RouteKind::exact ? std::string_view(route.path)
                                        : canonical_prefix(route.path);
}
inline bool is_path_kind(RouteKind kind) {
  return kind != RouteKind::host_default && kind != RouteKind::cluster_default;
}

}  // namespace millrace::shm
