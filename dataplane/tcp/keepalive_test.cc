// What an application asks for on one connection: keep-alive probes (T28) and Nagle's algorithm
// (T25).
#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

class KeepAliveTest : public TcpHarness {
 protected:
  static Limits limits() {
    Limits limits = small_limits();
    limits.keepalive = {Duration::seconds(60), Duration::seconds(10), 3};
    return limits;
  }
  KeepAliveTest() : TcpHarness(limits()) {}

  // In steps of a tenth of a second, to be quick.
  std::vector<Seen> wait_seconds(int64_t seconds) {
    std::vector<Seen> sent;
    for (int64_t step = 0; step < seconds * 10; ++step) {
      now_ = now_ + Duration::milliseconds(100);
      for (Seen& seen : finish_turn()) sent.push_back(std::move(seen));
    }
    return sent;
  }
};

TEST_F(KeepAliveTest, T28_OffUnlessAskedFor) {
  establish();
  EXPECT_TRUE(wait_seconds(7'300).empty());
  EXPECT_EQ(state(), State::established);
}

TEST_F(KeepAliveTest, T28_AProbeStandsOneOctetBeforeAndAnAnswerIsEnough) {
  establish();
  tcp_.set_keepalive(id_, true, now_);
  EXPECT_TRUE(wait_seconds(59).empty());
  const auto probe = wait_seconds(2);
  ASSERT_EQ(probe.size(), 1U);
  EXPECT_EQ(probe[0].segment.seq.value(), our_seq_ - 1);
  EXPECT_TRUE(probe[0].segment.text.empty());
  exchange({.seq = peer_seq_, .ack = our_seq_});
  // Another minute of rest.
  EXPECT_TRUE(wait_seconds(55).empty());
  EXPECT_EQ(wait_seconds(10).size(), 1U);
}

TEST_F(KeepAliveTest, T28_OneLostProbeKillsNothingThreeInARowDo) {
  establish();
  tcp_.set_keepalive(id_, true, now_);
  EXPECT_EQ(wait_seconds(72).size(), 2U);
  exchange({.seq = peer_seq_, .ack = our_seq_});
  EXPECT_EQ(state(), State::established);
  const auto sent = wait_seconds(60 + 3 * 10 + 5);
  ASSERT_EQ(sent.size(), 4U);
  EXPECT_TRUE(sent[3].segment.has(flag_rst));
  EXPECT_NE(events() & event_aborted, 0);
  EXPECT_EQ(counters_[Counter::tcp_keepalive_gave_up], 1U);
  tcp_.close(id_, now_);
  expect_all_free();
}

TEST_F(KeepAliveTest, T28_TextIsRetransmittedByItsOwnTimer) {
  establish();
  tcp_.set_keepalive(id_, true, now_);
  wait_seconds(30);
  const std::string text = "hello";
  tcp_.write(id_, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  EXPECT_EQ(finish_turn().size(), 1U);
  EXPECT_GE(wait_seconds(3).size(), 1U) << "after the retransmission timeout, not after a minute";
  exchange({.seq = peer_seq_, .ack = our_seq_ + 5});
  our_seq_ += 5;
  EXPECT_TRUE(wait_seconds(55).empty());
  EXPECT_EQ(wait_seconds(10).size(), 1U);
}

TEST_F(KeepAliveTest, T25_NagleHoldsAShortSegmentWhileSomethingIsInFlight) {
  establish();
  const auto write = [&](const std::string& text) {
    tcp_.write(id_, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    return finish_turn();
  };
  EXPECT_EQ(write("a").size(), 1U);
  EXPECT_EQ(write("b").size(), 1U) << "off unless asked for";
  exchange({.seq = peer_seq_, .ack = our_seq_ + 2});
  our_seq_ += 2;
  tcp_.set_nagle(id_, true);
  EXPECT_EQ(write("c").size(), 1U);
  EXPECT_TRUE(write("d").empty());
  EXPECT_TRUE(write("e").empty());
  auto sent = exchange({.seq = peer_seq_, .ack = our_seq_ + 1});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].text(), "de");
  // A full segment does not wait, and what ends the connection does not either.
  sent = write(pattern(peer_mss));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(write("f").empty());
  tcp_.shutdown(id_, now_);
  sent = finish_turn();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].segment.has(flag_fin));
}

}  // namespace
}  // namespace millrace::tcp
