// FlowTable: from a connection's four numbers to its index. Open addressing with linear probing and
// backward-shift deletion: 8 bytes a place, at most half full, so a lookup is one cache line nearly
// always. The hash is keyed (T48): strangers choose three of the four numbers. Its 32 bits say the
// place by their low end and are kept whole as the signature, so moving an entry hashes nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "base/address.h"
#include "base/hash.h"
#include "dataplane/net/ipv6_aliases.h"

namespace millrace::tcp {

struct FlowKey {
  SocketAddress local;
  SocketAddress remote;
  bool operator==(const FlowKey&) const = default;
};

// Both addresses in one word, for what must follow from them alone (T8): of IPv6 ends from the
// whole addresses, never from their aliases, which belong to somebody else later. aliases: nullptr
// without IPv6.
[[gnu::noinline]] uint64_t ipv6_word_of_addresses(const FlowKey& flow,
                                                  const net::Ipv6Aliases& aliases);
inline uint64_t word_of_addresses(const FlowKey& flow, const net::Ipv6Aliases* aliases) {
  if (net::is_ipv6_alias(flow.remote.address) && aliases != nullptr) [[unlikely]] {
    return ipv6_word_of_addresses(flow, *aliases);
  }
  return uint64_t{flow.local.address.host_order()} << 32 | flow.remote.address.host_order();
}

inline uint32_t hash_flow(const MultilinearKey& key, const FlowKey& flow) {
  return key.hash(flow.local.address.host_order(), flow.remote.address.host_order(),
                  uint32_t{flow.local.port} << 16 | flow.remote.port);
}

class FlowTable {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr uint32_t entry_count_max_max = 1U << 30;
  static constexpr size_t bytes_per_place = 8;

  // entry_count_max: how many flows at most; the table has at least twice as many places.
  FlowTable(uint32_t entry_count_max, const HashKey& key);

  uint32_t hash(const FlowKey& flow) const { return hash_flow(key_, flow); }
  // Brings the line that find() will look at nearer.
  void prefetch(uint32_t hash) const { __builtin_prefetch(&entries_[hash & mask_]); }

  // matches(index) compares the full key; the table holds only a signature.
  template <class Matches>
  uint32_t find(uint32_t hash, Matches&& matches) const {
    for (uint32_t place = hash & mask_;; place = (place + 1) & mask_) {
      const Entry& entry = entries_[place];
      if (entry.index == none) return none;
      if (entry.signature == hash && matches(entry.index)) return entry.index;
    }
  }
  // The first entry with this signature, whoever's it is: what find() most likely answers.
  uint32_t candidate(uint32_t hash) const {
    const Entry& entry = entries_[hash & mask_];
    return entry.signature == hash ? entry.index : none;
  }
  void insert(uint32_t hash, uint32_t index);
  // The entry must be there.
  void erase(uint32_t hash, uint32_t index);
  uint32_t size() const { return size_; }
  size_t memory_bytes() const { return (size_t{mask_} + 1) * sizeof(Entry); }

 private:
  struct Entry {
    uint32_t signature = 0;
    uint32_t index = none;
  };
  static_assert(sizeof(Entry) == bytes_per_place);

  MultilinearKey key_;
  uint32_t mask_;
  uint32_t entry_count_max_;
  uint32_t size_ = 0;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace millrace::tcp
