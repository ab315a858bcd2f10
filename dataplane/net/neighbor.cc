#include "dataplane/net/neighbor.h"

#include <algorithm>

#include "base/check.h"
#include "dataplane/net/ip_output.h"

namespace millrace::net {

NeighborTable::NeighborTable(packet::Arena& arena, const Steering& steering, Counters& counters,
                             const HashKey& key, Ipv6Network* ipv6)
    : arena_(arena),
      steering_(steering),
      counters_(counters),
      key_(key),
      ipv6_(ipv6),
      entries_(std::make_unique<Entry[]>(entries_max)),
      links_(entries_max),
      waiting_links_(waiting_max) {
  hash_.fill(none);
  for (uint16_t i = 0; i < waiting_max; ++i) waiting_links_.push_back(free_waiting_, i);
  for (uint16_t i = 0; i < entries_max; ++i) links_.push_back(free_, i);
}

// --- the hash: open addressing, linear probing, at most half full ---

uint32_t NeighborTable::bucket_of(uint8_t port, Ipv4Address address) const {
  return static_cast<uint32_t>(siphash13(key_, address.host_order(), port)) % buckets;
}

uint16_t NeighborTable::find(uint8_t port, Ipv4Address address) const {
  for (uint32_t bucket = bucket_of(port, address); hash_[bucket] != none;
       bucket = (bucket + 1) % buckets) {
    if (is_entry_of(hash_[bucket], port, address)) return hash_[bucket];
  }
  return none;
}

void NeighborTable::hash_insert(uint16_t index) {
  uint32_t bucket = bucket_of(entries_[index].port, entries_[index].address);
  while (hash_[bucket] != none) bucket = (bucket + 1) % buckets;
  hash_[bucket] = index;
}

// Closes the gap by moving later members of the run back, so that no tombstones pile up.
void NeighborTable::hash_erase(uint16_t index) {
  uint32_t gap = bucket_of(entries_[index].port, entries_[index].address);
  while (hash_[gap] != index) gap = (gap + 1) % buckets;
  for (uint32_t at = (gap + 1) % buckets; hash_[at] != none; at = (at + 1) % buckets) {
    const Entry& moved = entries_[hash_[at]];
    const uint32_t home = bucket_of(moved.port, moved.address);
    const uint32_t distance_home = (at + buckets - home) % buckets;
    const uint32_t distance_gap = (at + buckets - gap) % buckets;
    if (distance_home < distance_gap) continue;  // it would stand in front of its home
    hash_[gap] = hash_[at];
    gap = at;
  }
  hash_[gap] = none;
}

// --- entries ---

bool NeighborTable::has_source_for(uint8_t port, Ipv4Address address) const {
  if (is_ipv6_alias(address)) {
    return ipv6_->source_for(port, ipv6_->aliases.address(address)) != nullptr;
  }
  return steering_.source_for(port, address).has_value();
}

uint16_t NeighborTable::find_or_create(uint8_t port, Ipv4Address address) {
  // A visitor may have an entry by the alias that it has got since.
  if (is_ipv6_alias(address)) {
    address = ipv6_->aliases.find(ipv6_->aliases.address(address)).value_or(address);
  }
  const uint16_t found = find(port, address);
  if (found != none) return found;
  if (!has_source_for(port, address)) {
    counters_.add(Counter::net_neighbor_no_source);
    return none;
  }
  const uint16_t index = take_entry();
  if (index == none) {
    counters_.add(Counter::net_neighbor_table_full);
    return none;
  }
  if (is_ipv6_alias(address)) {
    const auto held = ipv6_->aliases.hold(address);
    CHECK(held.has_value());  // the table of aliases has room for a whole table of neighbors
    address = *held;
  }
  Entry& entry = entries_[index];
  entry = Entry{};
  entry.state = State::incomplete;
  entry.port = port;
  entry.address = address;
  links_.push_back(unproven_, index);
  hash_insert(index);
  return index;
}

uint16_t NeighborTable::take_entry() {
  if (unproven_.count >= unproven_max) return evict(unproven_);
  const uint32_t index = links_.pop_front(free_);
  if (index != IndexList::none) return static_cast<uint16_t>(index);
  return evict(proven_);
}

// Second chance: the oldest entry that was not used since it was last looked at. The number of
// looks is bounded, for a stranger may cause one a packet; after that the last one looked at goes,
// used or not, unless it is pinned.
uint16_t NeighborTable::evict(IndexList& list) {
  constexpr int looks_max = 8;
  for (int look = 1; look <= looks_max && !list.empty(); ++look) {
    const auto index = static_cast<uint16_t>(links_.pop_front(list));
    Entry& entry = entries_[index];
    if (entry.pinned || (entry.used && look < looks_max)) {
      entry.used = false;
      links_.push_back(list, index);
      continue;
    }
    counters_.add(Counter::net_neighbor_evicted);
    drop_waiting(index, Counter::net_neighbor_wait_overflow);
    hash_erase(index);
    entry.state = State::free;
    if (is_ipv6_alias(entry.address)) ipv6_->aliases.release(entry.address);
    return index;
  }
  return none;
}

void NeighborTable::move_to(uint16_t index, bool proven) {
  Entry& entry = entries_[index];
  if (entry.proven == proven) return;
  links_.remove(entry.proven ? proven_ : unproven_, index);
  links_.push_back(proven ? proven_ : unproven_, index);
  entry.proven = proven;
}

// --- sending ---

const MacAddress* NeighborTable::resolve(uint16_t index, Instant now, IpOutput& output) {
  Entry& entry = entries_[index];
  CHECK(entry.state != State::free);
  entry.used = true;
  switch (entry.state) {
    case State::reachable:
      if (now - entry.confirmed_at > reachable_time) {
        begin(index, State::probe, now);
        request(index, now, output);
      }
      return &entry.mac;
    case State::probe: return &entry.mac;
    case State::failed:
      if (now < entry.failed_until) return nullptr;
      begin(index, State::incomplete, now);
      request(index, now, output);
      return nullptr;
    default:
      if (entry.requests == 0) request(index, now, output);
      return nullptr;
  }
}

void NeighborTable::wait(uint16_t index, const packet::TransmitFrame& frame) {
  Entry& entry = entries_[index];
  if (entry.state == State::failed) {
    counters_.add(Counter::net_neighbor_unreachable);
    arena_.mark_sent(frame.slot);
    return;
  }
  // No neighbor gets more than is left for all others, so that a silent one leaves room for the
  // rest.
  const uint32_t places = std::max(waiting_per_entry_min, free_waiting_.count);
  if (entry.waiting.count >= places || free_waiting_.empty()) {
    counters_.add(Counter::net_neighbor_wait_overflow);
    if (entry.waiting.empty()) {
      arena_.mark_sent(frame.slot);
      return;
    }
    arena_.mark_sent(take_waiting(entry).slot);
  }
  const uint32_t place = waiting_links_.pop_front(free_waiting_);
  waiting_[place] = frame;
  waiting_links_.push_back(entry.waiting, place);
}

packet::TransmitFrame NeighborTable::take_waiting(Entry& entry) {
  const uint32_t place = waiting_links_.pop_front(entry.waiting);
  waiting_links_.push_back(free_waiting_, place);
  return waiting_[place];
}

void NeighborTable::drop_waiting(uint16_t index, Counter reason) {
  Entry& entry = entries_[index];
  counters_.add(reason, entry.waiting.count);
  while (!entry.waiting.empty()) arena_.mark_sent(take_waiting(entry).slot);
}

void NeighborTable::flush_waiting(uint16_t index, IpOutput& output) {
  Entry& entry = entries_[index];
  while (!entry.waiting.empty()) output.send_waited(entry.port, take_waiting(entry), entry.mac);
}

// --- asking ---

void NeighborTable::begin(uint16_t index, State state, Instant now) {
  Entry& entry = entries_[index];
  entry.state = state;
  entry.requests = 0;
  // A neighbor asked within the last second is not asked again at once.
  if (entry.next_request_at < now) entry.next_request_at = now;
}

bool NeighborTable::take_broadcast(Instant now) {
  if (now >= broadcasts_period_end_) {
    broadcasts_period_end_ = now + Duration::seconds(1);
    broadcasts_left_ = broadcasts_per_second_max;
  }
  if (broadcasts_left_ == 0) return false;
  --broadcasts_left_;
  return true;
}

// Sends a request if one is due: to the known MAC address in a probe, to everybody otherwise.
void NeighborTable::request(uint16_t index, Instant now, IpOutput& output) {
  Entry& entry = entries_[index];
  if (now < entry.next_request_at) return;
  const bool unicast = entry.state == State::probe;
  if (!unicast && !take_broadcast(now)) {
    counters_.add(Counter::net_arp_requests_limited);
    return;  // the next tick tries again
  }
  if (!send_request(entry, unicast, output)) return;
  if (unicast) counters_.add(Counter::net_neighbor_probes);
  ++entry.requests;
  entry.next_request_at = now + request_interval;
}

bool NeighborTable::send_request(const Entry& entry, bool unicast, IpOutput& output) const {
  if (is_ipv6_alias(entry.address)) {
    const Ipv6Address& target = ipv6_->aliases.address(entry.address);
    const LocalIpv6Address* source = ipv6_->source_for(entry.port, target);
    CHECK(source != nullptr);
    return output.send_solicitation(entry.port, source->prefix.address, target,
                                    unicast ? &entry.mac : nullptr);
  }
  const auto source = steering_.source_for(entry.port, entry.address);
  CHECK(source.has_value());
  ArpPacket packet;
  packet.operation = ArpOperation::request;
  packet.sender_hardware = output.mac(entry.port);
  packet.sender_protocol = *source;
  packet.target_protocol = entry.address;
  if (!output.send_arp(entry.port, unicast ? entry.mac : MacAddress::broadcast(), packet)) {
    return false;
  }
  counters_.add(Counter::net_arp_requests_sent);
  return true;
}

void NeighborTable::tick(Instant now, IpOutput& output) {
  for (uint16_t index = 0; index < entries_max; ++index) {
    Entry& entry = entries_[index];
    if (entry.state != State::incomplete && entry.state != State::probe) continue;
    if (now < entry.next_request_at) continue;
    // Never asked: made by path_to() and nobody has sent yet.
    if (entry.state == State::incomplete && entry.requests == 0 && !entry.used) continue;
    if (entry.requests < requests_max) {
      request(index, now, output);
      continue;
    }
    if (entry.state == State::probe) {
      // It may have moved to another MAC address: ask everybody.
      begin(index, State::incomplete, now);
      request(index, now, output);
      continue;
    }
    counters_.add(Counter::net_neighbor_failed);
    drop_waiting(index, Counter::net_neighbor_unreachable);
    entry.state = State::failed;
    entry.failed_until = now + negative_time;
    move_to(index, false);
  }
}

// --- learning ---

void NeighborTable::learn(uint8_t port, const ArpPacket& packet, bool for_us, Instant now,
                          IpOutput& output) {
  const uint16_t index = find(port, packet.sender_protocol);
  if (index == none) {
    if (packet.operation == ArpOperation::reply) counters_.add(Counter::net_arp_unsolicited);
    return;
  }
  if (packet.operation == ArpOperation::reply) {
    on_reply(index, packet.sender_hardware, for_us, now, output);
  } else {
    on_request(index, packet.sender_hardware, now, output);
  }
}

void NeighborTable::learn_advertisement(uint8_t port, Ipv4Address alias, const MacAddress& mac,
                                        bool for_us, Instant now, IpOutput& output) {
  const uint16_t index = find(port, alias);
  if (index == none) {
    counters_.add(Counter::net_neighbor_discovery_unsolicited);
  } else {
    on_reply(index, mac, for_us, now, output);
  }
}

void NeighborTable::learn_solicitation(uint8_t port, Ipv4Address alias, const MacAddress& mac,
                                       Instant now, IpOutput& output) {
  const uint16_t index = find(port, alias);
  if (index != none) on_request(index, mac, now, output);
}

void NeighborTable::on_reply(uint16_t index, const MacAddress& mac, bool for_us, Instant now,
                             IpOutput& output) {
  Entry& entry = entries_[index];
  const bool asked = entry.requests > 0 && for_us;
  if (asked && entry.state == State::incomplete) {
    counters_.add(Counter::net_neighbor_resolved);
    confirm(index, mac, now);
    flush_waiting(index, output);
    return;
  }
  if (asked && entry.state == State::probe && mac == entry.mac) {
    confirm(index, entry.mac, now);
    return;
  }
  counters_.add(is_ipv6_alias(entry.address) ? Counter::net_neighbor_discovery_unsolicited
                                             : Counter::net_arp_unsolicited);
}

void NeighborTable::on_request(uint16_t index, const MacAddress& mac, Instant now,
                               IpOutput& output) {
  Entry& entry = entries_[index];
  if (entry.state != State::reachable && entry.state != State::probe) return;
  if (mac == entry.mac) {
    confirm(index, entry.mac, now);
    return;
  }
  counters_.add(Counter::net_arp_mac_contested);
  if (entry.state == State::reachable) {
    begin(index, State::probe, now);
    request(index, now, output);
  }
}

void NeighborTable::confirm(uint16_t index, const MacAddress& mac, Instant now) {
  Entry& entry = entries_[index];
  entry.state = State::reachable;
  entry.mac = mac;
  entry.confirmed_at = now;
  entry.requests = 0;
  move_to(index, true);
}

uint32_t NeighborTable::ipv6_count() const {
  uint32_t count = 0;
  for (uint16_t index = 0; index < entries_max; ++index) {
    const Entry& entry = entries_[index];
    count += entry.state != State::free && is_ipv6_alias(entry.address) ? 1 : 0;
  }
  return count;
}

bool NeighborTable::check_invariants() const {
  uint32_t hashed = 0;
  for (const uint16_t index : hash_) hashed += index != none ? 1 : 0;
  uint32_t live = 0;
  uint32_t proven = 0;
  uint32_t waiting = 0;
  for (uint16_t index = 0; index < entries_max; ++index) {
    const Entry& entry = entries_[index];
    if (entry.state == State::free) continue;
    ++live;
    proven += entry.proven ? 1 : 0;
    waiting += entry.waiting.count;
    if (find(entry.port, entry.address) != index) return false;
    for (uint32_t place = entry.waiting.head; place != IndexList::none;
         place = waiting_links_.next(place)) {
      if (!arena_.in_port(waiting_[place].slot)) return false;
    }
  }
  return live == hashed && live == count() && proven == proven_.count &&
         live + free_.count == entries_max && waiting == waiting_count() &&
         unproven_.count <= entries_max;
}

}  // namespace millrace::net
