#include "dataplane/net/icmpv6.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/neighbor_discovery.h"
#include "tests/support/guard_page.h"
#include "tests/support/packet_builder.h"

namespace millrace::net {
namespace {

using testing::Bytes;
using testing::GuardPage;

const Ipv6Address client = *Ipv6Address::parse("2001:db8:1::7");
const Ipv6Address server = *Ipv6Address::parse("2001:db8:2::100");
const Ipv6Address router = *Ipv6Address::parse("2001:db8:ffff::1");
constexpr MacAddress mac{{0x02, 0, 0, 0, 0x10, 0}};

// A datagram around an ICMPv6 message, whose checksum is made right.
Bytes around(Bytes message, const Ipv6Address& source, const Ipv6Address& destination,
             uint8_t hop_limit = 255) {
  store_transport_checksum(&message[2], source, destination, protocol_icmpv6, message);
  Bytes bytes(ipv6_header_bytes);
  write_ipv6(bytes.data(), source, destination, protocol_icmpv6,
             static_cast<uint16_t>(message.size()), hop_limit);
  bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}

Ipv6Packet parsed(const Bytes& bytes) {
  Counter reason{};
  const auto packet = parse_ipv6(bytes, &reason);
  EXPECT_TRUE(packet.has_value()) << name(reason);
  return packet.value_or(Ipv6Packet{});
}

// A segment of ours from port 80 to 40,000.
Bytes our_segment() {
  Bytes bytes(ipv6_header_bytes + 20);
  write_ipv6(bytes.data(), server, client, protocol_tcp, 20);
  store_be16(&bytes[40], 80);
  store_be16(&bytes[42], 40'000);
  store_be32(&bytes[44], 0x01020304);
  return bytes;
}

Bytes error_about(const Bytes& quoted, uint8_t type, uint8_t code, uint32_t rest = 0) {
  Bytes message{type, code, 0, 0, 0, 0, 0, 0};
  store_be32(&message[4], rest);
  message.insert(message.end(), quoted.begin(), quoted.end());
  return message;
}

std::string_view reason_for_error(const Bytes& message, const Ipv6Address& to = server) {
  const Bytes bytes = around(message, router, to);
  Counter reason{};
  return parse_icmpv6_error(parsed(bytes), &reason) ? "taken" : name(reason);
}

TEST(Icmpv6, T38_PacketTooBigNamesTheSegmentAndTheMtu) {
  const Bytes bytes = around(error_about(our_segment(), 2, 0, 1400), router, server);
  Counter reason{};
  const auto error = parse_icmpv6_error(parsed(bytes), &reason);
  ASSERT_TRUE(error.has_value());
  EXPECT_TRUE(error->is_packet_too_big());
  EXPECT_FALSE(error->is_hard());
  EXPECT_EQ(error->mtu, 1400);
  EXPECT_EQ(error->source, server);
  EXPECT_EQ(error->destination, client);
  EXPECT_EQ(error->source_port, 80);
  EXPECT_EQ(error->destination_port, 40'000);
  EXPECT_EQ(error->tcp_sequence_number, 0x01020304U);
}

TEST(Icmpv6, T38_AnMtuBelowEveryLinksIsDiscarded) {
  EXPECT_EQ(reason_for_error(error_about(our_segment(), 2, 0, 1279)), "net_icmpv6_small_mtu");
  EXPECT_EQ(reason_for_error(error_about(our_segment(), 2, 0, 0)), "net_icmpv6_small_mtu");
  EXPECT_EQ(reason_for_error(error_about(our_segment(), 2, 0, 1280)), "taken");
  const Bytes huge = around(error_about(our_segment(), 2, 0, 0xffffffff), router, server);
  Counter reason{};
  EXPECT_EQ(parse_icmpv6_error(parsed(huge), &reason)->mtu, 65'535);
}

TEST(Icmpv6, T39_ErrorsAboutWhatWeCannotHaveSentAreDropped) {
  EXPECT_EQ(reason_for_error(error_about(our_segment(), 1, 4)), "taken");
  EXPECT_EQ(reason_for_error(error_about(our_segment(), 1, 4), client), "net_icmpv6_unrelated");
  Bytes udp = our_segment();
  udp[6] = 17;
  EXPECT_EQ(reason_for_error(error_about(udp, 1, 4)), "net_icmpv6_unrelated");
  Bytes extended = our_segment();
  extended[6] = 60;
  EXPECT_EQ(reason_for_error(error_about(extended, 1, 4)), "net_icmpv6_unrelated");
  Bytes short_segment = our_segment();
  store_be16(&short_segment[4], 19);
  EXPECT_EQ(reason_for_error(error_about(short_segment, 1, 4)), "net_icmpv6_unrelated");
  Bytes version_4 = our_segment();
  version_4[0] = 0x45;
  EXPECT_EQ(reason_for_error(error_about(version_4, 1, 4)), "net_icmpv6_malformed");
  for (size_t length = 0; length < 48; ++length) {
    Bytes cut = our_segment();
    cut.resize(length);
    EXPECT_EQ(reason_for_error(error_about(cut, 1, 4)), "net_icmpv6_malformed") << length;
  }
  Bytes just_enough = our_segment();
  just_enough.resize(48);
  EXPECT_EQ(reason_for_error(error_about(just_enough, 1, 4)), "taken");
}

TEST(Icmpv6, T39_WhichErrorsAreHard) {
  const auto is_hard = [](uint8_t type, uint8_t code) {
    Icmpv6Error error;
    error.type = type;
    error.code = code;
    return error.is_hard();
  };
  for (const uint8_t code : Bytes{1, 4, 5, 6}) EXPECT_TRUE(is_hard(1, code)) << int{code};
  for (const uint8_t code : Bytes{0, 2, 3, 7}) EXPECT_FALSE(is_hard(1, code)) << int{code};
  EXPECT_TRUE(is_hard(4, 1));
  EXPECT_FALSE(is_hard(4, 0));
  EXPECT_FALSE(is_hard(2, 1));
  EXPECT_FALSE(is_hard(3, 1));
}

TEST(Icmpv6, T47_TheChecksumCoversMessageAndAddresses) {
  const Bytes good = around({128, 0, 0, 0, 0, 1, 0, 2, 'a', 'b', 'c'}, client, server);
  EXPECT_TRUE(icmpv6_checksum_holds(parsed(good)));
  for (size_t bit = 8 * 8; bit < good.size() * 8; ++bit) {  // addresses and message
    Bytes bytes = good;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1U << bit % 8);
    Counter reason{};
    const auto packet = parse_ipv6(bytes, &reason);
    if (packet) {
      EXPECT_FALSE(icmpv6_checksum_holds(*packet)) << bit;
    }
  }
}

TEST(Icmpv6, EchoRepliesBringEverythingBack) {
  const Bytes request = around({128, 0, 0, 0, 0x12, 0x34, 0, 9, 'x', 'y', 'z'}, client, server);
  Bytes reply(11);
  write_icmpv6_echo_reply(reply.data(), server, client, parsed(request).payload);
  EXPECT_EQ(reply[0], 129);
  EXPECT_EQ(Bytes(reply.begin() + 4, reply.end()), (Bytes{0x12, 0x34, 0, 9, 'x', 'y', 'z'}));
  EXPECT_TRUE(
      is_intact(pseudo_header_sum(server, client, protocol_icmpv6, reply.size()) + sum_of(reply)));
}

TEST(Icmpv6, ErrorsQuoteWhatFitsIntoEveryLink) {
  for (const size_t upper_bytes : {size_t{8}, size_t{1'000}, size_t{1'192}, size_t{1'440}}) {
    Bytes udp(ipv6_header_bytes + upper_bytes, 7);
    write_ipv6(udp.data(), client, server, protocol_udp, static_cast<uint16_t>(upper_bytes));
    Bytes error(icmpv6_error_bytes_max);
    const uint32_t length =
        write_icmpv6_error(error.data(), icmpv6_unreachable, icmpv6_port_unreachable, parsed(udp));
    EXPECT_EQ(length, std::min<size_t>(8 + udp.size(), 1240));
    const ByteView sent(error.data(), length);
    EXPECT_TRUE(
        is_intact(pseudo_header_sum(server, client, protocol_icmpv6, length) + sum_of(sent)));
    EXPECT_EQ(sent[0], 1);
    EXPECT_EQ(sent[1], 4);
    EXPECT_TRUE(std::equal(sent.begin() + 8, sent.end(), udp.begin()));
  }
}

TEST(Icmpv6, T40_NoErrorAnswersWhatRfc4443Forbids) {
  Ipv6Packet udp;
  udp.source = client;
  udp.destination = server;
  udp.protocol = protocol_udp;
  EXPECT_TRUE(may_answer_with_icmpv6_error(udp, false));
  EXPECT_FALSE(may_answer_with_icmpv6_error(udp, true));
  Ipv6Packet to_group = udp;
  to_group.destination = Ipv6Address::all_nodes();
  EXPECT_FALSE(may_answer_with_icmpv6_error(to_group, false));
  Ipv6Packet from_nobody = udp;
  from_nobody.source = {};
  EXPECT_FALSE(may_answer_with_icmpv6_error(from_nobody, false));
  for (const uint8_t type : Bytes{1, 2, 3, 4, 100, 127, 137}) {
    const Bytes message{type, 0};
    Ipv6Packet icmp = udp;
    icmp.protocol = protocol_icmpv6;
    icmp.payload = message;
    EXPECT_FALSE(may_answer_with_icmpv6_error(icmp, false)) << int{type};
  }
}

// --- neighbor discovery ---

Bytes solicitation(const Ipv6Address& source, const Ipv6Address& destination) {
  Bytes message(neighbor_discovery_bytes_max);
  message.resize(write_neighbor_solicitation(message.data(), source, destination, server, mac));
  return message;
}
Bytes advertisement(bool solicited = true) {
  Bytes message(neighbor_discovery_bytes_max);
  message.resize(
      write_neighbor_advertisement(message.data(), server, client, server, mac, solicited));
  return message;
}

std::string_view reason_for_solicitation(const Bytes& datagram) {
  Counter reason{};
  return parse_neighbor_solicitation(parsed(datagram), &reason) ? "taken" : name(reason);
}
std::string_view reason_for_advertisement(const Bytes& datagram) {
  Counter reason{};
  return parse_neighbor_advertisement(parsed(datagram), &reason) ? "taken" : name(reason);
}

TEST(NeighborDiscovery, WhatIsWrittenIsRead) {
  const Ipv6Address group = server.solicited_node();
  const Bytes asked = around(solicitation(client, group), client, group);
  Counter reason{};
  const auto question = parse_neighbor_solicitation(parsed(asked), &reason);
  ASSERT_TRUE(question.has_value());
  EXPECT_EQ(question->target, server);
  EXPECT_EQ(question->source_mac, mac);
  EXPECT_FALSE(question->is_for_duplicate_detection);

  const Bytes answered = around(advertisement(), server, client);
  const auto answer = parse_neighbor_advertisement(parsed(answered), &reason);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->target, server);
  EXPECT_EQ(answer->target_mac, mac);
  EXPECT_TRUE(answer->solicited);
  EXPECT_TRUE(answer->override_cache);
  EXPECT_FALSE(answer->from_router);
}

TEST(NeighborDiscovery, T46_OnlyFromThisLinkAndNeverInFragments) {
  EXPECT_EQ(reason_for_solicitation(around(solicitation(client, server), client, server, 254)),
            "net_neighbor_discovery_off_link");
  EXPECT_EQ(reason_for_advertisement(around(advertisement(), server, client, 64)),
            "net_neighbor_discovery_off_link");
  Bytes atomic = around(advertisement(), server, client);
  atomic.insert(atomic.begin() + ipv6_header_bytes, {protocol_icmpv6, 0, 0, 0, 0, 0, 0, 1});
  atomic[6] = 44;
  store_be16(&atomic[4], static_cast<uint16_t>(atomic.size() - ipv6_header_bytes));
  EXPECT_EQ(reason_for_advertisement(atomic), "net_neighbor_discovery_fragment");
}

TEST(NeighborDiscovery, T46_DuplicateDetectionComesFromNobodyToTheGroup) {
  const Ipv6Address group = server.solicited_node();
  const Bytes probe = solicitation({}, group);
  EXPECT_EQ(probe.size(), 24U);  // no option
  const Bytes probe_datagram = around(probe, {}, group);
  Counter reason{};
  EXPECT_TRUE(
      parse_neighbor_solicitation(parsed(probe_datagram), &reason)->is_for_duplicate_detection);
  EXPECT_EQ(reason_for_solicitation(around(probe, {}, server)), "net_neighbor_discovery_malformed");
  EXPECT_EQ(reason_for_solicitation(around(solicitation(client, group), {}, group)),
            "net_neighbor_discovery_malformed");
}

TEST(NeighborDiscovery, T46_MessagesThatFailTheChecksOfRfc4861) {
  const auto changed = [](size_t at, uint8_t value) {
    Bytes message = advertisement();
    message[at] = value;
    return reason_for_advertisement(around(message, server, client));
  };
  constexpr std::string_view malformed = "net_neighbor_discovery_malformed";
  EXPECT_EQ(changed(1, 1), malformed);      // code
  EXPECT_EQ(changed(8, 0xff), malformed);   // target is a group
  EXPECT_EQ(changed(25, 0), malformed);     // option of length 0
  EXPECT_EQ(changed(25, 2), malformed);     // option longer than the message
  EXPECT_EQ(changed(26, 0x03), malformed);  // a group as MAC address
  EXPECT_EQ(changed(24, 14), "taken");      // an option that nobody knows: skipped
  for (size_t length = 4; length < 32; ++length) {
    Bytes cut = advertisement();
    cut.resize(length);
    const std::string_view reason = reason_for_advertisement(around(cut, server, client));
    EXPECT_EQ(reason, length == 24 ? "taken" : malformed) << length;
  }
  Bytes to_all(neighbor_discovery_bytes_max);
  const Ipv6Address all = Ipv6Address::all_nodes();
  write_neighbor_advertisement(to_all.data(), server, all, server, mac, true);
  EXPECT_EQ(reason_for_advertisement(around(to_all, server, all)), malformed);
  write_neighbor_advertisement(to_all.data(), server, all, server, mac, false);
  EXPECT_EQ(reason_for_advertisement(around(to_all, server, all)), "taken");
}

TEST(NeighborDiscovery, T46_RandomMessagesAreReadWithinTheirEnd) {
  Random random(46);
  GuardPage page(128);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = around(advertisement(), server, client);
    for (uint64_t changes = random.below(3); changes > 0; --changes) {
      bytes[40 + random.below(32)] = static_cast<uint8_t>(random.below(16));
    }
    bytes.resize(bytes.size() - random.below(20));
    store_be16(&bytes[4], static_cast<uint16_t>(bytes.size() - ipv6_header_bytes));
    Counter reason{};
    const auto packet = parse_ipv6(page.place(bytes), &reason);
    ASSERT_TRUE(packet.has_value());
    taken += parse_neighbor_advertisement(*packet, &reason).has_value() ? 1 : 0;
    taken += parse_neighbor_solicitation(*packet, &reason).has_value() ? 1 : 0;
    (void)parse_icmpv6_error(*packet, &reason);
  }
  EXPECT_GT(taken, 500);
}

}  // namespace
}  // namespace millrace::net
