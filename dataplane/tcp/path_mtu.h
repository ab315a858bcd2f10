// PathMtuCache: what ICMP has said of the paths to peers, so that the next connection to the same
// peer need not lose a segment to learn it again (RFC 1191 section 5.3). A path may have changed,
// so an entry is forgotten after ten minutes (section 6.3). Only what TCP has checked against a
// connection gets in (RFC 5927 section 7.2).
//
// A fixed number of places, chosen by a keyed hash; who comes later to a place takes it. What is
// lost so costs one more message, never a wrong packet.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/hash.h"
#include "base/time.h"

namespace millrace::tcp {

// Below this nothing is believed, and no segment is made smaller: 552 octets are what Linux takes,
// and T38 asks for. (RFC 791 demands 68 of every link, which would make 28 octets of text a
// segment.)
inline constexpr uint16_t path_mtu_bytes_min = 552;
// What is tried first where larger segments seem to be swallowed: every IPv6 path carries it,
// tunnels too.
inline constexpr uint16_t black_hole_first_mtu_bytes = 1'280;
inline constexpr Duration path_mtu_life = Duration::seconds(600);

class PathMtuCache {
 public:
  static constexpr uint32_t places = 1'024;

  explicit PathMtuCache(const HashKey& key) : key_(key) {}

  // peer: an IPv4 address, or hash_of() an IPv6 host's alias: that of the address itself, so that
  // nothing is held for the cache and no other host inherits an entry.
  void learn(uint64_t peer, uint16_t mtu_bytes, Instant now) {
    entries_[place_of(peer)] = {peer, Tick::at_or_after(now + path_mtu_life), mtu_bytes};
  }
  // mtu_bytes of the interface, or less.
  uint16_t limit(uint64_t peer, uint16_t mtu_bytes, Instant now) const {
    const Entry& entry = entries_[place_of(peer)];
    const bool holds = entry.peer == peer && !entry.ends_at.is_never() &&
                       !entry.ends_at.reached_by(Tick::at_or_before(now));
    return holds && entry.mtu_bytes < mtu_bytes ? entry.mtu_bytes : mtu_bytes;
  }

 private:
  struct Entry {
    uint64_t peer = 0;
    Tick ends_at;
    uint16_t mtu_bytes = 0;
  };
  uint32_t place_of(uint64_t peer) const {
    return static_cast<uint32_t>(siphash13(key_, peer, 0) % places);
  }

  HashKey key_;
  std::array<Entry, places> entries_{};
};

}  // namespace millrace::tcp
