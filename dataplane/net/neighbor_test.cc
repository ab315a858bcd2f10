#include "dataplane/net/neighbor.h"

#include "dataplane/net/checksum.h"
#include "dataplane/net/neighbor_discovery.h"
#include "dataplane/net/net_test_fixture.h"

namespace millrace::net {
namespace {

using State = NeighborTable::State;

class NeighborTest : public NetFixture {
 protected:
  NeighborTest() { settle(); }

  State state_of(Ipv4Address address) {
    const uint16_t index = neighbors_.find(0, address);
    return index == NeighborTable::none ? State::free : neighbors_.state(index);
  }
  // A neighbor that has just answered, nothing queued.
  void resolve(Ipv4Address address, const MacAddress& mac) {
    send_to(address);
    receive(reply_from(mac, address));
    ASSERT_EQ(state_of(address), State::reachable);
    take_queued();
  }
};

TEST_F(NeighborTest, AFrameWaitsForTheAnswerAndThenLeaves) {
  send_to(client, "first");
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::ethernet_from(uplink_mac),
               testing::ethernet_to(MacAddress::broadcast()), testing::arp_request(owned, client));
  EXPECT_EQ(neighbors_.waiting_count(), 1);

  receive(reply_from(client_mac, client));
  frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  const DecodedFrame frame = decode(frames[0]);
  EXPECT_EQ(frame.destination_mac, client_mac);
  EXPECT_EQ(frame.source_mac, uplink_mac);
  EXPECT_EQ(frame.source, owned);
  EXPECT_EQ(frame.destination, client);
  EXPECT_TRUE(frame.ip_checksum_holds);
  EXPECT_TRUE(frame.dont_fragment);
  EXPECT_EQ(frame.identification, 0);
  EXPECT_EQ(as_text(frame.payload), "first");
  EXPECT_EQ(neighbors_.waiting_count(), 0);

  send_to(client, "second");
  frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(decode(frames[0]).destination_mac, client_mac);
}

TEST_F(NeighborTest, GatewaysAnswerForWhatLiesBehindThem) {
  send_to(far_client);
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::arp_request(owned, gateway));
  receive(reply_from(other_mac, gateway));
  frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(decode(frames[0]).destination, far_client);
  EXPECT_EQ(decode(frames[0]).destination_mac, other_mac);

  send_to(pod);  // the other port, asked from that port's own address
  frames = take_queued(1);
  ASSERT_EQ(frames.size(), 1U);
  expect_frame(frames[0], testing::arp_request(kernel_owned, kernel_gateway),
               testing::ethernet_from(kernel_mac));
}

// RFC 1122 section 2.3.2.1: never more than one request a second.
TEST_F(NeighborTest, AsksOnceASecondThreeTimesThenGivesUp) {
  const uint64_t before = counters_[Counter::net_arp_requests_sent];
  for (int i = 0; i < 29; ++i) {
    for (int j = 0; j < 5; ++j) send_to(client);
    pass(Duration::milliseconds(100));
  }
  EXPECT_EQ(counters_[Counter::net_arp_requests_sent] - before, 3U);
  EXPECT_EQ(state_of(client), State::incomplete);
  EXPECT_EQ(neighbors_.waiting_count(), NeighborTable::waiting_per_entry_max);
  pass(Duration::milliseconds(200));
  EXPECT_EQ(state_of(client), State::failed);
  EXPECT_EQ(neighbors_.waiting_count(), 0);
  EXPECT_EQ(counters_[Counter::net_neighbor_failed], 1U);
  EXPECT_EQ(counters_[Counter::net_neighbor_unreachable], 128U);
  EXPECT_EQ(counters_[Counter::net_neighbor_wait_overflow], 17U);
  take_queued();

  // The negative period: dropped at once, nobody is asked.
  send_to(client);
  EXPECT_EQ(counters_[Counter::net_neighbor_unreachable], 129U);
  EXPECT_TRUE(take_queued().empty());
  pass(NeighborTable::negative_time);
  send_to(client);
  ASSERT_EQ(take_queued().size(), 1U);
  EXPECT_EQ(state_of(client), State::incomplete);
}

// RFC 1122 section 2.3.2.2: of the frames that wait, the latest are saved.
TEST_F(NeighborTest, TheOldestWaitingFrameMakesRoom) {
  std::string expected;
  for (int i = 0; i < NeighborTable::waiting_per_entry_max + 2; ++i) {
    const std::string text = std::to_string(i) + ",";
    send_to(client, text.c_str());
    if (i >= 2) expected += text;
  }
  take_queued();
  receive(reply_from(client_mac, client));
  std::string order;
  for (const Bytes& frame : take_queued()) order += as_text(decode(frame).payload);
  EXPECT_EQ(order, expected);
}

TEST_F(NeighborTest, WaitingFramesAreBoundedOverAllNeighbors) {
  for (uint8_t i = 1; i <= 100; ++i) {
    for (int j = 0; j < 4; ++j) send_to(Ipv4Address::from_octets(10, 20, 0, i));
  }
  EXPECT_EQ(neighbors_.waiting_count(), NeighborTable::waiting_max);
  EXPECT_EQ(counters_[Counter::net_neighbor_wait_overflow], 100 * 4 - NeighborTable::waiting_max);
}

// A crowd that waits for a dead endpoint, or for two, must not cost the others their first frames.
TEST_F(NeighborTest, SilentNeighborsLeaveRoomForOthers) {
  for (uint8_t silent = 11; silent <= 13; ++silent) {
    for (int j = 0; j < 300; ++j) send_to(Ipv4Address::from_octets(10, 20, 0, silent));
  }
  for (const char* text : {"1", "2", "3", "4"}) send_to(client, text);
  take_queued();
  receive(reply_from(client_mac, client));
  std::string order;
  for (const Bytes& frame : take_queued()) order += as_text(decode(frame).payload);
  EXPECT_EQ(order, "1234");
}

TEST_F(NeighborTest, ANeighborInUseIsProbedByUnicastAndNeverStalls) {
  resolve(client, client_mac);
  pass(NeighborTable::reachable_time + Duration::seconds(1));
  EXPECT_TRUE(take_queued().empty()) << "a neighbor that is not used costs nothing";

  send_to(client, "still goes");
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 2U);
  expect_frame(frames[0], testing::ethernet_to(client_mac), testing::arp_request(owned, client));
  EXPECT_EQ(decode(frames[1]).destination_mac, client_mac);
  EXPECT_EQ(as_text(decode(frames[1]).payload), "still goes");
  EXPECT_EQ(state_of(client), State::probe);

  receive(reply_from(client_mac, client));
  EXPECT_EQ(state_of(client), State::reachable);
}

TEST_F(NeighborTest, ANeighborThatMovedIsFoundAgainByBroadcast) {
  resolve(client, client_mac);
  pass(NeighborTable::reachable_time + Duration::seconds(1));
  send_to(client);
  EXPECT_EQ(take_queued().size(), 2U);
  int unicasts = 1;
  while (state_of(client) == State::probe) {
    pass(Duration::milliseconds(100));
    for (const Bytes& frame : take_queued()) {
      unicasts += decode(frame).destination_mac == client_mac ? 1 : 0;
    }
  }
  EXPECT_EQ(unicasts, NeighborTable::requests_max);
  EXPECT_EQ(state_of(client), State::incomplete);
  send_to(client, "after the move");
  receive(reply_from(other_mac, client));
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(decode(frames[0]).destination_mac, other_mac);
}

// --- T46: what is believed ---

TEST_F(NeighborTest, T46_NothingUnsolicitedMakesAnEntry) {
  receive(reply_from(other_mac, gateway));
  receive(request_from(other_mac, client));
  receive(PacketBuilder()
              .ethernet(other_mac, MacAddress::broadcast())
              .arp_request(other_mac, gateway, gateway)
              .build());
  EXPECT_EQ(neighbors_.count(), 0);
  EXPECT_EQ(counters_[Counter::net_arp_unsolicited], 1U);
  take_queued();
}

TEST_F(NeighborTest, T46_ASpoofedReplyDoesNotReplaceAKnownNeighbor) {
  resolve(gateway, client_mac);
  for (int i = 0; i < 50; ++i) {
    receive(reply_from(other_mac, gateway));
    receive(PacketBuilder()
                .ethernet(other_mac, MacAddress::broadcast())
                .arp_reply(other_mac, gateway, MacAddress::broadcast(), owned)
                .build());
    send_to(gateway);
    pass(Duration::milliseconds(100));
  }
  EXPECT_EQ(counters_[Counter::net_arp_unsolicited], 100U);
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 50U);
  for (const Bytes& frame : frames) EXPECT_EQ(decode(frame).destination_mac, client_mac);
}

TEST_F(NeighborTest, T46_ASpoofedReplyDoesNotWinWhileTheKnownNeighborIsProbed) {
  resolve(gateway, client_mac);
  pass(NeighborTable::reachable_time + Duration::seconds(1));
  send_to(gateway);
  ASSERT_EQ(state_of(gateway), State::probe);
  receive(reply_from(other_mac, gateway));
  EXPECT_EQ(state_of(gateway), State::probe);
  receive(reply_from(client_mac, gateway));
  EXPECT_EQ(state_of(gateway), State::reachable);
  take_queued();
  send_to(gateway);
  EXPECT_EQ(decode(take_queued().at(0)).destination_mac, client_mac);
}

TEST_F(NeighborTest, T46_AContestedNeighborIsProbedAtItsKnownPlace) {
  resolve(gateway, client_mac);
  pass(Duration::seconds(2));
  receive(
      request_from(other_mac, gateway));  // the classic poison: a request that claims an address
  EXPECT_EQ(counters_[Counter::net_arp_mac_contested], 1U);
  EXPECT_EQ(state_of(gateway), State::probe);
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 2U);  // the probe, and the answer that any request gets
  expect_frame(frames[0], testing::ethernet_to(client_mac), testing::arp_request(owned, gateway));
  send_to(gateway);
  EXPECT_EQ(decode(take_queued().at(0)).destination_mac, client_mac);
  receive(reply_from(client_mac, gateway));
  EXPECT_EQ(state_of(gateway), State::reachable);
}

TEST_F(NeighborTest, T46_ARequestFromAKnownNeighborRefreshesIt) {
  resolve(client, client_mac);
  pass(NeighborTable::reachable_time - Duration::seconds(1));
  receive(request_from(client_mac, client));
  take_queued();
  pass(Duration::seconds(20));
  send_to(client);
  EXPECT_EQ(take_queued().size(), 1U) << "no probe: it was heard of 20 s ago";
}

TEST_F(NeighborTest, T46_RequestsNeverCompleteAnEntry) {
  send_to(client);
  receive(request_from(other_mac, client));
  EXPECT_EQ(state_of(client), State::incomplete);
  EXPECT_EQ(neighbors_.waiting_count(), 1);
  take_queued();
}

TEST_F(NeighborTest, T46_OnlyAReplyToOurOwnMacAndAddressCounts) {
  send_to(client);
  take_queued();
  const auto reply = [&](const MacAddress& frame_to, const MacAddress& target_mac,
                         Ipv4Address target) {
    receive(PacketBuilder()
                .ethernet(client_mac, frame_to)
                .arp_reply(client_mac, client, target_mac, target)
                .build());
    return state_of(client);
  };
  EXPECT_EQ(reply(MacAddress::broadcast(), uplink_mac, owned), State::incomplete);
  EXPECT_EQ(reply(uplink_mac, other_mac, owned), State::incomplete);
  EXPECT_EQ(reply(uplink_mac, uplink_mac, borrowed), State::incomplete);
  EXPECT_EQ(reply(uplink_mac, uplink_mac, far_client), State::incomplete);
  EXPECT_EQ(reply(uplink_mac, uplink_mac, owned), State::reachable);
  take_queued();
}

TEST_F(NeighborTest, T46_TheFirstOfTwoAnswersWins) {
  send_to(client);
  receive(reply_from(client_mac, client));
  receive(reply_from(other_mac, client));
  take_queued();
  send_to(client);
  EXPECT_EQ(decode(take_queued().at(0)).destination_mac, client_mac);
}

TEST_F(NeighborTest, T46_AReplyAfterGivingUpIsNotBelieved) {
  send_to(client);
  pass(Duration::seconds(4));
  ASSERT_EQ(state_of(client), State::failed);
  receive(reply_from(other_mac, client));
  EXPECT_EQ(state_of(client), State::failed);
  take_queued();
}

// --- the table's bounds ---

class NeighborFlood : public NeighborTest {
 protected:
  static Ipv4Address neighbor(uint32_t i) { return Ipv4Address::from_host_order(0x0a600000 + i); }
  // Resolves without going through frames, on a /12 of its own.
  NeighborFlood() {
    EXPECT_TRUE(steering_.add_owned(2, {Ipv4Address::from_octets(10, 111, 255, 254), 12}));
    EXPECT_TRUE(routes_.add({{Ipv4Address::from_octets(10, 111, 255, 254), 12}, 2, {}}));
    output_.set_port(2, uplink_mac, 1500);
  }
  void answer(uint32_t i, const MacAddress& mac) {
    const uint16_t index = neighbors_.find_or_create(2, neighbor(i));
    ASSERT_NE(index, NeighborTable::none);
    output_.set_room(2, 64);
    neighbors_.resolve(index, now_, output_);
    ArpPacket packet;
    packet.operation = ArpOperation::reply;
    packet.sender_hardware = mac;
    packet.sender_protocol = neighbor(i);
    packet.target_hardware = uplink_mac;
    packet.target_protocol = Ipv4Address::from_octets(10, 111, 255, 254);
    neighbors_.learn(2, packet, true, now_, output_);
    drain();
  }
  void drain() {
    for (const auto& frame : output_.queued(2)) arena_.mark_sent(frame.slot);
    output_.clear(2);
  }
};

TEST_F(NeighborFlood, T46_AMillionFakeNeighborsDoNotPushOutRealOnes) {
  for (uint32_t i = 1; i <= 500; ++i) {
    answer(i, client_mac);
    if (i % 100 == 0) now_ = now_ + Duration::seconds(1);
  }
  for (uint32_t i = 1; i <= 500; ++i) {
    ASSERT_EQ(neighbors_.state(neighbors_.find(2, neighbor(i))), State::reachable);
  }
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    const auto path = output_.path_to(neighbor(1'000 + i % 1'000'000), now_);
    ASSERT_TRUE(path.has_value());
    if (i % 1'000 == 0) {
      output_.set_room(2, 64);
      send(*path, owned, neighbor(1'000 + i));
      drain();
    }
  }
  EXPECT_LE(neighbors_.count(), NeighborTable::entries_max);
  EXPECT_TRUE(neighbors_.check_invariants());
  for (uint32_t i = 1; i <= 500; ++i) {
    const uint16_t index = neighbors_.find(2, neighbor(i));
    ASSERT_NE(index, NeighborTable::none) << i;
    EXPECT_EQ(neighbors_.state(index), State::reachable);
  }
}

TEST_F(NeighborFlood, APathWhoseEntryWasTakenNeverReachesTheWrongNeighbor) {
  answer(1, client_mac);
  const auto path = output_.path_to(neighbor(1), now_);
  ASSERT_TRUE(path.has_value());
  // Enough real neighbors to evict the first one; its index now names another.
  for (uint32_t i = 2; i <= 2 * NeighborTable::entries_max; ++i) {
    answer(i, other_mac);
    if (i % 100 == 0) now_ = now_ + Duration::seconds(1);
  }
  ASSERT_FALSE(neighbors_.is_entry_of(path->neighbor(), 2, neighbor(1)));
  output_.set_room(2, 64);
  send(*path, owned, neighbor(1));
  ASSERT_EQ(output_.queued(2).size(), 1U);
  const auto& frame = output_.queued(2)[0];
  expect_frame(arena_.frame_bytes(frame),
               testing::arp_request(Ipv4Address::from_octets(10, 111, 255, 254), neighbor(1)));
  EXPECT_EQ(neighbors_.waiting_count(), 1);
  drain();
}

TEST_F(NeighborFlood, PinnedGatewaysStay) {
  output_.pin_gateways();
  const uint16_t index = neighbors_.find(0, gateway);
  ASSERT_NE(index, NeighborTable::none);
  for (uint32_t i = 1; i <= 5'000; ++i) ASSERT_TRUE(output_.path_to(neighbor(i), now_).has_value());
  EXPECT_TRUE(neighbors_.is_entry_of(index, 0, gateway));
}

TEST_F(NeighborFlood, BroadcastsAreLimited) {
  const uint64_t before = counters_[Counter::net_arp_requests_sent];
  for (uint32_t i = 1; i <= 2'000; ++i) {
    output_.set_room(2, 64);
    send_to(neighbor(i));
    drain();
  }
  EXPECT_EQ(counters_[Counter::net_arp_requests_sent] - before,
            NeighborTable::broadcasts_per_second_max);
  EXPECT_GT(counters_[Counter::net_arp_requests_limited], 0U);
}

TEST_F(NeighborTest, NothingIsSentToGroupsOrWithoutARoute) {
  for (const char* text :
       {"10.20.0.255", "10.20.0.0", "255.255.255.255", "224.0.0.1", "0.0.0.0", "127.0.0.1"}) {
    EXPECT_FALSE(output_.path_to(*Ipv4Address::parse(text), now_).has_value()) << text;
  }
  EXPECT_EQ(counters_[Counter::net_output_no_route], 6U);
}

TEST_F(NeighborTest, WithoutRoomFramesAreDroppedAndCounted) {
  resolve(client, client_mac);
  set_room(1);
  send_to(client);
  send_to(client);
  EXPECT_EQ(output_.queued(0).size(), 1U);
  EXPECT_EQ(output_.room(0), 0U);
  EXPECT_EQ(counters_[Counter::net_output_no_room], 1U);
  take_queued();
}

// --- IPv6 ---

const Ipv6Address owned6 = *Ipv6Address::parse("2001:db8::100");
const Ipv6Address neighbor6 = *Ipv6Address::parse("2001:db8::7");

class Ipv6NeighborTest : public NetFixture {
 protected:
  Ipv6NeighborTest() {
    EXPECT_TRUE(ipv6_.add_owned(0, {owned6, 64}));
    EXPECT_TRUE(ipv6_.add_route({owned6, 64}, 0, {}));
    settle();
  }
  void send_to(const Ipv6Address& to) {
    const auto path = output_.path_to(ipv6_.aliases.find_or_visit(to), now_);
    ASSERT_TRUE(path.has_value());
    send(*path, *ipv6_.aliases.find(owned6), path->next_hop());
  }
  // A message of neighbor discovery, as `from` sends it.
  Ingress::Delivery say(const MacAddress& mac, const Ipv6Address& from, const Ipv6Address& to,
                        Bytes message) {
    store_transport_checksum(&message[2], from, to, protocol_icmpv6, message);
    Bytes frame(ethernet_header_bytes + ipv6_header_bytes);
    write_ethernet(frame.data(), uplink_mac, mac, ethertype_ipv6);
    write_ipv6(&frame[ethernet_header_bytes], from, to, protocol_icmpv6,
               static_cast<uint16_t>(message.size()), neighbor_discovery_hop_limit);
    frame.insert(frame.end(), message.begin(), message.end());
    return receive(frame);
  }
  void advertise(const MacAddress& mac, const Ipv6Address& target, bool solicited = true) {
    Bytes message(neighbor_discovery_bytes_max);
    write_neighbor_advertisement(message.data(), target, owned6, target, mac, solicited);
    say(mac, target, owned6, std::move(message));
  }
  void solicit(const MacAddress& mac, const Ipv6Address& from) {
    Bytes message(neighbor_discovery_bytes_max);
    write_neighbor_solicitation(message.data(), from, owned6, owned6, mac);
    say(mac, from, owned6, std::move(message));
  }
  uint16_t index() {
    const auto alias = ipv6_.aliases.find(neighbor6);
    return alias ? neighbors_.find(0, *alias) : NeighborTable::none;
  }
};

TEST_F(Ipv6NeighborTest, AGroupIsAskedAndWhatWaitedLeavesWithTheAnswer) {
  send_to(neighbor6);
  auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  const auto ethernet = parse_ethernet(frames[0]);
  EXPECT_EQ(to_text(ethernet->destination), "33:33:ff:00:00:07");
  Counter reason{};
  const auto asked = parse_ipv6(ethernet->payload, &reason);
  ASSERT_TRUE(asked.has_value());
  EXPECT_TRUE(icmpv6_checksum_holds(*asked));
  EXPECT_EQ(asked->source, owned6);
  EXPECT_EQ(asked->destination, neighbor6.solicited_node());
  const auto solicitation = parse_neighbor_solicitation(*asked, &reason);
  ASSERT_TRUE(solicitation.has_value());
  EXPECT_EQ(solicitation->target, neighbor6);
  EXPECT_EQ(solicitation->source_mac, uplink_mac);
  advertise(client_mac, neighbor6);
  frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, client_mac);
  EXPECT_EQ(parse_ipv6(parse_ethernet(frames[0])->payload, &reason)->destination, neighbor6);
}

TEST_F(Ipv6NeighborTest, T46_OnlyASolicitedAdvertisementFillsAnEntry) {
  advertise(other_mac, neighbor6);
  EXPECT_EQ(index(), NeighborTable::none) << "nobody has asked";
  send_to(neighbor6);
  advertise(other_mac, neighbor6, false);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::incomplete);
  advertise(client_mac, neighbor6);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::reachable);
  take_queued();
  advertise(other_mac, neighbor6);
  send_to(neighbor6);
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, client_mac) << "the first one wins";
  EXPECT_EQ(counters_[Counter::net_neighbor_discovery_unsolicited], 3U);
}

TEST_F(Ipv6NeighborTest, T46_AProbeGoesToTheKnownStationAloneAndConfirmsIt) {
  send_to(neighbor6);
  advertise(client_mac, neighbor6);
  pass(NeighborTable::reachable_time + Duration::seconds(1));
  take_queued();
  send_to(neighbor6);
  const auto frames = take_queued();
  ASSERT_EQ(frames.size(), 2U);
  Counter reason{};
  EXPECT_EQ(parse_ethernet(frames[0])->destination, client_mac);
  EXPECT_EQ(parse_ipv6(parse_ethernet(frames[0])->payload, &reason)->destination, neighbor6);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::probe);
  advertise(other_mac, neighbor6);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::probe);
  advertise(client_mac, neighbor6);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::reachable);
}

TEST_F(Ipv6NeighborTest, T46_ASolicitationFromAnotherMacOnlyStartsAProbe) {
  send_to(neighbor6);
  advertise(client_mac, neighbor6);
  pass(Duration::seconds(2));
  solicit(client_mac, neighbor6);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::reachable);
  solicit(other_mac, neighbor6);
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::probe);
  EXPECT_EQ(counters_[Counter::net_arp_mac_contested], 1U);
  take_queued();
}

// RFC 6583: whoever makes us look for a million hosts that are not there pushes no real one out,
// and every alias of theirs is let go.
TEST_F(Ipv6NeighborTest, T46_AScanOfAWholePrefixKeepsRealNeighbors) {
  send_to(neighbor6);
  advertise(client_mac, neighbor6);
  take_queued();
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    const auto high = static_cast<uint16_t>(i >> 16);
    const auto nobody =
        Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 1, 0, high, static_cast<uint16_t>(i)});
    output_.path_to(ipv6_.aliases.find_or_visit(nobody), now_);
  }
  EXPECT_EQ(neighbors_.state(index()), NeighborTable::State::reachable);
  EXPECT_LE(neighbors_.count(), NeighborTable::unproven_max + 1);
  // With our own address.
  EXPECT_EQ(ipv6_.aliases.held_count(), uint32_t{neighbors_.count()} + 1);
  EXPECT_EQ(ipv6_.aliases.reference_count(), uint64_t{neighbors_.ipv6_count()} + 1);
}

}  // namespace
}  // namespace millrace::net
