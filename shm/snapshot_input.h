// What the builder was given, as it keeps it until the bytes are laid. Part of the writer
// (snapshot_writer.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shm/snapshot_format.h"
#include "shm/snapshot_hash.h"

namespace millrace::shm {

// Numbers found by the hash of what they stand for. One block of memory: a table is laid in a
// hundred parts, each with tables of its own.
class IndexTable {
 public:
  // The number of this hash for which `is_same` holds, else index_none.
  template <class IsSame>
  uint32_t find(uint64_t hash, IsSame is_same) const {
    if (slots_.empty()) return index_none;
    for (size_t at = place_of(hash);; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.number == index_none) return index_none;
      if (slot.hash == hash && is_same(slot.number)) return slot.number;
    }
  }
  void add(uint64_t hash, uint32_t number) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    put({hash, number});
    ++size_;
  }

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t number = index_none;
  };
  // The factor spreads hashes that somebody chose to lie in one bucket of the finished table.
  size_t place_of(uint64_t hash) const {
    return static_cast<size_t>((hash ^ hash >> 29) * word_factor >> 32) & (slots_.size() - 1);
  }
  void put(Slot slot) {
    size_t at = place_of(slot.hash);
    while (slots_[at].number != index_none) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
  void grow() {
    const std::vector<Slot> before = std::exchange(slots_, {});
    slots_.resize(std::max(slots_min, 4 * before.size()));
    for (const Slot& slot : before) {
      if (slot.number != index_none) put(slot);
    }
  }

  static constexpr size_t slots_min = 256;
  std::vector<Slot> slots_;  // a power of two, at most half of them taken
  size_t size_ = 0;
};

// Copies of texts, one behind the other in blocks that do not move.
class TextBlocks {
 public:
  std::string_view add(std::string_view text) {
    if (text.empty()) return {};
    if (text.size() > left_) {
      const size_t bytes = std::max(block_bytes, text.size());
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
      at_ = blocks_.back().get();
      left_ = bytes;
    }
    std::memcpy(at_, text.data(), text.size());
    const std::string_view copy(at_, text.size());
    at_ += text.size();
    left_ -= text.size();
    return copy;
  }

 private:
  static constexpr size_t block_bytes = 8'192;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* at_ = nullptr;
  size_t left_ = 0;
};

// Names of objects, each kept once: a table has far fewer of them than routes.
class NameTable {
 public:
  uint32_t add(std::string_view name) {
    const uint64_t hash = word_hash(name, host_seed);
    uint32_t number =
        index_.find(hash, [&](uint32_t candidate) { return names_[candidate] == name; });
    if (number != index_none) return number;
    number = static_cast<uint32_t>(names_.size());
    names_.push_back(texts_.add(name));
    index_.add(hash, number);
    return number;
  }
  std::string_view operator[](uint32_t number) const { return names_[number]; }
  size_t size() const { return names_.size(); }

 private:
  TextBlocks texts_;
  std::vector<std::string_view> names_;
  IndexTable index_;
};

struct HostInput {
  std::string_view name;  // in SnapshotInput::texts, as paths are
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
  std::string_view path;
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
  TextBlocks texts;
  NameTable names;
  std::vector<HostInput> hosts;  // in the order of their first mention
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
  return route.kind == RouteKind::exact ? route.path : canonical_prefix(route.path);
}
inline bool is_path_kind(RouteKind kind) {
  return kind != RouteKind::host_default && kind != RouteKind::cluster_default;
}

}  // namespace millrace::shm
