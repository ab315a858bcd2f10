// How names and paths are hashed into the snapshot's tables. The writer, the validator and the
// router share it; changing it changes the ABI.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/hash.h"
#include "shm/snapshot_format.h"

namespace millrace::shm {

constexpr uint64_t host_seed = 0x9ae16a3b2f90404fU;
constexpr uint64_t wildcard_seed = 0xc3a5c85c97cb3127U;
constexpr uint64_t word_factor = 0x9e3779b97f4a7c15U;

inline uint64_t load_word(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}
inline uint64_t load_half_word(const char* from) {
  uint32_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Eight octets a step; the last word overlaps the one before instead of reading past the end. Each
// step is a bijection of the state, so equal hashes of equal lengths are chance.
inline uint64_t word_hash(std::string_view text, uint64_t seed) {
  const auto step = [](uint64_t state, uint64_t word) {
    const uint64_t product = (state ^ word) * word_factor;
    return product ^ (product >> 32);
  };
  const char* at = text.data();
  const size_t size = text.size();
  uint64_t state = seed + size;
  if (size >= 8) {
    const char* const last = at + size - 8;
    for (; at < last; at += 8) state = step(state, load_word(at));
    return hash_finish(step(state, load_word(last)));
  }
  uint64_t word = 0;
  if (size >= 4) {
    word = load_half_word(at) | load_half_word(at + size - 4) << 32;
  } else if (size > 0) {
    const auto octet = [&](size_t i) { return uint64_t{static_cast<uint8_t>(at[i])}; };
    word = octet(0) | octet(size / 2) << 8 | octet(size - 1) << 16;
  }
  return hash_finish(step(state, word));
}

// Of a host: what a precise name is looked up with, and what a wildcard is looked up with, given
// its suffix with the dot (".example" for "*.example").
inline uint64_t precise_hash(std::string_view name) {
  return word_hash(name, host_seed);
}
inline uint64_t wildcard_hash(std::string_view suffix) {
  return word_hash(suffix, wildcard_seed);
}

// Of a host name as written in the rules: lower-case, "*.example" for a wildcard, "" for all hosts.
inline uint64_t host_hash(std::string_view name) {
  return name.substr(0, 2) == "*." ? wildcard_hash(name.substr(1)) : precise_hash(name);
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

// The bit of HostRecord::exact_lengths for a path of this length.
inline constexpr uint32_t exact_length_bit(size_t length) {
  return 1U << (length % 32);
}

// How many elements a canonical prefix has: "" 0, "/a" 1, "/a/b" 2.
inline uint32_t element_count(std::string_view canonical) {
  uint32_t count = 0;
  for (char c : canonical) count += c == '/';
  return count;
}

}  // namespace millrace::shm
