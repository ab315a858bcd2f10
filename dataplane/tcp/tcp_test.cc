// One Tcp, a scripted peer, virtual time: the rules of tcp.md that one connection shows.
#include "dataplane/tcp/tcp.h"

#include <gtest/gtest.h>

#include <array>

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

class TcpTest : public TcpHarness {};

TEST_F(TcpTest, HandshakeAcceptsAndReads) {
  establish();
  EXPECT_EQ(state(), State::established);
  const auto answers = exchange({.seq = peer_seq_, .ack = our_seq_, .text = "hello"});
  EXPECT_TRUE(answers.empty()) << "T24: a single segment waits for the delayed ACK";
  EXPECT_EQ(events(), event_readable);
  EXPECT_EQ(read_all(), "hello");
  const auto later = wait(Duration::milliseconds(41));
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].segment.ack.value(), peer_seq_ + 5);
}

TEST_F(TcpTest, LookingAtTheReadyListTakesNothingFromIt) {
  establish();
  std::array<Ready, 4> seen;
  events();
  EXPECT_EQ(tcp_.peek_ready(seen), 0U);
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "hello"});
  EXPECT_EQ(tcp_.peek_ready({}), 0U);
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(tcp_.peek_ready(seen), 1U);
    EXPECT_EQ(seen[0].id, id_);
    EXPECT_EQ(seen[0].events, event_readable);
  }
  EXPECT_EQ(events(), event_readable);
}

TEST_F(TcpTest, T24_EverySecondSegmentIsAcknowledgedAtOnce) {
  establish();
  EXPECT_TRUE(exchange({.seq = peer_seq_, .ack = our_seq_, .text = "aa"}).empty());
  const auto answers = exchange({.seq = peer_seq_ + 2, .ack = our_seq_, .text = "bb"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.ack.value(), peer_seq_ + 4);
}

TEST_F(TcpTest, AnswerCarriesTheAcknowledgment) {
  establish();
  inject({.seq = peer_seq_, .ack = our_seq_, .text = "question"});
  tcp_.consume(id_, 8, now_);
  EXPECT_EQ(tcp_.write(id_, as_bytes("answer")), 6U);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].text(), "answer");
  EXPECT_EQ(sent[0].segment.ack.value(), peer_seq_ + 8);
  EXPECT_TRUE(sent[0].segment.has(flag_psh));
  EXPECT_TRUE(wait(Duration::milliseconds(50)).empty()) << "no second acknowledgment";
}

TEST_F(TcpTest, TextThatNobodyReadsMovesIntoTheArenaWithinTheTurn) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "first "});
  exchange({.seq = peer_seq_ + 6, .ack = our_seq_, .text = "second"});
  EXPECT_EQ(tcp_.slots_held(), 1U) << "small segments share a slot";
  EXPECT_EQ(read_all(), "first second");
  EXPECT_EQ(tcp_.slots_held(), 0U);
}

TEST_F(TcpTest, T2_SegmentsOutsideTheWindowAreAnsweredAndNotTaken) {
  establish();
  const uint32_t edge = peer_seq_ + 1'000'000;
  const auto answers = exchange({.seq = edge, .ack = our_seq_, .text = "beyond"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.ack.value(), peer_seq_);
  EXPECT_EQ(events(), 0);
}

TEST_F(TcpTest, T3_OnlyAResetAtExactlyRcvNxtResets) {
  establish();
  auto answers = exchange({.seq = peer_seq_ + 1, .flags = flag_rst});
  ASSERT_EQ(answers.size(), 1U) << "in the window: a challenge ACK";
  EXPECT_EQ(answers[0].segment.flags, flag_ack);
  EXPECT_TRUE(exchange({.seq = peer_seq_ - 1, .flags = flag_rst}).empty()) << "outside: silence";
  EXPECT_EQ(state(), State::established);
  EXPECT_TRUE(exchange({.seq = peer_seq_, .flags = flag_rst}).empty());
  EXPECT_EQ(events(), event_aborted);
  tcp_.close(id_, now_);
  expect_all_free();
}

TEST_F(TcpTest, T4_SynInASynchronizedStateGetsAChallenge) {
  establish();
  const auto answers = exchange({.seq = peer_seq_, .flags = flag_syn});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.flags, flag_ack);
  EXPECT_EQ(state(), State::established);
}

TEST_F(TcpTest, T5_AcknowledgmentsOfWhatWasNeverSentAreRefused) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .text = "data"});
  EXPECT_EQ(counters_[Counter::tcp_unacceptable_ack], 1U);
  EXPECT_EQ(events(), 0) << "its text is not taken either";
  exchange({.seq = peer_seq_, .ack = our_seq_ - 0x7000'0000, .text = "data"});
  EXPECT_EQ(counters_[Counter::tcp_unacceptable_ack], 2U);
}

TEST_F(TcpTest, T6_ChallengesAreLimitedPerConnection) {
  establish();
  size_t answers = 0;
  for (int i = 0; i < 1'000; ++i) answers += exchange({.seq = peer_seq_, .flags = flag_syn}).size();
  EXPECT_EQ(answers, 1U);
  wait(Duration::milliseconds(201));
  EXPECT_EQ(exchange({.seq = peer_seq_, .flags = flag_syn}).size(), 1U) << "and come back";
}

TEST_F(TcpTest, T8_InitialSequenceNumbersDifferByFlowAndGrowWithTime) {
  const auto isn_of = [&](uint16_t port) {
    const SocketAddress from{remote_.address, port};
    inject({.seq = 1, .flags = flag_syn}, from, local_);
    const auto sent = finish_turn();
    inject({.seq = 2, .flags = flag_rst}, from, local_);
    finish_turn();
    return sent.at(0).segment.seq;
  };
  const Seq first = isn_of(1'000);
  EXPECT_NE(first, isn_of(1'001));
  now_ = now_ + Duration::seconds(1);
  EXPECT_EQ(isn_of(1'000) - first, 250'000) << "RFC 6528: M advances once in 4 us";
}

TEST_F(TcpTest, T9_HandshakesUnderWayAreBounded) {
  for (uint16_t port = 1'000; port < 1'020; ++port) {
    inject({.seq = 1, .flags = flag_syn}, {remote_.address, port}, local_);
  }
  finish_turn();
  EXPECT_EQ(tcp_.half_open_count(), 8U);
  EXPECT_EQ(counters_[Counter::tcp_syn_cookies_sent], 12U);
  wait(Duration::seconds(70));
  expect_all_free();
}

TEST_F(TcpTest, T10_SynAckIsRepeatedAtMostFiveTimes) {
  inject({.seq = 1, .flags = flag_syn});
  size_t sent = finish_turn().size();
  sent += wait(Duration::seconds(120)).size();
  EXPECT_EQ(sent, 6U);
  expect_all_free();
}

TEST_F(TcpTest, T12_WindowOfTheSynIsNotScaledAndLaterOnesAre) {
  establish(100, 7);
  EXPECT_EQ(tcp_.find(id_)->snd_wnd, 100U << 7);
  Options options;
  options.has_window_scale = true;
  options.window_scale = 255;
  inject({.seq = 1, .flags = flag_syn, .options = options}, {remote_.address, 999}, local_);
  finish_turn();
  inject({.seq = 2, .ack = 0, .flags = flag_rst}, {remote_.address, 999}, local_);
}

TEST_F(TcpTest, T13_T14_TimestampsAreEchoedAndOldOnesRejected) {
  Options options;
  options.has_timestamps = true;
  options.timestamp_value = 0xffff'fff0;  // wraps soon
  const auto syn_ack = exchange({.seq = peer_seq_, .flags = flag_syn, .options = options});
  ASSERT_TRUE(syn_ack.at(0).segment.options.has_timestamps);
  EXPECT_EQ(syn_ack[0].segment.options.timestamp_echo, 0xffff'fff0U);
  our_seq_ = syn_ack[0].segment.seq.value() + 1;
  peer_seq_ += 1;
  options.timestamp_value = 5;  // newer, on the circle
  exchange({.seq = peer_seq_, .ack = our_seq_, .options = options});
  id_ = tcp_.next_ready()->id;
  options.timestamp_value = 0xffff'fff8;
  const auto old = exchange({.seq = peer_seq_, .ack = our_seq_, .text = "old", .options = options});
  EXPECT_EQ(counters_[Counter::tcp_paws_rejected], 1U);
  ASSERT_EQ(old.size(), 1U);
  EXPECT_EQ(old[0].segment.options.timestamp_echo, 5U);
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "none"});
  EXPECT_EQ(counters_[Counter::tcp_missing_timestamp], 1U);
  EXPECT_EQ(events(), 0);
  // After 24 days the memory of the timestamp proves nothing.
  now_ = now_ + Duration::seconds(25 * 86'400);
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "new", .options = options});
  EXPECT_EQ(read_all(), "new");
}

TEST_F(TcpTest, T20_InitialWindowIsTenSegments) {
  establish(65'535, 7);
  EXPECT_EQ(tcp_.write(id_, as_bytes(pattern(30'000))), 30'000U);
  EXPECT_EQ(finish_turn().size(), 10U);
}

TEST_F(TcpTest, T22_RetransmitsWithBackoffAndKarnsRule) {
  establish();
  tcp_.write(id_, as_bytes("lost"));
  EXPECT_EQ(finish_turn().size(), 1U);
  // No sample yet: 1 s, then 2 s, then 4 s.
  EXPECT_TRUE(wait(Duration::milliseconds(999)).empty());
  EXPECT_EQ(wait(Duration::milliseconds(2)).size(), 1U);
  EXPECT_TRUE(wait(Duration::milliseconds(1'997)).empty());
  const auto again = wait(Duration::milliseconds(4));
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].text(), "lost");
  exchange({.seq = peer_seq_, .ack = our_seq_ + 4});
  EXPECT_FALSE(tcp_.find(id_)->round_trip.has_sample())
      << "Karn: a repeated segment is no measurement";
  EXPECT_TRUE(wait(Duration::seconds(20)).empty());
}

TEST_F(TcpTest, T23_SurvivesNinetySecondsAndGivesUpInTheEnd) {
  establish();
  tcp_.write(id_, as_bytes("x"));
  wait(Duration::seconds(90));
  EXPECT_EQ(state(), State::established);
  wait(Duration::seconds(300));
  EXPECT_EQ(events(), event_aborted);
  EXPECT_EQ(counters_[Counter::tcp_gave_up], 1U);
  tcp_.close(id_, now_);
  expect_all_free();
}

TEST_F(TcpTest, FastRetransmitAfterThreeDuplicates) {
  establish(65'535, 7);
  tcp_.write(id_, as_bytes(pattern(1460 * 8)));
  ASSERT_EQ(finish_turn().size(), 8U);
  for (int i = 0; i < 2; ++i) exchange({.seq = peer_seq_, .ack = our_seq_});
  const auto third = exchange({.seq = peer_seq_, .ack = our_seq_});
  ASSERT_EQ(third.size(), 1U);
  EXPECT_EQ(third[0].segment.seq.value(), our_seq_);
  EXPECT_EQ(counters_[Counter::tcp_fast_retransmits], 1U);
  // RFC 6582: a partial acknowledgment brings the next hole at once.
  const auto partial = exchange({.seq = peer_seq_, .ack = our_seq_ + 1460 * 3});
  ASSERT_GE(partial.size(), 1U);
  EXPECT_EQ(partial[0].segment.seq.value(), our_seq_ + 1460 * 3);
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1460 * 8});
  EXPECT_FALSE(tcp_.find_transfer(id_)->flags.in_recovery);
}

TEST_F(TcpTest, T26_ZeroWindowIsProbedForAsLongAsThePeerAnswers) {
  establish(0, std::nullopt);
  tcp_.write(id_, as_bytes(pattern(100)));
  EXPECT_TRUE(finish_turn().empty());
  size_t probes = 0;
  for (int second = 0; second < 900; ++second) {
    for (const Seen& probe : wait(Duration::seconds(1))) {
      ++probes;
      EXPECT_EQ(probe.segment.text.size(), 1U) << "one octet beyond the window";
      exchange({.seq = peer_seq_, .ack = our_seq_, .window = 0});
    }
  }
  EXPECT_GE(probes, 12U);
  EXPECT_EQ(state(), State::established) << "15 minutes, and alive";
  const auto opened = exchange({.seq = peer_seq_, .ack = our_seq_, .window = 1'000});
  std::string text;
  for (const Seen& seen : opened) text += seen.text();
  for (const Seen& seen : wait(Duration::seconds(61))) text += seen.text();
  EXPECT_NE(text.find(pattern(100).substr(1)), std::string::npos);
}

TEST_F(TcpTest, T27_TheOfferedEdgeNeverMovesLeft) {
  establish();
  uint32_t edge = 0;
  uint32_t seq = peer_seq_;
  for (int i = 0; i < 60; ++i) {
    for (const Seen& seen : exchange({.seq = seq, .ack = our_seq_, .text = pattern(1'000)})) {
      const uint32_t offered = seen.segment.ack.value() +
                               (uint32_t{seen.segment.window} << tcp_.find(id_)->receive_shift);
      EXPECT_GE(offered, edge);
      edge = offered;
    }
    seq = std::min(seq + 1'000, tcp_.find(id_)->rcv_nxt.value());
  }
  EXPECT_EQ(tcp_.find(id_)->rcv_nxt.value() - peer_seq_, 60'000U);
}

TEST_F(TcpTest, T29_OrderlyCloseFromOurSide) {
  establish();
  tcp_.write(id_, as_bytes("bye"));
  tcp_.close(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.flags, flag_fin | flag_psh | flag_ack)
      << "the FIN rides on the last text";
  exchange({.seq = peer_seq_, .ack = our_seq_ + 4});
  const auto last = exchange({.seq = peer_seq_, .ack = our_seq_ + 4, .flags = flag_fin | flag_ack});
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].segment.ack.value(), peer_seq_ + 1);
  EXPECT_EQ(tcp_.time_wait_count(), 1U);
  expect_all_free();
  wait(Duration::seconds(61));
  EXPECT_EQ(tcp_.time_wait_count(), 0U);
}

TEST_F(TcpTest, T29_HalfClosedPeerStillGetsItsAnswer) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .flags = flag_fin | flag_ack, .text = "request"});
  EXPECT_EQ(events(), event_readable | event_peer_ended);
  EXPECT_EQ(state(), State::close_wait);
  EXPECT_FALSE(tcp_.at_end(id_)) << "the text comes first";
  EXPECT_EQ(read_all(), "request");
  EXPECT_TRUE(tcp_.at_end(id_));
  tcp_.write(id_, as_bytes("response"));
  tcp_.close(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].text(), "response");
  exchange({.seq = peer_seq_ + 8, .ack = our_seq_ + 9});
  EXPECT_EQ(tcp_.time_wait_count(), 0U) << "who closes last waits for nothing";
  expect_all_free();
}

TEST_F(TcpTest, T29_SimultaneousClose) {
  establish();
  tcp_.close(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_, .flags = flag_fin | flag_ack});
  exchange({.seq = peer_seq_ + 1, .ack = our_seq_ + 1});
  EXPECT_EQ(tcp_.time_wait_count(), 1U);
  expect_all_free();
}

TEST_F(TcpTest, T29_OrphanInFinWait2EndsAfterAMinute) {
  establish();
  tcp_.close(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1});
  wait(Duration::seconds(61));
  EXPECT_EQ(counters_[Counter::tcp_orphan_timed_out], 1U);
  expect_all_free();
}

TEST_F(TcpTest, T30_CloseWithUnreadTextResets) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "never read"});
  tcp_.close(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].segment.has(flag_rst));
  expect_all_free();
}

TEST_F(TcpTest, T30_TextAfterCloseResets) {
  establish();
  tcp_.close(id_, now_);
  finish_turn();
  const auto sent = exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .text = "too late"});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].segment.has(flag_rst));
  expect_all_free();
}

TEST_F(TcpTest, T31_TimeWaitAcknowledgesTheFinAgainIgnoresResetsAndYieldsToANewerSyn) {
  establish();
  tcp_.close(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  ASSERT_EQ(tcp_.time_wait_count(), 1U);
  const auto again =
      exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].segment.ack.value(), peer_seq_ + 1);
  EXPECT_TRUE(exchange({.seq = peer_seq_ + 1, .flags = flag_rst}).empty()) << "RFC 1337";
  EXPECT_EQ(tcp_.time_wait_count(), 1U);
  const auto old = exchange({.seq = peer_seq_ - 100, .flags = flag_syn});
  ASSERT_EQ(old.size(), 1U);
  EXPECT_EQ(old[0].segment.flags, flag_ack) << "an old SYN is not a new connection";
  const auto fresh = exchange({.seq = peer_seq_ + 1'000, .flags = flag_syn});
  ASSERT_EQ(fresh.size(), 1U);
  EXPECT_EQ(fresh[0].segment.flags, flag_syn | flag_ack);
  EXPECT_EQ(tcp_.time_wait_count(), 0U);
}

TEST_F(TcpTest, T31_TimeWaitTableIsBounded) {
  for (uint16_t port = 1'000; port < 1'020; ++port) {
    remote_.port = port;
    establish();
    tcp_.close(id_, now_);
    finish_turn();
    exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  }
  EXPECT_EQ(tcp_.time_wait_count(), 8U);
  EXPECT_EQ(counters_[Counter::tcp_time_wait_evicted], 12U);
}

TEST_F(TcpTest, T32_ResetRulesForUnknownConnections) {
  const auto to_ack = exchange({.seq = 5, .ack = 77});
  ASSERT_EQ(to_ack.size(), 1U);
  EXPECT_EQ(to_ack[0].segment.flags, flag_rst);
  EXPECT_EQ(to_ack[0].segment.seq.value(), 77U);
  EXPECT_TRUE(exchange({.seq = 5, .flags = flag_fin, .text = "abc"}).empty()) << "to a listener";
  inject({.seq = 5, .flags = flag_fin, .text = "abc"}, remote_, {local_.address, 81});
  const auto to_fin = finish_turn();
  ASSERT_EQ(to_fin.size(), 1U);
  EXPECT_EQ(to_fin[0].segment.flags, flag_rst | flag_ack);
  EXPECT_EQ(to_fin[0].segment.ack.value(), 9U);
  EXPECT_TRUE(exchange({.seq = 5, .flags = flag_rst | flag_ack}).empty());
  inject({.seq = 5, .flags = flag_syn}, remote_, {local_.address, 81});
  const auto to_syn = finish_turn();
  ASSERT_EQ(to_syn.size(), 1U) << "no listener there";
  EXPECT_EQ(to_syn[0].segment.flags, flag_rst | flag_ack);
}

TEST_F(TcpTest, T33_UrgentPointerIsIgnoredAndTheTextStaysInLine) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .flags = flag_ack | flag_urg, .text = "urgent"});
  EXPECT_EQ(read_all(), "urgent");
}

TEST_F(TcpTest, T35_TinyMssIsNotHonoured) {
  Options options;
  options.has_mss = true;
  options.mss = 1;
  const auto syn_ack = exchange({.seq = peer_seq_, .flags = flag_syn, .options = options});
  our_seq_ = syn_ack.at(0).segment.seq.value() + 1;
  exchange({.seq = ++peer_seq_, .ack = our_seq_});
  id_ = tcp_.next_ready()->id;
  tcp_.write(id_, as_bytes(pattern(1'000)));
  EXPECT_EQ(finish_turn().size(), 2U);
}

TEST_F(TcpTest, T36_OutOfOrderTextIsBoundedAndComesTogether) {
  establish();
  for (uint32_t i = 1; i < 200; ++i) {
    exchange({.seq = peer_seq_ + i * 4, .ack = our_seq_, .text = pattern(2, i * 4)});
  }
  EXPECT_LE(tcp_.slots_held(), 64U);
  EXPECT_GT(counters_[Counter::tcp_out_of_order_dropped], 100U);
  for (uint32_t i = 0; i < 200; ++i) {
    exchange({.seq = peer_seq_ + i * 4, .ack = our_seq_, .text = pattern(4, i * 4)});
  }
  EXPECT_EQ(read_all(), pattern(800));
}

TEST_F(TcpTest, T37_TheFirstCopyOfAnOctetWins) {
  establish();
  exchange({.seq = peer_seq_ + 4, .ack = our_seq_, .text = "EFGH"});
  exchange({.seq = peer_seq_ + 2, .ack = our_seq_, .text = "cdxxxxij"});
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "abyyyyyyyyyy"});
  EXPECT_EQ(read_all(), "abcdEFGHijyy");
}

TEST_F(TcpTest, T42_TextOnTheSynIsNotTaken) {
  const auto syn_ack = exchange({.seq = peer_seq_, .flags = flag_syn, .text = "early"});
  ASSERT_EQ(syn_ack.size(), 1U);
  EXPECT_EQ(syn_ack[0].segment.ack.value(), peer_seq_ + 1);
}

TEST_F(TcpTest, T49_ActiveOpenUsesARandomPortAndConnects) {
  const ConnId id = tcp_.connect(local_.address, remote_, 42, now_);
  ASSERT_TRUE(id);
  tcp_.write(id, as_bytes("early text"));
  finish_turn();  // ARP only: the neighbor is not known yet
  EXPECT_GE(tcp_.local(id).port, 32'768);
  EXPECT_EQ(tcp_.find(id)->state, State::syn_sent);
  tcp_.close(id, now_);
  EXPECT_EQ(tcp_.connection_count(), 0U);
}

TEST_F(TcpTest, T52_NonsenseFlagCombinationsToAListenerGetDefinedAnswers) {
  EXPECT_TRUE(exchange({.seq = 1, .flags = 0}).empty()) << "NULL scan";
  EXPECT_EQ(counters_[Counter::tcp_missing_ack_flag], 1U);
  EXPECT_EQ(exchange({.seq = 1, .flags = flag_syn | flag_fin}).at(0).segment.flags,
            flag_rst | flag_ack);
  EXPECT_TRUE(exchange({.seq = 1, .flags = 0x3f}).empty()) << "all flags: RST among them";
  EXPECT_EQ(exchange({.seq = 1, .ack = 9, .flags = flag_syn | flag_ack}).at(0).segment.flags,
            flag_rst);
  EXPECT_EQ(tcp_.connection_count(), 0U);
}

TEST_F(TcpTest, T54_SequenceNumbersWrap) {
  peer_seq_ = 0xffff'fff0;
  establish();
  std::string sent;
  for (uint32_t i = 0; i < 8; ++i) {
    sent += pattern(10, i * 10);
    exchange({.seq = peer_seq_ + i * 10, .ack = our_seq_, .text = pattern(10, i * 10)});
  }
  EXPECT_EQ(read_all(), sent);
}

TEST_F(TcpTest, PartlyAcknowledgedSegmentIsSentAgainFromWhereItStands) {
  establish();
  tcp_.write(id_, as_bytes("0123456789"));
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 4});
  const auto again = wait(Duration::seconds(2));
  ASSERT_GE(again.size(), 1U);
  EXPECT_EQ(again[0].text(), "456789");
}

TEST_F(TcpTest, WritesAreBoundedAndResumeWhenAcknowledged) {
  establish(65'535, 7);
  const std::string text = pattern(1 << 20);
  const size_t first = tcp_.write(id_, as_bytes(text));
  EXPECT_LT(first, text.size());
  bool writable = false;
  for (int i = 0; i < 100 && !writable; ++i) {
    finish_turn();
    const Transfer* t = tcp_.find_transfer(id_);
    exchange(
        {.seq = peer_seq_, .ack = (t != nullptr ? t->snd_nxt : tcp_.find(id_)->snd_una).value()});
    writable = (events() & event_writable) != 0;
  }
  EXPECT_TRUE(writable);
  EXPECT_GT(tcp_.writable(id_), 0U);
}

}  // namespace
}  // namespace millrace::tcp
