#include "dataplane/tcp/flow_table.h"

#include "base/check.h"

namespace millrace::tcp {
namespace {
uint32_t places_for(uint32_t entry_count_max) {
  CHECK(entry_count_max <= FlowTable::entry_count_max_max);
  uint32_t places = 16;
  while (places < entry_count_max * 2) places *= 2;
  return places;
}
}  // namespace

uint64_t ipv6_word_of_addresses(const FlowKey& flow, const net::Ipv6Aliases& aliases) {
  return siphash24({aliases.hash_of(flow.local.address), aliases.hash_of(flow.remote.address)}, 0,
                   0);
}

FlowTable::FlowTable(uint32_t entry_count_max, const HashKey& key)
    : key_(key),
      mask_(places_for(entry_count_max) - 1),
      entry_count_max_(entry_count_max),
      entries_(std::make_unique<Entry[]>(size_t{mask_} + 1)) {}

void FlowTable::insert(uint32_t hash, uint32_t index) {
  CHECK(size_ < entry_count_max_);
  uint32_t place = hash & mask_;
  while (entries_[place].index != none) place = (place + 1) & mask_;
  entries_[place] = Entry{hash, index};
  ++size_;
}

void FlowTable::erase(uint32_t hash, uint32_t index) {
  uint32_t place = hash & mask_;
  while (entries_[place].index != index) {
    CHECK(entries_[place].index != none);
    place = (place + 1) & mask_;
  }
  // Backward shift: pull later entries of the run into the hole, unless they would leave their
  // home.
  uint32_t hole = place;
  for (uint32_t next = (hole + 1) & mask_; entries_[next].index != none;
       next = (next + 1) & mask_) {
    const uint32_t distance_to_next = (next - entries_[next].signature) & mask_;
    const uint32_t distance_to_hole = (next - hole) & mask_;
    if (distance_to_next >= distance_to_hole) {
      entries_[hole] = entries_[next];
      hole = next;
    }
  }
  entries_[hole] = Entry{};
  --size_;
}

}  // namespace millrace::tcp
