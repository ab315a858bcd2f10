// How names and paths are hashed into the snapshot's tables. The writer, the validator and the
// router share it; changing it changes the ABI.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/hash.h"
#include "shm/snapshot_format.h"

namespace millrace::shm {

// Of a host name as written in the rules: lower-case, "*." kept, "" for the empty host.
inline uint64_t host_hash(std::string_view name) {
  return hash_finish(hash_text(name));
}

inline constexpr uint32_t segment_of(uint64_t hash, uint32_t segment_count) {
  return static_cast<uint32_t>(hash >> 32) & (segment_count - 1);
}
inline constexpr uint32_t bucket_of(uint64_t hash, uint32_t bucket_count) {
  return static_cast<uint32_t>(hash) & (bucket_count - 1);
}

// A path's hash starts from its host's index, runs over the canonical path's bytes with
// hash_octet(), and is finished with its key: one pass over a request path yields them all.
inline constexpr uint64_t path_hash_start(uint32_t host) {
  return (text_hash_seed ^ host) * 0x9e3779b97f4a7c15U;
}
inline constexpr uint64_t path_hash_end(uint64_t state, PathKey key) {
  return hash_finish(state + static_cast<uint64_t>(key));
}
inline uint64_t path_hash(uint32_t host, PathKey key, std::string_view canonical) {
  return path_hash_end(hash_text(canonical, path_hash_start(host)), key);
}

// A prefix as a list of elements: one trailing slash does not count, so "/" is the empty list.
inline std::string_view canonical_prefix(std::string_view as_written) {
  if (!as_written.empty() && as_written.back() == '/') as_written.remove_suffix(1);
  return as_written;
}

// How many elements a canonical prefix has: "" 0, "/a" 1, "/a/b" 2.
inline uint32_t element_count(std::string_view canonical) {
  uint32_t count = 0;
  for (char c : canonical) count += c == '/';
  return count;
}

}  // namespace millrace::shm
