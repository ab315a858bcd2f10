#include "dataplane/net/ipv4.h"
#include "dataplane/net/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "dataplane/net/ip_routes.h"
#include "dataplane/net/steering.h"
#include "dataplane/packet/frame.h"
#include "tests/support/packet_builder.h"

namespace millrace::net {
namespace {

using testing::Bytes;
using testing::PacketBuilder;

constexpr Ipv4Address client = Ipv4Address::from_octets(198, 51, 100, 7);
constexpr Ipv4Address server = Ipv4Address::from_octets(10, 20, 0, 100);

PacketBuilder datagram() {
  return PacketBuilder().ipv4(client, server).tcp(1, 2).payload("text");
}

std::string_view reason_for(const Bytes& bytes) {
  Counter reason{};
  return parse_ipv4(bytes, &reason) ? "taken" : name(reason);
}

TEST(Ipv4, ParsesTheFieldsAndCutsEthernetPadding) {
  Bytes bytes = datagram().ttl(9).tos(0x28).build_datagram();
  bytes.resize(bytes.size() + 13, 0xa5);
  Counter reason{};
  const auto packet = parse_ipv4(bytes, &reason);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->source, client);
  EXPECT_EQ(packet->destination, server);
  EXPECT_EQ(packet->protocol, 6);
  EXPECT_EQ(packet->ttl, 9);
  EXPECT_EQ(packet->tos, 0x28);
  EXPECT_EQ(packet->total_length, 44);
  EXPECT_EQ(packet->header.size(), 20U);
  EXPECT_EQ(packet->payload.size(), 24U);
  EXPECT_EQ(as_text(packet->payload.subspan(20)), "text");
}

TEST(Ipv4, T44_LengthsAndVersionThatDoNotFitAreDropped) {
  EXPECT_EQ(reason_for(datagram().ip_version(6).build_datagram()), "net_ipv4_malformed");
  EXPECT_EQ(reason_for(datagram().ip_header_words(4).build_datagram()), "net_ipv4_malformed");
  EXPECT_EQ(reason_for(datagram().ip_header_words(0).build_datagram()), "net_ipv4_malformed");
  EXPECT_EQ(reason_for(datagram().ip_total_length(19).build_datagram()), "net_ipv4_malformed");
  EXPECT_EQ(reason_for(datagram().ip_total_length(45).build_datagram()), "net_ipv4_malformed");
  EXPECT_EQ(reason_for(datagram().ip_total_length(0).build_datagram()), "net_ipv4_malformed");
  EXPECT_EQ(reason_for(datagram().ip_total_length(20).build_datagram()), "taken");
  // A header that claims to be longer than the datagram.
  EXPECT_EQ(reason_for(datagram().ip_header_words(15).ip_total_length(44).build_datagram()),
            "net_ipv4_malformed");
}

TEST(Ipv4, T47_HeaderChecksumCoversEveryBit) {
  const Bytes good = datagram().build_datagram();
  EXPECT_EQ(reason_for(good), "taken");
  EXPECT_EQ(reason_for(datagram().bad_ip_checksum().build_datagram()), "net_ipv4_bad_checksum");
  for (size_t bit = 0; bit < 160; ++bit) {
    Bytes bytes = good;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1U << bit % 8);
    EXPECT_NE(reason_for(bytes), "taken") << bit;
  }
}

TEST(Ipv4, T44_OptionsAreDropped) {
  const Bytes loose_source_route{131, 7, 4, 10, 0, 0, 1};
  EXPECT_EQ(reason_for(datagram().ip_options(loose_source_route).build_datagram()),
            "net_ipv4_options");
  const Bytes nothing{1, 1, 1, 0};
  EXPECT_EQ(reason_for(datagram().ip_options(nothing).build_datagram()), "net_ipv4_options");
}

TEST(Ipv4, T43_EveryFragmentIsDropped) {
  EXPECT_EQ(reason_for(datagram().fragment(0, true).build_datagram()), "net_ipv4_fragment");
  EXPECT_EQ(reason_for(datagram().fragment(1, true).build_datagram()), "net_ipv4_fragment");
  EXPECT_EQ(reason_for(datagram().fragment(0x1fff, false).build_datagram()), "net_ipv4_fragment");
  EXPECT_EQ(reason_for(datagram().fragment(0, false).build_datagram()), "taken");
}

TEST(Ipv4, T44_TimeToLiveZeroIsDroppedAndOneIsTaken) {
  EXPECT_EQ(reason_for(datagram().ttl(0).build_datagram()), "net_ipv4_ttl_zero");
  EXPECT_EQ(reason_for(datagram().ttl(1).build_datagram()), "taken");
}

TEST(Ipv4, T44_SourcesThatAreNoHostAreDropped) {
  for (const char* text : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.9", "224.0.0.1",
                           "239.1.2.3", "240.0.0.1", "255.255.255.255"}) {
    const auto source = Ipv4Address::parse(text);
    ASSERT_TRUE(source.has_value());
    EXPECT_EQ(reason_for(PacketBuilder().ipv4(*source, server).tcp(1, 2).build_datagram()),
              "net_ipv4_bad_source")
        << text;
  }
}

TEST(Ipv4, DestinationsThatAreNoHostAreNotOurs) {
  for (const char* text : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    EXPECT_EQ(
        reason_for(
            PacketBuilder().ipv4(client, *Ipv4Address::parse(text)).tcp(1, 2).build_datagram()),
        "net_ipv4_not_ours")
        << text;
  }
}

TEST(Ipv4, T45_WritesAnAtomicDatagramWithoutIdentification) {
  Bytes bytes(20 + 24);
  write_ipv4(bytes.data(), server, client, 6, 24);
  const Bytes expected =
      PacketBuilder().ipv4(server, client).tcp(1, 2).payload("text").build_datagram();
  EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 20),
            Bytes(expected.begin(), expected.begin() + 20));
}

TEST(IpRoutes, TheLongestPrefixWins) {
  IpRoutes routes;
  const auto prefix = [](const char* text) { return *Ipv4Prefix::parse(text); };
  const auto address = [](const char* text) { return *Ipv4Address::parse(text); };
  EXPECT_EQ(routes.find(server), nullptr);
  EXPECT_TRUE(routes.add({prefix("10.0.0.0/8"), 1, address("10.0.0.1")}));
  EXPECT_TRUE(routes.add({prefix("0.0.0.0/0"), 2, address("192.0.2.1")}));
  EXPECT_TRUE(routes.add({prefix("10.20.0.0/24"), 3, {}}));
  EXPECT_TRUE(routes.add({prefix("10.20.0.100/32"), 4, {}}));
  EXPECT_EQ(routes.find(address("10.20.0.100"))->port, 4);
  EXPECT_EQ(routes.find(address("10.20.0.101"))->port, 3);
  EXPECT_EQ(routes.find(address("10.20.1.100"))->port, 1);
  EXPECT_EQ(routes.find(address("11.20.1.100"))->port, 2);
  EXPECT_EQ(routes.find(address("11.20.1.100"))->next_hop(address("11.20.1.100")),
            address("192.0.2.1"));
  EXPECT_EQ(routes.find(address("10.20.0.9"))->next_hop(address("10.20.0.9")),
            address("10.20.0.9"));
}

TEST(IpRoutes, RefusesDuplicatesUnknownPortsAndMoreThanItHolds) {
  IpRoutes routes;
  EXPECT_TRUE(routes.add({*Ipv4Prefix::parse("10.0.0.0/8"), 1, {}}));
  EXPECT_FALSE(routes.add({Ipv4Prefix{Ipv4Address::from_octets(10, 1, 1, 1), 8}, 2, {}}));
  EXPECT_FALSE(routes.add({*Ipv4Prefix::parse("11.0.0.0/8"), packet::ports_max, {}}));
  for (uint32_t i = 1; i < IpRoutes::routes_max; ++i) {
    EXPECT_TRUE(routes.add({{Ipv4Address::from_host_order(i << 8), 24}, 0, {}}));
  }
  EXPECT_FALSE(routes.add({*Ipv4Prefix::parse("99.0.0.0/8"), 1, {}}));
  EXPECT_EQ(routes.all().size(), IpRoutes::routes_max);
}

TEST(Steering, OwnedTakesEverythingAndBorrowedOnlyItsTcpPorts) {
  Steering steering;
  const Ipv4Address node = Ipv4Address::from_octets(10, 20, 0, 1);
  const std::vector<uint16_t> ports{80, 8080};
  ASSERT_TRUE(steering.add_owned(0, {server, 24}));
  ASSERT_TRUE(steering.add_borrowed(0, {node, 24}, ports));
  EXPECT_EQ(steering.classify(0, server, protocol_tcp, 1), Ownership::owned);
  EXPECT_EQ(steering.classify(0, server, protocol_udp, 1), Ownership::owned);
  EXPECT_EQ(steering.classify(0, node, protocol_tcp, 80), Ownership::borrowed);
  EXPECT_EQ(steering.classify(0, node, protocol_tcp, 8080), Ownership::borrowed);
  EXPECT_EQ(steering.classify(0, node, protocol_tcp, 22), Ownership::not_ours);
  EXPECT_EQ(steering.classify(0, node, protocol_udp, 80), Ownership::not_ours);
  EXPECT_EQ(steering.classify(1, server, protocol_tcp, 80), Ownership::not_ours);
  EXPECT_EQ(steering.classify(0, client, protocol_tcp, 80), Ownership::not_ours);
}

TEST(Steering, T44_SourcesThatCanOnlyBeForged) {
  Steering steering;
  const Ipv4Address node = Ipv4Address::from_octets(10, 20, 0, 1);
  ASSERT_TRUE(steering.add_owned(0, {server, 24}));
  ASSERT_TRUE(steering.add_borrowed(0, {node, 24}, {}));
  EXPECT_TRUE(steering.is_impossible_source(0, server));
  EXPECT_TRUE(steering.is_impossible_source(1, server));
  EXPECT_TRUE(steering.is_impossible_source(0, node));
  EXPECT_FALSE(steering.is_impossible_source(1, node));  // the node's own client, by a kernel port
  EXPECT_TRUE(steering.is_impossible_source(0, Ipv4Address::from_octets(10, 20, 0, 255)));
  EXPECT_TRUE(steering.is_impossible_source(0, Ipv4Address::from_octets(10, 20, 0, 0)));
  EXPECT_FALSE(steering.is_impossible_source(0, client));
}

TEST(Steering, RefusesWhatCannotBe) {
  Steering steering;
  EXPECT_TRUE(steering.add_owned(0, {server, 24}));
  EXPECT_FALSE(steering.add_owned(0, {server, 24}));
  EXPECT_FALSE(steering.add_owned(1, {server, 24}));
  EXPECT_FALSE(steering.add_borrowed(1, {server, 24}, {}));
  EXPECT_FALSE(steering.add_owned(0, {Ipv4Address::from_octets(224, 0, 0, 1), 24}));
  EXPECT_FALSE(steering.add_owned(0, {Ipv4Address::from_octets(127, 0, 0, 1), 8}));
  EXPECT_FALSE(steering.add_owned(0, {Ipv4Address::from_octets(10, 20, 0, 255), 24}));
  EXPECT_FALSE(steering.add_owned(packet::ports_max, {client, 24}));
  const std::vector<uint16_t> too_many(Steering::borrowed_tcp_ports_max + 1);
  EXPECT_FALSE(steering.add_borrowed(0, {client, 24}, too_many));
  for (uint32_t i = 1; i < Steering::addresses_max; ++i) {
    EXPECT_TRUE(
        steering.add_owned(0, {Ipv4Address::from_octets(172, 16, 1, static_cast<uint8_t>(i)), 32}));
  }
  EXPECT_FALSE(steering.add_owned(0, {client, 24}));
}

TEST(Steering, AsksArpFromTheTargetsOwnSubnet) {
  Steering steering;
  const Ipv4Address other = Ipv4Address::from_octets(172, 16, 0, 9);
  ASSERT_TRUE(steering.add_borrowed(0, {client, 24}, {}));
  EXPECT_FALSE(steering.source_for(0, client).has_value());
  ASSERT_TRUE(steering.add_owned(0, {server, 24}));
  ASSERT_TRUE(steering.add_owned(0, {other, 16}));
  EXPECT_EQ(steering.source_for(0, Ipv4Address::from_octets(172, 16, 9, 9)), other);
  EXPECT_EQ(steering.source_for(0, Ipv4Address::from_octets(10, 20, 0, 3)), server);
  EXPECT_EQ(steering.source_for(0, Ipv4Address::from_octets(9, 9, 9, 9)), server);
  EXPECT_FALSE(steering.source_for(1, server).has_value());
}

TEST(Counters, EveryOutcomeHasItsOwnNameAndASentence) {
  std::vector<std::string_view> names;
  for (const CounterFacts& facts : counter_facts) {
    EXPECT_EQ(std::count(names.begin(), names.end(), facts.name), 0) << facts.name;
    names.push_back(facts.name);
    EXPECT_GT(facts.sentence.size(), 10U) << facts.name;
    EXPECT_NE(facts.sentence.back(), '.') << facts.name;
  }
  EXPECT_EQ(name(Counter::net_frames_received), "net_frames_received");
  EXPECT_EQ(severity(Counter::net_arp_address_conflict), Severity::warning);
}

TEST(Ipv4, T41_EcnBitsAreSetInAHeaderThatIsComplete) {
  for (uint32_t last = 0; last < 1'000; ++last) {
    Bytes bytes(ipv4_header_bytes);
    write_ipv4(bytes.data(), server,
               Ipv4Address::from_octets(10, 0, static_cast<uint8_t>(last >> 8),
                                        static_cast<uint8_t>(last)),
               6, 24);
    for (const uint8_t ecn : {ecn_capable, ecn_congestion, ecn_not_capable}) {
      set_ecn(bytes.data(), ecn);
      ASSERT_EQ(bytes[1], ecn);
      ASSERT_EQ(fold(sum_of(bytes)), 0xffff) << last;
    }
  }
}

}  // namespace
}  // namespace millrace::net
