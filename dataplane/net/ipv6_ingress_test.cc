#include "dataplane/net/ipv6_ingress.h"

#include <vector>

#include "base/random.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/neighbor_discovery.h"
#include "dataplane/net/net_test_fixture.h"
#include "tests/support/guard_page.h"

namespace millrace::net {
namespace {

using Verdict = Ipv6Ingress::Verdict;

const Ipv6Address owned6 = *Ipv6Address::parse("2001:db8::100");
const Ipv6Address borrowed6 = *Ipv6Address::parse("2001:db8::1");
const Ipv6Address other_port6 = *Ipv6Address::parse("2001:db8:9::2");
const Ipv6Address link_local6 = *Ipv6Address::parse("fe80::100");
const Ipv6Address client6 = *Ipv6Address::parse("2001:db8::7");

Bytes echo_request() {
  return {icmpv6_echo_request, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'};
}
Bytes solicitation_for(const Ipv6Address& target, const Ipv6Address& source, const Ipv6Address& to,
                       const MacAddress& mac = client_mac) {
  Bytes message(neighbor_discovery_bytes_max);
  message.resize(write_neighbor_solicitation(message.data(), source, to, target, mac));
  return message;
}
Bytes udp_datagram() {
  return {0, 1, 0, 53, 0, 12, 0, 0, 't', 'e', 'x', 't'};
}

class Ipv6IngressTest : public NetFixture {
 protected:
  Ipv6IngressTest() {
    const std::vector<uint16_t> ports{8080};
    EXPECT_TRUE(ipv6_.add_owned(0, {owned6, 64}));
    EXPECT_TRUE(ipv6_.add_owned(0, {link_local6, 64}));
    EXPECT_TRUE(ipv6_.add_borrowed(0, {borrowed6, 64}, ports));
    EXPECT_TRUE(ipv6_.add_owned(1, {other_port6, 64}));
    ingress6_.tick(now_);  // asks whether the addresses are free
    settle();
  }

  // A frame around an upper layer message, whose checksum is made right at checksum_at.
  struct Sent {
    Ipv6Address source = client6;
    Ipv6Address destination = owned6;
    uint8_t protocol = protocol_icmpv6;
    size_t checksum_at = 2;
    uint8_t hop_limit = 255;
    MacAddress to = uplink_mac;
    uint8_t port = 0;
  };
  static Bytes frame_of(Bytes message, const Sent& sent) {
    if (message.size() >= sent.checksum_at + 2) {
      store_transport_checksum(&message[sent.checksum_at], sent.source, sent.destination,
                               sent.protocol, message);
    }
    Bytes frame(ethernet_header_bytes + ipv6_header_bytes);
    write_ethernet(frame.data(), sent.to, client_mac, ethertype_ipv6);
    write_ipv6(&frame[ethernet_header_bytes], sent.source, sent.destination, sent.protocol,
               static_cast<uint16_t>(message.size()), sent.hop_limit);
    frame.insert(frame.end(), message.begin(), message.end());
    return frame;
  }
  Ipv6Ingress::Delivery receive_frame(ByteView bytes, uint8_t port = 0) {
    received_.assign(bytes.begin(), bytes.end());
    packet::Frame frame;
    frame.data = received_.data();
    frame.length = static_cast<uint16_t>(received_.size());
    frame.port = port;
    Ipv6Ingress::Delivery delivery;
    ingress6_.receive(frame, *parse_ethernet(frame.bytes()), now_, &delivery);
    return delivery;
  }
  // What becomes of it: the name of the counter of a drop, or the verdict.
  std::string_view fate(const Bytes& message, const Sent& sent) {
    const Counters before = counters_;
    const auto delivery = receive_frame(frame_of(message, sent), sent.port);
    if (delivery.verdict == Verdict::handled) return "handled";
    if (delivery.verdict == Verdict::tcp) return "tcp";
    if (delivery.verdict == Verdict::icmp_error) return "icmp_error";
    std::string_view reason = "nothing counted";
    for (size_t i = 0; i < counter_count; ++i) {
      const auto counter = static_cast<Counter>(i);
      if (counter == Counter::net_ipv6_received || counter == Counter::net_udp_received) continue;
      if (counters_[counter] != before[counter]) reason = name(counter);
    }
    return reason;
  }
  static Bytes tcp_segment(uint16_t port = 80) {
    Bytes segment(20);
    store_be16(&segment[0], 40'000);
    store_be16(&segment[2], port);
    segment[12] = 0x50;
    return segment;
  }
  static Sent tcp_to(const Ipv6Address& destination) {
    Sent sent;
    sent.destination = destination;
    sent.protocol = protocol_tcp;
    sent.checksum_at = 16;
    return sent;
  }
  // The one answer that is queued, taken apart after a look at its checksum.
  struct Answer {
    EthernetFrame ethernet;
    Ipv6Packet packet;
    Bytes bytes;
  };
  void take_answer(Answer* answer) {
    const auto frames = take_queued();
    ASSERT_EQ(frames.size(), 1U);
    answer->bytes = frames[0];
    answer->ethernet = *parse_ethernet(answer->bytes);
    EXPECT_EQ(answer->ethernet.type, ethertype_ipv6);
    EXPECT_EQ(answer->ethernet.source, uplink_mac);
    Counter reason{};
    ASSERT_TRUE(parse_ipv6_into(&answer->packet, answer->ethernet.payload, &reason));
    EXPECT_TRUE(icmpv6_checksum_holds(answer->packet));
  }

  Ipv6Ingress ingress6_{arena_, ipv6_, neighbors_, output_, counters_, 42};
};

TEST_F(Ipv6IngressTest, TcpToAnOwnedAddressIsHandedOn) {
  const auto delivery = receive_frame(frame_of(tcp_segment(), tcp_to(owned6)));
  ASSERT_EQ(delivery.verdict, Verdict::tcp);
  EXPECT_EQ(delivery.packet.source, client6);
  EXPECT_EQ(delivery.packet.destination, owned6);
  EXPECT_EQ(delivery.packet.payload.size(), 20U);
  EXPECT_EQ(delivery.packet.source_mac, client_mac);
  EXPECT_EQ(fate(tcp_segment(8080), tcp_to(borrowed6)), "tcp");
  EXPECT_EQ(fate(tcp_segment(22), tcp_to(borrowed6)), "net_ipv6_not_ours");
  EXPECT_EQ(fate(tcp_segment(), tcp_to(client6)), "net_ipv6_not_ours");
  EXPECT_EQ(fate(tcp_segment(), tcp_to(other_port6)), "net_ipv6_not_ours");
  EXPECT_EQ(fate(Bytes(19), tcp_to(owned6)), "tcp_malformed_segment");
}

TEST_F(Ipv6IngressTest, T44_LandAndOtherImpossibleSources) {
  for (const Ipv6Address& source : {owned6, borrowed6, link_local6, other_port6}) {
    Sent sent = tcp_to(owned6);
    sent.source = source;
    EXPECT_EQ(fate(tcp_segment(), sent), "net_ipv6_own_source") << source.text();
  }
  // The same link-local address is another host on another link (RFC 4007 section 6).
  Sent elsewhere = tcp_to(other_port6);
  elsewhere.source = link_local6;
  elsewhere.port = 1;
  EXPECT_EQ(fate(tcp_segment(), elsewhere), "tcp");
}

TEST_F(Ipv6IngressTest, T44_OneHostsDatagramInAGroupFrameIsDropped) {
  Sent sent = tcp_to(owned6);
  sent.to = MacAddress::broadcast();
  EXPECT_EQ(fate(tcp_segment(), sent), "net_ipv6_group_frame");
}

TEST_F(Ipv6IngressTest, T47_BadChecksumsAreDropped) {
  Bytes segment = frame_of(tcp_segment(), tcp_to(owned6));
  segment.back() ^= 1;
  EXPECT_EQ(receive_frame(segment).verdict, Verdict::dropped);
  EXPECT_EQ(counters_[Counter::tcp_bad_checksum], 1U);
  Bytes echo = frame_of(echo_request(), {});
  echo.back() ^= 1;
  EXPECT_EQ(receive_frame(echo).verdict, Verdict::dropped);
  EXPECT_EQ(counters_[Counter::net_icmpv6_bad_checksum], 1U);
  ingress6_.set_port(0, packet::ChecksumMode::trust);  // of TCP, never of ICMPv6
  EXPECT_EQ(receive_frame(segment).verdict, Verdict::tcp);
  EXPECT_EQ(receive_frame(echo).verdict, Verdict::dropped);
}

TEST_F(Ipv6IngressTest, EchoIsAnsweredTheWayItCame) {
  EXPECT_EQ(fate(echo_request(), {}), "handled");
  Answer answer;
  ASSERT_NO_FATAL_FAILURE(take_answer(&answer));
  EXPECT_EQ(answer.ethernet.destination, client_mac);
  EXPECT_EQ(answer.packet.source, owned6);
  EXPECT_EQ(answer.packet.destination, client6);
  EXPECT_EQ(answer.packet.hop_limit, 64);
  EXPECT_EQ(answer.packet.payload[0], icmpv6_echo_reply);
  EXPECT_EQ(as_text(answer.packet.payload.subspan(8)), "ping");

  Sent to_kernel;
  to_kernel.destination = borrowed6;
  EXPECT_EQ(fate(echo_request(), to_kernel), "net_icmpv6_ignored");
  Sent to_all;
  to_all.destination = Ipv6Address::all_nodes();
  to_all.to = to_all.destination.multicast_mac();
  EXPECT_EQ(fate(echo_request(), to_all), "net_icmpv6_ignored");
  Sent from_nobody;
  from_nobody.source = {};
  EXPECT_EQ(fate(echo_request(), from_nobody), "net_ipv6_bad_source");
  EXPECT_TRUE(take_queued().empty());
}

TEST_F(Ipv6IngressTest, UdpIsAnsweredWithPortUnreachable) {
  Sent sent;
  sent.protocol = protocol_udp;
  sent.checksum_at = 6;
  EXPECT_EQ(fate(udp_datagram(), sent), "handled");
  Answer answer;
  ASSERT_NO_FATAL_FAILURE(take_answer(&answer));
  EXPECT_EQ(answer.packet.payload[0], icmpv6_unreachable);
  EXPECT_EQ(answer.packet.payload[1], icmpv6_port_unreachable);
  EXPECT_EQ(answer.packet.payload.size(), 8U + 40 + 12);
  sent.destination = borrowed6;
  EXPECT_EQ(fate(udp_datagram(), sent), "net_ipv6_not_ours");
  sent.destination = owned6;
  sent.protocol = 47;
  EXPECT_EQ(fate(udp_datagram(), sent), "net_ipv6_unknown_protocol");
}

TEST_F(Ipv6IngressTest, T40_AnswersAreLimitedPerDestination) {
  Sent sent;
  sent.protocol = protocol_udp;
  sent.checksum_at = 6;
  int answered = 0;
  for (int i = 0; i < 100; ++i) answered += fate(udp_datagram(), sent) == "handled" ? 1 : 0;
  EXPECT_GE(answered, 8);
  EXPECT_LE(answered, 16);
  // A flood at one destination leaves most others their answers.
  int others = 0;
  for (uint8_t i = 0; i < 100; ++i) {
    Ipv6Address::Octets octets = client6.octets();
    octets[14] = 1;
    octets[15] = i;
    sent.source = Ipv6Address(octets);
    others += fate(udp_datagram(), sent) == "handled" ? 1 : 0;
  }
  EXPECT_GT(others, 90);
  now_ = now_ + Duration::seconds(1);
  sent.source = client6;
  EXPECT_EQ(fate(udp_datagram(), sent), "handled");
}

TEST_F(Ipv6IngressTest, T46_SolicitationsForOwnedAddressesAreAnswered) {
  Sent sent;
  sent.destination = owned6.solicited_node();
  sent.to = sent.destination.multicast_mac();
  EXPECT_EQ(fate(solicitation_for(owned6, client6, sent.destination), sent), "handled");
  Answer answer;
  ASSERT_NO_FATAL_FAILURE(take_answer(&answer));
  EXPECT_EQ(answer.ethernet.destination, client_mac);
  EXPECT_EQ(answer.packet.source, owned6);
  EXPECT_EQ(answer.packet.destination, client6);
  EXPECT_EQ(answer.packet.hop_limit, 255);
  Counter reason{};
  const auto advertisement = parse_neighbor_advertisement(answer.packet, &reason);
  ASSERT_TRUE(advertisement.has_value());
  EXPECT_EQ(advertisement->target, owned6);
  EXPECT_EQ(advertisement->target_mac, uplink_mac);
  EXPECT_TRUE(advertisement->solicited);

  EXPECT_EQ(fate(solicitation_for(owned6, client6, owned6), {}), "handled");  // a probe by unicast
  take_queued();
}

TEST_F(Ipv6IngressTest, T46_SolicitationsThatAreNotAnswered) {
  Sent sent;
  sent.destination = borrowed6.solicited_node();
  sent.to = sent.destination.multicast_mac();
  EXPECT_EQ(fate(solicitation_for(borrowed6, client6, sent.destination), sent),
            "net_ipv6_not_ours");
  EXPECT_EQ(fate(solicitation_for(client6, client6, owned6), {}), "net_ipv6_not_ours");
  EXPECT_EQ(fate(solicitation_for(owned6, client6, owned6, other_mac), {}),
            "net_neighbor_discovery_sender_mismatch");
  Sent routed;
  routed.hop_limit = 254;
  EXPECT_EQ(fate(solicitation_for(owned6, client6, owned6), routed),
            "net_neighbor_discovery_off_link");
  Sent wrong_frame;
  wrong_frame.destination = owned6.solicited_node();
  wrong_frame.to = MacAddress::broadcast();
  EXPECT_EQ(fate(solicitation_for(owned6, client6, wrong_frame.destination), wrong_frame),
            "net_ipv6_group_frame");
  for (const uint8_t type : Bytes{133, 134, 137, 130, 143}) {  // routers', redirects, listeners'
    EXPECT_EQ(fate(Bytes{type, 0, 0, 0, 0, 0, 0, 0}, {}), "net_icmpv6_ignored") << int{type};
  }
  EXPECT_TRUE(take_queued().empty());
}

TEST_F(Ipv6IngressTest, T46_WhoWantsOurAddressIsToldAndCounted) {
  Sent probe;
  probe.source = {};
  probe.destination = owned6.solicited_node();
  probe.to = probe.destination.multicast_mac();
  EXPECT_EQ(fate(solicitation_for(owned6, {}, probe.destination), probe), "handled");
  EXPECT_EQ(counters_[Counter::net_neighbor_discovery_conflict], 1U);
  Answer answer;
  ASSERT_NO_FATAL_FAILURE(take_answer(&answer));
  EXPECT_EQ(answer.packet.destination, Ipv6Address::all_nodes());
  EXPECT_EQ(to_text(answer.ethernet.destination), "33:33:00:00:00:01");
  Counter reason{};
  EXPECT_FALSE(parse_neighbor_advertisement(answer.packet, &reason)->solicited);

  Bytes claim(neighbor_discovery_bytes_max);
  write_neighbor_advertisement(claim.data(), client6, owned6, owned6, client_mac, true);
  EXPECT_EQ(fate(claim, {}), "net_neighbor_discovery_conflict");
  write_neighbor_advertisement(claim.data(), client6, owned6, client6, client_mac, true);
  EXPECT_EQ(fate(claim, {}), "net_neighbor_discovery_unsolicited");
}

TEST_F(Ipv6IngressTest, T39_ErrorsAboutOurSegmentsAreHandedOn) {
  const auto about = [&](const Ipv6Address& source, uint16_t port) {
    Bytes message{icmpv6_packet_too_big, 0, 0, 0, 0, 0, 0x05, 0x14};  // 1,300
    message.resize(8 + ipv6_header_bytes + 20);
    write_ipv6(&message[8], source, client6, protocol_tcp, 20);
    store_be16(&message[48], port);
    Sent sent;
    sent.destination = source;
    return std::string(fate(message, sent));
  };
  EXPECT_EQ(about(owned6, 80), "icmp_error");
  EXPECT_EQ(about(borrowed6, 8080), "icmp_error");
  EXPECT_EQ(about(borrowed6, 22), "net_icmpv6_unrelated");
  EXPECT_EQ(about(client6, 80), "net_ipv6_not_ours");
}

TEST_F(Ipv6IngressTest, NoIpv6OnALinkThatIsTooNarrow) {
  output_.set_port(0, uplink_mac, 1279);
  EXPECT_EQ(fate(echo_request(), {}), "net_ipv6_not_ours");
  output_.set_port(0, uplink_mac, 1280);
  Sent sent;
  sent.protocol = protocol_udp;
  sent.checksum_at = 6;
  EXPECT_EQ(fate(Bytes(1'240, 1), sent), "handled");
  EXPECT_EQ(take_queued()[0].size(), 14U + 1'280);
}

// Whatever comes: nothing is read beyond the frame, no memory leaks, no answer is too long.
TEST_F(Ipv6IngressTest, T43_RandomFramesLeaveNothingBehind) {
  Random random(6);
  testing::GuardPage page(2'048);
  const std::vector<Bytes> seeds{frame_of(echo_request(), {}),
                                 frame_of(tcp_segment(), tcp_to(owned6)),
                                 frame_of(solicitation_for(owned6, client6, owned6), {}),
                                 frame_of(solicitation_for(link_local6, client6, owned6), {})};
  size_t answers = 0;
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes = seeds[random.below(seeds.size())];
    for (uint64_t changes = random.below(4); changes > 0; --changes) {
      bytes[14 + random.below(bytes.size() - 14)] = static_cast<uint8_t>(random.next());
    }
    if (random.below(8) == 0) bytes.resize(14 + random.below(bytes.size() - 13));
    const ByteView placed = page.place(bytes);
    packet::Frame frame;
    frame.data = const_cast<uint8_t*>(placed.data());
    frame.length = static_cast<uint16_t>(placed.size());
    Ipv6Ingress::Delivery delivery;
    now_ = now_ + Duration::milliseconds(1);
    ingress6_.receive(frame, *parse_ethernet(frame.bytes()), now_, &delivery);
    for (const Bytes& sent : take_queued()) {
      ++answers;
      ASSERT_LE(sent.size(), 1'514U);
    }
    ASSERT_EQ(arena_.free_count(), slot_count);
  }
  EXPECT_GT(answers, 5'000U);
}

TEST(Ipv6Steering, RefusesWhatCannotBe) {
  Ipv6Steering steering;
  EXPECT_TRUE(steering.add_owned(0, {owned6, 64}));
  EXPECT_FALSE(steering.add_owned(0, {owned6, 64}));
  EXPECT_FALSE(steering.add_owned(1, {owned6, 64}));
  EXPECT_FALSE(steering.add_borrowed(1, {owned6, 64}, {}));
  EXPECT_TRUE(steering.add_owned(0, {link_local6, 64}));
  EXPECT_TRUE(steering.add_owned(1, {link_local6, 64}));
  for (const char* text : {"::", "::1", "ff02::1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(steering.add_owned(0, {*Ipv6Address::parse(text), 64})) << text;
  }
  EXPECT_FALSE(steering.add_owned(packet::ports_max, {client6, 64}));
  const std::vector<uint16_t> too_many(Ipv6Steering::borrowed_tcp_ports_max + 1);
  EXPECT_FALSE(steering.add_borrowed(0, {client6, 64}, too_many));
  for (size_t i = steering.all().size(); i < Ipv6Steering::addresses_max; ++i) {
    Ipv6Address::Octets octets = client6.octets();
    octets[14] = static_cast<uint8_t>(i + 1);
    EXPECT_TRUE(steering.add_owned(0, {Ipv6Address(octets), 64}));
  }
  EXPECT_FALSE(steering.add_owned(0, {client6, 64}));
}

}  // namespace
}  // namespace millrace::net
