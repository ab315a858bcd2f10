// Selective acknowledgments, loss detection by time and proportional rate reduction, segment by
// segment. What they are worth over real losses is tests/sim's and tests/peers' to say.
#include <string>

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

class RepairTest : public TcpHarness {
 protected:
  static constexpr uint32_t mss = peer_mss;
  static constexpr int64_t round_trip_ms = 40;

  // A connection whose round trip is known, with `count` full segments in flight.
  void send(uint32_t count, uint32_t warm_up = 1) {
    establish_with_sack();
    ASSERT_EQ(tcp_.write(id_, view(pattern(warm_up * mss))), warm_up * mss);
    ASSERT_EQ(finish_turn().size(), warm_up);
    now_ = now_ + Duration::milliseconds(round_trip_ms);
    our_seq_ += warm_up * mss;
    exchange({.seq = peer_seq_, .ack = our_seq_});
    ASSERT_EQ(tcp_.write(id_, view(pattern(count * mss))), count * mss);
    ASSERT_EQ(finish_turn().size(), count);
    now_ = now_ + Duration::milliseconds(round_trip_ms);
  }
  static ByteView view(const std::string& text) {
    kept_ = text;
    return {reinterpret_cast<const uint8_t*>(kept_.data()), kept_.size()};
  }
  // The peer has everything before segment `acked`, and segments [from, to) besides.
  Fields ack(uint32_t acked, std::vector<std::pair<uint32_t, uint32_t>> blocks = {}) {
    Fields fields;
    fields.seq = peer_seq_;
    fields.ack = our_seq_ + acked * mss;
    for (const auto& [from, to] : blocks) {
      fields.options.sack[fields.options.sack_count++] = {Seq(our_seq_ + from * mss),
                                                          Seq(our_seq_ + to * mss)};
    }
    return fields;
  }
  // Which segments were sent, "0 1 7".
  std::string numbers(const std::vector<Seen>& sent) const {
    std::string text;
    for (const Seen& seen : sent) {
      if (seen.segment.text.empty()) continue;
      text += (text.empty() ? "" : " ") +
              std::to_string(octets_between(Seq(our_seq_), seen.segment.seq) / mss);
    }
    return text;
  }
  std::string blocks(const Seen& seen) const {
    std::string text;
    for (size_t i = 0; i < seen.segment.options.sack_count; ++i) {
      const SackBlock& block = seen.segment.options.sack[i];
      text += (i == 0 ? "" : " ") + std::to_string(block.begin.value() - peer_seq_) + "-" +
              std::to_string(block.end.value() - peer_seq_);
    }
    return text;
  }
  uint64_t counted(Counter counter) const { return counters_[counter]; }

 private:
  static inline std::string kept_;
};

// --- the side that receives ---

TEST_F(RepairTest, T15_BlocksTellWhatHasArrivedTheLatestFirst) {
  establish_with_sack();
  auto sent = exchange({.seq = peer_seq_ + 10, .ack = our_seq_, .text = "0123456789"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.ack.value(), peer_seq_);
  EXPECT_EQ(blocks(sent[0]), "10-20");
  sent = exchange({.seq = peer_seq_ + 30, .ack = our_seq_, .text = "0123456789"});
  EXPECT_EQ(blocks(sent[0]), "30-40 10-20");
  sent = exchange({.seq = peer_seq_ + 20, .ack = our_seq_, .text = "01234"});
  EXPECT_EQ(blocks(sent[0]), "10-25 30-40");
  sent = exchange({.seq = peer_seq_, .ack = our_seq_, .text = "0123456789"});
  EXPECT_EQ(sent[0].segment.ack.value(), peer_seq_ + 25);
  EXPECT_EQ(blocks(sent[0]), "30-40");
  EXPECT_EQ(read_all(), "0123456789012345678901234");
}

TEST_F(RepairTest, T15_ThreeBlocksBesideTimestamps) {
  Options options;
  options.has_mss = true;
  options.mss = peer_mss;
  options.sack_permitted = true;
  options.has_timestamps = true;
  options.timestamp_value = 5;
  const auto syn_ack = exchange({.seq = peer_seq_, .flags = flag_syn, .options = options});
  ASSERT_EQ(syn_ack.size(), 1U);
  EXPECT_TRUE(syn_ack[0].segment.options.sack_permitted);
  our_seq_ = syn_ack[0].segment.seq.value() + 1;
  peer_seq_ += 1;
  Options stamped;
  stamped.has_timestamps = true;
  stamped.timestamp_value = 6;
  exchange({.seq = peer_seq_, .ack = our_seq_, .options = stamped});
  std::vector<Seen> sent;
  for (const uint32_t at : {10U, 30U, 50U, 70U})
    sent = exchange({.seq = peer_seq_ + at, .ack = our_seq_, .text = "x", .options = stamped});
  EXPECT_EQ(blocks(sent[0]), "70-71 50-51 30-31");
  EXPECT_TRUE(sent[0].segment.options.has_timestamps);
}

TEST_F(RepairTest, T15_NoBlocksForAPeerThatDidNotAsk) {
  establish();
  const auto sent = exchange({.seq = peer_seq_ + 10, .ack = our_seq_, .text = "x"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.options.sack_count, 0);
}

TEST_F(RepairTest, T15_DuplicatesAreReportedOnceAndFirst) {
  establish_with_sack();
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "0123456789"});
  // Before RCV.NXT.
  auto sent = exchange({.seq = peer_seq_, .ack = our_seq_, .text = "0123456789"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(blocks(sent[0]), "0-10");
  // Behind a gap: the duplicate, then the run that holds it.
  exchange({.seq = peer_seq_ + 20, .ack = our_seq_, .text = "0123456789"});
  sent = exchange({.seq = peer_seq_ + 25, .ack = our_seq_, .text = "56"});
  EXPECT_EQ(blocks(sent[0]), "25-27 20-30");
  sent = exchange({.seq = peer_seq_ + 40, .ack = our_seq_, .text = "x"});
  EXPECT_EQ(blocks(sent[0]), "40-41 20-30");
}

// --- the side that sends ---

TEST_F(RepairTest, T17_ThreeSegmentsBeyondAGapMeanALoss) {
  send(8);
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 2}}))), "");
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 3}}))), "");
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 4}}))), "0");
  EXPECT_EQ(counted(Counter::tcp_fast_retransmits), 1U);
  // Only what is lost goes again.
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 8}}))), "");
  EXPECT_EQ(numbers(exchange(ack(8))), "");
  EXPECT_EQ(tcp_.find_transfer(id_)->repair, UINT32_MAX);
}

TEST_F(RepairTest, T17_SeveralGapsAreRepairedInOneRoundTrip) {
  send(9);
  const auto sent = exchange(ack(0, {{7, 9}, {5, 6}, {1, 3}}));
  // 0, 3, 4 and 6 are lost; the first one goes at once, the others as PRR lets them.
  EXPECT_EQ(numbers(sent), "0 3 4 6");
}

TEST_F(RepairTest, T17_AFewSegmentsWaitForTheReorderingWindow) {
  send(4);
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 2}}))), "");
  // A quarter of the least round trip later the gap is a loss.
  EXPECT_EQ(numbers(wait(Duration::milliseconds(9))), "");
  EXPECT_EQ(numbers(wait(Duration::milliseconds(3))), "0");
}

TEST_F(RepairTest, T17_ReorderedSegmentsAreNotSentAgain) {
  send(6);
  exchange(ack(0, {{1, 2}}));
  exchange(ack(0, {{1, 3}}));
  exchange(ack(3));
  EXPECT_EQ(numbers(wait(Duration::milliseconds(20))), "");
  EXPECT_EQ(counted(Counter::tcp_fast_retransmits), 0U);
  // And from now on three segments are not enough.
  exchange(ack(3, {{4, 6}}));
  EXPECT_TRUE(tcp_.find_transfer(id_)->reordering_seen);
}

TEST_F(RepairTest, T17_ALostRetransmissionIsFoundByWhatWasSentBehindIt) {
  send(8);
  ASSERT_EQ(tcp_.write(id_, view(pattern(8 * mss))), 8 * mss);
  // New segments follow the repair; when they arrive and it does not, it goes again.
  const std::string repair = numbers(exchange(ack(0, {{1, 4}})));
  EXPECT_EQ(repair.substr(0, 3), "0 8") << repair;
  now_ = now_ + Duration::milliseconds(round_trip_ms);
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 8}}))).substr(0, 2), "10");
  now_ = now_ + Duration::milliseconds(1);
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 9}}))).substr(0, 1), "0");
}

TEST_F(RepairTest, T17_ATailThatIsLostIsProbed) {
  send(5);
  exchange(ack(2));
  // Two round trips after the acknowledgment the last segment goes again.
  EXPECT_EQ(numbers(wait(Duration::milliseconds(2 * round_trip_ms - 5))), "");
  EXPECT_EQ(numbers(wait(Duration::milliseconds(10))), "4");
  EXPECT_EQ(counted(Counter::tcp_loss_probes), 1U);
  // The answer tells of the gap before it.
  now_ = now_ + Duration::milliseconds(round_trip_ms);
  EXPECT_EQ(numbers(exchange(ack(2, {{4, 5}}))), "2");
  EXPECT_EQ(numbers(exchange(ack(3, {{4, 5}}))), "3");
  EXPECT_EQ(counted(Counter::tcp_retransmit_timeouts), 0U);
}

TEST_F(RepairTest, T17_AProbeThatRepairsALossCountsAsOne) {
  send(5);
  exchange(ack(4));
  EXPECT_EQ(numbers(wait(Duration::milliseconds(300))), "4");
  const uint32_t window = tcp_.find(id_)->congestion.window();
  now_ = now_ + Duration::milliseconds(round_trip_ms);
  exchange(ack(5));
  ASSERT_EQ(tcp_.write(id_, view(pattern(mss))), mss);
  finish_turn();
  exchange(ack(6));
  EXPECT_EQ(counted(Counter::tcp_loss_probe_repairs), 1U);
  EXPECT_LT(tcp_.find(id_)->congestion.window(), window);
}

TEST_F(RepairTest, T17_AProbeThatWasNotNeededCostsNothing) {
  send(5);
  exchange(ack(4));
  EXPECT_EQ(numbers(wait(Duration::milliseconds(300))), "4");
  const uint32_t window = tcp_.find(id_)->congestion.window();
  exchange(ack(5));
  exchange(ack(5, {{4, 5}}));  // the peer reports the duplicate
  ASSERT_EQ(tcp_.write(id_, view(pattern(mss))), mss);
  finish_turn();
  exchange(ack(6));
  EXPECT_EQ(counted(Counter::tcp_loss_probe_repairs), 0U);
  EXPECT_GE(tcp_.find(id_)->congestion.window(), window);
}

TEST_F(RepairTest, T18_TheWindowFollowsWhatIsDelivered) {
  send(10);
  ASSERT_EQ(tcp_.write(id_, view(pattern(25 * mss))), 25 * mss);
  finish_turn();
  size_t sent = 0;
  // Ten segments in flight and the first is lost: nine acknowledgments come. CUBIC aims at seven
  // tenths: so many segments leave for what arrives, never two for one.
  for (uint32_t arrived = 2; arrived <= 10; ++arrived) {
    size_t now = 0;
    for (const Seen& seen : exchange(ack(0, {{1, arrived}})))
      now += seen.segment.text.empty() ? 0 : 1;
    EXPECT_LE(now, 2U) << arrived;
    sent += now;
  }
  EXPECT_GE(sent, 6U);
  EXPECT_LE(sent, 9U);
  now_ = now_ + Duration::milliseconds(round_trip_ms);
  exchange(ack(10));
  EXPECT_EQ(tcp_.find(id_)->congestion.window(), tcp_.find(id_)->congestion.threshold());
}

// The acknowledgment before was lost: the next one moves on and tells of a gap at once. Nothing has
// come late, so the third segment behind the gap decides, without patience for stragglers.
TEST_F(RepairTest, T17_AGapToldTogetherWithProgressIsNoReordering) {
  send(8);
  exchange(ack(3, {{4, 5}}));
  EXPECT_FALSE(tcp_.find_transfer(id_)->reordering_seen);
  exchange(ack(3, {{4, 6}}));
  EXPECT_EQ(numbers(exchange(ack(3, {{4, 7}}))), "3");
}

// The peer has all text, but not the FIN that came with the end of it: a recovery that lasts until
// the FIN is acknowledged has an empty scoreboard.
TEST_F(RepairTest, T16_T29_AFinAloneIsRepeatedWhileTheScoreboardIsEmpty) {
  establish_with_sack();
  ASSERT_EQ(tcp_.write(id_, view(pattern(5 * mss))), 5 * mss);
  tcp_.shutdown(id_, now_);
  ASSERT_EQ(finish_turn().size(), 5U);
  now_ = now_ + Duration::milliseconds(round_trip_ms);
  EXPECT_EQ(numbers(exchange(ack(0, {{1, 4}}))), "0");
  EXPECT_EQ(numbers(exchange(ack(5))), "");
  ASSERT_NE(tcp_.find_transfer(id_)->repair, Transfer::none);
  size_t fins = 0;
  for (const Seen& seen : wait(Duration::seconds(10)))
    if ((seen.segment.flags & flag_fin) != 0) ++fins;
  EXPECT_GE(fins, 2U);
  exchange({.seq = peer_seq_, .ack = our_seq_ + 5 * mss + 1});
  EXPECT_EQ(state(), State::fin_wait_2);
}

TEST_F(RepairTest, T16_BlocksOfWhatWasNeverSentAreIgnored) {
  send(4);
  exchange(ack(0, {{5, 9}}));
  exchange(ack(0, {{3, 1}}));
  exchange(ack(0, {{2, 2}}));
  exchange(ack(0, {{0, 2}}));  // it contradicts the acknowledgment
  EXPECT_EQ(counted(Counter::tcp_sack_invalid), 4U);
  EXPECT_EQ(tcp_.find_transfer(id_)->repair, UINT32_MAX);
  EXPECT_EQ(counted(Counter::tcp_fast_retransmits), 0U);
}

TEST_F(RepairTest, T16_APeerMayThrowAwayWhatItHadAcknowledgedSelectively) {
  send(4);
  exchange(ack(0, {{1, 4}}));
  std::string sent;
  // The repair is lost, and the peer forgets the rest: two timeouts, then everything goes again.
  for (const Seen& seen : wait(Duration::seconds(3))) {
    sent += seen.segment.text.empty() ? "" : numbers({seen}) + " ";
  }
  EXPECT_GE(counted(Counter::tcp_retransmit_timeouts), 2U);
  const uint32_t una = our_seq_;
  for (uint32_t have = 1; have <= 4; ++have) {
    for (const Seen& seen : exchange(ack(have))) sent += numbers({seen}) + " ";
  }
  for (const char* number : {"1", "2", "3"})
    EXPECT_NE(sent.find(number), std::string::npos) << sent;
  EXPECT_EQ(tcp_.find(id_)->snd_una.value(), una + 4 * mss);
  EXPECT_FALSE(tcp_.has_unacknowledged_text(id_));
}

TEST_F(RepairTest, T22_AfterATimeoutOnlyWhatIsMissingGoesAgain) {
  send(6);
  exchange(ack(0, {{2, 3}}));
  wait(Duration::milliseconds(15));  // 0 and 1 are found lost and sent again, and lost again
  std::string sent;
  for (const Seen& seen : wait(Duration::milliseconds(300))) {
    if (!seen.segment.text.empty()) sent += numbers({seen}) + " ";
  }
  EXPECT_EQ(counted(Counter::tcp_retransmit_timeouts), 1U);
  EXPECT_EQ(sent.find('2'), std::string::npos) << sent;
  sent.clear();
  for (const uint32_t have : {1U, 3U, 4U, 5U, 6U}) {
    for (const Seen& seen : exchange(ack(have))) sent += numbers({seen}) + " ";
  }
  EXPECT_EQ(sent.find('2'), std::string::npos) << sent;
  EXPECT_FALSE(tcp_.has_unacknowledged_text(id_));
}

// Both acknowledgments in one turn: what was thought to be lost is there before it has gone again.
TEST_F(RepairTest, T17_AGapThatClosesBeforeItsRepairIsSentIsNoLoss) {
  send(10);
  const uint32_t window = tcp_.find(id_)->congestion.window();
  const uint32_t threshold = tcp_.find(id_)->congestion.threshold();
  inject(ack(0, {{1, 4}}));
  inject(ack(5));
  finish_turn();
  EXPECT_GE(tcp_.find(id_)->congestion.window(), window);
  EXPECT_EQ(tcp_.find(id_)->congestion.threshold(), threshold);
  EXPECT_EQ(counted(Counter::tcp_recoveries_undone), 1U);
}

// --- nothing was lost after all ---

class UndoTest : public RepairTest {
 protected:
  // A connection with timestamps; the peer echoes `echo_`, which is our clock at some instant.
  void send_stamped(uint32_t count) {
    Options options;
    options.has_mss = true;
    options.mss = peer_mss;
    options.sack_permitted = true;
    options.has_timestamps = timestamps_;
    options.timestamp_value = 1;
    // Twice, so that the handshake measures no round trip.
    exchange({.seq = peer_seq_, .flags = flag_syn, .window = 65'535, .options = options});
    const auto syn_ack =
        exchange({.seq = peer_seq_, .flags = flag_syn, .window = 65'535, .options = options});
    ASSERT_EQ(syn_ack.size(), 1U);
    our_seq_ = syn_ack[0].segment.seq.value() + 1;
    peer_seq_ += 1;
    echo_ = syn_ack[0].segment.options.timestamp_value;
    exchange(stamped({.seq = peer_seq_, .ack = our_seq_}));
    id_ = tcp_.next_ready()->id;
    octets_ = tcp_.find(id_)->send_mss;
    now_ = now_ + Duration::milliseconds(round_trip_ms);
    ASSERT_EQ(tcp_.write(id_, view(pattern(count * octets_))), count * octets_);
    const auto sent = finish_turn();
    ASSERT_EQ(sent.size(), count);
    echo_ = sent[0].segment.options.timestamp_value;
    now_ = now_ + Duration::milliseconds(round_trip_ms);
  }
  Fields stamped(Fields fields) const {
    fields.options.has_timestamps = timestamps_;
    fields.options.timestamp_value = 2;
    fields.options.timestamp_echo = echo_;
    return fields;
  }
  bool timestamps_ = true;
  uint32_t echo_ = 0;
  uint32_t octets_ = 0;
};

TEST_F(UndoTest, T22_AnEchoOfTheFirstTransmissionCallsARepairOff) {
  send_stamped(8);
  const uint32_t window = tcp_.find(id_)->congestion.window();
  Fields fields = stamped({.seq = peer_seq_, .ack = our_seq_});
  fields.options.sack_count = 1;
  fields.options.sack[0] = {Seq(our_seq_ + octets_), Seq(our_seq_ + 5 * octets_)};
  EXPECT_FALSE(exchange(fields).empty());
  EXPECT_EQ(counted(Counter::tcp_fast_retransmits), 1U);
  now_ = now_ + Duration::milliseconds(5);
  // The first segment was only late: what the peer echoes is older than the repair.
  exchange(stamped({.seq = peer_seq_, .ack = our_seq_ + 5 * octets_}));
  EXPECT_EQ(counted(Counter::tcp_recoveries_undone), 1U);
  EXPECT_GE(tcp_.find(id_)->congestion.window(), window);
  EXPECT_FALSE(tcp_.find_transfer(id_)->flags.in_recovery);
}

TEST_F(UndoTest, T22_ASpuriousTimeoutIsCalledOffByWhatWasNotSentAgain) {
  timestamps_ = false;
  send_stamped(6);
  const uint32_t window = tcp_.find(id_)->congestion.window();
  // The path has become slow: first a probe, then the timeout.
  wait(Duration::seconds(2));
  EXPECT_EQ(counted(Counter::tcp_retransmit_timeouts), 1U);
  EXPECT_EQ(tcp_.find(id_)->congestion.window(), octets_);
  exchange(stamped({.seq = peer_seq_, .ack = our_seq_ + 3 * octets_}));
  EXPECT_EQ(counted(Counter::tcp_recoveries_undone), 1U);
  EXPECT_GE(tcp_.find(id_)->congestion.window(), window);
}

TEST_F(UndoTest, T22_ATimeoutThatWasRightStays) {
  timestamps_ = false;
  send_stamped(6);
  wait(Duration::milliseconds(1'500));
  exchange(stamped({.seq = peer_seq_, .ack = our_seq_ + octets_}));
  EXPECT_EQ(counted(Counter::tcp_recoveries_undone), 0U);
}

}  // namespace
}  // namespace millrace::tcp
