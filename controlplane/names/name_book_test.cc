// The book of names against a DNS server of the test's own. Time is virtual, but for c-ares's.
#include "controlplane/names/name_book.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "controlplane/names/dns_server_test_support.h"

namespace millrace::names {
namespace {

using testing::DnsServer;
using testing::ScriptedAnswer;

class NameBookTest : public ::testing::Test {
 protected:
  // Turns the book at the time that it is, until `is_done`, and answers what is asked. Real time
  // bounds it.
  void run(const std::function<bool()>& is_done) {
    const Instant end = MonotonicClock().now() + Duration::seconds(20);
    while (true) {
      for (const std::string& name : book_.turn(now_)) ++news_[name];
      server_.serve();
      if (is_done()) return;
      if (MonotonicClock().now() > end) FAIL() << "nothing comes of it";
      pollfd ready[] = {{book_.fd(), POLLIN, 0}, {server_.fd(), POLLIN, 0}};
      poll(ready, 2, 5);
    }
  }
  // Until this name was answered, or failed, once more.
  void run_until_news(const std::string& name) {
    const int before = news_[name];
    run([&] { return news_[name] > before; });
  }
  // Nothing is asked for now, nor comes.
  void expect_quiet() {
    const int asked = count_asked();
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(book_.turn(now_).empty());
      server_.serve();
      poll(nullptr, 0, 1);
    }
    EXPECT_EQ(count_asked(), asked);
  }
  int count_asked() const {
    int count = 0;
    for (const auto& [name, times] : server_.asked) count += times;
    return count;
  }
  std::string addresses(const std::string& name) const {
    const KnownName* known = book_.find(name);
    if (known == nullptr) return "not wanted";
    std::string text;
    for (const Ipv4Address address : known->addresses) text += address.text() + ' ';
    return text + known->failure;
  }
  void pass(Duration time) { now_ = now_ + time; }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  DnsServer server_;
  NameBook book_{{server_.address(), {}, Duration::milliseconds(50)}};
  std::map<std::string, int> news_;
};

TEST_F(NameBookTest, ANameIsAskedForAsItIsAndItsAddressesHaveAnOrder) {
  server_.script["nas.example"] = {{"192.0.2.9", "192.0.2.7", "192.0.2.9"}};
  EXPECT_TRUE(book_.is_settled());
  book_.want({"nas.example", "nas"});
  EXPECT_FALSE(book_.is_settled());
  EXPECT_EQ(*book_.find("nas"), KnownName());
  run([&] { return book_.is_settled(); });
  EXPECT_EQ(addresses("nas.example"), "192.0.2.7 192.0.2.9 ");
  EXPECT_EQ(addresses("nas"), "there is no such name");
  EXPECT_EQ(server_.asked, (std::map<std::string, int>{{"nas", 1}, {"nas.example", 1}}));
  EXPECT_EQ(addresses("other.example"), "not wanted");
}

TEST_F(NameBookTest, AnAnswerIsBelievedForItsTimeToLive) {
  server_.script["nas.example"] = {{"192.0.2.7"}, 60};
  book_.want({"nas.example"});
  run_until_news("nas.example");
  EXPECT_EQ(book_.due(now_), now_ + Duration::seconds(60));
  pass(Duration::seconds(59));
  expect_quiet();
  server_.script["nas.example"] = {{"192.0.2.8"}, 60};
  pass(Duration::seconds(1));
  run_until_news("nas.example");
  EXPECT_EQ(addresses("nas.example"), "192.0.2.8 ");
  // The same answer, in another order or not, is no news.
  pass(Duration::seconds(60));
  run([&] {
    return server_.asked["nas.example"] == 3 && book_.due(now_) > now_ + Duration::seconds(9);
  });
  EXPECT_EQ(news_["nas.example"], 2);
}

TEST_F(NameBookTest, TimesToLiveHaveBounds) {
  const auto lives = [&](const ScriptedAnswer& answer) {
    server_.script["nas.example"] = answer;
    book_.want({});
    book_.want({"nas.example"});
    run_until_news("nas.example");
    return (book_.due(now_) - now_).count_ms() / 1'000;
  };
  EXPECT_EQ(lives({{"192.0.2.7"}, 0}), 5);
  EXPECT_EQ(lives({{"192.0.2.7"}, 0xffffffff}), 5);  // RFC 2181 8
  EXPECT_EQ(lives({{"192.0.2.7"}, 86'400}), 3'600);
  ScriptedAnswer by_alias{{"192.0.2.7"}, 300};
  by_alias.alias = "box.example";
  by_alias.alias_ttl_s = 20;
  EXPECT_EQ(lives(by_alias), 20);
  EXPECT_EQ(addresses("nas.example"), "192.0.2.7 ");
}

TEST_F(NameBookTest, AFailureKeepsTheLastAddressesAndIsTriedAgainLessAndLess) {
  server_.script["nas.example"] = {{"192.0.2.7"}, 5};
  book_.want({"nas.example"});
  run_until_news("nas.example");
  server_.script.clear();
  pass(Duration::seconds(5));
  run_until_news("nas.example");
  EXPECT_EQ(addresses("nas.example"), "192.0.2.7 there is no such name");
  int asked = server_.asked["nas.example"];
  for (const int64_t pause_s : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(book_.due(now_), now_ + Duration::seconds(pause_s));
    pass(Duration::seconds(pause_s) - Duration::milliseconds(1));
    expect_quiet();
    pass(Duration::milliseconds(1));
    ++asked;
    run([&] {
      return server_.asked["nas.example"] == asked &&
             book_.due(now_) > now_ + Duration::milliseconds(900);
    });
  }
  EXPECT_EQ(news_["nas.example"], 2) << "the same failure is no news";
  server_.script["nas.example"] = {{"192.0.2.7"}, 5};
  pass(Duration::seconds(60));
  run_until_news("nas.example");
  EXPECT_EQ(addresses("nas.example"), "192.0.2.7 ");
  server_.script.clear();
  pass(Duration::seconds(5));
  run_until_news("nas.example");
  EXPECT_EQ(book_.due(now_), now_ + Duration::seconds(1)) << "the pauses begin anew";
}

TEST_F(NameBookTest, EveryFailureHasItsSentence) {
  server_.script["empty.example"] = {};
  server_.script["broken.example"].rcode = testing::rcode_server_failure;
  server_.script["refused.example"].rcode = testing::rcode_refused;
  server_.script["silent.example"].is_silent = true;
  server_.script["garbage.example"].is_garbage = true;
  book_.want({"empty.example", "broken.example", "refused.example", "silent.example",
              "garbage.example", "-wrong.example"});
  run([&] { return news_.size() == 6; });
  EXPECT_FALSE(book_.is_settled()) << "some have not been answered";
  EXPECT_EQ(addresses("empty.example"), "the name has no IPv4 address");
  EXPECT_EQ(addresses("silent.example"), "no DNS server answers");
  EXPECT_EQ(server_.asked["silent.example"], dns_tries);
  EXPECT_EQ(addresses("garbage.example"), "no DNS server answers");
  for (const char* name : {"broken.example", "refused.example"}) {
    EXPECT_EQ(addresses(name), "no DNS server can be reached, or those that can fail or refuse");
  }
  EXPECT_EQ(addresses("-wrong.example"), "there is no such name");
  book_.want({"empty.example", "-wrong.example"});
  EXPECT_TRUE(book_.is_settled());
}

// It comes by TCP.
TEST_F(NameBookTest, C10AnAnswerWithManyAddressesIsCut) {
  if (!server_.has_tcp()) GTEST_SKIP() << "the server's port is somebody else's for TCP";
  ScriptedAnswer& answer = server_.script["many.example"];
  for (int i = 100; i > 0; --i) answer.addresses.push_back("10.0.0." + std::to_string(i));
  book_.want({"many.example"});
  run_until_news("many.example");
  EXPECT_EQ(server_.by_tcp, 1);
  const KnownName* known = book_.find("many.example");
  ASSERT_EQ(known->addresses.size(), addresses_of_name_max);
  EXPECT_EQ(known->addresses.front().text(), "10.0.0.1");
  EXPECT_EQ(known->addresses.back().text(), "10.0.0." + std::to_string(addresses_of_name_max));
}

TEST_F(NameBookTest, C10SoManyNamesAndSoManyAtATime) {
  std::set<std::string> names;
  for (size_t i = 0; i < names_max + 10; ++i) names.insert("n" + std::to_string(i) + ".example");
  book_.want(names);
  book_.turn(now_);
  server_.serve();
  EXPECT_EQ(static_cast<size_t>(count_asked()), questions_a_turn);
  EXPECT_LE(book_.due(now_), now_);
  run([&] { return book_.is_settled(); });
  EXPECT_EQ(server_.asked.size(), names_max);
  size_t places = 0;
  for (const std::string& name : names) places += book_.find(name) != nullptr;
  EXPECT_EQ(places, names_max);
}

TEST_F(NameBookTest, NamesThatAreSilentHoldUpNoOther) {
  std::set<std::string> names = {"zz.example"};
  for (size_t i = 0; i + 1 < names_max; ++i) names.insert("n" + std::to_string(i) + ".example");
  for (const std::string& name : names) server_.script[name].is_silent = name != "zz.example";
  server_.script["zz.example"].addresses = {"192.0.2.1"};
  NameBook patient{{server_.address(), {}, Duration::seconds(10)}};  // none is given up meanwhile
  patient.want(names);
  const Instant end = MonotonicClock().now() + Duration::seconds(8);
  while (!patient.find("zz.example")->is_answered && MonotonicClock().now() < end) {
    patient.turn(now_);
    server_.serve();
    poll(nullptr, 0, 1);
  }
  EXPECT_TRUE(patient.find("zz.example")->is_answered);
}

TEST_F(NameBookTest, AnAnswerOfManyRecordsIsNotAskedForAgainSoSoon) {
  ScriptedAnswer& many = server_.script["many.example"];
  many.ttl_s = 0;
  for (size_t i = 0; i <= records_small_max; ++i) {
    many.addresses.push_back("10.0.1." + std::to_string(i % 250));
  }
  if (!server_.has_tcp()) GTEST_SKIP() << "the number of the port is somebody else's for TCP";
  book_.want({"many.example"});
  run([&] { return book_.is_settled(); });
  const int asked = server_.asked["many.example"];
  pass(large_answer_time_min - Duration::seconds(1));
  for (int i = 0; i < 5; ++i) {
    book_.turn(now_);
    server_.serve();
  }
  EXPECT_EQ(server_.asked["many.example"], asked);
  pass(Duration::seconds(2));
  run([&] { return server_.asked["many.example"] > asked; });
}

TEST_F(NameBookTest, WhatIsNoLongerWantedIsForgottenAlsoWhileItIsAskedFor) {
  server_.script["a.example"] = {{"192.0.2.1"}};
  server_.script["b.example"] = {{"192.0.2.2"}};
  book_.want({"a.example", "b.example"});
  book_.turn(now_);  // both are under way
  book_.want({"b.example"});
  run([&] { return book_.is_settled(); });
  EXPECT_EQ(addresses("a.example"), "not wanted");
  EXPECT_EQ(addresses("b.example"), "192.0.2.2 ");
  run([&] { return server_.asked["a.example"] == 1; });
  EXPECT_EQ(news_.count("a.example"), 0u);
  // Wanted again while the first question is under way: the second one's answer counts.
  server_.script["a.example"].is_silent = true;
  book_.want({"a.example"});
  book_.turn(now_);
  server_.serve();
  book_.want({});
  server_.script["a.example"] = {{"192.0.2.3"}};
  book_.want({"a.example"});
  run([&] { return book_.is_settled(); });
  EXPECT_EQ(addresses("a.example"), "192.0.2.3 ");
  // The first one is tried again, and heard no more.
  server_.script.clear();
  run([&] { return book_.due(now_) == now_ + Duration::seconds(60); });
  EXPECT_EQ(addresses("a.example"), "192.0.2.3 ");
  EXPECT_EQ(news_["a.example"], 1);
  book_.want({});
  EXPECT_EQ(book_.due(now_), Instant::never());
}

// A server that is another one tomorrow; without one in the file c-ares asks this machine.
TEST(DnsClient, ResolvConfIsReadAgainAndItsSearchDomainsAreNot) {
  const auto at = [](uint8_t last) { return Ipv4Address::from_octets(127, 53, 53, last); };
  DnsServer first(at(1), 53), second(at(2), 53);
  if (!first.is_open() || !second.is_open()) GTEST_SKIP() << "port 53 is not ours to take";
  first.script["nas.example"] = {{"192.0.2.1"}};
  second.script["nas.example"] = {{"192.0.2.2"}};
  char path[] = "/tmp/millrace-resolv-XXXXXX";
  close(mkstemp(path));
  DnsClient client({std::nullopt, path});
  const auto answer = [&](uint8_t server, const std::string& name = "nas.example") {
    std::ofstream(path) << "search example\nnameserver " << at(server).text() << "\n";
    client.ask(server, name);
    for (int i = 0; i < 1'000; ++i) {
      const std::vector<DnsAnswer> answers = client.turn();
      if (!answers.empty()) {
        return answers[0].addresses.empty() ? answers[0].failure : answers[0].addresses[0].text();
      }
      first.serve();
      second.serve();
      poll(nullptr, 0, 1);
    }
    return std::string("none");
  };
  EXPECT_EQ(answer(1), "192.0.2.1");
  EXPECT_EQ(answer(2), "192.0.2.2");
  EXPECT_EQ(answer(1, "nas"), "there is no such name");
  EXPECT_EQ(first.asked, (std::map<std::string, int>{{"nas", 1}, {"nas.example", 1}}));
  unlink(path);
}

// Names that are asked for without end leave no time without a question under way.
TEST(DnsClient, AChannelHasAnEndAlsoWhileItIsNeverIdle) {
  DnsServer server;
  server.script["a.example"] = {{"192.0.2.1"}};
  server.script["silent.example"].is_silent = true;
  DnsClient client({server.address(), {}, Duration::seconds(60)});
  client.ask(1, "silent.example");
  size_t asked = 1;
  for (; asked < 2 * questions_of_channel_max && client.has_room(); ++asked) {
    client.ask(asked + 1, "a.example");
    for (int i = 0; i < 1'000 && client.turn().empty(); ++i) {
      server.serve();
      poll(nullptr, 0, 1);
    }
  }
  EXPECT_EQ(asked, questions_of_channel_max);
}

}  // namespace
}  // namespace millrace::names
