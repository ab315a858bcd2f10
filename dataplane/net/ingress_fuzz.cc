// Any sequence of frames: nothing is read beyond a frame's end, nothing leaks, what is handed on is
// what the types promise, and no answer is longer than a frame.
//
// Input: frames, each behind two octets, big-endian: 0x07ff length (0: 100 ms pass), 0x0800 port,
// 0x1000 the NIC vouches for the checksum, 0x2000 the Ethernet header is made to fit, 0x4000 so are
// the IP lengths and addresses, 0x8000 checksums stay as they are.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/ingress.h"
#include "dataplane/net/neighbor_discovery.h"

namespace millrace::net {
namespace {

constexpr Ipv4Address owned = Ipv4Address::from_octets(10, 20, 0, 100);
constexpr Ipv4Address borrowed = Ipv4Address::from_octets(10, 20, 0, 1);
constexpr Ipv4Address neighbor = Ipv4Address::from_octets(10, 20, 0, 7);
const Ipv6Address owned6 = Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100});
const Ipv6Address borrowed6 = Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 1});
const Ipv6Address neighbor6 = Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 7});
constexpr MacAddress neighbor_mac{{0x02, 0, 0, 0, 0x20, 1}};
constexpr MacAddress our_mac{{0x02, 0, 0, 0, 0x10, 0}};
constexpr uint32_t slot_count = 16;
constexpr int ticks_max = 64;  // each looks at the whole table: more would only slow the run down

struct Stack {
  Stack()
      : memory(
            static_cast<uint8_t*>(std::aligned_alloc(64, size_t{slot_count} * packet::slot_bytes))),
        arena(memory.get(), slot_count) {
    const std::vector<uint16_t> ports{8080};
    CHECK(steering.add_owned(0, {owned, 24}));
    CHECK(steering.add_borrowed(0, {borrowed, 24}, ports));
    CHECK(steering.add_owned(1, {Ipv4Address::from_octets(10, 20, 9, 2), 30}));
    CHECK(routes.add({{owned, 24}, 0, {}}));
    CHECK(ipv6.add_owned(0, {owned6, 64}));
    CHECK(ipv6.add_borrowed(0, {borrowed6, 64}, ports));
    CHECK(ipv6.add_route({owned6, 64}, 0, {}));
    for (uint8_t port = 0; port < 2; ++port) {
      output.set_port(port, our_mac, 1500);
      ingress.set_port(port, packet::ChecksumMode::verify_or_partial);
    }
  }
  struct Free {
    void operator()(uint8_t* at) const { std::free(at); }
  };
  std::unique_ptr<uint8_t, Free> memory;
  packet::Arena arena;
  Steering steering;
  IpRoutes routes;
  Counters counters;
  Ipv6Network ipv6{NeighborTable::entries_max, HashKey{4, 5}};
  NeighborTable neighbors{arena, steering, counters, HashKey{1, 2}, &ipv6};
  IpOutput output{arena, routes, neighbors, counters, &ipv6};
  Ingress ingress{arena, steering, neighbors, output, counters, 3};
};

void check_ipv6_delivery(const Stack& stack, const Ipv4Packet& packet, bool has_back) {
  const Ipv6Address& source = stack.ipv6.aliases.address(packet.source);
  const Ipv6Address& destination = stack.ipv6.aliases.address(packet.destination);
  CHECK(source != destination && source.is_unicast());
  CHECK(destination == owned6 || destination == borrowed6);
  CHECK(has_back == (destination == borrowed6 || source.is_link_local()));
}

void check_delivery(const Stack& stack, const Ingress::Delivery& delivery, ByteView frame) {
  const Ipv4Packet& packet = delivery.packet;
  const bool is_ipv6 = frame.size() >= 14 && load_be16(&frame[12]) == ethertype_ipv6;
  if (delivery.verdict == Ingress::Verdict::tcp && is_ipv6) {
    CHECK(packet.payload.size() >= 20);
    CHECK(packet.payload.data() >= frame.data());
    CHECK(packet.payload.data() + packet.payload.size() <= frame.data() + frame.size());
    check_ipv6_delivery(stack, packet, delivery.back.has_value());
  } else if (delivery.verdict == Ingress::Verdict::tcp) {
    CHECK(packet.payload.size() >= 20 && packet.header.size() == 20);
    CHECK(packet.payload.data() >= frame.data());
    CHECK(packet.payload.data() + packet.payload.size() <= frame.data() + frame.size());
    CHECK(packet.source != packet.destination && packet.source.is_unicast());
    CHECK(delivery.back.has_value() == (packet.destination == borrowed));
  }
  if (delivery.verdict == Ingress::Verdict::icmp_error && is_ipv6) {
    const Ipv6Address& source = stack.ipv6.aliases.address(delivery.error.source);
    CHECK(source == owned6 || source == borrowed6);
    CHECK(delivery.error.next_hop_mtu == 0 || delivery.error.next_hop_mtu >= ipv6_mtu_min);
  } else if (delivery.verdict == Ingress::Verdict::icmp_error) {
    CHECK(delivery.error.source == packet.destination);
  }
}

// Sends what is queued, after a look at it.
void drain(Stack& stack) {
  for (uint8_t port = 0; port < 2; ++port) {
    for (const packet::TransmitFrame& frame : stack.output.queued(port)) {
      const ByteView bytes = stack.arena.frame_bytes(frame);
      CHECK(bytes.size() >= 42 && bytes.size() <= 1514);
      if (load_be16(bytes.data() + 12) == ethertype_ipv4) {
        CHECK(is_intact(sum_of(bytes.subspan(14, 20))));
      }
      if (load_be16(bytes.data() + 12) == ethertype_ipv6) {
        CHECK(load_be16(bytes.data() + 18) + 54U == bytes.size());
      }
      stack.arena.mark_sent(frame.slot);
    }
    stack.output.clear(port);
    stack.output.set_room(port, 16);
  }
}

// Of messages without extension headers, the advertisement of the neighbor among them.
void mend_ipv6(uint16_t prefix, ByteSpan frame) {
  if (frame.size() < 54) return;
  const ByteSpan message = frame.subspan(54);
  if ((prefix & 0x4000) != 0) {
    const uint8_t protocol = frame[20];
    write_ipv6(&frame[14], neighbor6, owned6, protocol, static_cast<uint16_t>(message.size()), 255);
    const bool is_discovery =
        protocol == protocol_icmpv6 && message.size() >= 32 &&
        (message[0] == icmpv6_neighbor_advertisement || message[0] == icmpv6_neighbor_solicitation);
    if (is_discovery && message[0] == icmpv6_neighbor_advertisement) {
      neighbor6.store(&message[8]);
    } else if (is_discovery) {
      owned6.store(&message[8]);
    }
  }
  if ((prefix & 0x8000) != 0 || frame[20] != protocol_icmpv6 || message.size() < 8) return;
  store_transport_checksum(&message[2], Ipv6Address::load(&frame[22]),
                           Ipv6Address::load(&frame[38]), protocol_icmpv6, message);
}

// Makes parts of a frame right, so that mutation gets past them to what lies behind.
void mend(uint16_t prefix, ByteSpan frame) {
  if ((prefix & 0x2000) != 0 && frame.size() >= 14) {
    const bool is_arp = (frame[12] & 1) != 0;
    const uint16_t ip = (frame[12] & 2) != 0 ? ethertype_ipv6 : ethertype_ipv4;
    write_ethernet(frame.data(), our_mac, neighbor_mac, is_arp ? ethertype_arp : ip);
    if (is_arp && frame.size() >= 42) {
      const auto operation = static_cast<ArpOperation>(1 + (frame[21] & 1));
      write_arp(&frame[14], {operation, neighbor_mac, neighbor, our_mac, owned});
    }
  }
  if (frame.size() < 34) return;
  if (load_be16(&frame[12]) == ethertype_ipv6) return mend_ipv6(prefix, frame);
  if (load_be16(&frame[12]) != ethertype_ipv4) return;
  const size_t total = frame.size() - 14;
  if ((prefix & 0x4000) != 0) {
    frame[14] = 0x45;
    store_be16(&frame[16], static_cast<uint16_t>(total));
    store_be16(&frame[20], 0);
    neighbor.store(&frame[26]);
    owned.store(&frame[30]);
  }
  if ((prefix & 0x8000) != 0) return;
  store_be16(&frame[24], 0);
  store_checksum(&frame[24], sum_of(frame.subspan(14, 20)));
  if (frame[23] == protocol_icmp && frame.size() >= 42 && load_be16(&frame[16]) == total) {
    store_be16(&frame[36], 0);
    store_checksum(&frame[36], sum_of(frame.subspan(34)));
  }
}

// Something of ours wants to reach the neighbor, so that replies have a question.
void send_something(Stack& stack, Ipv4Address source, Ipv4Address destination, Instant now) {
  const auto path = stack.output.path_to(destination, now);
  if (!path) return;
  const packet::SlotIndex slot = stack.arena.acquire();
  if (slot == packet::slot_none) return;
  std::memset(stack.arena.payload(slot), 0, 20);
  stack.output.send(*path, source, destination, protocol_tcp, {slot, packet::headroom_bytes, 20},
                    now);
  stack.arena.drop(slot);
}

}  // namespace
}  // namespace millrace::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  using namespace millrace::net;
  Stack stack;
  Instant now = Instant::from_ns(1'000'000'000);
  int ticks = 0;
  ByteReader reader({data, size});
  while (reader.remaining() >= 2) {
    drain(stack);
    const uint16_t prefix = reader.read_be16();
    const size_t length = std::min<size_t>(prefix & 0x07ff, reader.remaining());
    if (length == 0) {
      if (++ticks > ticks_max) continue;
      now = now + Duration::milliseconds(100);
      stack.ingress.tick(now);
      send_something(stack, owned, neighbor, now);
      Ipv6Aliases& aliases = stack.ipv6.aliases;
      send_something(stack, *aliases.find(owned6), aliases.find_or_visit(neighbor6), now);
      continue;
    }
    // A block of exactly this size, so that the sanitizer sees one octet too many.
    const std::unique_ptr<uint8_t[]> block(new uint8_t[length]);
    std::memcpy(block.get(), reader.read_bytes(length).data(), length);
    mend(prefix, {block.get(), length});
    packet::Frame frame;
    frame.data = block.get();
    frame.length = static_cast<uint16_t>(length);
    frame.port = static_cast<uint8_t>(prefix >> 11 & 1);
    frame.checksum_verified = (prefix & 0x1000) != 0;
    Ingress::Delivery delivery;
    stack.ingress.receive(frame, now, &delivery);
    check_delivery(stack, delivery, frame.bytes());
  }
  drain(stack);
  CHECK(stack.neighbors.check_invariants());
  CHECK(stack.ipv6.aliases.check_invariants());
  CHECK(stack.ipv6.aliases.reference_count() == stack.output.alias_references());
  CHECK(stack.arena.free_count() + stack.neighbors.waiting_count() == slot_count);
  return 0;
}
