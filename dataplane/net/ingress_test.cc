#include "dataplane/net/ingress.h"

#include "base/random.h"
#include "dataplane/net/net_test_fixture.h"
#include "tests/support/guard_page.h"

namespace millrace::net {
namespace {

using testing::GuardPage;
using Verdict = Ingress::Verdict;

class IngressTest : public NetFixture {
 protected:
  IngressTest() { settle(); }

  // The reason for which bytes are dropped: the one notice or info counter that moved.
  std::string_view dropped_for(const Bytes& bytes, uint8_t port = 0) {
    const Counters before = counters_;
    const auto delivery = receive(bytes, port);
    if (delivery.verdict != Verdict::dropped) return "not dropped";
    std::string_view reason = "nothing counted";
    for (size_t i = 0; i < counter_count; ++i) {
      const auto counter = static_cast<Counter>(i);
      if (counter == Counter::net_frames_received || counter == Counter::net_ipv4_received)
        continue;
      if (counters_[counter] != before[counter]) reason = name(counter);
    }
    return reason;
  }
};

TEST_F(IngressTest, TcpToAnOwnedAddressIsHandedOn) {
  const auto delivery =
      receive(from_client().tcp(40'000, 80).flags("S").seq(7).payload("x").pad_to(60).build());
  ASSERT_EQ(delivery.verdict, Verdict::tcp);
  EXPECT_EQ(delivery.packet.source, client);
  EXPECT_EQ(delivery.packet.destination, owned);
  EXPECT_EQ(delivery.packet.payload.size(), 21U);
  EXPECT_EQ(delivery.packet.source_mac, client_mac);
  EXPECT_FALSE(delivery.back.has_value());
}

TEST_F(IngressTest, TcpToABorrowedAddressGoesBackTheWayItCame) {
  const auto to_port = [&](uint16_t port) {
    return receive(PacketBuilder()
                       .ethernet(other_mac, uplink_mac)
                       .ipv4(far_client, borrowed)
                       .tcp(40'000, port)
                       .build());
  };
  const auto delivery = to_port(8080);
  ASSERT_EQ(delivery.verdict, Verdict::tcp);
  ASSERT_TRUE(delivery.back.has_value());
  EXPECT_EQ(delivery.back->mac(), other_mac);
  EXPECT_EQ(delivery.back->neighbor(), Path::reflected);
  EXPECT_EQ(delivery.back->port(), 0);
  EXPECT_EQ(to_port(22).verdict, Verdict::dropped);

  // Sent back without ARP.
  send(*delivery.back, borrowed, far_client);
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(decode(frames[0]).destination_mac, other_mac);
}

TEST_F(IngressTest, EveryReasonToDropAFrame) {
  const auto tcp = [&] { return from_client().tcp(1, 2); };
  EXPECT_EQ(dropped_for(Bytes(13, 0)), "net_ethernet_truncated");
  EXPECT_EQ(dropped_for(tcp().ethernet(client_mac, other_mac).build()),
            "net_ethernet_other_destination");
  EXPECT_EQ(dropped_for(tcp().ethernet(MacAddress::broadcast(), uplink_mac).build()),
            "net_ethernet_bad_source");
  EXPECT_EQ(dropped_for(tcp().ethernet(MacAddress{}, uplink_mac).build()),
            "net_ethernet_bad_source");
  EXPECT_EQ(dropped_for(tcp().ethernet(uplink_mac, uplink_mac).build()), "net_ethernet_bad_source");
  EXPECT_EQ(dropped_for(tcp().vlan(7).build()), "net_ethernet_vlan");
  EXPECT_EQ(dropped_for(tcp().ethertype(0x88cc).build()), "net_ethernet_unknown_type");
  EXPECT_EQ(dropped_for(tcp().ethernet(client_mac, MacAddress::broadcast()).build()),
            "net_ipv4_group_frame");
  EXPECT_EQ(dropped_for(tcp().build(), 1), "net_ethernet_other_destination");
  EXPECT_EQ(dropped_for(tcp().ethernet(client_mac, kernel_mac).build(), 1), "net_ipv4_not_ours");
  EXPECT_EQ(dropped_for(PacketBuilder()
                            .ethernet(client_mac, uplink_mac)
                            .ipv4(client, far_client)
                            .tcp(1, 2)
                            .build()),
            "net_ipv4_not_ours");
  EXPECT_EQ(dropped_for(from_client().ipv4(client, owned, 47).build()),
            "net_ipv4_unknown_protocol");
  EXPECT_EQ(dropped_for(from_client().ipv4(client, owned, 6).payload("short").build()),
            "tcp_malformed_segment");
  EXPECT_EQ(dropped_for(from_client().ipv4(client, owned, 17).payload("short").build()),
            "net_udp_malformed");
  EXPECT_EQ(dropped_for(from_client().ipv4(client, borrowed).udp(1, 53).build()),
            "net_ipv4_not_ours");
  EXPECT_EQ(dropped_for(from_client().ipv4(client, borrowed).echo_request(1, 1).build()),
            "net_icmp_ignored");
  EXPECT_TRUE(take_queued().empty());
}

TEST_F(IngressTest, T44_LandAndOtherImpossibleSources) {
  for (const Ipv4Address source :
       {owned, borrowed, kernel_owned, Ipv4Address::from_octets(10, 20, 0, 255)}) {
    EXPECT_EQ(dropped_for(from_client().ipv4(source, owned).tcp(80, 80).flags("S").build()),
              "net_ipv4_own_source")
        << source.text();
  }
  // The node's own client comes in by the kernel port, from the node's own address.
  EXPECT_EQ(receive(PacketBuilder()
                        .ethernet(client_mac, kernel_mac)
                        .ipv4(borrowed, kernel_owned)
                        .tcp(1, 2)
                        .build(),
                    1)
                .verdict,
            Verdict::tcp);
}

TEST_F(IngressTest, T47_ChecksumModesOfThePort) {
  const Bytes good = from_client().tcp(1, 2).payload("abc").build();
  const Bytes bad = from_client().tcp(1, 2).payload("abc").bad_transport_checksum().build();
  const Bytes partial = from_client().tcp(1, 2).payload("abc").partial_transport_checksum().build();
  using packet::ChecksumMode;
  struct Row {
    ChecksumMode mode;
    bool takes_partial;
    bool takes_bad;
  };
  for (const Row& row :
       {Row{ChecksumMode::verify, false, false}, Row{ChecksumMode::verify_or_partial, true, false},
        Row{ChecksumMode::trust, true, true}}) {
    ingress_.set_port(0, row.mode);
    EXPECT_EQ(receive(good).verdict, Verdict::tcp);
    EXPECT_EQ(receive(partial).verdict, row.takes_partial ? Verdict::tcp : Verdict::dropped);
    EXPECT_EQ(receive(bad).verdict, row.takes_bad ? Verdict::tcp : Verdict::dropped);
  }
  EXPECT_EQ(counters_[Counter::tcp_bad_checksum], 3U);

  // The NIC vouches for this one frame.
  ingress_.set_port(0, ChecksumMode::verify);
  received_ = bad;
  packet::Frame frame;
  frame.data = received_.data();
  frame.length = static_cast<uint16_t>(received_.size());
  frame.checksum_verified = true;
  Ingress::Delivery delivery;
  ingress_.receive(frame, now_, &delivery);
  EXPECT_EQ(delivery.verdict, Verdict::tcp);
}

// --- ARP ---

TEST_F(IngressTest, AnswersArpForOwnedAddressesOnTheirPortOnly) {
  EXPECT_EQ(receive(request_from(client_mac, client)).verdict, Verdict::handled);
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::ethernet_to(client_mac), testing::ethernet_from(uplink_mac),
               testing::arp_reply(owned, client));
  EXPECT_EQ(frames[0].size(), 42U);

  const auto asks = [&](Ipv4Address target, uint8_t port) {
    return dropped_for(PacketBuilder()
                           .ethernet(client_mac, MacAddress::broadcast())
                           .arp_request(client_mac, client, target)
                           .build(),
                       port);
  };
  EXPECT_EQ(asks(borrowed, 0), "net_arp_not_ours") << "the kernel answers for its own address";
  EXPECT_EQ(asks(kernel_owned, 0), "net_arp_not_ours");
  EXPECT_EQ(asks(owned, 1), "net_arp_not_ours");
  EXPECT_TRUE(take_queued(0).empty());
  EXPECT_TRUE(take_queued(1).empty());
}

TEST_F(IngressTest, DefendsAgainstAnAddressProbe) {  // RFC 5227 section 2.1.1
  receive(PacketBuilder()
              .ethernet(other_mac, MacAddress::broadcast())
              .arp_request(other_mac, Ipv4Address{}, owned)
              .build());
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::arp_reply(owned, Ipv4Address{}),
               testing::ethernet_to(other_mac));
  EXPECT_EQ(neighbors_.count(), 0);
}

TEST_F(IngressTest, T46_AClaimToOurAddressIsCountedAndDefendedOnceInTenSeconds) {
  const Bytes claim = PacketBuilder()
                          .ethernet(other_mac, MacAddress::broadcast())
                          .arp_request(other_mac, owned, owned)
                          .build();
  for (int i = 0; i < 5; ++i) receive(claim);
  EXPECT_EQ(counters_[Counter::net_arp_address_conflict], 5U);
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::arp_request(owned, owned),
               testing::ethernet_to(MacAddress::broadcast()));
  now_ = now_ + Ingress::defend_interval;
  receive(claim);
  EXPECT_EQ(take_queued().size(), 1U);
}

TEST_F(IngressTest, T46_MalformedAndForgedArpIsDropped) {
  const Bytes good = request_from(client_mac, client);
  const auto with = [&](size_t at, uint8_t value) {
    Bytes bytes = good;
    bytes[at] = value;
    return dropped_for(bytes);
  };
  EXPECT_EQ(with(15, 6), "net_arp_malformed");     // hardware type
  EXPECT_EQ(with(16, 0x86), "net_arp_malformed");  // protocol type
  EXPECT_EQ(with(18, 8), "net_arp_malformed");     // hardware length
  EXPECT_EQ(with(19, 16), "net_arp_malformed");    // protocol length
  EXPECT_EQ(with(21, 0), "net_arp_malformed");     // operation
  EXPECT_EQ(with(21, 3), "net_arp_malformed");
  EXPECT_EQ(with(22, 0x03), "net_arp_malformed");  // a group address as sender
  EXPECT_EQ(with(28, 0xe0), "net_arp_malformed");  // multicast as sender
  EXPECT_EQ(with(28, 127), "net_arp_malformed");
  EXPECT_EQ(with(27, 0x77), "net_arp_sender_mismatch");
  EXPECT_TRUE(take_queued().empty());
}

TEST_F(NetFixture, AnnouncesOwnedAddressesThreeTimes) {
  std::vector<size_t> counts;
  for (int second = 0; second < 5; ++second) {
    ingress_.tick(now_);
    const auto frames = take_queued(0);
    counts.push_back(frames.size() + take_queued(1).size());
    if (second == 0) {
      ASSERT_EQ(frames.size(), 2U);  // the borrowed address is the kernel's to announce
      expect_frame(frames[0], testing::arp_request(owned, owned),
                   testing::ethernet_to(MacAddress::broadcast()));
      expect_frame(frames[1], testing::arp_reply(owned, owned),
                   testing::ethernet_to(MacAddress::broadcast()));
    }
    now_ = now_ + Duration::seconds(1);
  }
  EXPECT_EQ(counts, (std::vector<size_t>{4, 4, 4, 0, 0}));
}

TEST_F(NetFixture, AnnouncementsGoOnWhereRoomRanOut) {
  set_room(1);
  ingress_.tick(now_);
  EXPECT_EQ(take_queued(0).size(), 1U);
  ingress_.tick(now_);
  EXPECT_EQ(take_queued(0).size(), 1U);
  EXPECT_EQ(take_queued(1).size(), 1U);
  ingress_.tick(now_);
  EXPECT_EQ(take_queued(0).size(), 0U);
  EXPECT_EQ(take_queued(1).size(), 1U);
}

// --- ICMP ---

TEST_F(IngressTest, AnswersEchoWithTheSameBytes) {
  std::string text(1'472, 'p');
  text[1'471] = 'q';
  EXPECT_EQ(receive(from_client().echo_request(0x1234, 9).payload(text).build()).verdict,
            Verdict::handled);
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::icmp_is(0, 0), testing::ipv4_from(owned),
               testing::ipv4_to(client), testing::ethernet_to(client_mac),
               testing::payload_is(text));
  EXPECT_EQ(decode(frames[0]).icmp_rest, 0x12340009U);
  EXPECT_EQ(neighbors_.count(), 0) << "an answer resolves nothing";

  receive(from_client().echo_request(1, 1).payload("odd").build());
  expect_frame(take_queued().at(0), testing::icmp_is(0, 0), testing::payload_is("odd"));
}

TEST_F(IngressTest, T47_IcmpChecksumsAreVerified) {
  EXPECT_EQ(dropped_for(from_client().echo_request(1, 1).bad_transport_checksum().build()),
            "net_icmp_bad_checksum");
}

TEST_F(IngressTest, UdpToAnOwnedAddressIsUnreachable) {
  const Bytes frame = from_client().udp(5'000, 53).payload("a question of some length").build();
  EXPECT_EQ(receive(frame).verdict, Verdict::handled);
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::icmp_is(3, 3), testing::ipv4_from(owned),
               testing::ipv4_to(client), testing::payload_bytes(28));
  EXPECT_EQ(decode(frames[0]).payload, Bytes(frame.begin() + 14, frame.begin() + 14 + 28));
}

// RFC 1122 section 3.2.2: what must never be answered with an error.
TEST_F(IngressTest, T40_NoErrorsThatMultiply) {
  const Bytes quoted = PacketBuilder().ipv4(owned, client).udp(1, 2).build_datagram();
  receive(from_client().icmp(3, 3).payload(quoted).build());  // an ICMP error
  receive(from_client().udp(1, 2).fragment(1, false).build());
  receive(from_client().udp(1, 2).ethernet(client_mac, MacAddress::broadcast()).build());
  receive(from_client().ipv4(client, Ipv4Address::from_octets(10, 20, 0, 255)).udp(1, 2).build());
  receive(from_client().ipv4(client, Ipv4Address::from_octets(224, 0, 0, 1)).udp(1, 2).build());
  receive(from_client().ipv4(Ipv4Address{}, owned).udp(1, 2).build());
  receive(from_client().ipv4(Ipv4Address::from_octets(10, 20, 0, 255), owned).udp(1, 2).build());
  EXPECT_TRUE(take_queued().empty());
}

TEST_F(IngressTest, T40_UnreachablesAreLimitedPerDestination) {
  const auto answers_to = [&](Ipv4Address source, int count) {
    size_t answers = 0;
    for (int i = 0; i < count; ++i) {
      receive(from_client().ipv4(source, owned).udp(1, 53).build());
      answers += take_queued().size();
    }
    return answers;
  };
  const size_t first = answers_to(client, 100);
  EXPECT_GE(first, Ingress::unreachables_per_second);
  EXPECT_LE(first, Ingress::unreachables_per_second * 2);
  EXPECT_GT(counters_[Counter::net_icmp_limited], 0U);
  now_ = now_ + Duration::seconds(1);
  EXPECT_GT(answers_to(client, 1), 0U);
}

// SAD DNS and its kin: whether B is answered must say nothing about how many answers A was sent.
TEST(IcmpLimiter, T40_OneDestinationTellsNothingOfAnother) {
  IcmpLimiter limiter(8, 7);
  Instant now = Instant::from_ns(5'000'000'000);
  int refused = 0;
  for (uint32_t round = 0; round < 1'000; ++round) {
    now = now + IcmpLimiter::period;
    const Ipv4Address victim = Ipv4Address::from_octets(192, 0, 2, 1);
    const Ipv4Address observer = Ipv4Address::from_octets(198, 51, 100, 1);
    while (limiter.allow(victim, now)) continue;
    if (!limiter.allow(observer, now)) ++refused;
  }
  // They share a bucket in one period of 256, and never predictably.
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 20);
}

TEST(IcmpLimiter, T40_TheBudgetItselfIsDrawn) {
  IcmpLimiter limiter(8, 7);
  Instant now = Instant::from_ns(5'000'000'000);
  std::vector<int> seen;
  for (int round = 0; round < 50; ++round) {
    now = now + IcmpLimiter::period;
    int allowed = 0;
    while (limiter.allow(client, now)) ++allowed;
    EXPECT_GE(allowed, 8);
    EXPECT_LE(allowed, 16);
    if (std::find(seen.begin(), seen.end(), allowed) == seen.end()) seen.push_back(allowed);
  }
  EXPECT_GT(seen.size(), 4U);
}

TEST_F(IngressTest, T38_T39_ErrorsAboutOurSegmentsAreHandedOn) {
  const Bytes segment = PacketBuilder()
                            .ipv4(owned, far_client)
                            .tcp(80, 40'000)
                            .seq(0x01020304)
                            .payload("and more")
                            .build_datagram();
  const auto error = [&](uint8_t type, uint8_t code, size_t quoted, uint32_t rest = 0) {
    return receive(PacketBuilder()
                       .ethernet(other_mac, uplink_mac)
                       .ipv4(gateway, owned)
                       .icmp(type, code, rest)
                       .payload(ByteView(segment).first(quoted))
                       .build());
  };
  auto delivery = error(3, 4, 28, 1'400);
  ASSERT_EQ(delivery.verdict, Verdict::icmp_error);
  EXPECT_TRUE(delivery.error.is_fragmentation_needed());
  EXPECT_FALSE(delivery.error.is_hard());
  EXPECT_EQ(delivery.error.next_hop_mtu, 1'400);
  EXPECT_EQ(delivery.error.protocol, 6);
  EXPECT_EQ(delivery.error.source, owned);
  EXPECT_EQ(delivery.error.destination, far_client);
  EXPECT_EQ(delivery.error.source_port, 80);
  EXPECT_EQ(delivery.error.destination_port, 40'000);
  EXPECT_EQ(delivery.error.tcp_sequence_number, 0x01020304U);

  EXPECT_TRUE(error(3, 3, segment.size()).error.is_hard());
  EXPECT_FALSE(error(3, 1, 28, 1'400).error.is_hard());
  EXPECT_EQ(error(3, 1, 28, 1'400).error.next_hop_mtu, 0);
  EXPECT_EQ(error(11, 0, 28).verdict, Verdict::icmp_error);
  EXPECT_EQ(error(4, 0, 28).verdict, Verdict::dropped);  // source quench, RFC 6633
  EXPECT_EQ(error(5, 1, 28).verdict, Verdict::dropped);  // redirect
  for (size_t quoted = 0; quoted < 28; ++quoted) {
    EXPECT_EQ(error(3, 3, quoted).verdict, Verdict::dropped) << quoted;
  }
}

TEST_F(IngressTest, T39_ErrorsAboutWhatWeCannotHaveSentAreDropped) {
  const auto about = [&](const PacketBuilder& quoted, Ipv4Address to = owned) {
    return dropped_for(PacketBuilder()
                           .ethernet(other_mac, uplink_mac)
                           .ipv4(gateway, to)
                           .icmp(3, 3)
                           .payload(quoted.build_datagram())
                           .build());
  };
  const auto ours = [] { return PacketBuilder().ipv4(owned, far_client).tcp(80, 40'000); };
  EXPECT_EQ(about(ours()), "not dropped");
  EXPECT_EQ(about(PacketBuilder().ipv4(owned, far_client).udp(80, 40'000)), "net_icmp_unrelated");
  EXPECT_EQ(about(PacketBuilder().ipv4(client, far_client).tcp(80, 40'000)), "net_icmp_unrelated");
  EXPECT_EQ(about(PacketBuilder().ipv4(borrowed, far_client).tcp(8080, 40'000)),
            "net_icmp_unrelated");
  EXPECT_EQ(about(ours().fragment(3, false)), "net_icmp_unrelated");
  EXPECT_EQ(about(ours().fragment(0, true)), "net_icmp_unrelated");
  const Bytes options(4, 1);
  EXPECT_EQ(about(ours().ip_options(options)), "net_icmp_unrelated");
  EXPECT_EQ(about(ours().ip_version(6)), "net_icmp_malformed");
  EXPECT_EQ(about(ours().ip_header_words(3)), "net_icmp_malformed");
  EXPECT_EQ(about(ours().ip_total_length(27)), "net_icmp_malformed");
  // Of a borrowed address only the listed ports are ours.
  EXPECT_EQ(about(PacketBuilder().ipv4(borrowed, far_client).tcp(8080, 40'000), borrowed),
            "not dropped");
  EXPECT_EQ(about(PacketBuilder().ipv4(borrowed, far_client).tcp(22, 40'000), borrowed),
            "net_icmp_unrelated");
}

// --- inputs that end where memory ends ---

TEST_F(IngressTest, EveryFrameCutAtEveryLengthEndsAtAGuardPage) {
  const Bytes segment = PacketBuilder().ipv4(owned, client).tcp(80, 40'000).build_datagram();
  const std::vector<Bytes> frames{
      from_client().tcp(40'000, 80).mss(1460).timestamps(1, 2).payload("text").build(),
      from_client().udp(1, 2).payload("text").build(),
      from_client().echo_request(1, 2).payload("text").build(),
      from_client().icmp(3, 4, 1'400).payload(segment).build(),
      from_client().icmp(11, 0).payload(segment).build(),
      request_from(client_mac, client),
      reply_from(client_mac, client),
      from_client().tcp(1, 2).vlan(9).build(),
      from_client().tcp(1, 2).ip_options(Bytes(40, 1)).build(),
  };
  GuardPage page(4096);
  Random random(11);
  for (const Bytes& whole : frames) {
    for (size_t length = 0; length <= whole.size(); ++length) {
      for (int variant = 0; variant < 8; ++variant) {
        Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
        // The total length is made to fit in half of them, so that the inner parsers are reached.
        if (variant % 2 == 1 && length >= 34 && load_be16(&cut[12]) == 0x0800) {
          store_be16(&cut[16], static_cast<uint16_t>(length - 14));
          store_be16(&cut[24], 0);
          store_be16(&cut[24], testing::reference_checksum(ByteView(cut).subspan(
                                   14, std::min<size_t>((cut[14] & 0x0fU) * 4, length - 14))));
          if (cut[23] == 1 && length >= 38) {
            store_be16(&cut[36], 0);
            store_be16(&cut[36], testing::reference_checksum(ByteView(cut).subspan(34)));
          }
        }
        if (variant >= 4 && length > 0) {
          cut[random.below(length)] = static_cast<uint8_t>(random.next());
        }
        const ByteSpan placed = page.reserve(cut.size());
        std::copy(cut.begin(), cut.end(), placed.begin());
        packet::Frame frame;
        frame.data = placed.data();
        frame.length = static_cast<uint16_t>(cut.size());
        Ingress::Delivery delivery;
        ingress_.receive(frame, now_, &delivery);
        if (delivery.verdict == Verdict::tcp) {
          EXPECT_GE(delivery.packet.payload.size(), 20U);
          EXPECT_LE(delivery.packet.payload.data() + delivery.packet.payload.size(),
                    placed.data() + placed.size());
        }
        take_queued();
      }
    }
  }
}

}  // namespace
}  // namespace millrace::net
