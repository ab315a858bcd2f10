#include "dataplane/tcp/path_mtu.h"

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

class PathMtuTest : public TcpHarness {
 protected:
  static constexpr uint32_t mss = peer_mss;

  void send(uint32_t segments) {
    text_ = pattern(segments * mss);
    ASSERT_EQ(tcp_.write(id_, {reinterpret_cast<const uint8_t*>(text_.data()), text_.size()}),
              text_.size());
    ASSERT_EQ(finish_turn().size(), segments);
  }
  // The peer acknowledges everything; what was sent must be the text, in segments of at most
  // `octets_max`. It has `acknowledged` octets already.
  void expect_text_in_segments_of(uint32_t octets_max, uint32_t acknowledged = 0) {
    std::string got = text_.substr(0, acknowledged) + std::string(text_.size() - acknowledged, '?');
    std::vector<Seen> sent = acknowledged == 0
                                 ? finish_turn()
                                 : exchange({.seq = peer_seq_, .ack = our_seq_ + acknowledged});
    for (int turn = 0; turn < 100 && acknowledged < text_.size(); ++turn) {
      for (const Seen& seen : sent) {
        const uint32_t at = seen.segment.seq.value() - our_seq_;
        EXPECT_LE(seen.segment.text.size(), octets_max);
        got.replace(at, seen.segment.text.size(), seen.text());
        if (at <= acknowledged)
          acknowledged = std::max<uint32_t>(acknowledged,
                                            at + static_cast<uint32_t>(seen.segment.text.size()));
      }
      sent = exchange({.seq = peer_seq_, .ack = our_seq_ + acknowledged});
    }
    EXPECT_TRUE(got == text_);
    EXPECT_FALSE(tcp_.has_unacknowledged_text(id_));
  }
  // The peer has everything that was sent; what it acknowledges goes on counting for send().
  void acknowledge_all() {
    our_seq_ += static_cast<uint32_t>(text_.size());
    inject({.seq = peer_seq_, .ack = our_seq_});
    finish_turn();
    EXPECT_FALSE(tcp_.has_unacknowledged_text(id_));
  }
  uint16_t send_mss() const { return tcp_.find(id_)->send_mss; }

  std::string text_;
};

TEST_F(PathMtuTest, T38_SegmentsBecomeAsSmallAsTheRouterSays) {
  establish_with_sack();
  send(4);
  const uint32_t window = tcp_.find(id_)->congestion.window();
  too_big(1'400, mss);
  EXPECT_EQ(send_mss(), 1'360);
  EXPECT_EQ(tcp_.find(id_)->congestion.window(), window) << "the network was not congested";
  EXPECT_EQ(counters_[Counter::tcp_path_mtu_lowered], 1U);
  expect_text_in_segments_of(1'360);
}

TEST_F(PathMtuTest, T38_WithoutSelectiveAcknowledgmentsToo) {
  establish();
  send(4);
  too_big(1'400);
  EXPECT_EQ(send_mss(), 1'360);
  expect_text_in_segments_of(1'360);
}

TEST_F(PathMtuTest, T38_OnlyWhatIsInFlightCounts) {
  establish_with_sack();
  too_big(1'000);
  EXPECT_EQ(send_mss(), mss);
  send(2);
  too_big(1'000, 2 * mss);
  too_big(1'000, 0U - 1);
  EXPECT_EQ(send_mss(), mss);
  EXPECT_EQ(counters_[Counter::tcp_icmp_out_of_window], 3U);
}

TEST_F(PathMtuTest, T38_NeverLargerAndNeverTiny) {
  establish_with_sack();
  send(4);
  too_big(9'000);
  too_big(1'500);
  EXPECT_EQ(send_mss(), mss);
  EXPECT_EQ(counters_[Counter::tcp_icmp_mtu_ignored], 2U);
  too_big(68);
  EXPECT_EQ(send_mss(), path_mtu_bytes_min - 40);
  expect_text_in_segments_of(path_mtu_bytes_min - 40);
}

TEST_F(PathMtuTest, T38_ARouterThatDoesNotSayMeansTheNextPlateau) {
  establish_with_sack();
  send(2);
  too_big(0);
  EXPECT_EQ(send_mss(), 1'492 - 40);
  too_big(0);
  EXPECT_EQ(send_mss(), 1'280 - 40);
  expect_text_in_segments_of(1'240);
}

TEST_F(PathMtuTest, T38_TheNextConnectionKnowsForTenMinutes) {
  establish_with_sack();
  send(2);
  too_big(1'400);
  expect_text_in_segments_of(1'360);
  remote_.port += 1;
  peer_seq_ = 77;
  establish_with_sack();
  EXPECT_EQ(send_mss(), 1'360);
  now_ = now_ + Duration::seconds(601);
  remote_.port += 1;
  peer_seq_ = 99;
  establish_with_sack();
  EXPECT_EQ(send_mss(), mss);
}

TEST_F(PathMtuTest, T38_APathThatSwallowsLargeSegmentsIsFoundOut) {
  establish_with_sack();
  send(3);
  // Nobody answers. Two timeouts: smaller segments; a peer that has got them says so.
  size_t last_octets = 0;
  for (const Seen& seen : wait(Duration::milliseconds(3'500)))
    last_octets = seen.segment.text.size();
  EXPECT_EQ(last_octets, 1'240U);
  EXPECT_EQ(counters_[Counter::tcp_black_hole_suspected], 1U);
  expect_text_in_segments_of(1'240, 1'240);
}

// A path that carried nothing for a while looks the same: large segments are tried again.
TEST_F(PathMtuTest, T38_LargeSegmentsAreTriedAgainOnceWhatWasInFlightHasArrived) {
  establish_with_sack();
  for (int outage = 0; outage < 3; ++outage) {
    send(3);
    wait(Duration::seconds(20));
    EXPECT_EQ(send_mss(), path_mtu_bytes_min - 40);
    EXPECT_EQ(counters_[Counter::tcp_black_hole_suspected], 2U * outage + 2);
    acknowledge_all();
    EXPECT_EQ(send_mss(), mss);
    // That they arrive makes the next outage as harmless as the first.
    send(3);
    acknowledge_all();
  }
}

TEST_F(PathMtuTest, T38_WhatLargeSegmentsDoNotRefuteIsForGood) {
  establish_with_sack();
  for (const uint32_t after : {mss, path_mtu_bytes_min - 40U}) {
    send(3);
    wait(Duration::seconds(20));
    acknowledge_all();
    EXPECT_EQ(send_mss(), after);
  }
}

TEST_F(PathMtuTest, T38_ALargeSegmentRefutesItAlsoAfterARest) {
  establish_with_sack();
  for (int outage = 0; outage < 3; ++outage) {
    send(3);
    wait(Duration::seconds(20));
    acknowledge_all();
    EXPECT_EQ(send_mss(), mss);
    wait(Duration::seconds(1));
    send(1);
    acknowledge_all();
    wait(Duration::seconds(1));
  }
}

TEST_F(PathMtuTest, T38_SmallSegmentsRefuteNothing) {
  establish_with_sack();
  for (const uint32_t after : {mss, path_mtu_bytes_min - 40U}) {
    send(3);
    wait(Duration::seconds(20));
    acknowledge_all();
    EXPECT_EQ(send_mss(), after);
    for (int answer = 0; answer < 20; ++answer) {
      text_ = pattern(300);
      ASSERT_EQ(tcp_.write(id_, {reinterpret_cast<const uint8_t*>(text_.data()), text_.size()}),
                text_.size());
      finish_turn();
      acknowledge_all();
    }
  }
}

// The acknowledgment of all that was in flight tells of a loss behind it.
TEST_F(PathMtuTest, T38_LargeSegmentsAreTriedAgainAlsoWhenTheNextLossFollowsAtOnce) {
  establish_with_sack();
  text_ = pattern(30 * mss);
  tcp_.write(id_, {reinterpret_cast<const uint8_t*>(text_.data()), text_.size()});
  const uint32_t recover = static_cast<uint32_t>(finish_turn().size()) * mss;
  wait(Duration::milliseconds(3'500));
  ASSERT_EQ(send_mss(), 1'240U);
  uint32_t acknowledged = 0;
  uint32_t sent_to = 0;
  for (int turn = 0; turn < 200 && sent_to < recover + 4 * 1'240; ++turn) {
    acknowledged = std::min(acknowledged + 1'240, recover - 1);
    now_ = now_ + Duration::milliseconds(1);
    for (const Seen& seen : exchange({.seq = peer_seq_, .ack = our_seq_ + acknowledged}))
      sent_to = std::max(sent_to, seen.segment.seq.value() - our_seq_ +
                                      static_cast<uint32_t>(seen.segment.text.size()));
  }
  ASSERT_GE(sent_to, recover + 4 * 1'240);
  Fields fields;
  fields.seq = peer_seq_;
  fields.ack = our_seq_ + recover;
  fields.options.sack_count = 1;
  fields.options.sack[0] = {Seq(fields.ack + 1'240), Seq(our_seq_ + sent_to)};
  now_ = now_ + Duration::milliseconds(10);
  exchange(fields);
  EXPECT_EQ(counters_[Counter::tcp_fast_retransmits], 1U);
  exchange({.seq = peer_seq_, .ack = our_seq_ + sent_to});
  now_ = now_ + Duration::milliseconds(10);
  exchange({.seq = peer_seq_, .ack = tcp_.find_transfer(id_)->snd_max.value()});
  EXPECT_EQ(send_mss(), mss);
}

TEST_F(PathMtuTest, T38_WhatARouterSaysMeanwhileIsWhatIsTriedAgain) {
  establish_with_sack();
  send(3);
  wait(Duration::milliseconds(3'500));
  EXPECT_EQ(send_mss(), 1'240U);
  too_big(1'400);
  EXPECT_EQ(send_mss(), 1'240U);
  acknowledge_all();
  EXPECT_EQ(send_mss(), 1'360U);
}

// Thousands of segments in flight, and then each must go again in three: more than a scoreboard
// has places for.
class FullBoardTest : public TcpHarness {
 protected:
  FullBoardTest() : TcpHarness(small_limits(), 16'384) {}

  // Grows the window until more than `segments` are in flight, then hears nothing more.
  void fill(uint32_t segments) {
    establish_with_sack();
    while (in_flight() <= segments * peer_mss) {
      write_what_fits();
      while (!finish_turn().empty()) {
      }
      if (in_flight() > segments * peer_mss) break;
      const uint32_t step = 8 * peer_mss;
      ASSERT_GE(in_flight(), step);
      acknowledge(step);
    }
  }
  uint32_t in_flight() const {
    const Transfer* t = tcp_.find_transfer(id_);
    return t == nullptr ? 0 : octets_between(tcp_.find(id_)->snd_una, t->snd_max);
  }
  void write_what_fits() {
    const size_t room = tcp_.writable(id_);
    const std::string text = pattern(room, sent_.size());
    sent_ += text;
    ASSERT_EQ(tcp_.write(id_, {reinterpret_cast<const uint8_t*>(text.data()), room}), room);
  }
  void acknowledge(uint32_t octets) {
    acknowledged_ += octets;
    inject({.seq = peer_seq_, .ack = our_seq_ + acknowledged_});
    now_ = now_ + Duration::microseconds(100);
  }
  // The peer has the second segment in flight, and a moment later the first one as well.
  void close_a_gap() {
    Fields fields;
    fields.seq = peer_seq_;
    fields.ack = our_seq_ + acknowledged_;
    fields.options.sack[fields.options.sack_count++] = {Seq(fields.ack + peer_mss),
                                                        Seq(fields.ack + 2 * peer_mss)};
    inject(fields);
    acknowledge(2 * peer_mss);
  }
  std::string sent_;
  uint32_t acknowledged_ = 0;
};

TEST_F(FullBoardTest, T16_T38_SegmentsThatMustBeCutFindNoPlaceInAFullBoard) {
  ASSERT_NO_FATAL_FAILURE(fill(1'500));
  too_big(552, acknowledged_);
  std::string got = sent_.substr(0, acknowledged_);
  // The peer says nothing for a while, and then takes what comes in order.
  const auto take = [&](const std::vector<Seen>& sent) {
    for (const Seen& seen : sent) {
      const uint32_t at = seen.segment.seq.value() - our_seq_;
      EXPECT_LE(seen.segment.text.size(), 512U);
      if (at > got.size() || at + seen.segment.text.size() <= got.size()) continue;
      got += seen.text().substr(got.size() - at);
    }
  };
  for (int turn = 0; turn < 40; ++turn) take(finish_turn());
  for (int turn = 0; turn < 20'000 && got.size() < sent_.size(); ++turn) {
    now_ = now_ + Duration::milliseconds(1);
    take(exchange({.seq = peer_seq_, .ack = our_seq_ + static_cast<uint32_t>(got.size())}));
  }
  EXPECT_TRUE(got == sent_);
}

// Opening and closing a gap costs a peer two acknowledgments: a board of thousands of records is
// not built anew for each.
TEST_F(FullBoardTest, T16_ALargeBoardStaysUntilWhatItWasBuiltFromIsAcknowledged) {
  ASSERT_NO_FATAL_FAILURE(fill(1'000));
  const uint32_t in_flight_before = in_flight();
  const auto has_board = [&] { return tcp_.find_transfer(id_)->repair != Transfer::none; };
  close_a_gap();
  EXPECT_TRUE(has_board());
  acknowledge(in_flight_before - 3 * peer_mss);
  EXPECT_TRUE(has_board());
  acknowledge(peer_mss);
  EXPECT_FALSE(has_board());
}

// A board that is only kept is no repair: the tail is probed for as without one.
TEST_F(FullBoardTest, T16_T17_ATailIsProbedForWhileALargeBoardIsKept) {
  ASSERT_NO_FATAL_FAILURE(fill(1'000));
  close_a_gap();
  while (!finish_turn().empty()) {
  }
  const uint32_t next = acknowledged_ + in_flight();
  const std::vector<Seen> sent = wait(Duration::milliseconds(150));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.seq.value() - our_seq_, next);
  EXPECT_EQ(counters_[Counter::tcp_loss_probes], 1U);
  EXPECT_EQ(counters_[Counter::tcp_retransmit_timeouts], 0U);
}

}  // namespace
}  // namespace millrace::tcp
