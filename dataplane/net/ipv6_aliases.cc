#include "dataplane/net/ipv6_aliases.h"

#include <bit>

namespace millrace::net {

Ipv6Aliases::Ipv6Aliases(uint32_t hosts_held_max, const HashKey& key)
    : key_(key),
      capacity_(hosts_held_max),
      mask_(std::bit_ceil(hosts_held_max * 2) - 1),
      entries_(std::make_unique<Entry[]>(hosts_held_max + 1)),
      places_(std::make_unique<uint32_t[]>(size_t{mask_} + 1)),
      links_(hosts_held_max) {
  CHECK(hosts_held_max > 0 && hosts_held_max <= hosts_max);
  for (uint32_t place = 0; place <= mask_; ++place) places_[place] = none;
  for (uint32_t index = 0; index < capacity_; ++index) links_.push_back(unheld_, index);
}

uint64_t Ipv6Aliases::hash(const Ipv6Address& address) const {
  const uint8_t* octets = address.octets().data();
  return siphash24(key_, uint64_t{load_be32(octets)} << 32 | load_be32(octets + 4),
                   uint64_t{load_be32(octets + 8)} << 32 | load_be32(octets + 12));
}

uint32_t Ipv6Aliases::find_index(const Ipv6Address& address, uint64_t hash) const {
  for (uint32_t place = static_cast<uint32_t>(hash) & mask_; places_[place] != none;
       place = (place + 1) & mask_) {
    const Entry& entry = entries_[places_[place]];
    if (entry.hash == hash && entry.address == address) return places_[place];
  }
  return none;
}

std::optional<Ipv4Address> Ipv6Aliases::find(const Ipv6Address& address) const {
  const uint32_t index = find_index(address, hash(address));
  return index == none ? std::nullopt : std::optional(alias_of(index));
}

Ipv4Address Ipv6Aliases::find_or_visit(const Ipv6Address& address) {
  const uint64_t hashed = hash(address);
  const uint32_t index = find_index(address, hashed);
  if (index != none) return alias_of(index);
  Entry& visitor = entries_[capacity_];
  visitor.address = address;
  visitor.hash = hashed;
  return alias_of(capacity_);
}

std::optional<Ipv4Address> Ipv6Aliases::hold(Ipv4Address alias) {
  uint32_t index = index_of(alias);
  if (index == capacity_) {
    const Entry& visitor = entries_[capacity_];
    // Another holder may have given it an alias since it came.
    index = find_index(visitor.address, visitor.hash);
    if (index == none) {
      index = unheld_.head;
      if (index == none) return std::nullopt;
      if (entries_[index].known) erase(index);
      entries_[index] = visitor;
      insert(index);
    }
  }
  Entry& entry = entries_[index];
  CHECK(entry.known);
  if (entry.references++ == 0) links_.remove(unheld_, index);
  return alias_of(index);
}

void Ipv6Aliases::release(Ipv4Address alias) {
  const uint32_t index = index_of(alias);
  CHECK(index < capacity_ && entries_[index].references > 0);
  if (--entries_[index].references == 0) links_.push_back(unheld_, index);
}

void Ipv6Aliases::insert(uint32_t index) {
  uint32_t place = static_cast<uint32_t>(entries_[index].hash) & mask_;
  while (places_[place] != none) place = (place + 1) & mask_;
  places_[place] = index;
  entries_[index].known = true;
}

// Closes the gap by moving later members of the run back, so that no tombstones pile up.
void Ipv6Aliases::erase(uint32_t index) {
  uint32_t gap = static_cast<uint32_t>(entries_[index].hash) & mask_;
  while (places_[gap] != index) gap = (gap + 1) & mask_;
  for (uint32_t at = (gap + 1) & mask_; places_[at] != none; at = (at + 1) & mask_) {
    const uint32_t home = static_cast<uint32_t>(entries_[places_[at]].hash) & mask_;
    if (((at - home) & mask_) < ((at - gap) & mask_)) continue;  // it would stand before its home
    places_[gap] = places_[at];
    gap = at;
  }
  places_[gap] = none;
  entries_[index].known = false;
}

uint64_t Ipv6Aliases::reference_count() const {
  uint64_t count = 0;
  for (uint32_t index = 0; index < capacity_; ++index) count += entries_[index].references;
  return count;
}

size_t Ipv6Aliases::memory_bytes() const {
  return (size_t{capacity_} + 1) * sizeof(Entry) + (size_t{mask_} + 1) * sizeof(uint32_t) +
         capacity_ * IndexLinks::bytes_per_record;
}

bool Ipv6Aliases::check_invariants() const {
  uint32_t placed = 0;
  for (uint32_t place = 0; place <= mask_; ++place) placed += places_[place] != none ? 1 : 0;
  uint32_t known = 0;
  for (uint32_t index = 0; index < capacity_; ++index) {
    const Entry& entry = entries_[index];
    if (entry.references > 0 && !entry.known) return false;
    if (links_.linked(index) != (entry.references == 0)) return false;
    if (!entry.known) continue;
    ++known;
    if (find_index(entry.address, entry.hash) != index) return false;
  }
  return placed == known;
}

}  // namespace millrace::net
