// Mistakes that the stack once made, one test each: what a peer or the order of calls can do, and
// what must come of it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

class TcpRegression : public TcpHarness {
 protected:
  // An active open to remote_ whose neighbor answers at once; returns the SYN that comes out.
  Seen open_actively() {
    id_ = tcp_.connect(local_.address, remote_, 1, now_);
    EXPECT_TRUE(id_);
    finish_turn();  // the ARP request
    net::ArpPacket reply;
    reply.operation = net::ArpOperation::reply;
    reply.sender_hardware = MacAddress{{2, 0, 0, 0, 0, 2}};
    reply.sender_protocol = remote_.address;
    reply.target_hardware = MacAddress{{2, 0, 0, 0, 0, 1}};
    reply.target_protocol = local_.address;
    output_.set_room(0, 512);
    neighbors_.learn(0, reply, true, now_, output_);
    const auto sent = finish_turn();
    EXPECT_EQ(sent.size(), 1U);
    return sent.at(0);
  }
  // Leaves so many slots free; what was taken can be dropped.
  std::vector<SlotIndex> take_all_but(uint32_t slots) {
    std::vector<SlotIndex> taken;
    while (arena_.free_count() > slots) taken.push_back(arena_.acquire());
    return taken;
  }
  // What the peer may send, in full segments (windows are rounded up by their scale).
  uint32_t segments_promised() const {
    const Connection& c = *tcp_.find(id_);
    return octets_between(c.rcv_nxt, c.receive_edge) / 1'460;
  }
  void write_text(size_t octets) { ASSERT_EQ(tcp_.write(id_, as_bytes(pattern(octets))), octets); }
  Duration smoothed() const { return tcp_.find(id_)->round_trip.smoothed(); }
};

// --- crashes ---

// A reset drops what was received; the proxy, which held a request's head for a second attempt and
// has not reached this connection's event yet, lets go of that text in the same turn.
TEST_F(TcpRegression, ConsumeInTheTurnOfThePeersResetIsNotOurBug) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "held head"});
  inject({.seq = peer_seq_ + 9, .flags = flag_rst});
  EXPECT_EXIT(
      {
        tcp_.consume(id_, 9, now_);
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

// writable() promised room; the first of several writes takes the arena under its pressure mark.
TEST_F(TcpRegression, T50_WhatWritableSaysHoldsForSeveralWrites) {
  establish(65'535, 7);
  write_text(20 * 1'460);
  finish_turn();
  while (tcp_.writable(id_) > 12 * 1'460) ASSERT_NE(arena_.acquire(), slot_none);
  const size_t promised = tcp_.writable(id_);
  ASSERT_GT(promised, 1'000U);
  const std::string text = pattern(1'000);
  size_t written = tcp_.write(id_, as_bytes("3e8\r\n"));
  written += tcp_.write(id_, as_bytes(text));
  for (size_t left = promised - written; left > 0; left -= std::min<size_t>(left, 1'000))
    written += tcp_.write(id_, as_bytes(pattern(std::min<size_t>(left, 1'000))));
  EXPECT_EQ(written, promised);
}

// A reset threw unread text away: what is missing must not look like the end of the stream, or half
// a body that ends with the connection passes for a whole one.
TEST_F(TcpRegression, TextLostToAResetIsNoCleanEnd) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .flags = flag_fin | flag_ack, .text = "the rest"});
  inject({.seq = peer_seq_ + 9, .flags = flag_rst});
  EXPECT_TRUE(tcp_.readable(id_).empty());
  EXPECT_FALSE(tcp_.at_end(id_));
}

// Text was taken in because memory for it was set aside; resets and an ARP packet of the same turn
// must not use it up.
TEST_F(TcpRegression, T50_NothingTakesTheMemoryThatTakenTextNeeds) {
  establish();
  while (arena_.free_count() > arena_.capacity() / 8 + 1) ASSERT_NE(arena_.acquire(), slot_none);
  inject({.seq = peer_seq_, .ack = our_seq_, .text = "taken"});
  for (int i = 0; i < 200; ++i)
    inject({.seq = 1, .flags = flag_syn}, remote_, {local_.address, 81});  // nobody listens
  output_.set_room(0, 512);
  output_.send_arp(0, MacAddress{{2, 0, 0, 0, 0, 2}}, {});
  EXPECT_EXIT(
      {
        tcp_.end_reading();
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

// --- stalls and connections lost ---

// The peer's window is shut and our probe octet is out: the peer takes only segments at its
// RCV.NXT, so an acknowledgment behind the probe would be dropped and its upload would stand still.
TEST_F(TcpRegression, T26_AcknowledgmentsDuringAZeroWindowStandWhereThePeerTakesThem) {
  establish(0, std::nullopt);
  write_text(100);
  ASSERT_EQ(wait(Duration::milliseconds(1'100)).size(), 1U) << "the probe";
  inject({.seq = peer_seq_, .ack = our_seq_, .window = 0, .text = "upload "});
  const auto answers =
      exchange({.seq = peer_seq_ + 7, .ack = our_seq_, .window = 0, .text = "goes on"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.ack.value(), peer_seq_ + 14);
  EXPECT_EQ(answers[0].segment.seq.value(), our_seq_);
}

// After a timeout the numbers are pulled back, but the peer may have everything: an acknowledgment
// that stands before its RCV.NXT is not acceptable to it.
TEST_F(TcpRegression, T2_AcknowledgmentsAfterATimeoutStandBehindAllThatWasSent) {
  establish();
  write_text(4 * 1'460);
  ASSERT_EQ(finish_turn().size(), 4U);
  ASSERT_EQ(wait(Duration::milliseconds(1'001)).size(), 1U) << "the first one again";
  inject({.seq = peer_seq_, .ack = our_seq_, .text = "a"});
  const auto answers = exchange({.seq = peer_seq_ + 1, .ack = our_seq_, .text = "b"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.seq.value(), our_seq_ + 4 * 1'460);
}

// The same of a reset: before the peer's RCV.NXT it is silently dropped (RFC 5961 section 3.2).
TEST_F(TcpRegression, T3_AResetAfterATimeoutStandsBehindAllThatWasSent) {
  establish();
  write_text(4 * 1'460);
  ASSERT_EQ(finish_turn().size(), 4U);
  ASSERT_EQ(wait(Duration::milliseconds(1'001)).size(), 1U);
  tcp_.abort(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.seq.value(), our_seq_ + 4 * 1'460);
}

// The peer takes back part of its window while a segment larger than the rest is lost.
TEST_F(TcpRegression, T27_ALostSegmentLargerThanAShrunkWindowIsStillSentAgain) {
  establish();
  write_text(1'000);
  ASSERT_EQ(finish_turn().size(), 1U);
  exchange({.seq = peer_seq_, .ack = our_seq_, .window = 500});
  EXPECT_FALSE(wait(Duration::seconds(10)).empty());
  wait(Duration::seconds(10));
  exchange({.seq = peer_seq_, .ack = our_seq_ + 500, .window = 500});
  EXPECT_FALSE(wait(Duration::seconds(20)).empty());
}

// The peer dropped every probe octet; when its window opens, the octet must not wait for the
// backed-off timer, which may stand at a minute.
TEST_F(TcpRegression, T26_AnOpenedWindowIsFilledFromTheProbeOctetOn) {
  establish(0, std::nullopt);
  write_text(100);
  for (int second = 0; second < 70; ++second) {
    for (size_t probes = wait(Duration::seconds(1)).size(); probes > 0; --probes)
      exchange({.seq = peer_seq_, .ack = our_seq_, .window = 0});
  }
  auto sent = exchange({.seq = peer_seq_, .ack = our_seq_, .window = 1'000});
  for (Seen& seen : wait(Duration::milliseconds(1'500))) sent.push_back(std::move(seen));
  bool from_the_probe_on = false;
  for (const Seen& seen : sent) from_the_probe_on |= seen.segment.seq.value() == our_seq_;
  EXPECT_TRUE(from_the_probe_on);
}

// A timer that was backed off for a closed window does not measure the loss of what follows.
TEST_F(TcpRegression, T22_TextBehindAClosedWindowIsRepeatedAfterAnOrdinaryTimeout) {
  establish(0, std::nullopt);
  write_text(100);
  for (int second = 0; second < 70; ++second) {
    for (size_t probes = wait(Duration::seconds(1)).size(); probes > 0; --probes)
      exchange({.seq = peer_seq_, .ack = our_seq_, .window = 0});
  }
  exchange({.seq = peer_seq_, .ack = our_seq_, .window = 1'000});  // what this brings is lost
  EXPECT_FALSE(wait(Duration::seconds(3)).empty());
}

// Closed with text queued: a slow reader that keeps acknowledging gets all of it (T29 bounds the
// wait for a peer that does nothing).
TEST_F(TcpRegression, T29_AnOrphanThatMakesProgressIsNotReset) {
  establish(2'920, std::nullopt);
  size_t queued = 0;
  while (queued < 18 * 1'460) {
    const size_t part = tcp_.write(id_, as_bytes(pattern(1'460)));
    if (part == 0) break;
    queued += part;
  }
  ASSERT_GT(queued, 12U * 1'460);
  tcp_.close(id_, now_);
  uint32_t acknowledged = 0;
  bool reset = false;
  for (int i = 0; i < 16 && !reset; ++i) {
    auto sent = finish_turn();
    for (Seen& seen : wait(Duration::seconds(6))) sent.push_back(std::move(seen));
    for (const Seen& seen : sent) reset |= seen.segment.has(flag_rst);
    acknowledged = std::min<uint32_t>(acknowledged + 1'460, static_cast<uint32_t>(queued));
    exchange({.seq = peer_seq_, .ack = our_seq_ + acknowledged, .window = 2'920});
  }
  EXPECT_FALSE(reset) << "after " << acknowledged << " of " << queued << " octets";
}

// Both sides opened: the peer's SYN-ACK repeats its SYN and acknowledges ours. Answering it with
// another SYN-ACK makes two such stacks answer each other without end.
TEST_F(TcpRegression, T1_SimultaneousOpenEnds) {
  const Seen syn = open_actively();
  const uint32_t iss = syn.segment.seq.value();
  const SocketAddress here = tcp_.local(id_);
  inject({.seq = peer_seq_, .flags = flag_syn}, remote_, here);
  ASSERT_EQ(finish_turn().at(0).segment.flags, flag_syn | flag_ack);
  inject({.seq = peer_seq_, .ack = iss + 1, .flags = flag_syn | flag_ack}, remote_, here);
  const auto answers = finish_turn();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.flags, flag_ack);
  EXPECT_EQ(state(), State::established);
}

// close() in SYN-RECEIVED bounds the orphan's life; the handshake's end must not lift the bound.
TEST_F(TcpRegression, T29_AnOrphanOfASimultaneousOpenEnds) {
  const uint32_t iss = open_actively().segment.seq.value();
  const SocketAddress here = tcp_.local(id_);
  inject({.seq = peer_seq_, .flags = flag_syn}, remote_, here);
  finish_turn();
  ASSERT_EQ(state(), State::syn_received);
  tcp_.close(id_, now_);
  inject({.seq = peer_seq_ + 1, .ack = iss + 1}, remote_, here);
  finish_turn();
  inject({.seq = peer_seq_ + 1, .ack = iss + 2}, remote_, here);
  finish_turn();
  wait(Duration::seconds(130));
  EXPECT_EQ(tcp_.connection_count(), 0U);
}

// The peer's acknowledgment of a request was lost to it and it sends the request again, its FIN
// merged into the same segment: nothing in it is new text, so nothing is lost.
TEST_F(TcpRegression, T30_TextThatWasTakenBeforeTheCloseIsNoReasonToReset) {
  establish();
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "request"});
  EXPECT_EQ(read_all(), "request");
  tcp_.write(id_, as_bytes("response"));
  tcp_.close(id_, now_);
  finish_turn();
  const auto answers = exchange(
      {.seq = peer_seq_, .ack = our_seq_, .flags = flag_fin | flag_ack, .text = "request"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_FALSE(answers[0].segment.has(flag_rst));
  EXPECT_EQ(answers[0].segment.ack.value(), peer_seq_ + 8);
}

// Text that peers sent and nobody has read yet must leave memory for writing it onwards: otherwise
// every upload waits for a write that waits for the uploads.
TEST_F(TcpRegression, T50_UnreadTextLeavesMemoryForWriting) {
  std::vector<ConnId> ids;
  for (uint16_t port = 1'000; port < 1'026; ++port) {
    remote_.port = port;
    peer_seq_ = 1'000;
    establish(65'535, 7);
    ids.push_back(id_);
  }
  uint32_t sequence = peer_seq_;
  for (int round = 0; round < 48; ++round, sequence += 1'460) {
    for (uint16_t port = 1'000; port < 1'026; ++port) {
      const ConnId id = ids[port - 1'000];
      const Connection& c = *tcp_.find(id);
      if (c.receive_edge - c.rcv_nxt < 1'460) continue;
      inject({.seq = c.rcv_nxt.value(), .ack = c.snd_una.value(), .text = pattern(1'460)},
             {remote_.address, port}, local_);
    }
    finish_turn();
  }
  EXPECT_GT(tcp_.writable(ids[0]), 0U)
      << arena_.free_count() << " slots free of " << arena_.capacity();
}

// While memory is scarce the window says what is taken of full segments: a sender that is promised
// more loses it, and waits for its retransmission timer where a window that opens would have told
// it at once.
TEST_F(TcpRegression, T50_WindowsPromiseWhatIsTaken) {
  const uint32_t capacity = arena_.capacity();
  struct Row {
    uint32_t free;
    uint32_t segments;
  };
  for (const Row& row : {Row{capacity * 3 / 8, 4U}, Row{capacity / 4, 1U}}) {
    SCOPED_TRACE(row.free);
    const std::vector<SlotIndex> taken = take_all_but(row.free);
    remote_.port++;
    peer_seq_ = 1'000;
    establish(65'535, 7);
    EXPECT_EQ(segments_promised(), row.segments);
    std::string text = pattern(1'460);
    for (uint32_t i = 0; i < row.segments; ++i, peer_seq_ += 1'460) {
      exchange({.seq = peer_seq_, .ack = our_seq_, .text = text});
      EXPECT_EQ(segments_promised(), row.segments - i - 1);
    }
    exchange({.seq = peer_seq_, .ack = our_seq_, .text = "x"});
    EXPECT_EQ(tcp_.find(id_)->rcv_nxt.value(), peer_seq_) << "nothing more";
    read_all();
    const auto update = finish_turn();
    ASSERT_EQ(update.size(), 1U) << "the window opens, and the peer is told";
    EXPECT_EQ(segments_promised(), row.segments);
    exchange({.seq = peer_seq_, .ack = our_seq_, .text = text});
    EXPECT_EQ(read_all(), text);
    events();
    for (const SlotIndex slot : taken) arena_.drop(slot);
  }
}

// Segments may be shorter than ours: what is left of the promise then must not keep the news of the
// next one back.
TEST_F(TcpRegression, T50_AWindowThatOpensIsToldToSendersOfShortSegmentsToo) {
  const std::vector<SlotIndex> taken = take_all_but(arena_.capacity() / 4);
  establish(65'535, 7);
  for (int i = 0; i < 3; ++i, peer_seq_ += 1'348) {
    exchange({.seq = peer_seq_, .ack = our_seq_, .text = pattern(1'348)});
    EXPECT_EQ(read_all().size(), 1'348U);
    ASSERT_EQ(finish_turn().size(), 1U);
    EXPECT_EQ(segments_promised(), 1U);
  }
  for (const SlotIndex slot : taken) arena_.drop(slot);
}

// Half a head may grow while memory is short, and promises little beyond what it is.
TEST_F(TcpRegression, T50_WhoCannotUseHalfIsPromisedMore) {
  const std::vector<SlotIndex> taken = take_all_but(arena_.capacity() * 3 / 8);
  establish(65'535, 7);
  uint32_t segments = 0;
  for (; segments < 100 && segments_promised() > 0; ++segments, peer_seq_ += 1'460) {
    exchange({.seq = peer_seq_, .ack = our_seq_, .text = pattern(1'460)});
    ASSERT_EQ(tcp_.find(id_)->rcv_nxt.value(), peer_seq_ + 1'460) << segments;
    EXPECT_LE(segments_promised(), receive_slots_min_passive);
    tcp_.want_text(id_);
    finish_turn();
  }
  EXPECT_EQ(tcp_.slots_held(), Limits{}.receive_slots_initial);  // which segments share
  read_all();
  finish_turn();
  EXPECT_EQ(segments_promised(), receive_slots_min_passive);
  for (const SlotIndex slot : taken) arena_.drop(slot);
}

// Text of peers may keep all but three sixteenths of the arena for good: a writer that waited for
// memory must not wait for more than that.
TEST_F(TcpRegression, T50_WritersAreWokenBelowWhatTextOfPeersLeaves) {
  establish(65'535, 7);
  std::vector<SlotIndex> taken = take_all_but(arena_.capacity() / 8);
  ASSERT_EQ(tcp_.writable(id_), 0U);
  tcp_.want_writable(id_);
  finish_turn();
  EXPECT_EQ(events() & event_writable, 0);
  for (; arena_.free_count() < arena_.capacity() * 3 / 16; taken.pop_back())
    arena_.drop(taken.back());
  finish_turn();
  EXPECT_EQ(events() & event_writable, event_writable);
  EXPECT_GT(tcp_.writable(id_), 0U);
  for (const SlotIndex slot : taken) arena_.drop(slot);
}

// A few connections with 64 holes of one octet each must not take what text in order needs.
TEST_F(TcpRegression, T36_T50_OutOfOrderTextLeavesMemoryForTextInOrder) {
  for (uint16_t port = 1'000; port < 1'015; ++port) {
    remote_.port = port;
    peer_seq_ = 1'000;
    establish(65'535, 7);
    for (uint32_t hole = 1; hole <= 64; ++hole)
      exchange({.seq = peer_seq_ + hole * 2, .ack = our_seq_, .text = "x"});
  }
  remote_.port = 2'000;
  peer_seq_ = 1'000;
  establish(65'535, 7);
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "in order"});
  EXPECT_EQ(read_all(), "in order")
      << arena_.free_count() << " slots free of " << arena_.capacity();
}

// An orphan's peer that takes one octet in a while must not hold the rest of the text for days
// (RFC 6429: resources are ours to reclaim).
TEST_F(TcpRegression, T26_T29_AnOrphanWhoseReaderTricklesEnds) {
  establish(1, std::nullopt);
  write_text(10 * 1'460);
  tcp_.close(id_, now_);
  uint32_t acknowledged = 0;
  for (int i = 0; i < 40 && tcp_.connection_count() > 0; ++i) {
    wait(Duration::seconds(90));
    exchange({.seq = peer_seq_, .ack = our_seq_ + ++acknowledged, .window = 1});
  }
  EXPECT_EQ(tcp_.connection_count(), 0U);
}

// --- wrong measurements and wrong numbers ---

// A segment that was sent and then cut (its window shut behind it) keeps the time it was sent at.
TEST_F(TcpRegression, T22_CuttingASentSegmentMakesNoMeasurement) {
  establish();
  write_text(1'000);
  ASSERT_EQ(finish_turn().size(), 1U);
  exchange({.seq = peer_seq_, .ack = our_seq_, .window = 0});
  ASSERT_EQ(wait(Duration::milliseconds(1'001)).size(), 1U) << "one octet of it, as a probe";
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1'000, .window = 0});
  EXPECT_LT(smoothed(), Duration::seconds(2));
}

// Karn: an acknowledgment that a repetition brought about measures nothing, though its last segment
// was sent only once.
TEST_F(TcpRegression, T22_AnAcknowledgmentThatCoversARepetitionMeasuresNothing) {
  establish();
  write_text(3 * 1'460);
  ASSERT_EQ(finish_turn().size(), 3U);
  ASSERT_EQ(wait(Duration::milliseconds(1'001)).size(), 1U);
  exchange({.seq = peer_seq_, .ack = our_seq_ + 3 * 1'460});
  EXPECT_FALSE(tcp_.find(id_)->round_trip.has_sample()) << smoothed().count_ms() << " ms";
}

// RFC 9293 section 3.6.1: whoever reopens a flow out of TIME-WAIT begins behind the numbers it
// used.
TEST_F(TcpRegression, T31_AReopenedFlowBeginsBehindItsOldNumbers) {
  establish(65'535, 7);
  write_text(10'000);
  finish_turn();
  tcp_.close(id_, now_);
  finish_turn();
  const uint32_t end = our_seq_ + 10'001;
  exchange({.seq = peer_seq_, .ack = end, .flags = flag_fin | flag_ack, .window = 512});
  ASSERT_EQ(tcp_.time_wait_count(), 1U);
  const auto fresh = exchange({.seq = peer_seq_ + 1'000, .flags = flag_syn});
  ASSERT_EQ(fresh.size(), 1U);
  ASSERT_EQ(fresh[0].segment.flags, flag_syn | flag_ack);
  EXPECT_GT(fresh[0].segment.seq, Seq(end));
}

// RFC 7323 section 5.5: what is no longer believed after 24 days is replaced, or the peer measures
// its round trip against a timestamp of last month.
TEST_F(TcpRegression, T14_ATimestampThatOutlivedItsClockIsReplaced) {
  Options options;
  options.has_timestamps = true;
  options.timestamp_value = 1'000;
  const auto syn_ack = exchange({.seq = peer_seq_, .flags = flag_syn, .options = options});
  our_seq_ = syn_ack.at(0).segment.seq.value() + 1;
  peer_seq_ += 1;
  exchange({.seq = peer_seq_, .ack = our_seq_, .options = options});
  id_ = tcp_.next_ready()->id;
  now_ = now_ + Duration::seconds(25 * 86'400);
  options.timestamp_value = 1'000 + 25U * 86'400'000;  // a millisecond clock: "older" by now
  inject({.seq = peer_seq_, .ack = our_seq_, .text = "a", .options = options});
  const auto answers =
      exchange({.seq = peer_seq_ + 1, .ack = our_seq_, .text = "b", .options = options});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].segment.options.timestamp_echo, options.timestamp_value);
}

// The mark of the last recovery grows old: after 2^31 octets it would seem to lie ahead and forbid
// fast retransmission.
TEST_F(TcpRegression, T54_TheMarkOfAnOldRecoveryDoesNotForbidTheNext) {
  establish(65'535, 7);
  // As after a recovery nearly 2^31 octets ago.
  write_text(1'460);
  auto& t = const_cast<Transfer&>(*tcp_.find_transfer(id_));
  t.recover = tcp_.find(id_)->snd_una - 0x7fff'ff00U;
  t.retransmits = 1;
  finish_turn();
  our_seq_ += 1'460;
  exchange({.seq = peer_seq_, .ack = our_seq_, .window = 512});
  write_text(8 * 1'460);
  finish_turn();
  for (int i = 0; i < 4; ++i) exchange({.seq = peer_seq_, .ack = our_seq_, .window = 512});
  EXPECT_EQ(counters_[Counter::tcp_fast_retransmits], 1U);
}

// --- rules ---

// A SYN-ACK is out; a reset in the window but not at RCV.NXT, or a SYN, gets its challenge here
// too.
TEST_F(TcpRegression, T3_T4_SynReceivedAnswersWithAChallenge) {
  exchange({.seq = peer_seq_, .flags = flag_syn});
  EXPECT_EQ(exchange({.seq = peer_seq_ + 100, .flags = flag_syn}).size(), 1U);
}

// A client that tries Fast Open says its SYN again with the text on it.
TEST_F(TcpRegression, T42_ARepeatedSynWithTextGetsItsSynAckAgain) {
  ASSERT_EQ(exchange({.seq = peer_seq_, .flags = flag_syn, .text = "early"}).size(), 1U);
  const auto again = exchange({.seq = peer_seq_, .flags = flag_syn, .text = "early"});
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].segment.flags, flag_syn | flag_ack);
}

// RFC 5681 section 3.2: duplicate acknowledgments inflate by at most what was in flight, or a peer
// that repeats one without end opens the window at will (T21).
TEST_F(TcpRegression, T21_DuplicatesInflateByNoMoreThanTheFlight) {
  establish(65'535, 7);
  write_text(36 * 1'460);
  const size_t flight = finish_turn().size();
  ASSERT_EQ(flight, 10U);
  size_t sent = 0;
  for (int i = 0; i < 200; ++i)
    sent += exchange({.seq = peer_seq_, .ack = our_seq_, .window = 65'535}).size();
  EXPECT_LE(sent, 1 + flight);
}

// Two records that disagree must not answer each other without end (T7).
TEST_F(TcpRegression, T7_TimeWaitDoesNotAnswerEveryStrayAcknowledgment) {
  establish();
  tcp_.close(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  ASSERT_EQ(tcp_.time_wait_count(), 1U);
  size_t answers = 0;
  for (int i = 0; i < 100; ++i)
    answers += exchange({.seq = peer_seq_ - 10, .ack = our_seq_ + 1}).size();
  EXPECT_LE(answers, 1U);
}

// RFC 1337 holds also while the application still has the connection.
TEST_F(TcpRegression, T31_AResetDoesNotEndTimeWaitBeforeTheApplicationHasClosed) {
  establish();
  tcp_.shutdown(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  ASSERT_EQ(state(), State::time_wait);
  exchange({.seq = peer_seq_ + 1, .flags = flag_rst});
  EXPECT_EQ(state(), State::time_wait);
  EXPECT_EQ(events() & event_aborted, 0);
}

// A SYN with a FIN opens nothing, so it must not end TIME-WAIT either.
TEST_F(TcpRegression, T31_OnlyASynThatOpensEndsTimeWait) {
  establish();
  tcp_.close(id_, now_);
  finish_turn();
  exchange({.seq = peer_seq_, .ack = our_seq_ + 1, .flags = flag_fin | flag_ack});
  ASSERT_EQ(tcp_.time_wait_count(), 1U);
  exchange({.seq = peer_seq_ + 1'000, .flags = flag_syn | flag_fin});
  EXPECT_EQ(tcp_.time_wait_count(), 1U);
}

// Text and FIN went out, then everything timed out; the peer acknowledges the text alone. The FIN
// is next and need not wait for another timeout.
TEST_F(TcpRegression, T29_TheFinFollowsAtOnceWhenThePulledBackTextIsAcknowledged) {
  establish();
  write_text(3 * 1'460);
  tcp_.close(id_, now_);
  ASSERT_EQ(finish_turn().size(), 3U);
  wait(Duration::milliseconds(1'001));
  const auto sent = exchange({.seq = peer_seq_, .ack = our_seq_ + 3 * 1'460});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].segment.has(flag_fin));
}

// What a guesser needs is one number in the window; until its acknowledgment is believed too, its
// segment must change nothing. A timestamp from the future would make PAWS refuse the real peer.
TEST_F(TcpRegression, T5_T14_ATimestampCountsOnlyWithABelievableAcknowledgment) {
  Options options;
  options.has_timestamps = true;
  options.timestamp_value = 1'000;
  const auto syn_ack = exchange({.seq = peer_seq_, .flags = flag_syn, .options = options});
  our_seq_ = syn_ack.at(0).segment.seq.value() + 1;
  peer_seq_ += 1;
  exchange({.seq = peer_seq_, .ack = our_seq_, .options = options});
  id_ = tcp_.next_ready()->id;
  options.timestamp_value += 0x4000'0000;
  exchange({.seq = peer_seq_, .ack = our_seq_ + 5'000, .text = "guess", .options = options});
  exchange({.seq = peer_seq_, .flags = flag_psh, .text = "guess", .options = options});
  options.timestamp_value = 1'001;
  exchange({.seq = peer_seq_, .ack = our_seq_, .text = "real", .options = options});
  EXPECT_EQ(read_all(), "real");
}

// Nor must it lead our answers to another station.
TEST_F(TcpRegression, T5_ThePathFollowsOnlyABelievableAcknowledgment) {
  establish();
  const MacAddress before = tcp_.find(id_)->path.mac();
  back_ = net::IpOutput::path_back(0, MacAddress{{2, 0, 0, 0, 0, 66}});
  exchange({.seq = peer_seq_ + 500, .ack = our_seq_ + 5'000, .text = "guess"});
  EXPECT_EQ(tcp_.find(id_)->path.mac(), before);
}

// The third duplicate came while memory was short: the repetition waits for memory, not for the
// retransmission timer.
TEST_F(TcpRegression, FastRetransmissionOutlivesAShortageOfMemory) {
  establish(65'535, 7);
  write_text(8 * 1'460);
  output_.set_room(0, 512);
  tcp_.egress(0, now_);  // still in the port: sending again needs a copy
  std::vector<SlotIndex> taken;
  while (arena_.free_count() > 0) taken.push_back(arena_.acquire());
  for (int i = 0; i < 3; ++i) inject({.seq = peer_seq_, .ack = our_seq_});
  ASSERT_EQ(counters_[Counter::tcp_fast_retransmits], 1U);
  tcp_.egress(0, now_);
  for (const SlotIndex slot : taken) arena_.drop(slot);
  finish_turn();  // hands back what the port had
  now_ = now_ + Duration::milliseconds(1);
  EXPECT_EQ(counters_[Counter::tcp_segments_retransmitted], 1U);
}

// An old segment without text (a keepalive probe stands one octet early) says nothing about loss.
TEST_F(TcpRegression, SegmentsOutsideTheWindowAreNoDuplicateAcknowledgments) {
  establish(65'535, 7);
  write_text(8 * 1'460);
  finish_turn();
  for (int i = 0; i < 3; ++i) exchange({.seq = peer_seq_ - 1, .ack = our_seq_});
  EXPECT_EQ(counters_[Counter::tcp_fast_retransmits], 0U);
}

}  // namespace
}  // namespace millrace::tcp
