#include "dataplane/net/ipv6.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "dataplane/net/checksum.h"
#include "tests/support/guard_page.h"
#include "tests/support/packet_builder.h"

namespace millrace::net {
namespace {

using testing::Bytes;
using testing::GuardPage;

const Ipv6Address client = *Ipv6Address::parse("2001:db8:1::7");
const Ipv6Address server = *Ipv6Address::parse("2001:db8:2::100");

// A datagram with `chain` (extension headers) and 20 octets of upper layer behind it.
struct Datagram {
  uint8_t first = 6;  // next header of the fixed header
  Bytes chain;
  uint8_t last = 6;  // what the last extension header names
  Ipv6Address source = client;
  Ipv6Address destination = server;
  size_t upper_bytes = 20;

  Datagram& header(uint8_t kind, Bytes body) {
    if (chain.empty()) {
      first = kind;
    } else {
      chain[last_at] = kind;
    }
    last_at = chain.size();
    chain.push_back(last);
    chain.insert(chain.end(), body.begin(), body.end());
    return *this;
  }
  Datagram& options(uint8_t kind, Bytes tlvs) {
    Bytes body{0};
    body.insert(body.end(), tlvs.begin(), tlvs.end());
    while ((body.size() + 1) % 8 != 0) body.push_back(0);
    body[0] = static_cast<uint8_t>((body.size() + 1) / 8 - 1);
    return header(kind, body);
  }
  Datagram& routing(uint8_t type, uint8_t segments_left) {
    return header(43, {0, type, segments_left, 0, 0, 0, 0});
  }
  Datagram& fragment(uint16_t offset_and_flags) {
    return header(44, {0, static_cast<uint8_t>(offset_and_flags >> 8),
                       static_cast<uint8_t>(offset_and_flags), 1, 2, 3, 4});
  }
  Bytes build() const {
    Bytes bytes(ipv6_header_bytes);
    write_ipv6(bytes.data(), source, destination, first,
               static_cast<uint16_t>(chain.size() + upper_bytes));
    bytes.insert(bytes.end(), chain.begin(), chain.end());
    for (size_t i = 0; i < upper_bytes; ++i) bytes.push_back(static_cast<uint8_t>(i));
    return bytes;
  }
  size_t last_at = 0;
};

std::string_view reason_for(const Bytes& bytes) {
  Counter reason{};
  return parse_ipv6(bytes, &reason) ? "taken" : name(reason);
}
std::string_view reason_for(const Datagram& datagram) {
  return reason_for(datagram.build());
}

TEST(Ipv6, ParsesTheFieldsAndCutsEthernetPadding) {
  Bytes bytes = Datagram{}.build();
  bytes[0] = 0x6b;  // traffic class 0xb8, flow label 0x12345
  bytes[1] = 0x81;
  bytes[2] = 0x23;
  bytes[3] = 0x45;
  bytes[7] = 9;
  bytes.resize(bytes.size() + 13, 0xa5);
  Counter reason{};
  const auto packet = parse_ipv6(bytes, &reason);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->source, client);
  EXPECT_EQ(packet->destination, server);
  EXPECT_EQ(packet->protocol, 6);
  EXPECT_EQ(packet->hop_limit, 9);
  EXPECT_EQ(packet->traffic_class, 0xb8);
  EXPECT_EQ(packet->datagram.size(), 60U);
  EXPECT_EQ(packet->payload.size(), 20U);
  EXPECT_FALSE(packet->has_fragment_header);
}

TEST(Ipv6, T44_LengthsAndVersionThatDoNotFitAreDropped) {
  const Bytes good = Datagram{}.build();
  GuardPage page(good.size());
  for (size_t length = 0; length < good.size(); ++length) {
    Counter reason{};
    EXPECT_FALSE(parse_ipv6(page.place(ByteView(good).first(length)), &reason).has_value())
        << length;
    EXPECT_EQ(reason, Counter::net_ipv6_malformed);
  }
  Bytes version_4 = good;
  version_4[0] = 0x45;
  EXPECT_EQ(reason_for(version_4), "net_ipv6_malformed");
  Bytes too_long = good;
  store_be16(&too_long[4], 21);
  EXPECT_EQ(reason_for(too_long), "net_ipv6_malformed");
}

// RFC 8200 section 3: only a router drops it.
TEST(Ipv6, T44_HopLimitZeroIsTakenByTheDestination) {
  Bytes bytes = Datagram{}.build();
  bytes[7] = 0;
  EXPECT_EQ(reason_for(bytes), "taken");
}

TEST(Ipv6, T44_SourcesThatAreNoHostAreDropped) {
  for (const char* text : {"::", "::1", "ff02::1", "ff0e::7", "::ffff:10.0.0.1"}) {
    Datagram datagram;
    datagram.source = *Ipv6Address::parse(text);
    EXPECT_EQ(reason_for(datagram), "net_ipv6_bad_source") << text;
  }
  Datagram probe;  // as duplicate address detection sends it
  probe.source = {};
  probe.first = protocol_icmpv6;
  EXPECT_EQ(reason_for(probe), "taken");
}

TEST(Ipv6, T32_DestinationsThatAreNoHostAreNotOurs) {
  for (const char* text : {"::", "::1", "ff02::1", "::ffff:10.0.0.1"}) {
    Datagram datagram;
    datagram.destination = *Ipv6Address::parse(text);
    EXPECT_EQ(reason_for(datagram), "net_ipv6_not_ours") << text;
  }
  Datagram solicitation;
  solicitation.destination = server.solicited_node();
  solicitation.first = protocol_icmpv6;
  EXPECT_EQ(reason_for(solicitation), "taken");
}

TEST(Ipv6, T43_ExtensionHeadersAreWalkedToTheUpperLayer) {
  const Bytes bytes = Datagram{}
                          .options(0, {5, 2, 0, 0})
                          .options(60, {})
                          .routing(4, 0)
                          .fragment(0)
                          .options(60, {1, 4, 0, 0, 0, 0, 0x1e, 6, 1, 2, 3, 4, 5, 6})
                          .build();
  Counter reason{};
  const auto packet = parse_ipv6(bytes, &reason);
  ASSERT_TRUE(packet.has_value()) << name(reason);
  EXPECT_EQ(packet->protocol, 6);
  EXPECT_EQ(packet->payload.size(), 20U);
  EXPECT_EQ(packet->payload[1], 1);
  EXPECT_TRUE(packet->has_fragment_header);
}

TEST(Ipv6, T43_FragmentsAreDroppedAndAtomicOnesTaken) {
  EXPECT_EQ(reason_for(Datagram{}.fragment(1)), "net_ipv6_fragment");       // first
  EXPECT_EQ(reason_for(Datagram{}.fragment(8 | 1)), "net_ipv6_fragment");   // middle
  EXPECT_EQ(reason_for(Datagram{}.fragment(0xfff8)), "net_ipv6_fragment");  // last
  EXPECT_EQ(reason_for(Datagram{}.fragment(0)), "taken");
  EXPECT_EQ(reason_for(Datagram{}.fragment(6)), "taken");  // reserved bits are ignored
  EXPECT_EQ(reason_for(Datagram{}.fragment(0).fragment(0)), "net_ipv6_malformed");
}

TEST(Ipv6, T43_RoutingHeaderZeroAndSegmentsLeftAreDropped) {
  EXPECT_EQ(reason_for(Datagram{}.routing(0, 1)), "net_ipv6_routing_header");
  EXPECT_EQ(reason_for(Datagram{}.routing(0, 0)), "net_ipv6_routing_header");
  EXPECT_EQ(reason_for(Datagram{}.routing(4, 1)), "net_ipv6_routing_header");
  EXPECT_EQ(reason_for(Datagram{}.routing(4, 0)), "taken");
}

TEST(Ipv6, T43_OptionsSayThemselvesWhatBecomesOfTheDatagram) {
  for (const uint8_t kind : {uint8_t{0}, uint8_t{60}}) {
    EXPECT_EQ(reason_for(Datagram{}.options(kind, {0x3e, 0})), "taken");
    for (const uint8_t option : {uint8_t{0x7e}, uint8_t{0xbe}, uint8_t{0xfe}}) {
      EXPECT_EQ(reason_for(Datagram{}.options(kind, {option, 0})), "net_ipv6_options");
    }
    EXPECT_EQ(reason_for(Datagram{}.options(kind, {0xc2, 4, 0, 1, 0, 0})), "net_ipv6_jumbogram");
    EXPECT_EQ(reason_for(Datagram{}.options(kind, {0x3e, 5})), "net_ipv6_malformed");
    EXPECT_EQ(reason_for(Datagram{}.options(kind, {1, 3, 0, 0, 0, 0x3e})), "net_ipv6_malformed");
  }
}

TEST(Ipv6, T44_JumbogramsAreRefused) {
  Bytes bytes = Datagram{}.options(0, {0xc2, 4, 0, 1, 0, 0}).build();
  store_be16(&bytes[4], 0);
  EXPECT_EQ(reason_for(bytes), "net_ipv6_jumbogram");
}

TEST(Ipv6, T43_TheChainOfHeadersIsBounded) {
  Datagram most;
  for (int i = 0; i < extension_headers_max; ++i) most.routing(4, 0);
  EXPECT_EQ(reason_for(most), "taken");
  EXPECT_EQ(reason_for(most.routing(4, 0)), "net_ipv6_extension_limit");

  Bytes options;
  for (int i = 0; i < options_max; ++i) options.insert(options.end(), {0x3e, 0});
  EXPECT_EQ(reason_for(Datagram{}.options(60, options)), "taken");
  EXPECT_EQ(reason_for(Datagram{}.options(60, options).options(60, {1, 0})),
            "net_ipv6_extension_limit");
}

TEST(Ipv6, T43_ChainsThatDoNotEndInTheDatagram) {
  Datagram headers_only;  // RFC 7112 section 5: the upper layer must begin here
  headers_only.upper_bytes = 0;
  Bytes cut = headers_only.options(60, {}).build();
  cut[ipv6_header_bytes] = 60;
  EXPECT_EQ(reason_for(cut), "net_ipv6_malformed");
  cut[ipv6_header_bytes] = 6;
  cut[ipv6_header_bytes + 1] = 1;  // longer than what is there
  EXPECT_EQ(reason_for(cut), "net_ipv6_malformed");
  EXPECT_EQ(reason_for(Datagram{}.options(60, {}).options(0, {})), "net_ipv6_malformed");
  Datagram nothing;
  nothing.first = 59;
  EXPECT_EQ(reason_for(nothing), "net_ipv6_unknown_protocol");
}

// Whatever comes, nothing is read beyond the end, and what is taken keeps its promises.
TEST(Ipv6, T43_RandomChainsKeepTheirPromises) {
  Random random(43);
  GuardPage page(256);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = Datagram{}.options(0, {5, 2, 0, 0}).routing(4, 0).fragment(0).build();
    for (uint64_t changes = random.below(4); changes > 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<uint8_t>(random.next());
    }
    bytes.resize(random.below(8) == 0 ? random.below(bytes.size() + 1) : bytes.size());
    Counter reason{};
    const auto packet = parse_ipv6(page.place(bytes), &reason);
    if (!packet) continue;
    ++taken;
    ASSERT_FALSE(packet->source.is_multicast());
    ASSERT_LE(packet->datagram.size(), bytes.size());
    ASSERT_EQ(packet->payload.data() + packet->payload.size(),
              packet->datagram.data() + packet->datagram.size());
  }
  EXPECT_GT(taken, 5'000);
}

// The reference sums octets as RFC 1071 and RFC 8200 section 8.1 draw them.
TEST(Ipv6, T47_TransportChecksumsCoverThePseudoHeader) {
  Random random(47);
  for (int i = 0; i < 2'000; ++i) {
    Ipv6Address::Octets from{};
    Ipv6Address::Octets to{};
    for (uint8_t& octet : from) octet = static_cast<uint8_t>(random.next());
    for (uint8_t& octet : to) octet = static_cast<uint8_t>(random.below(2) == 0 ? 0xff : 0);
    Bytes segment(20 + random.below(1'441));
    for (uint8_t& octet : segment) octet = static_cast<uint8_t>(random.next());
    const Ipv6Address source(from);
    const Ipv6Address destination(to);
    store_transport_checksum(&segment[16], source, destination, 6, segment);

    Bytes summed(from.begin(), from.end());
    summed.insert(summed.end(), to.begin(), to.end());
    Bytes rest(8);
    store_be32(rest.data(), static_cast<uint32_t>(segment.size()));
    rest[7] = 6;
    summed.insert(summed.end(), rest.begin(), rest.end());
    summed.insert(summed.end(), segment.begin(), segment.end());
    ASSERT_EQ(testing::reference_checksum(summed), 0);

    using packet::ChecksumMode;
    const auto holds = [&](ChecksumMode mode, const Ipv6Address& to_address) {
      return transport_checksum_holds(mode, source, to_address, 6, segment, 16);
    };
    ASSERT_TRUE(holds(ChecksumMode::verify, destination));
    to[random.below(16)] ^= 0x10;
    ASSERT_FALSE(holds(ChecksumMode::verify, Ipv6Address(to)));
    ASSERT_TRUE(holds(ChecksumMode::trust, Ipv6Address(to)));

    Bytes in_two_parts = segment;
    store_transport_checksum(&in_two_parts[16], source, destination, 6,
                             ByteView(in_two_parts).first(20),
                             sum_of(ByteView(in_two_parts).subspan(20)), segment.size() - 20);
    ASSERT_EQ(in_two_parts, segment);

    const uint16_t partial = fold(pseudo_header_sum(source, destination, 6, segment.size()));
    std::memcpy(&segment[16], &partial, sizeof partial);
    ASSERT_TRUE(holds(ChecksumMode::verify_or_partial, destination));
    ASSERT_FALSE(holds(ChecksumMode::verify, destination));
  }
}

}  // namespace
}  // namespace millrace::net
