#include "dataplane/nic/sim_port.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <string>

#include "dataplane/nic/sim_test_station.h"
#include "tests/support/packet_builder.h"

namespace millrace::nic {
namespace {

using Numbers = std::vector<uint32_t>;

constexpr Instant start = Instant::from_ns(1'000'000'000);

class SimLinkTest : public ::testing::Test {
 protected:
  explicit SimLinkTest(uint64_t seed = 1)
      : link_(station_facts(1), left_.arena, station_facts(2), right_.arena, seed) {}

  // Sends `count` frames a microsecond apart and returns all that arrives, in order of arrival.
  Numbers run(uint32_t count) {
    Numbers arrived;
    Instant now = start;
    for (uint32_t i = 0; i < count; ++i) {
      left_.send(link_.a(), station_mac(2), i, now);
      left_.reclaim(link_.a());
      const auto numbers = right_.receive(link_.b(), now);
      arrived.insert(arrived.end(), numbers.begin(), numbers.end());
      now = now + Duration::microseconds(1);
    }
    while (link_.next_event() != Instant::never()) {
      now = std::max(now, link_.next_event());
      const auto numbers = right_.receive(link_.b(), now);
      arrived.insert(arrived.end(), numbers.begin(), numbers.end());
      left_.receive(link_.a(), now);
      left_.reclaim(link_.a());
      right_.reclaim(link_.b());
    }
    EXPECT_TRUE(link_.frames_conserved());
    return arrived;
  }
  static Numbers sequence(uint32_t count) {
    Numbers numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0U);
    return numbers;
  }

  Station left_;
  Station right_;
  SimLink link_;
};

TEST_F(SimLinkTest, APerfectWireDeliversEverythingInOrderAndAtOnce) {
  left_.send(link_.a(), station_mac(2), 7, start);
  EXPECT_EQ(right_.receive(link_.b(), start), Numbers{7});
  right_.send(link_.b(), station_mac(1), 8, start);
  EXPECT_EQ(left_.receive(link_.a(), start), Numbers{8});
  EXPECT_EQ(left_.reclaim(link_.a()), 1U);
  EXPECT_EQ(run(300), sequence(300));
  EXPECT_EQ(left_.arena.free_count(), Station::slot_count);
}

TEST_F(SimLinkTest, DelayIsExact) {
  WireFaults faults;
  faults.delay = Duration::milliseconds(20);
  link_.set_faults(faults);
  left_.send(link_.a(), station_mac(2), 1, start);
  EXPECT_EQ(link_.next_event(), start);  // the slot's completion
  left_.receive(link_.a(), start);
  left_.reclaim(link_.a());
  EXPECT_EQ(link_.next_event(), start + Duration::milliseconds(20));
  EXPECT_TRUE(right_.receive(link_.b(), start + Duration::nanoseconds(19'999'999)).empty());
  EXPECT_EQ(right_.receive(link_.b(), start + Duration::milliseconds(20)), Numbers{1});
  EXPECT_EQ(link_.next_event(), Instant::never());
}

TEST_F(SimLinkTest, JitterKeepsTheOrder) {
  WireFaults faults;
  faults.delay = Duration::milliseconds(1);
  faults.jitter = Duration::milliseconds(5);
  link_.set_faults(faults);
  EXPECT_EQ(run(400), sequence(400));
}

TEST_F(SimLinkTest, TheRateLimitSpacesFrames) {
  WireFaults faults;
  faults.bits_per_second = 8'000'000;  // an octet a microsecond
  link_.set_faults(faults);
  for (uint32_t i = 0; i < 10; ++i) left_.send(link_.a(), station_mac(2), i, start, 1'000);
  Instant expected = start;
  for (uint32_t i = 0; i < 10; ++i) {
    expected = expected + Duration::milliseconds(1);
    EXPECT_EQ(link_.b().next_event(), expected);
    EXPECT_EQ(right_.receive(link_.b(), expected), Numbers{i});
  }
}

TEST_F(SimLinkTest, LossDuplicationCorruptionAndReorderingComeAsOftenAsAsked) {
  WireFaults faults;
  faults.delay = Duration::microseconds(100);
  faults.loss = 0.1;
  faults.duplication = 0.05;
  faults.corruption = 0.02;
  faults.reordering = 0.08;
  faults.reordering_delay = Duration::microseconds(20);
  link_.set_faults(faults);
  constexpr uint32_t count = 40'000;
  const Numbers arrived = run(count);
  const WireCounters& seen = link_.b().wire().counters();
  const auto near = [](uint64_t value, double share) {
    const double expected = share * count;
    EXPECT_NEAR(static_cast<double>(value), expected, expected * 0.1);
  };
  near(seen.lost, 0.1);
  near(seen.duplicated, 0.05 * 0.9);
  near(seen.corrupted, 0.02 * 0.9);
  near(seen.reordered, 0.08 * 0.9);
  EXPECT_EQ(seen.carried, count);
  EXPECT_EQ(arrived.size(), seen.delivered);
  uint64_t backwards = 0;
  for (size_t i = 1; i < arrived.size(); ++i) backwards += arrived[i] < arrived[i - 1] ? 1 : 0;
  EXPECT_GT(backwards, seen.reordered / 2);
}

TEST_F(SimLinkTest, CorruptionFlipsExactlyOneBit) {
  WireFaults faults;
  faults.corruption = 1;
  link_.set_faults(faults);
  for (uint32_t i = 0; i < 200; ++i) {
    const packet::TransmitFrame sent = left_.make(station_mac(2), i, 100);
    link_.a().transmit({&sent, 1}, start);
    std::vector<packet::Frame> frames(1);
    ASSERT_EQ(link_.b().receive(frames, start), 1U);
    int bits = 0;
    for (size_t at = 0; at < 100; ++at) {
      bits += __builtin_popcount(
          static_cast<unsigned>(frames[0].data[at] ^ left_.arena.slot_data(sent.slot)[at]));
    }
    EXPECT_EQ(bits, 1);
    link_.b().release(frames);
    left_.reclaim(link_.a());
  }
}

TEST_F(SimLinkTest, LossesInBurstsAreRareAndLong) {
  WireFaults faults;
  faults.burst_begin = 0.01;
  faults.burst_end = 0.1;
  link_.set_faults(faults);
  constexpr uint32_t count = 40'000;
  const Numbers arrived = run(count);
  uint32_t bursts = 0;
  uint32_t next = 0;
  for (const uint32_t number : arrived) {
    bursts += number != next ? 1 : 0;
    next = number + 1;
  }
  const uint64_t lost = link_.b().wire().counters().lost_in_bursts;
  EXPECT_EQ(arrived.size() + lost, count);
  // One frame in 100 begins a burst, ten frames are its mean length.
  EXPECT_NEAR(static_cast<double>(lost), count * 0.01 / 0.11, count * 0.02);
  EXPECT_NEAR(static_cast<double>(lost) / bursts, 10, 1.5);
}

TEST_F(SimLinkTest, AWireThatIsDownTakesNothingInAndStillDeliversWhatIsOnTheWay) {
  WireFaults faults;
  faults.delay = Duration::milliseconds(1);
  link_.set_faults(faults);
  left_.send(link_.a(), station_mac(2), 1, start);
  link_.b().wire().faults.down = true;
  left_.send(link_.a(), station_mac(2), 2, start);
  right_.send(link_.b(), station_mac(1), 3, start);  // the other direction is up
  const Instant later = start + Duration::milliseconds(1);
  EXPECT_EQ(right_.receive(link_.b(), later), Numbers{1});
  EXPECT_EQ(left_.receive(link_.a(), later), Numbers{3});
  EXPECT_EQ(link_.b().wire().counters().lost_while_down, 1U);
  EXPECT_TRUE(link_.frames_conserved());
}

TEST_F(SimLinkTest, TruncationLeavesTheBeginning) {
  WireFaults faults;
  faults.truncation = 1;
  link_.set_faults(faults);
  size_t octets = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    left_.send(link_.a(), station_mac(2), i, start, 100);
    left_.reclaim(link_.a());
    const auto arrived = right_.receive_bytes(link_.b(), start);
    ASSERT_EQ(arrived.size(), 1U);
    ASSERT_GE(arrived[0].size(), 1U);
    ASSERT_LT(arrived[0].size(), 100U);
    if (arrived[0].size() > 30) {
      EXPECT_EQ(arrived[0][30], i & 0xff);
    }
    octets += arrived[0].size();
  }
  EXPECT_NEAR(static_cast<double>(octets) / 200, 50, 10);
}

testing::Bytes segment_of(size_t text_octets) {
  return testing::PacketBuilder()
      .ethernet(station_mac(1), station_mac(2))
      .ipv4(Ipv4Address::from_octets(10, 0, 0, 1), Ipv4Address::from_octets(10, 0, 0, 2))
      .tcp(40'000, 80)
      .seq(7)
      .ack(9)
      .flags("PA")
      .timestamps(1, 2)
      .payload(testing::Bytes(text_octets, 0x55))
      .build();
}

TEST_F(SimLinkTest, MendedCorruptionIsNotSeenByAnyChecksumAndSparesTheStream) {
  WireFaults faults;
  faults.mended_corruption = 1;
  link_.set_faults(faults);
  const testing::Bytes sent = segment_of(101);
  size_t changed = 0;
  for (uint32_t i = 0; i < 500; ++i) {
    left_.send_bytes(link_.a(), sent, start);
    left_.reclaim(link_.a());
    const auto arrived = right_.receive_bytes(link_.b(), start);
    ASSERT_EQ(arrived.size(), 1U);
    changed += arrived[0] != sent ? 1 : 0;
    const testing::DecodedFrame frame = testing::decode(arrived[0]);
    EXPECT_TRUE(frame.ip_checksum_holds);
    if (!frame.layers.ends_with("tcp")) continue;  // looks like a fragment now
    EXPECT_TRUE(frame.transport_checksum_holds);
    EXPECT_EQ(frame.source_port, 40'000);
    EXPECT_EQ(frame.destination_port, 80);
    EXPECT_EQ(frame.seq, 7U);
    EXPECT_EQ(frame.ack, 9U);
    EXPECT_EQ(frame.flags & testing::tcp_flag_bits("SFR"), 0);
    EXPECT_EQ(frame.timestamp_value, 1U);
    EXPECT_EQ(frame.payload, testing::Bytes(101, 0x55));
  }
  EXPECT_EQ(changed, 500U);
  EXPECT_EQ(link_.b().wire().counters().mended, 500U);
}

TEST_F(SimLinkTest, MendedCorruptionOfAnythingReachesTheText) {
  WireFaults faults;
  faults.mended_corruption = 1;
  faults.mends = WireFaults::Mends::any;
  link_.set_faults(faults);
  const testing::Bytes sent = segment_of(400);
  size_t in_text = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    left_.send_bytes(link_.a(), sent, start);
    left_.reclaim(link_.a());
    const auto arrived = right_.receive_bytes(link_.b(), start);
    ASSERT_EQ(arrived.size(), 1U);
    const ByteView datagram_payload = ByteView(arrived[0]).subspan(34);
    const uint32_t pseudo_header = testing::reference_pseudo_header(
        Ipv4Address::from_octets(10, 0, 0, 1), Ipv4Address::from_octets(10, 0, 0, 2), 6,
        datagram_payload.size());
    EXPECT_EQ(testing::reference_checksum(datagram_payload, pseudo_header), 0);
    const ByteView text = datagram_payload.last(400);
    in_text += std::equal(text.begin(), text.end(), sent.end() - 400) ? 0 : 1;
  }
  EXPECT_GT(in_text, 150U);
}

TEST_F(SimLinkTest, WhatIsTooLongVanishesAndTheSenderHearsOfItIfTheWireTells) {
  link_.b().wire().faults.datagram_bytes_max = 600;
  left_.send_bytes(link_.a(), segment_of(500), start);  // 20 + 32 + 500
  left_.send_bytes(link_.a(), segment_of(600), start);
  EXPECT_EQ(right_.receive_bytes(link_.b(), start).size(), 1U);
  EXPECT_TRUE(left_.receive_bytes(link_.a(), start).empty());
  link_.b().wire().faults.tells_datagram_bytes_max = true;
  const testing::Bytes sent = segment_of(600);
  left_.send_bytes(link_.a(), sent, start);
  EXPECT_TRUE(right_.receive_bytes(link_.b(), start).empty());
  const auto told = left_.receive_bytes(link_.a(), start);
  ASSERT_EQ(told.size(), 1U);
  const testing::DecodedFrame frame = testing::decode(told[0]);
  EXPECT_EQ(frame.layers, "ethernet ipv4 icmp");
  EXPECT_TRUE(frame.ip_checksum_holds);
  EXPECT_TRUE(frame.transport_checksum_holds);
  EXPECT_EQ(frame.destination_mac, station_mac(1));
  EXPECT_EQ(frame.destination, Ipv4Address::from_octets(10, 0, 0, 1));
  EXPECT_EQ(frame.icmp_type, 3);
  EXPECT_EQ(frame.icmp_code, 4);
  EXPECT_EQ(frame.icmp_rest, 600U);
  EXPECT_EQ(frame.payload, testing::Bytes(sent.begin() + 14, sent.begin() + 14 + 28));
  EXPECT_EQ(link_.b().wire().counters().too_long, 2U);
  EXPECT_TRUE(link_.frames_conserved());
}

// A segment over IPv6 without options: 40 + 20 + text_octets of datagram. Checksum as it comes.
testing::Bytes segment_over_ipv6_of(size_t text_octets) {
  testing::Bytes frame(14 + 40 + 20 + text_octets, 0x55);
  std::memcpy(&frame[0], station_mac(2).octets.data(), 6);
  std::memcpy(&frame[6], station_mac(1).octets.data(), 6);
  store_be16(&frame[12], 0x86dd);
  uint8_t* const ip = &frame[14];
  store_be32(ip, 0x6000'0000);
  store_be16(ip + 4, static_cast<uint16_t>(20 + text_octets));
  ip[6] = 6;
  ip[7] = 64;
  ip[23] = 1;  // 5555:...:5501, to 5555:...:5555
  return frame;
}

// Of an IPv6 datagram's payload, with its pseudo-header (RFC 8200 section 8.1).
bool icmpv6_checksum_holds(const testing::Bytes& frame) {
  const ByteView payload = ByteView(frame).subspan(14 + 40);
  uint32_t pseudo_header = static_cast<uint32_t>(payload.size()) + 58;
  for (size_t at = 14 + 8; at < 14 + 40; at += 2) pseudo_header += load_be16(&frame[at]);
  return testing::reference_checksum(payload, pseudo_header) == 0;
}

TEST_F(SimLinkTest, OverIpv6NothingBelow1280IsTooLongAndTheSenderHearsOfTheRestIfTheWireTells) {
  link_.b().wire().faults.datagram_bytes_max = 600;
  link_.b().wire().faults.tells_datagram_bytes_max = true;
  left_.send_bytes(link_.a(), segment_over_ipv6_of(1'220), start);
  EXPECT_EQ(right_.receive_bytes(link_.b(), start).size(), 1U);
  EXPECT_TRUE(left_.receive_bytes(link_.a(), start).empty());
  const testing::Bytes sent = segment_over_ipv6_of(1'221);
  left_.send_bytes(link_.a(), sent, start);
  EXPECT_TRUE(right_.receive_bytes(link_.b(), start).empty());
  const auto told = left_.receive_bytes(link_.a(), start);
  ASSERT_EQ(told.size(), 1U);
  const testing::Bytes& frame = told[0];
  ASSERT_EQ(frame.size(), 14U + 1'280U);
  EXPECT_EQ(load_be16(&frame[12]), 0x86dd);
  EXPECT_EQ(load_be16(&frame[14 + 4]), 1'240);
  EXPECT_EQ(frame[14 + 6], 58);
  EXPECT_TRUE(icmpv6_checksum_holds(frame));
  EXPECT_TRUE(std::equal(&frame[14 + 24], &frame[14 + 40], &sent[14 + 8]));  // to the sender
  EXPECT_EQ(load_be32(&frame[54]) >> 16, 0x0200U);                           // packet too big
  EXPECT_EQ(load_be32(&frame[58]), 1'280U);
  EXPECT_TRUE(std::equal(frame.begin() + 62, frame.end(), sent.begin() + 14));
  link_.b().wire().faults.datagram_bytes_max = 1'400;
  left_.send_bytes(link_.a(), segment_over_ipv6_of(1'400), start);
  EXPECT_EQ(load_be32(&left_.receive_bytes(link_.a(), start).at(0)[58]), 1'400U);
  EXPECT_TRUE(link_.frames_conserved());
}

// Every kind of untruth, told by what is wrong with it.
TEST_F(SimLinkTest, UntrueMessagesAreUntrueAndTheSegmentArrivesAllTheSame) {
  link_.b().wire().faults.untrue_too_long = 1;
  std::map<std::string, size_t> kinds;
  const testing::Bytes sent = segment_over_ipv6_of(1'300);
  const ByteView datagram = ByteView(sent).subspan(14);
  constexpr size_t rounds = 400;
  for (size_t i = 0; i < rounds; ++i) {
    left_.send_bytes(link_.a(), sent, start);
    left_.reclaim(link_.a());
    ASSERT_EQ(right_.receive_bytes(link_.b(), start), std::vector<testing::Bytes>{sent});
    const auto told = left_.receive_bytes(link_.a(), start);
    ASSERT_EQ(told.size(), 1U);
    const uint32_t mtu = load_be32(&told[0][58]);
    const ByteView quote = ByteView(told[0]).subspan(62);
    const auto differs = std::mismatch(quote.begin(), quote.end(), datagram.begin()).first;
    const auto at = static_cast<size_t>(differs - quote.begin());
    std::string kind = "true";
    if (!icmpv6_checksum_holds(told[0]))
      kind = "checksum";
    else if (mtu < 1'280)
      kind = "below";
    else if (mtu >= 65'536)
      kind = "long";
    else if (mtu >= 1'360)
      kind = "fits";
    else if (quote.size() < 48)
      kind = "cut";
    else if (at == 23)
      kind = "source";
    else if (at == 40)
      kind = "port";
    else if (at >= 44 && at < 48)
      kind = "sequence";
    ++kinds[kind];
  }
  EXPECT_EQ(kinds.size(), 8U);
  EXPECT_EQ(kinds.count("true"), 0U);
  EXPECT_EQ(link_.b().wire().counters().untrue, rounds);
  left_.send(link_.a(), station_mac(2), 7, start);  // no TCP: nothing to say
  EXPECT_TRUE(left_.receive_bytes(link_.a(), start).empty());
}

TEST_F(SimLinkTest, UntrueMessagesOverIpv4AreUntrueToo) {
  link_.b().wire().faults.untrue_too_long = 1;
  const testing::Bytes sent = segment_of(700);
  size_t wrong_checksums = 0;
  for (size_t i = 0; i < 400; ++i) {
    left_.send_bytes(link_.a(), sent, start);
    left_.reclaim(link_.a());
    right_.receive_bytes(link_.b(), start);
    const auto told = left_.receive_bytes(link_.a(), start);
    ASSERT_EQ(told.size(), 1U);
    const testing::DecodedFrame frame = testing::decode(told[0]);
    EXPECT_TRUE(frame.ip_checksum_holds);
    if (!frame.transport_checksum_holds) {
      ++wrong_checksums;
      continue;
    }
    const bool is_true = frame.icmp_rest < 752 &&
                         frame.payload == testing::Bytes(sent.begin() + 14, sent.begin() + 42);
    EXPECT_FALSE(is_true);
  }
  EXPECT_GT(wrong_checksums, 20U);
}

TEST_F(SimLinkTest, AnInsertedFrameMeetsNoFaults) {
  link_.b().wire().faults.loss = 1;
  link_.b().wire().insert(segment_of(1), start + Duration::milliseconds(3));
  EXPECT_EQ(link_.next_event(), start + Duration::milliseconds(3));
  EXPECT_EQ(right_.receive_bytes(link_.b(), start + Duration::milliseconds(3)).size(), 1U);
  EXPECT_TRUE(link_.frames_conserved());
}

TEST_F(SimLinkTest, WhoStandsInTheMiddleDecidesWhatGoesOn) {
  struct Swallower final : SimMiddle {
    explicit Swallower(SimLink& on) : link(on) {}
    void on_frame(size_t from, ByteView bytes, Instant now) override {
      if (++seen % 2 == 0) link.pass(from, bytes, now);
    }
    SimLink& link;
    int seen = 0;
  };
  Swallower middle(link_);
  link_.set_middle(&middle);
  for (uint32_t i = 0; i < 4; ++i) left_.send(link_.a(), station_mac(2), i, start);
  EXPECT_EQ(right_.receive(link_.b(), start), (Numbers{1, 3}));
}

TEST_F(SimLinkTest, EachDirectionHasItsOwnFaultsAndTheyCanChange) {
  link_.b().wire().faults.loss = 1;
  left_.send(link_.a(), station_mac(2), 1, start);
  right_.send(link_.b(), station_mac(1), 2, start);
  EXPECT_TRUE(right_.receive(link_.b(), start).empty());
  EXPECT_EQ(left_.receive(link_.a(), start), Numbers{2});
  link_.b().wire().faults.loss = 0;
  left_.send(link_.a(), station_mac(2), 3, start);
  EXPECT_EQ(right_.receive(link_.b(), start), Numbers{3});
}

TEST_F(SimLinkTest, FramesInFlightAreBounded) {
  WireFaults faults;
  faults.delay = Duration::seconds(1);
  faults.in_flight_frames_max = 100;
  link_.set_faults(faults);
  EXPECT_EQ(run(150), sequence(100));
  EXPECT_EQ(link_.b().wire().counters().overflowed, 50U);
}

TEST_F(SimLinkTest, APortWithoutBuffersDrops) {
  std::vector<packet::Frame> kept(burst_frames_max);
  std::vector<packet::Frame> all;
  for (uint32_t i = 0; i < SimPort::receive_buffers + 10; ++i) {
    left_.send(link_.a(), station_mac(2), i, start);
    left_.receive(link_.a(), start);
    left_.reclaim(link_.a());
    const size_t count = link_.b().receive(kept, start);
    all.insert(all.end(), kept.begin(), kept.begin() + static_cast<ptrdiff_t>(count));
  }
  EXPECT_EQ(all.size(), SimPort::receive_buffers);
  EXPECT_EQ(link_.b().counters().receive_dropped_frames, 10U);
  EXPECT_TRUE(link_.b().frames_conserved());
  link_.b().release(all);
  EXPECT_TRUE(link_.b().frames_conserved());
}

TEST_F(SimLinkTest, SlotsComeBackAfterTheCompletionDelay) {
  link_.a().set_completion_delay(Duration::microseconds(50));
  for (size_t i = 0; i < SimPort::transmit_ring_frames; ++i) {
    left_.send(link_.a(), station_mac(2), 1, start);
  }
  EXPECT_EQ(link_.a().transmit_room(), 0U);
  EXPECT_EQ(left_.reclaim(link_.a()), 0U);
  EXPECT_EQ(link_.a().next_event(), start + Duration::microseconds(50));
  left_.receive(link_.a(), start + Duration::microseconds(50));
  EXPECT_EQ(left_.reclaim(link_.a()), SimPort::transmit_ring_frames);
  EXPECT_EQ(link_.a().transmit_room(), SimPort::transmit_ring_frames);
  EXPECT_EQ(left_.arena.free_count(), Station::slot_count);
}

using SimLinkDeathTest = SimLinkTest;

TEST_F(SimLinkDeathTest, WritingToASlotThatThePortStillReadsIsCaught) {
  const packet::TransmitFrame sent = left_.make(station_mac(2), 1);
  link_.a().transmit({&sent, 1}, start);
  left_.arena.slot_data(sent.slot)[30] ^= 1;
  EXPECT_DEATH(left_.reclaim(link_.a()), "invariant");
}

TEST_F(SimLinkDeathTest, ReleasingAFrameTwiceIsCaught) {
  left_.send(link_.a(), station_mac(2), 1, start);
  std::vector<packet::Frame> frames(1);
  ASSERT_EQ(link_.b().receive(frames, start), 1U);
  link_.b().release(frames);
  EXPECT_DEATH(link_.b().release(frames), "invariant");
}

// --- the same seed is the same run ---

uint64_t trace_of(uint64_t seed, double loss, Numbers* arrived) {
  Station left;
  Station right;
  SimLink link(station_facts(1), left.arena, station_facts(2), right.arena, seed);
  WireFaults faults;
  faults.delay = Duration::microseconds(30);
  faults.jitter = Duration::microseconds(30);
  faults.loss = loss;
  faults.duplication = 0.05;
  faults.corruption = 0.05;
  faults.reordering = 0.1;
  faults.reordering_delay = Duration::microseconds(50);
  link.set_faults(faults);
  for (uint32_t i = 0; i < 500; ++i) {
    const Instant now = start + Duration::microseconds(i);
    left.send(link.a(), station_mac(2), i, now);
    right.send(link.b(), station_mac(1), i, now);
    for (const uint32_t number : right.receive(link.b(), now)) arrived->push_back(number);
    left.receive(link.a(), now);
    left.reclaim(link.a());
    right.reclaim(link.b());
  }
  return link.trace_hash();
}

TEST(SimLink, TheSameSeedGivesTheSameTrace) {
  Numbers first;
  Numbers second;
  Numbers other;
  const uint64_t trace = trace_of(5, 0.1, &first);
  EXPECT_EQ(trace, trace_of(5, 0.1, &second));
  EXPECT_EQ(first, second);
  EXPECT_NE(trace, trace_of(6, 0.1, &other));
  EXPECT_NE(first, other);
}

TEST(SimLink, OneSettingDoesNotShiftTheChancesOfAnother) {
  // With less loss, everything that arrived before still arrives, and at the same place in line.
  Numbers lossy;
  Numbers less_lossy;
  trace_of(5, 0.2, &lossy);
  trace_of(5, 0.1, &less_lossy);
  EXPECT_GT(less_lossy.size(), lossy.size());
  std::sort(lossy.begin(), lossy.end());
  std::sort(less_lossy.begin(), less_lossy.end());
  size_t missing = 0;
  for (const uint32_t number : lossy) {
    missing += std::binary_search(less_lossy.begin(), less_lossy.end(), number) ? 0 : 1;
  }
  EXPECT_LT(missing, lossy.size() / 50);  // but for the numbers in which a bit flipped
}

TEST(TraceHash, KnowsTimeDirectionAndEveryOctet) {
  const auto of = [](Instant at, size_t wire, std::string_view text) {
    TraceHash trace;
    trace.add(at, wire, as_bytes(text));
    return trace.value();
  };
  const uint64_t base = of(start, 0, "some frame");
  EXPECT_EQ(base, of(start, 0, "some frame"));
  EXPECT_NE(base, of(start + Duration::nanoseconds(1), 0, "some frame"));
  EXPECT_NE(base, of(start, 1, "some frame"));
  EXPECT_NE(base, of(start, 0, "some framE"));
  EXPECT_NE(base, of(start, 0, std::string_view("some frame\0", 11)));
}

// --- the switch ---

TEST(SimSwitch, ForwardsByMacAddressAndFloodsGroups) {
  SimSwitch network(3);
  std::vector<std::unique_ptr<Station>> stations;
  for (uint8_t i = 0; i < 4; ++i) {
    stations.push_back(std::make_unique<Station>());
    network.add_port(station_facts(i), stations.back()->arena);
  }
  stations[0]->send(network.port(0), station_mac(2), 20, start);
  stations[2]->send(network.port(2), station_mac(0), 2, start);
  stations[1]->send(network.port(1), MacAddress::broadcast(), 99, start);
  stations[1]->send(network.port(1), station_mac(77), 1, start);
  stations[1]->send(network.port(1), station_mac(1), 1, start);  // never back to where it came from
  EXPECT_EQ(stations[0]->receive(network.port(0), start), (Numbers{2, 99}));
  EXPECT_EQ(stations[1]->receive(network.port(1), start), Numbers{});
  EXPECT_EQ(stations[2]->receive(network.port(2), start), (Numbers{20, 99}));
  EXPECT_EQ(stations[3]->receive(network.port(3), start), Numbers{99});
  EXPECT_EQ(network.unknown_destination(), 2U);
  EXPECT_TRUE(network.frames_conserved());
}

TEST(SimSwitch, WiresFailIndependently) {
  SimSwitch network(3);
  Station sender;
  Station one;
  Station two;
  network.add_port(station_facts(0), sender.arena);
  network.add_port(station_facts(1), one.arena);
  network.add_port(station_facts(2), two.arena);
  WireFaults faults;
  faults.loss = 0.5;
  network.set_faults(faults);
  for (uint32_t i = 0; i < 500; ++i) {
    sender.send(network.port(0), MacAddress::broadcast(), i, start);
    sender.receive(network.port(0), start);
    sender.reclaim(network.port(0));
  }
  const Numbers at_one = one.receive(network.port(1), start);
  const Numbers at_two = two.receive(network.port(2), start);
  EXPECT_NEAR(static_cast<double>(at_one.size()), 250, 50);
  EXPECT_NE(at_one, at_two);
}

}  // namespace
}  // namespace millrace::nic
