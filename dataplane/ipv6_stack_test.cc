// IPv6 from the frame to the connection: a whole NetStack between a script and the wire.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "dataplane/connection_batch.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/icmpv6.h"
#include "dataplane/net/neighbor_discovery.h"
#include "dataplane/net_stack.h"
#include "dataplane/packet/frame_memory.h"
#include "tests/support/fast_paths.h"

namespace millrace {
namespace {

using net::Ipv6Packet;
using tcp::flag_ack;
using tcp::flag_fin;
using tcp::flag_rst;
using tcp::flag_syn;
using Bytes = std::vector<uint8_t>;

constexpr MacAddress our_mac{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress peer_mac{{2, 0, 0, 0, 0, 2}};
const Ipv6Address ours = *Ipv6Address::parse("2001:db8::100");
const Ipv6Address our_link_local = *Ipv6Address::parse("fe80::100");
const Ipv6Address neighbor = *Ipv6Address::parse("2001:db8::7");
const Ipv6Address gateway = *Ipv6Address::parse("2001:db8::fe");
const Ipv6Address far_client = *Ipv6Address::parse("2001:db8:9::9");

struct Fields {
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t flags = flag_ack;
  std::string text = {};
  tcp::Options options = {};
  Ipv6Address from = far_client;
  uint16_t from_port = 40'000;
  Ipv6Address to = ours;
  uint16_t to_port = 80;
  uint8_t ecn = 0;
};

struct Seen {
  Bytes bytes;  // owns what the others look into
  net::EthernetFrame ethernet;
  Ipv6Packet packet;
  tcp::Segment segment;
  std::string text() const { return std::string(as_text(segment.text)); }
};

class Ipv6StackTest : public ::testing::Test {
 protected:
  explicit Ipv6StackTest(bool settled = true)
      : memory_(std::move(packet::FrameMemory::create(1'024)).value()),
        arena_(memory_.data(), 1'024),
        stack_(config(), limits(), {{3, 4}, {5, 6}, 7}, arena_, counters_, now_) {
    stack_.set_port(0, our_mac, 1'500, packet::ChecksumMode::verify);
    if (settled) pass(Duration::seconds(5));
    held_at_rest_ = stack_.ipv6()->aliases.held_count();
  }

  static NetConfig config() {
    NetConfig config;
    config.addresses.push_back({0, {Ipv4Address::from_octets(10, 0, 0, 1), 24}, {}});
    config.listeners.push_back({Ipv4Address::from_octets(10, 0, 0, 1), 80});
    config.ipv6_addresses.push_back({0, {ours, 64}, {}});
    config.ipv6_addresses.push_back({0, {our_link_local, 64}, {}});
    config.ipv6_routes.push_back({{Ipv6Address{}, 0}, 0, gateway});
    config.ipv6_listeners.push_back({ours, 80});
    config.ipv6_listeners.push_back({our_link_local, 80});
    return config;
  }
  static tcp::Limits limits() {
    tcp::Limits limits;
    limits.connections = 32;
    limits.half_open = 2;
    limits.time_wait = 4;
    limits.fast_paths = testing::fast_paths_wanted();
    return limits;
  }

  // --- the wire ---
  static Bytes framed(const Ipv6Address& from, const Ipv6Address& to, uint8_t protocol,
                      size_t checksum_at, Bytes message) {
    net::store_transport_checksum(&message[checksum_at], from, to, protocol, message);
    Bytes frame(net::ethernet_header_bytes + net::ipv6_header_bytes);
    net::write_ethernet(frame.data(), our_mac, peer_mac, net::ethertype_ipv6);
    const bool discovery = protocol == net::protocol_icmpv6;
    net::write_ipv6(&frame[net::ethernet_header_bytes], from, to, protocol,
                    static_cast<uint16_t>(message.size()), discovery ? 255 : 64);
    frame.insert(frame.end(), message.begin(), message.end());
    return frame;
  }
  void receive(Bytes bytes) {
    frames_.push_back(std::move(bytes));
    packet::Frame frame;
    frame.data = frames_.back().data();
    frame.length = static_cast<uint16_t>(frames_.back().size());
    stack_.set_room(0, 512);
    stack_.ingress(frame, now_);
  }
  void inject(const Fields& fields) {
    tcp::HeaderFields header;
    header.source_port = fields.from_port;
    header.destination_port = fields.to_port;
    header.seq = tcp::Seq(fields.seq);
    header.ack = tcp::Seq(fields.ack);
    header.flags = fields.flags;
    header.window = 65'535;
    header.options = fields.options;
    Bytes message(tcp::header_bytes(header.options));
    tcp::write_header(message.data(), header);
    message.insert(message.end(), fields.text.begin(), fields.text.end());
    Bytes frame =
        framed(fields.from, fields.to, net::protocol_tcp, tcp::checksum_offset, std::move(message));
    net::set_ipv6_ecn(&frame[net::ethernet_header_bytes], fields.ecn);
    receive(std::move(frame));
  }
  void advertise(const Ipv6Address& target, const Ipv6Address& to) {
    Bytes message(net::neighbor_discovery_bytes_max);
    net::write_neighbor_advertisement(message.data(), target, to, target, peer_mac, true);
    receive(framed(target, to, net::protocol_icmpv6, 2, std::move(message)));
  }

  // The end of a turn; segments that leave are returned, solicitations are answered where
  // neighbors_answer_, until nothing more leaves.
  std::vector<Seen> finish_turn() {
    std::vector<Seen> segments;
    for (int rounds = 0; rounds < 4; ++rounds) {
      stack_.set_room(0, 512);
      stack_.tcp().end_reading();
      stack_.advance(now_);
      stack_.egress(0, now_);
      frames_.clear();
      std::vector<std::pair<Ipv6Address, Ipv6Address>> asked;
      for (Seen& seen : take_queued()) {
        if (seen.packet.protocol == net::protocol_tcp) {
          segments.push_back(std::move(seen));
        } else if (seen.packet.payload[0] == net::icmpv6_neighbor_solicitation) {
          ++solicitations_;
          const auto target = Ipv6Address::load(&seen.packet.payload[8]);
          const bool probes_for_duplicates = seen.packet.source.is_unspecified();
          if (neighbors_answer_ && !probes_for_duplicates)
            asked.emplace_back(target, seen.packet.source);
        }
      }
      for (const auto& [target, from] : asked) advertise(target, from);
      if (asked.empty()) break;
    }
    stack_.tcp().check_invariants();
    return segments;
  }
  std::vector<Seen> take_queued() {
    std::vector<Seen> taken;
    for (const packet::TransmitFrame& frame : stack_.queued(0)) {
      const ByteView bytes = arena_.frame_bytes(frame);
      Seen seen;
      seen.bytes.assign(bytes.begin(), bytes.end());
      arena_.mark_sent(frame.slot);
      seen.ethernet = *net::parse_ethernet(seen.bytes);
      if (seen.ethernet.type != net::ethertype_ipv6) continue;
      Counter reason{};
      EXPECT_TRUE(net::parse_ipv6_into(&seen.packet, seen.ethernet.payload, &reason));
      EXPECT_TRUE(
          net::is_intact(net::pseudo_header_sum(seen.packet.source, seen.packet.destination,
                                                seen.packet.protocol, seen.packet.payload.size()) +
                         net::sum_of(seen.packet.payload)));
      if (seen.packet.protocol == net::protocol_tcp) {
        tcp::SegmentError error{};
        EXPECT_TRUE(tcp::parse_segment_into(&seen.segment, seen.packet.payload, &error));
      }
      taken.push_back(std::move(seen));
    }
    stack_.clear(0);
    return taken;
  }
  std::vector<Seen> exchange(const Fields& fields) {
    inject(fields);
    return finish_turn();
  }
  void pass(Duration span) {
    const Instant end = now_ + span;
    while (now_ < end) {
      now_ = now_ + Duration::milliseconds(100);
      finish_turn();
    }
  }

  // A handshake; peer_seq_ and our_seq_ are next to be sent.
  void establish(Fields base = {}, uint16_t mss = 1'440) {
    base.flags = flag_syn;
    base.seq = peer_seq_;
    base.options.has_mss = mss != 0;
    base.options.mss = mss;
    const auto answer = exchange(base);
    ASSERT_EQ(answer.size(), 1U);
    ASSERT_EQ(answer[0].segment.flags, flag_syn | flag_ack);
    our_seq_ = answer[0].segment.seq.value() + 1;
    peer_seq_ += 1;
    Fields third = base;
    third.flags = flag_ack;
    third.options = {};
    third.seq = peer_seq_;
    third.ack = our_seq_;
    exchange(third);
    const auto ready = tcp().next_ready();
    ASSERT_TRUE(ready && (ready->events & tcp::event_accepted) != 0);
    id_ = ready->id;
  }
  std::string remote_text() {
    std::array<char, tcp::Tcp::address_text_bytes_max> text;
    return {text.data(), tcp().write_address(tcp().remote(id_).address, text.data())};
  }
  void write(std::string_view text) { ASSERT_EQ(tcp().write(id_, as_bytes(text)), text.size()); }
  static ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }
  uint32_t held_count() const { return stack_.ipv6()->aliases.held_count(); }
  tcp::Tcp& tcp() { return stack_.tcp(); }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  packet::FrameMemory memory_;
  packet::Arena arena_;
  Counters counters_;
  NetStack stack_;
  std::vector<Bytes> frames_;
  bool neighbors_answer_ = true;
  uint32_t solicitations_ = 0;
  uint32_t held_at_rest_ = 0;
  uint32_t peer_seq_ = 1'000;
  uint32_t our_seq_ = 0;
  tcp::ConnId id_;
};

TEST_F(Ipv6StackTest, AcceptsCarriesTextBothWaysAndEnds) {
  establish();
  EXPECT_EQ(remote_text(), "2001:db8:9::9");
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "request"});
  peer_seq_ += 7;
  EXPECT_EQ(as_text(tcp().readable(id_)), "request");
  tcp().consume(id_, 7, now_);
  write("response");
  auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].text(), "response");
  EXPECT_EQ(sent[0].segment.ack.value(), peer_seq_);
  EXPECT_EQ(sent[0].packet.source, ours);
  EXPECT_EQ(sent[0].packet.destination, far_client);
  EXPECT_EQ(sent[0].ethernet.destination, peer_mac) << "by way of the gateway";
  our_seq_ += 8;
  exchange({.seq = peer_seq_, .ack = our_seq_});
  tcp().shutdown(id_, now_);
  sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.flags, flag_fin | flag_ack);
  EXPECT_EQ(held_count(), held_at_rest_ + 1);
  sent = exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.ack.value(), peer_seq_ + 1);
  tcp().close(id_, now_);
  finish_turn();
  EXPECT_EQ(tcp().connection_count(), 0U);
  EXPECT_EQ(tcp().time_wait_count(), 1U);
  EXPECT_EQ(held_count(), held_at_rest_ + 1) << "the TIME-WAIT record holds the peer's alias";
  pass(Duration::seconds(61));
  EXPECT_EQ(held_count(), held_at_rest_);
  EXPECT_EQ(arena_.free_count(), arena_.capacity());
}

TEST_F(Ipv6StackTest, T35_TheMssIsTwentyOctetsLessAnd1220WhereNothingIsSaid) {
  Fields syn{.seq = 1, .flags = flag_syn, .from_port = 50'000};
  auto sent = exchange(syn);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.options.mss, 1'440);
  exchange({.seq = 2, .flags = flag_rst, .from_port = 50'000});
  establish({}, 0);
  EXPECT_EQ(tcp().segment_octets(id_), 1'220U);
  write(std::string(2'000, 'x'));
  sent = finish_turn();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].segment.text.size(), 1'220U);
}

TEST_F(Ipv6StackTest, TimestampsFitIntoFullFramesOf1500) {
  Fields base;
  base.options.has_timestamps = true;
  base.options.timestamp_value = 5;
  base.options.has_mss = true;
  base.options.mss = 8'000;
  base.flags = flag_syn;
  base.seq = peer_seq_;
  const auto answer = exchange(base);
  ASSERT_EQ(answer.size(), 1U);
  our_seq_ = answer[0].segment.seq.value() + 1;
  base.flags = flag_ack;
  base.seq = peer_seq_ + 1;
  base.ack = our_seq_;
  base.options.has_mss = false;
  exchange(base);
  id_ = tcp().next_ready()->id;
  write(std::string(3'000, 'x'));
  const auto sent = finish_turn();
  ASSERT_GE(sent.size(), 2U);
  EXPECT_EQ(sent[0].segment.text.size(), 1'428U);
  EXPECT_EQ(sent[0].bytes.size(), 1'514U);
}

TEST_F(Ipv6StackTest, T10_AResetToAnUnknownTupleRemembersNobody) {
  for (uint16_t host = 1; host <= 40; ++host) {
    const auto from = Ipv6Address::from_groups({0x2001, 0xdb8, 9, 0, 0, 0, 1, host});
    const auto sent = exchange({.seq = 5, .ack = 77, .from = from});
    ASSERT_EQ(sent.size(), 1U) << host;
    EXPECT_EQ(sent[0].segment.flags, flag_rst);
    EXPECT_EQ(sent[0].segment.seq.value(), 77U);
    EXPECT_EQ(sent[0].packet.destination, from);
    EXPECT_EQ(held_count(), held_at_rest_);
    EXPECT_FALSE(stack_.ipv6()->aliases.find(from).has_value());
  }
}

TEST_F(Ipv6StackTest, T9_SynCookiesRememberNobodyUntilTheyComeBack) {
  for (uint16_t port = 1; port <= 2; ++port) {
    exchange({.seq = 1, .flags = flag_syn, .from = neighbor, .from_port = port});
  }
  const uint32_t held = held_count();
  for (uint16_t host = 1; host <= 100; ++host) {
    const auto from = Ipv6Address::from_groups({0x2001, 0xdb8, 9, 0, 0, 0, 2, host});
    const auto sent = exchange({.seq = 9, .flags = flag_syn, .from = from});
    ASSERT_EQ(sent.size(), 1U) << host;
    EXPECT_EQ(sent[0].packet.destination, from);
    EXPECT_EQ(held_count(), held);
  }
  EXPECT_EQ(counters_[Counter::tcp_syn_cookies_sent], 100U);
  const auto answer = exchange({.seq = 9, .flags = flag_syn});
  ASSERT_EQ(answer.size(), 1U);
  const uint32_t cookie = answer[0].segment.seq.value();
  // From another address the same acknowledgment proves nothing.
  const auto refused =
      exchange({.seq = 10, .ack = cookie + 1, .from = *Ipv6Address::parse("2001:db8:9::a")});
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].segment.flags, flag_rst);
  exchange({.seq = 10, .ack = cookie + 1});
  EXPECT_EQ(counters_[Counter::tcp_syn_cookies_taken], 1U);
  EXPECT_EQ(held_count(), held + 1);
}

// The alias of a host is another one each time; what it must foresee is not.
TEST_F(Ipv6StackTest, T8_SequenceNumbersFollowTheAddressAndNotTheAlias) {
  const auto isn_of = [&](const Ipv6Address& from) {
    const auto sent = exchange({.seq = 1, .flags = flag_syn, .from = from});
    EXPECT_EQ(sent.size(), 1U);
    const auto alias = stack_.ipv6()->aliases.find(from);
    exchange({.seq = 2, .flags = flag_rst, .from = from});
    return std::pair(sent[0].segment.seq.value(), alias->host_order());
  };
  const auto first = isn_of(far_client);
  std::map<uint32_t, uint32_t> isn_of_alias;
  bool alias_was_used_again = false;
  for (uint32_t host = 1; host <= 1'500; ++host) {
    const auto from =
        Ipv6Address::from_groups({0x2001, 0xdb8, 9, 0, 0, 0, 3, static_cast<uint16_t>(host)});
    const auto [isn, alias] = isn_of(from);
    const auto [before, fresh] = isn_of_alias.emplace(alias, isn);
    if (fresh) continue;
    alias_was_used_again = true;
    EXPECT_NE(before->second, isn) << "of another host with the same alias and ports";
    before->second = isn;
  }
  EXPECT_TRUE(alias_was_used_again);
  const auto again = isn_of(far_client);
  EXPECT_NE(again.second, first.second);
  EXPECT_EQ(again.first, first.first) << "at the same instant";
}

TEST_F(Ipv6StackTest, T31_AFlowInTimeWaitIsOpenedAgain) {
  establish();
  tcp().shutdown(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  tcp().close(id_, now_);
  finish_turn();
  ASSERT_EQ(tcp().time_wait_count(), 1U);
  now_ = now_ + Duration::seconds(1);
  peer_seq_ += 1'000;
  establish();
  EXPECT_EQ(tcp().time_wait_count(), 0U);
  EXPECT_EQ(held_count(), held_at_rest_ + 1);
  EXPECT_EQ(remote_text(), "2001:db8:9::9");
}

TEST_F(Ipv6StackTest, T31_EvictedTimeWaitRecordsLetGoOfTheirPeers) {
  for (uint16_t host = 1; host <= 10; ++host) {
    Fields base;
    base.from = Ipv6Address::from_groups({0x2001, 0xdb8, 9, 0, 0, 0, 4, host});
    establish(base);
    tcp().shutdown(id_, now_);
    finish_turn();
    exchange(
        {.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack, .from = base.from});
    tcp().close(id_, now_);
    finish_turn();
  }
  EXPECT_EQ(tcp().time_wait_count(), 4U);
  EXPECT_EQ(held_count(), held_at_rest_ + 4);
}

// RFC 3168: agreed to, text may be marked, a mark is echoed until the peer has reduced its window.
TEST_F(Ipv6StackTest, T41_MarksAreAgreedOnSentAndEchoed) {
  Fields syn{.seq = peer_seq_, .flags = flag_syn | tcp::flag_ece | tcp::flag_cwr};
  const auto answer = exchange(syn);
  ASSERT_EQ(answer.size(), 1U);
  ASSERT_EQ(answer[0].segment.flags, flag_syn | flag_ack | tcp::flag_ece);
  EXPECT_EQ(answer[0].packet.traffic_class & net::ecn_mask, net::ecn_not_capable);
  our_seq_ = answer[0].segment.seq.value() + 1;
  exchange({.seq = ++peer_seq_, .ack = our_seq_});
  const auto ready = tcp().next_ready();
  ASSERT_TRUE(ready);
  id_ = ready->id;

  write("text");
  const auto text = finish_turn();
  ASSERT_EQ(text.size(), 1U);
  EXPECT_EQ(text[0].packet.traffic_class & net::ecn_mask, net::ecn_capable);
  our_seq_ += 4;

  const auto echo =
      exchange({.seq = peer_seq_, .ack = our_seq_, .text = "marked", .ecn = net::ecn_congestion});
  ASSERT_EQ(echo.size(), 1U);
  EXPECT_TRUE(echo[0].segment.has(tcp::flag_ece));
  EXPECT_EQ(echo[0].packet.traffic_class & net::ecn_mask, net::ecn_not_capable);
}

class Ipv6PathMtuTest : public Ipv6StackTest {
 protected:
  void packet_too_big(uint32_t mtu, uint32_t seq) {
    Bytes message(8 + 40 + 20);
    message[0] = net::icmpv6_packet_too_big;
    store_be32(&message[4], mtu);
    net::write_ipv6(&message[8], ours, far_client, net::protocol_tcp, 1'460);
    store_be16(&message[48], 80);
    store_be16(&message[50], 40'000);
    store_be32(&message[52], seq);
    receive(framed(*Ipv6Address::parse("2001:db8:5::5"), ours, net::protocol_icmpv6, 2,
                   std::move(message)));
  }
};

TEST_F(Ipv6PathMtuTest, T38_PacketTooBigShrinksSegmentsAndTheNextConnection) {
  establish();
  write(std::string(1'440, 'x'));
  auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.text.size(), 1'440U);
  packet_too_big(1'400, our_seq_);
  sent = finish_turn();
  ASSERT_GE(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.text.size(), 1'340U);
  EXPECT_EQ(counters_[Counter::tcp_path_mtu_lowered], 1U);
  Fields other;
  other.from_port = 41'000;
  peer_seq_ = 9'000;
  establish(other);
  EXPECT_EQ(tcp().segment_octets(id_), 1'340U);
}

TEST_F(Ipv6PathMtuTest, T39_PacketTooBigIsNotBelievedWhereNothingIsInFlightOrBelow1280) {
  establish();
  write("in flight");
  finish_turn();
  packet_too_big(1'300, our_seq_ + 9);
  EXPECT_EQ(counters_[Counter::tcp_icmp_out_of_window], 1U);
  packet_too_big(1'279, our_seq_);
  EXPECT_EQ(counters_[Counter::net_icmpv6_small_mtu], 1U);
  EXPECT_EQ(tcp().segment_octets(id_), 1'440U);
  packet_too_big(1'280, our_seq_);
  EXPECT_EQ(tcp().segment_octets(id_), 1'220U);
}

TEST_F(Ipv6StackTest, AnOperatorSeesTheAddressesAndNotTheAliases) {
  establish();
  const auto view = tcp().view_at(id_.index);
  ASSERT_TRUE(view);
  const shm::ConnectionRecord record = record_of(tcp(), *view, id_.index, now_);
  EXPECT_EQ(record.local_address, ours.octets());
  EXPECT_EQ(record.remote_address, far_client.octets());
  EXPECT_EQ(record.remote_port, 40'000U);
}

TEST_F(Ipv6StackTest, ConnectsFromAnAddressOfOurs) {
  const Ipv4Address remote = stack_.alias_of(neighbor);
  const Ipv4Address local = stack_.source_for(remote);
  ASSERT_FALSE(local.is_zero());
  id_ = tcp().connect(local, {stack_.alias_of(neighbor), 8'080}, 0, now_);
  auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U) << "after the neighbor has answered";
  EXPECT_EQ(sent[0].segment.flags, flag_syn);
  EXPECT_EQ(sent[0].packet.source, ours);
  EXPECT_EQ(sent[0].packet.destination, neighbor);
  const uint16_t port = sent[0].segment.source_port;
  sent = exchange({.seq = 500,
                   .ack = sent[0].segment.seq.value() + 1,
                   .flags = flag_syn | flag_ack,
                   .from = neighbor,
                   .from_port = 8'080,
                   .to_port = port});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.flags, flag_ack);
  EXPECT_EQ(tcp().next_ready()->events, tcp::event_connected);
}

TEST_F(Ipv6StackTest, ALinkLocalClientIsAnsweredTheWayItCame) {
  neighbors_answer_ = false;
  Fields base;
  base.from = *Ipv6Address::parse("fe80::7");
  base.to = our_link_local;
  const uint32_t asked = solicitations_;
  establish(base);
  EXPECT_EQ(solicitations_, asked) << "nobody is asked about a link";
  EXPECT_EQ(remote_text(), "fe80::7");
}

TEST_F(Ipv6StackTest, T46_AnAdvertisementNobodyAskedForIsNotBelieved) {
  neighbors_answer_ = false;
  advertise(neighbor, ours);
  exchange({.seq = 1, .flags = flag_syn, .from = neighbor});
  EXPECT_GT(counters_[Counter::net_neighbor_discovery_unsolicited], 0U);
  EXPECT_GT(counters_[Counter::net_neighbor_solicitations_sent], 0U) << "asked all the same";
}

class Ipv6StartTest : public Ipv6StackTest {
 protected:
  Ipv6StartTest() : Ipv6StackTest(false) {}
};

// RFC 4862 section 5.4, then announcements.
TEST_F(Ipv6StartTest, AsksForDuplicatesFirstAndAnswersOnlyThen) {
  stack_.set_room(0, 512);
  stack_.advance(now_);
  auto said = take_queued();
  ASSERT_EQ(said.size(), 2U) << "one for each address";
  EXPECT_TRUE(said[0].packet.source.is_unspecified());
  EXPECT_EQ(said[0].packet.destination, ours.solicited_node());
  EXPECT_EQ(said[0].packet.hop_limit, 255);
  Counter reason{};
  EXPECT_EQ(net::parse_neighbor_solicitation(said[0].packet, &reason)->target, ours);
  EXPECT_TRUE(exchange({.seq = 1, .flags = flag_syn}).empty());
  EXPECT_EQ(counters_[Counter::net_neighbor_discovery_tentative], 1U);

  now_ = now_ + Duration::milliseconds(1'100);
  stack_.set_room(0, 512);
  stack_.advance(now_);
  said = take_queued();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0].packet.destination, Ipv6Address::all_nodes());
  const auto announcement = net::parse_neighbor_advertisement(said[0].packet, &reason);
  ASSERT_TRUE(announcement.has_value());
  EXPECT_EQ(announcement->target, ours);
  EXPECT_FALSE(announcement->solicited);
  EXPECT_TRUE(announcement->override_cache);
  EXPECT_EQ(exchange({.seq = 1, .flags = flag_syn}).size(), 1U);
}

// Nothing is allocated for IPv6 where none is configured, and its frames are dropped.
TEST_F(Ipv6StackTest, WithoutAnAddressThereIsNoIpv6) {
  NetConfig ipv4_only = config();
  ipv4_only.ipv6_addresses.clear();
  ipv4_only.ipv6_routes.clear();
  ipv4_only.ipv6_listeners.clear();
  NetStack other(ipv4_only, limits(), {{3, 4}, {5, 6}, 7}, arena_, counters_, now_);
  EXPECT_EQ(other.ipv6(), nullptr);
  EXPECT_TRUE(other.source_for(Ipv4Address::from_octets(240, 0, 0, 1)).is_zero());
  other.set_port(0, our_mac, 1'500, packet::ChecksumMode::verify);
  other.set_room(0, 64);
  Bytes bytes = framed(far_client, ours, net::protocol_tcp, 16, Bytes(20));
  packet::Frame frame;
  frame.data = bytes.data();
  frame.length = static_cast<uint16_t>(bytes.size());
  const uint64_t before = counters_[Counter::net_ethernet_unknown_type];
  other.ingress(frame, now_);
  EXPECT_EQ(counters_[Counter::net_ethernet_unknown_type], before + 1);
}

}  // namespace
}  // namespace millrace
