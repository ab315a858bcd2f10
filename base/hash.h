// Keyed hashing for tables that strangers fill, and 64-bit content hashing for what we build.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace millrace {

// SipHash's 128-bit key; drawn once a process in main.cc.
struct HashKey {
  uint64_t low = 0;
  uint64_t high = 0;
};

// SipHash-1-3 over whole 64-bit words (Aumasson, Bernstein 2012; the reduced rounds that hash
// tables in Rust and Python use). For tables that strangers fill and that are not asked for every
// segment.
uint64_t siphash13(const HashKey& key, uint64_t word0, uint64_t word1);

// Multilinear hashing of three 32-bit words with keys of 64 bits: strongly universal in the upper
// 32 bits (Lemire, Kaser 2014), so whoever does not know the keys cannot aim collisions of whole
// hashes. The sum alone is linear, though: words in a row (the ports of one client) give sums in a
// row, which under some keys pile up where a table is probed linearly. So it is mixed. Unlike a PRF
// it gives itself away to somebody who sees its results, or can tell many collisions by their
// timing.
struct MultilinearKey {
  uint64_t offset = 0;
  uint64_t factors[3] = {};

  MultilinearKey() = default;
  explicit MultilinearKey(const HashKey& key);
  uint32_t hash(uint32_t word0, uint32_t word1, uint32_t word2) const {
    const uint64_t sum = offset + factors[0] * word0 + factors[1] * word1 + factors[2] * word2;
    return static_cast<uint32_t>(((sum ^ sum >> 32) * 0x9e3779b97f4a7c15U) >> 32);
  }
};

// SipHash-2-4 over two words, for initial sequence numbers (RFC 6528 asks for a PRF).
uint64_t siphash24(const HashKey& key, uint64_t word0, uint64_t word1);

// FNV-1a, 64 bits, which can be continued: hash_text(b, hash_text(a)) == hash_text(a + b). The
// routing tables use it because one pass over a path yields the hash of each of its prefixes. Their
// keys come from the cluster's own objects and their buckets are bounded by the validator, so it
// needs no key.
inline constexpr uint64_t text_hash_seed = 0xcbf29ce484222325U;
inline constexpr uint64_t hash_octet(uint8_t octet, uint64_t from) {
  return (from ^ octet) * 0x100000001b3U;
}
inline uint64_t hash_text(std::string_view text, uint64_t from = text_hash_seed) {
  for (char c : text) from = hash_octet(static_cast<uint8_t>(c), from);
  return from;
}
// FNV's low bits are weak; finish before taking a bucket from a hash.
inline constexpr uint64_t hash_finish(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0x9e3779b97f4a7c15U;
  return hash ^ (hash >> 29);
}

}  // namespace millrace
