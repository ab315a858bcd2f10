#include "dataplane/tcp/syn_cookie.h"

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

constexpr Instant start = Instant::from_ns(1'000'000'000'000);

Options asked(uint16_t mss) {
  Options options;
  options.has_mss = true;
  options.mss = mss;
  return options;
}

FlowKey flow_from(uint16_t port) {
  return {{Ipv4Address::from_octets(10, 0, 0, 1), 80},
          {Ipv4Address::from_octets(10, 0, 0, 2), port}};
}

TEST(SynCookieTest, T9_SaysTheMssOrOneALittleSmaller) {
  SynCookies cookies({1, 2});
  const auto back = [&](const Options& options) {
    return cookies.check(flow_from(1), Seq(7), cookies.make(flow_from(1), Seq(7), options, start),
                         start);
  };
  EXPECT_EQ(back(asked(1'460)), 1'460);
  EXPECT_EQ(back(asked(1'461)), 1'460);
  EXPECT_EQ(back(asked(9'000)), 8'960);
  EXPECT_EQ(back(asked(100)), 536);
  EXPECT_EQ(back({}), 536);
}

TEST(SynCookieTest, T9_IsGoodForOneFlowAndOneSequenceNumber) {
  SynCookies cookies({1, 2});
  const Seq cookie = cookies.make(flow_from(1), Seq(7), asked(1'460), start);
  EXPECT_TRUE(cookies.check(flow_from(1), Seq(7), cookie, start));
  EXPECT_FALSE(cookies.check(flow_from(2), Seq(7), cookie, start));
  EXPECT_FALSE(cookies.check(flow_from(1), Seq(8), cookie, start));
  SynCookies others({1, 3});
  EXPECT_FALSE(others.check(flow_from(1), Seq(7), cookie, start));
}

TEST(SynCookieTest, T9_ExpiresWithItsPeriods) {
  SynCookies cookies({1, 2});
  const Seq cookie = cookies.make(flow_from(1), Seq(7), asked(1'460), start);
  EXPECT_TRUE(cookies.check(flow_from(1), Seq(7), cookie, start + SynCookies::period));
  EXPECT_TRUE(cookies.may_return(start + SynCookies::period));
  for (int periods = 2; periods < 80; ++periods) {
    const Instant later = start + SynCookies::period * periods;
    EXPECT_FALSE(cookies.check(flow_from(1), Seq(7), cookie, later)) << periods;
    EXPECT_FALSE(cookies.may_return(later));
  }
}

TEST(SynCookieTest, T9_GuessesAreRefused) {
  SynCookies cookies({1, 2});
  cookies.make(flow_from(1), Seq(7), asked(1'460), start);
  Random random(3);
  int right = 0;
  for (uint32_t guess = 0; guess < 1U << 20; ++guess) {
    const Seq cookie(static_cast<uint32_t>(random.next()));
    right += cookies.check(flow_from(1), Seq(7), cookie, start) ? 1 : 0;
  }
  EXPECT_EQ(right, 0);
}

TEST(SynCookieTest, T9_NumbersLookRandom) {
  SynCookies cookies({1, 2});
  std::array<int, 256> low{};
  std::array<int, 256> high{};
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) {
    const Seq cookie =
        cookies.make(flow_from(static_cast<uint16_t>(i)), Seq(i), asked(1'460), start);
    ++low[cookie.value() & 0xff];
    ++high[cookie.value() >> 24];
  }
  // Chi squared with 255 degrees of freedom: beyond 330 once in a thousand.
  const auto chi_squared = [](const std::array<int, 256>& seen) {
    double sum = 0;
    const double expected = count / 256.0;
    for (const int n : seen) sum += (n - expected) * (n - expected) / expected;
    return sum;
  };
  EXPECT_LT(chi_squared(low), 330);
  EXPECT_LT(chi_squared(high), 330);
}

TEST(SynCookieTest, T9_TheTimestampCarriesOptionsAndIsNeverAhead) {
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    Options options;
    options.has_window_scale = random.chance(0.5);
    options.window_scale = static_cast<uint8_t>(options.has_window_scale ? random.below(15) : 0);
    options.sack_permitted = random.chance(0.5);
    const auto timestamp = static_cast<uint32_t>(random.next());
    const uint32_t with = SynCookies::timestamp_with(options, timestamp);
    EXPECT_LE(timestamp - with, 64U + 63U);
    const Options back = SynCookies::options_in(with);
    EXPECT_EQ(back.has_window_scale, options.has_window_scale);
    EXPECT_EQ(back.window_scale, options.window_scale);
    EXPECT_EQ(back.sack_permitted, options.sack_permitted);
  }
}

class SynFloodTest : public TcpHarness {
 protected:
  // As many handshakes as there is room for, from peers that do not exist.
  void flood() {
    for (uint16_t port = 1'000; port < 1'008; ++port)
      inject({.seq = 1, .flags = flag_syn}, {remote_.address, port}, local_);
    finish_turn();
    ASSERT_EQ(tcp_.half_open_count(), 8U);
  }
  static Options all_options() {
    Options options = asked(peer_mss);
    options.has_window_scale = true;
    options.window_scale = 7;
    options.sack_permitted = true;
    options.has_timestamps = true;
    options.timestamp_value = 100;
    return options;
  }
};

TEST_F(SynFloodTest, T9_AHandshakeSucceedsWhenThereIsNoRoomForIt) {
  flood();
  const uint32_t before = tcp_.connection_count();
  auto sent = exchange({.seq = peer_seq_, .flags = flag_syn, .options = all_options()});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.flags, flag_syn | flag_ack);
  EXPECT_TRUE(sent[0].segment.options.has_mss);
  EXPECT_TRUE(sent[0].segment.options.sack_permitted);
  EXPECT_TRUE(sent[0].segment.options.has_window_scale);
  EXPECT_EQ(tcp_.connection_count(), before) << "nothing is remembered";
  // It is not said again.
  our_seq_ = sent[0].segment.seq.value() + 1;
  now_ = now_ + Duration::milliseconds(30);
  Options stamped;
  stamped.has_timestamps = true;
  stamped.timestamp_value = 130;
  stamped.timestamp_echo = sent[0].segment.options.timestamp_value;
  sent = exchange(
      {.seq = peer_seq_ + 1, .ack = our_seq_, .window = 500, .text = "hello", .options = stamped});
  const auto ready = tcp_.next_ready();
  ASSERT_TRUE(ready && (ready->events & event_accepted) != 0);
  id_ = ready->id;
  const Connection& c = *tcp_.find(id_);
  EXPECT_EQ(c.state, State::established);
  EXPECT_TRUE(c.timestamps && c.window_scaling && c.selective_acknowledgments);
  EXPECT_EQ(c.send_shift, 7);
  EXPECT_EQ(c.snd_wnd, 500U << 7);
  EXPECT_EQ(c.send_mss, peer_mss - timestamps_option_bytes);
  EXPECT_EQ(read_all(), "hello");
  EXPECT_EQ(tcp_.half_open_count(), 8U);
  // Our timestamps go on from where the cookie's was.
  peer_seq_ += 6;
  stamped.timestamp_value = 131;
  sent = exchange({.seq = peer_seq_, .ack = our_seq_, .text = "x", .options = stamped});
  for (const Seen& seen : wait(Duration::milliseconds(50))) sent.push_back(seen);
  ASSERT_FALSE(sent.empty());
  EXPECT_GE(static_cast<int32_t>(sent[0].segment.options.timestamp_value - stamped.timestamp_echo),
            0);
}

TEST_F(SynFloodTest, T9_WithoutTimestampsTheOptionsAreNotOffered) {
  flood();
  Options options = all_options();
  options.has_timestamps = false;
  auto sent = exchange({.seq = peer_seq_, .flags = flag_syn, .options = options});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_FALSE(sent[0].segment.options.has_window_scale);
  EXPECT_FALSE(sent[0].segment.options.sack_permitted);
  our_seq_ = sent[0].segment.seq.value() + 1;
  exchange({.seq = peer_seq_ + 1, .ack = our_seq_, .window = 500});
  const auto ready = tcp_.next_ready();
  ASSERT_TRUE(ready);
  EXPECT_EQ(tcp_.find(ready->id)->snd_wnd, 500U);
}

TEST_F(SynFloodTest, T9_AnAcknowledgmentThatIsNoCookieIsReset) {
  flood();
  exchange({.seq = peer_seq_, .flags = flag_syn, .options = all_options()});
  const auto sent = exchange({.seq = peer_seq_ + 1, .ack = 12'345});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment.flags, flag_rst);
  EXPECT_EQ(sent[0].segment.seq.value(), 12'345U);
  EXPECT_EQ(counters_[Counter::tcp_syn_cookies_refused], 1U);
}

TEST_F(SynFloodTest, T9_CookiesAreNotLookedAtWhenNoneWasMade) {
  const auto sent = exchange({.seq = peer_seq_ + 1, .ack = 12'345});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(counters_[Counter::tcp_syn_cookies_refused], 0U);
}

TEST_F(SynFloodTest, T10_ResetsToAGroupOfPeersAreLimited) {
  size_t sent = 0;
  for (int i = 0; i < 1'000; ++i) {
    inject({.seq = 1, .ack = static_cast<uint32_t>(i)}, {remote_.address, 999}, local_);
    sent += finish_turn().size();
  }
  EXPECT_GE(sent, 64U);
  EXPECT_LE(sent, 128U);
  // Somebody else has a share of its own.
  const SocketAddress other{Ipv4Address::from_octets(10, 0, 0, 77), 999};
  inject({.seq = 1, .ack = 5}, other, local_);
  EXPECT_EQ(finish_turn().size(), 1U);
  now_ = now_ + Duration::seconds(2);
  inject({.seq = 1, .ack = 5}, {remote_.address, 999}, local_);
  EXPECT_EQ(finish_turn().size(), 1U);
}

}  // namespace
}  // namespace millrace::tcp
