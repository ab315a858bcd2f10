// Connections at rest: what they cost, and that nothing of a dialogue depends on whether the record
// of what is under way was given back in between.
#include <gtest/gtest.h>

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

class TransferTest : public TcpHarness {
 protected:
  explicit TransferTest(Limits limits = small_limits()) : TcpHarness(limits) {}

  // A request of the peer's and our answer, acknowledged.
  void converse() {
    inject({.seq = peer_seq_, .ack = our_seq_, .text = "ask"});
    EXPECT_EQ(read_all(), "ask");
    peer_seq_ += 3;
    ASSERT_EQ(tcp_.write(id_, as_bytes(std::string_view("answer"))), 6U);
    const auto sent = finish_turn();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].text(), "answer");
    EXPECT_EQ(sent[0].segment.seq.value(), our_seq_);
    EXPECT_EQ(sent[0].segment.ack.value(), peer_seq_);
    our_seq_ += 6;
    exchange({.seq = peer_seq_, .ack = our_seq_});
  }
  bool at_rest() const { return tcp_.find_transfer(id_) == nullptr; }
};

TEST_F(TransferTest, AnIdleConnectionCostsAtMost192Octets) {
  EXPECT_LE(Tcp::idle_connection_bytes(), 192U);
  // What construction takes a connection is the same sum, but for the rounding of the flow table.
  const auto bytes_of = [&](uint32_t connections) {
    Limits limits = small_limits();
    limits.connections = connections;
    limits.transfers = 64;
    return Tcp(limits, Keys{}, arena_, output_, counters_, now_).memory_bytes();
  };
  const size_t each = (bytes_of(65'536) - bytes_of(32'768)) / 32'768;
  EXPECT_EQ(each, Tcp::idle_connection_bytes());
}

TEST_F(TransferTest, RestsOnlyAfterAPauseAndGoesOnAsBefore) {
  establish();
  for (int round = 0; round < 5; ++round) {
    converse();
    EXPECT_FALSE(at_rest()) << "a pause between two bursts is no rest";
    EXPECT_TRUE(wait(Duration::milliseconds(500)).empty());
    EXPECT_TRUE(at_rest());
    EXPECT_EQ(tcp_.transfer_count(), 0U);
    EXPECT_EQ(tcp_.slots_held(), 0U);
  }
  tcp_.abort(id_, now_);
  finish_turn();
  expect_all_free();
}

TEST_F(TransferTest, EveryCallIsAnsweredAtRest) {
  establish();
  wait(Duration::milliseconds(500));
  ASSERT_TRUE(at_rest());
  EXPECT_TRUE(tcp_.readable(id_).empty());
  EXPECT_FALSE(tcp_.has_more_than(id_, 0));
  EXPECT_FALSE(tcp_.at_end(id_));
  EXPECT_FALSE(tcp_.peer_has_ended(id_));
  std::array<uint8_t, 4> out;
  EXPECT_EQ(tcp_.peek(id_, out), 0U);
  EXPECT_TRUE(at_rest());
  tcp_.icmp_error({}, now_);
  tcp_.close(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.flags, flag_fin | flag_ack);
}

TEST_F(TransferTest, ResetAndAbortAtRest) {
  establish();
  wait(Duration::milliseconds(500));
  ASSERT_TRUE(at_rest());
  tcp_.abort(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].segment.has(flag_rst));
  EXPECT_EQ(sent[0].segment.seq.value(), our_seq_);
  expect_all_free();

  remote_.port += 1;
  establish();
  wait(Duration::milliseconds(500));
  exchange({.seq = peer_seq_, .flags = flag_rst});
  EXPECT_EQ(events(), event_aborted);
  tcp_.close(id_, now_);
  finish_turn();
  expect_all_free();
}

TEST_F(TransferTest, TheApplicationsDeadlineComesOnceAndOnTime) {
  establish();
  tcp_.set_deadline(id_, now_ + Duration::seconds(2));
  converse();
  events();
  wait(Duration::milliseconds(1'900));
  EXPECT_TRUE(at_rest());
  EXPECT_EQ(events(), 0);
  wait(Duration::milliseconds(200));
  EXPECT_EQ(events(), event_deadline);
  EXPECT_EQ(state(), State::established);
  wait(Duration::seconds(3));
  EXPECT_EQ(events(), 0);
  tcp_.set_deadline(id_, now_ + Duration::seconds(1));
  tcp_.set_deadline(id_, Instant::never());
  wait(Duration::seconds(2));
  EXPECT_EQ(events(), 0);
}

class KeptTextTest : public TransferTest {
 protected:
  std::string kept() const {
    std::array<uint8_t, 8'192> out;
    return std::string(as_text(ByteView(out).first(tcp_.peek_sent(id_, out))));
  }
  void write(const std::string& text) { ASSERT_TRUE(tcp_.write_whole(id_, as_bytes(text))); }
};

TEST_F(KeptTextTest, StaysWhenAcknowledgedInPartsUntilItIsForgotten) {
  establish();
  write("before");
  finish_turn();
  tcp_.keep_sent(id_);
  const std::string text = pattern(3'000);
  write(text);
  EXPECT_EQ(kept(), text) << "also before it is sent";
  finish_turn();
  const uint32_t begin = our_seq_;
  for (const uint32_t acknowledged : {3U, 6U, 500U, 2'000U, 3'006U}) {
    exchange({.seq = peer_seq_, .ack = begin + acknowledged});
    EXPECT_EQ(kept(), text) << acknowledged;
  }
  EXPECT_EQ(tcp_.slots_held(), 3U);
  std::array<uint8_t, 2'999> small;
  EXPECT_EQ(tcp_.peek_sent(id_, small), 0U);
  wait(Duration::milliseconds(500));
  EXPECT_FALSE(at_rest());
  tcp_.forget_sent(id_);
  EXPECT_EQ(kept(), "");
  EXPECT_EQ(tcp_.slots_held(), 0U);
  wait(Duration::milliseconds(500));
  EXPECT_TRUE(at_rest());
}

TEST_F(KeptTextTest, OutlivesAResetUntilTheApplicationCloses) {
  for (const bool acknowledged : {false, true}) {
    remote_.port += 1;
    establish();
    tcp_.keep_sent(id_);
    write("GET / HTTP/1.1");
    finish_turn();
    if (acknowledged) exchange({.seq = peer_seq_, .ack = our_seq_ + 14});
    inject({.seq = peer_seq_, .ack = our_seq_, .text = "unread"});
    exchange({.seq = peer_seq_ + 6, .flags = flag_rst});
    EXPECT_NE(events() & event_aborted, 0);
    EXPECT_EQ(kept(), "GET / HTTP/1.1");
    EXPECT_TRUE(tcp_.readable(id_).empty());
    EXPECT_FALSE(tcp_.at_end(id_));
    EXPECT_EQ(tcp_.write(id_, as_bytes(std::string_view("x"))), 0U);
    tcp_.consume(id_, 6, now_);
    tcp_.close(id_, now_);
    finish_turn();
    expect_all_free();
  }
}

TEST_F(KeptTextTest, WhatIsSentAgainInPartIsNotHadBackInPart) {
  establish();
  tcp_.keep_sent(id_);
  write("0123456789");
  // The port keeps the frame: sending it again needs a copy, which begins at the fifth octet.
  tcp_.end_reading();
  tcp_.egress(0, now_);
  inject({.seq = peer_seq_, .ack = our_seq_ + 5});
  tcp_.end_reading();
  now_ = now_ + Duration::seconds(2);
  tcp_.advance(now_);
  output_.set_room(0, 512);
  tcp_.egress(0, now_);
  finish_turn();
  EXPECT_TRUE(kept() == "0123456789" || kept().empty()) << kept();
}

// What a small window has cut is put together again while it is unsent, but not what may be wanted
// back: that stays where it was written.
TEST_F(KeptTextTest, T25_IsWholeAlsoWhenASmallWindowHasCutIt) {
  establish(1'000);
  tcp_.keep_sent(id_);
  const std::string text = pattern(3'000);
  write(text);
  uint32_t acknowledged = 0;
  std::vector<Seen> sent = finish_turn();
  const uint32_t begin = our_seq_;
  for (int turn = 0; turn < 20 && acknowledged < text.size(); ++turn) {
    for (const Seen& seen : sent) acknowledged += static_cast<uint32_t>(seen.segment.text.size());
    sent = exchange({.seq = peer_seq_, .ack = begin + acknowledged, .window = 1'000});
    EXPECT_EQ(kept(), text) << acknowledged;
  }
  EXPECT_EQ(acknowledged, text.size());
}

class ScarceTransferTest : public TransferTest {
 protected:
  static Limits scarce() {
    Limits limits = small_limits();
    limits.transfers = 2;
    return limits;
  }
  ScarceTransferTest() : TransferTest(scarce()) {}
};

TEST_F(ScarceTransferTest, WithoutRecordsSegmentsAreDroppedCountedAndTakenLater) {
  establish();
  wait(Duration::milliseconds(500));
  ASSERT_TRUE(at_rest());
  // Two strangers in the middle of their handshakes hold both records.
  for (uint16_t port = 1; port <= 2; ++port) {
    inject({.seq = 1, .flags = flag_syn}, {remote_.address, port}, local_);
  }
  EXPECT_EQ(finish_turn().size(), 2U);
  inject({.seq = 1, .flags = flag_syn}, {remote_.address, 3}, local_);
  EXPECT_TRUE(finish_turn().empty()) << "no record for a third";
  EXPECT_TRUE(exchange({.seq = peer_seq_, .ack = our_seq_, .text = "ask"}).empty());
  EXPECT_EQ(counters_[Counter::tcp_transfer_table_full], 2U);
  EXPECT_EQ(tcp_.write(id_, as_bytes(std::string_view("x"))), 0U);
  tcp_.want_writable(id_);
  EXPECT_EQ(events(), event_writable) << "asked again next turn, not forgotten";
  // They go; what was dropped comes again.
  for (uint16_t port = 1; port <= 2; ++port) {
    inject({.seq = 2, .flags = flag_rst}, {remote_.address, port}, local_);
  }
  finish_turn();
  converse();
}

TEST_F(ScarceTransferTest, AnEndWithoutARecordIsAReset) {
  establish();
  wait(Duration::milliseconds(500));
  for (uint16_t port = 1; port <= 2; ++port) {
    inject({.seq = 1, .flags = flag_syn}, {remote_.address, port}, local_);
  }
  finish_turn();
  tcp_.shutdown(id_, now_);
  EXPECT_EQ(events(), event_aborted);
  tcp_.close(id_, now_);
  const auto sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].segment.has(flag_rst));
  EXPECT_EQ(tcp_.connection_count(), 2U);
}

}  // namespace
}  // namespace millrace::tcp
