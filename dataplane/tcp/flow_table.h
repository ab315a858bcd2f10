// FlowTable: from a connection's four numbers to its index. Open addressing with linear probing and
// backward-shift deletion: 12 bytes an entry, at most half full, so a lookup is one cache line
// nearly always. The hash is keyed (T48): strangers choose three of the four numbers.
#pragma once

#include <cstdint>
#include <memory>

#include "base/address.h"
#include "base/hash.h"

namespace millrace::tcp {

struct FlowKey {
  SocketAddress local;
  SocketAddress remote;
  bool operator==(const FlowKey&) const = default;
};

inline uint64_t hash_flow(const HashKey& key, const FlowKey& flow) {
  return siphash13(
      key, uint64_t{flow.local.address.host_order()} << 32 | flow.remote.address.host_order(),
      uint64_t{flow.local.port} << 16 | flow.remote.port);
}

class FlowTable {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  // entry_count_max: how many flows at most; the table has at least twice as many places.
  FlowTable(uint32_t entry_count_max, const HashKey& key);

  uint64_t hash(const FlowKey& flow) const { return hash_flow(key_, flow); }

  // matches(index) compares the full key; the table holds only a signature.
  template <class Matches>
  uint32_t find(uint64_t hash, Matches&& matches) const {
    const auto signature = static_cast<uint32_t>(hash >> 32);
    for (uint32_t place = static_cast<uint32_t>(hash) & mask_;; place = (place + 1) & mask_) {
      const Entry& entry = entries_[place];
      if (entry.index == none) return none;
      if (entry.signature == signature && matches(entry.index)) return entry.index;
    }
  }
  void insert(uint64_t hash, uint32_t index);
  // The entry must be there.
  void erase(uint64_t hash, uint32_t index);
  uint32_t size() const { return size_; }

 private:
  struct Entry {
    uint32_t signature = 0;
    uint32_t index = none;
    uint32_t home = 0;  // the place the hash asked for, so that deletion need not hash again
  };

  HashKey key_;
  uint32_t mask_;
  uint32_t entry_count_max_;
  uint32_t size_ = 0;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace millrace::tcp
