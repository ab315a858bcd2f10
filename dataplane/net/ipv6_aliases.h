// Ipv6Aliases: the names that IPv6 hosts have inside the stack. An alias is a value of type
// Ipv4Address out of 240.0.0.0/4, which no packet on a wire may carry (RFC 1112 section 4, RFC
// 6890), so that connections, paths, neighbors and tables are the same for both families.
//
// Whoever keeps an alias beyond the packet at hand holds it: a connection and a TIME-WAIT record
// its peer's, a neighbor entry its neighbor's, and the configuration those of our own addresses and
// gateways, for good. An alias that nobody holds any more keeps its address until the place is
// needed, so that it is right as long as a packet is being handled.
//
// The value of an alias means nothing: it is given to another host later. What strangers must not
// learn or foresee (T8) goes by hash_of().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/index_list.h"
#include "base/ipv6_address.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6.h"

namespace millrace::net {

constexpr bool is_ipv6_alias(Ipv4Address address) {
  return address.is_reserved();
}

// Of the datagrams that we write to it: both families without options or extension headers.
constexpr uint32_t ip_header_bytes(Ipv4Address address) {
  return is_ipv6_alias(address) ? ipv6_header_bytes : ipv4_header_bytes;
}

// What looks an alias up stays out of line, here and where it is called: the ways of IPv4 pass by
// it and shall stay as small as they are.
class Ipv6Aliases {
 public:
  static constexpr uint32_t hosts_max = 1U << 24;

  // hosts_held_max: how many hosts are held at a time at most; the sum of what the holders can
  // hold, so that hold() does not fail. key: seeds the hash of addresses, which strangers choose.
  Ipv6Aliases(uint32_t hosts_held_max, const HashKey& key);

  // The alias of a known host, or nothing.
  [[gnu::noinline]] std::optional<Ipv4Address> find(const Ipv6Address& address) const;
  // The alias of a known host, else the visitor's, which names this address until the next call:
  // what is answered without being remembered (resets, SYN cookies) goes by it, and nothing is kept
  // for a peer that has proven nothing (T9, T10).
  [[gnu::noinline]] Ipv4Address find_or_visit(const Ipv6Address& address);

  // One more reference; of the visitor's alias, to the one that its host has or now gets. Nothing
  // when the table is full.
  [[gnu::noinline]] std::optional<Ipv4Address> hold(Ipv4Address alias);
  std::optional<Ipv4Address> hold(const Ipv6Address& address) {
    return hold(find_or_visit(address));
  }
  [[gnu::noinline]] void release(Ipv4Address alias);

  // Whether the value is an alias of this table at all: other values of 240.0.0.0/4 name nobody.
  bool is_alias(Ipv4Address value) const {
    const uint32_t index = value.host_order() - first_alias;
    return index == capacity_ || (index < capacity_ && entries_[index].known);
  }
  const Ipv6Address& address(Ipv4Address alias) const { return entry(alias).address; }
  // A PRF of the whole address.
  uint64_t hash_of(Ipv4Address alias) const { return entry(alias).hash; }

  uint32_t held_count() const { return capacity_ - unheld_.count; }
  uint32_t references(Ipv4Address alias) const { return entry(alias).references; }
  uint64_t reference_count() const;  // of all, for invariants
  size_t memory_bytes() const;
  bool check_invariants() const;  // for tests: hash and list agree

 private:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr uint32_t first_alias = 0xf000'0000;

  struct Entry {
    Ipv6Address address;
    uint64_t hash = 0;
    uint32_t references = 0;
    bool known = false;  // in places_
  };
  static_assert(sizeof(Entry) == 32);

  // Index capacity_ is the visitor's.
  static Ipv4Address alias_of(uint32_t index) {
    return Ipv4Address::from_host_order(first_alias + index);
  }
  uint32_t index_of(Ipv4Address alias) const {
    const uint32_t index = alias.host_order() - first_alias;
    CHECK(index <= capacity_);
    return index;
  }
  const Entry& entry(Ipv4Address alias) const { return entries_[index_of(alias)]; }
  uint64_t hash(const Ipv6Address& address) const;
  uint32_t find_index(const Ipv6Address& address, uint64_t hash) const;
  void insert(uint32_t index);
  void erase(uint32_t index);

  HashKey key_;
  uint32_t capacity_;
  uint32_t mask_;
  std::unique_ptr<Entry[]> entries_;
  // Indices by hash: open addressing, linear probing, at most half full.
  std::unique_ptr<uint32_t[]> places_;
  IndexLinks links_;
  IndexList unheld_;  // those never used first, then by when they were let go
};

}  // namespace millrace::net
