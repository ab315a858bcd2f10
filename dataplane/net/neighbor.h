// NeighborTable: MAC addresses of the stations on our links, by ARP (RFC 826, RFC 1122
// section 2.3.2) and neighbor discovery (RFC 4861 section 7), and the few frames that wait for one.
//
//   find_or_create          reply to us            30 s pass, then used       probe answered
//   --------------> incomplete ------> reachable ----------------------> probe ---------->
//   reachable
//                    |   ^                                                |
//      3 requests    |   |  negative period over, used again              | 3 unicast probes
//      unanswered    v   |                                                v unanswered
//                   failed                                            incomplete
//
// A neighbor in use is asked again, by unicast, while its old MAC address stays in use: an active
// connection never stalls for ARP. A neighbor not in use costs nothing.
//
// What is believed (T46). ARP has no authentication, so the rule is to take nothing that was not
// asked for:
//  - no entry ever begins with what somebody sent: only our own wish to send makes one;
//  - an incomplete entry is filled only by a reply to our own MAC and address while our request is
//    out; the first one wins;
//  - a probe goes to the known MAC address, so only an answer from there confirms it;
//  - a request that an existing neighbor sends to us refreshes it when its MAC address is the known
//    one. Another MAC address changes nothing, it only starts a probe of the known one at once: if
//    the neighbor really moved (a failover), the probe stays unanswered and a broadcast finds the
//    new place within 3 s. A liar wins only against a neighbor that is silent.
//
// The same holds of neighbor discovery, where a solicitation is the request, to the solicited-node
// group or by unicast, and a solicited advertisement the reply. An IPv6 neighbor stands here by its
// alias, and its entry holds that.
//
// Two bounds keep a flood of made-up neighbors from pushing out real ones: entries that never
// answered take at most half of the table, and new ones replace the oldest of their own kind.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/hash.h"
#include "base/index_list.h"
#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/net/arp.h"
#include "dataplane/net/ipv6_network.h"
#include "dataplane/net/steering.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame.h"

namespace millrace::net {

class IpOutput;

class NeighborTable {
 public:
  static constexpr uint16_t entries_max = 1024;
  static constexpr uint16_t unproven_max = entries_max / 2;
  static constexpr uint16_t none = UINT16_MAX;
  // A crowd's first requests to a fresh endpoint, or its SYN-ACKs: whatever is dropped here comes
  // again only after a second.
  static constexpr uint16_t waiting_max = 256;          // over all entries
  static constexpr uint32_t waiting_per_entry_min = 4;  // a SYN, its retransmission, a spare pair
  static constexpr uint16_t waiting_per_entry_max = waiting_max / 2;  // when nobody else waits
  static constexpr uint8_t requests_max = 3;  // before a neighbor counts as absent
  // RFC 1122 section 2.3.2.1: at most one request a second to a destination.
  static constexpr Duration request_interval = Duration::seconds(1);
  static constexpr Duration reachable_time = Duration::seconds(30);
  static constexpr Duration negative_time = Duration::seconds(3);
  // Broadcasts for different destinations: what a scan of a /16 may cost the link.
  static constexpr uint32_t broadcasts_per_second_max = 512;

  enum class State : uint8_t { free, incomplete, reachable, probe, failed };

  // key: seeds the hash of addresses, which strangers choose. ipv6: nullptr without IPv6.
  NeighborTable(packet::Arena& arena, const Steering& steering, Counters& counters,
                const HashKey& key, Ipv6Network* ipv6 = nullptr);

  // The entry for address on port's link, made if need be. none, counted, when no entry can be
  // given up or the port has no owned address to ask from.
  uint16_t find_or_create(uint8_t port, Ipv4Address address);
  uint16_t find(uint8_t port, Ipv4Address address) const;
  // An index kept from earlier may name somebody else by now; this says whether it does not.
  bool is_entry_of(uint16_t index, uint8_t port, Ipv4Address address) const {
    return index < entries_max && entries_[index].state != State::free &&
           entries_[index].address == address && entries_[index].port == port;
  }
  Ipv4Address address_of(uint16_t index) const { return entries_[index].address; }
  // A pinned entry is never evicted: gateways. Takes effect on an existing entry.
  void pin(uint16_t index) { entries_[index].pinned = true; }

  State state(uint16_t index) const { return entries_[index].state; }

  // The MAC address to send to now, or nullptr: then the frame may be left with wait(). Notes that
  // the entry is used, and asks ARP through output when it is time.
  const MacAddress* resolve(uint16_t index, Instant now, IpOutput& output);

  // The same where nothing is to be asked: the address of a neighbor that is known and was
  // confirmed lately, if `index` still is its entry; nullptr in every other case, then find out the
  // long way.
  const MacAddress* known(uint16_t index, uint8_t port, Ipv4Address address, Instant now) {
    if (index >= entries_max) return nullptr;
    Entry& entry = entries_[index];
    if (entry.state != State::reachable || entry.address != address || entry.port != port ||
        now - entry.confirmed_at > reachable_time) {
      return nullptr;
    }
    entry.used = true;
    return &entry.mac;
  }

  // Keeps frame (space for its Ethernet header in front, in_port set) until the neighbor answers.
  // When too many wait the oldest of this neighbor makes room (RFC 1122 section 2.3.2.2: save the
  // latest); frames that are given up are counted and marked sent.
  void wait(uint16_t index, const packet::TransmitFrame& frame);

  // An ARP packet whose target is an address we own on `port`; for_us: its frame was unicast to our
  // MAC address and so was the packet's target.
  void learn(uint8_t port, const ArpPacket& packet, bool for_us, Instant now, IpOutput& output);

  // A neighbor advertisement about `alias`; for_us: it answers a solicitation of ours.
  void learn_advertisement(uint8_t port, Ipv4Address alias, const MacAddress& mac, bool for_us,
                           Instant now, IpOutput& output);
  // `alias` has asked for an address of ours and said its own MAC address.
  void learn_solicitation(uint8_t port, Ipv4Address alias, const MacAddress& mac, Instant now,
                          IpOutput& output);

  // Every timer: repeated requests, giving up. To be called about every 100 ms.
  void tick(Instant now, IpOutput& output);

  uint16_t count() const { return static_cast<uint16_t>(proven_.count + unproven_.count); }
  uint16_t waiting_count() const {
    return static_cast<uint16_t>(waiting_max - free_waiting_.count);
  }
  bool check_invariants() const;  // for tests: lists, hash and waiting frames agree
  uint32_t ipv6_count() const;    // each holds an alias

 private:
  struct Entry {
    State state = State::free;
    bool pinned = false;
    bool used = false;    // since it was last looked at for eviction
    bool proven = false;  // has answered at least once; which list it is on
    uint8_t port = 0;
    uint8_t requests = 0;  // sent and unanswered
    Ipv4Address address;
    MacAddress mac;           // valid in reachable and probe
    Instant confirmed_at;     // reachable: since when
    Instant next_request_at;  // incomplete, probe
    Instant failed_until;     // failed
    IndexList waiting;        // of waiting_, oldest first
  };

  static constexpr uint32_t buckets = entries_max * 2;

  uint32_t bucket_of(uint8_t port, Ipv4Address address) const;
  void hash_insert(uint16_t index);
  void hash_erase(uint16_t index);
  uint16_t take_entry();
  uint16_t evict(IndexList& list);
  void move_to(uint16_t index, bool proven);
  packet::TransmitFrame take_waiting(Entry& entry);
  void drop_waiting(uint16_t index, Counter reason);
  void begin(uint16_t index, State state, Instant now);
  void request(uint16_t index, Instant now, IpOutput& output);
  bool take_broadcast(Instant now);
  void confirm(uint16_t index, const MacAddress& mac, Instant now);
  void flush_waiting(uint16_t index, IpOutput& output);
  bool has_source_for(uint8_t port, Ipv4Address address) const;
  bool send_request(const Entry& entry, bool unicast, IpOutput& output) const;
  void on_reply(uint16_t index, const MacAddress& mac, bool for_us, Instant now, IpOutput& output);
  void on_request(uint16_t index, const MacAddress& mac, Instant now, IpOutput& output);

  packet::Arena& arena_;
  const Steering& steering_;
  Counters& counters_;
  HashKey key_;
  Ipv6Network* ipv6_;
  std::unique_ptr<Entry[]> entries_;
  std::array<uint16_t, buckets> hash_;
  IndexLinks links_;
  IndexList free_;
  IndexList proven_;
  IndexList unproven_;
  std::array<packet::TransmitFrame, waiting_max> waiting_;  // on an entry's list, or free
  IndexLinks waiting_links_;
  IndexList free_waiting_;
  Instant broadcasts_period_end_;
  uint32_t broadcasts_left_ = 0;
};

}  // namespace millrace::net
