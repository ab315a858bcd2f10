// A scripted API server played to a Reflector, in virtual time.
#include "controlplane/cluster/reflector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "controlplane/cluster/messages_test_support.h"

namespace millrace::cluster {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ReflectorTest : public ::testing::TestWithParam<Encoding> {
 protected:
  // The next request, when time has come to it; what it asks for.
  std::string next() {
    if (reflector_->due() > now_) now_ = reflector_->due();
    const auto request = reflector_->start(now_);
    if (!request) return "none";
    ++requests_;
    return request->target;
  }
  bool head(int status = 200, const std::string& content_type = "",
            std::optional<Duration> retry_after = std::nullopt) {
    return reflector_->head(status,
                            content_type.empty() ? content_type_of(GetParam()) : content_type,
                            retry_after, now_);
  }
  bool body(std::string_view bytes) { return reflector_->body(bytes, now_, &store_); }
  void end(const std::optional<std::string>& failure = std::nullopt) {
    reflector_->end(failure, now_, &store_);
  }
  void pass(Duration span) { now_ = now_ + span; }

  std::string event(const std::string& type, const google::protobuf::Message& object) {
    return cluster::event(GetParam(), type, object);
  }
  std::string mark(const std::string& version, bool ends_list = false) {
    return bookmark(GetParam(), version, ends_list);
  }
  std::string page(const std::string& version, const std::string& token,
                   const std::vector<k8s::Service>& services) {
    return list_body(GetParam(), version, token, services);
  }
  std::string refusal(int code, const std::string& reason, const std::string& message) {
    const Status status = status_of(code, reason, message);
    return GetParam() == Encoding::json ? json_of(status) : encode_message("v1", "Status", status);
  }

  // A watch list with `count` Services, followed by a watch that goes on.
  void sync(int count) {
    ASSERT_THAT(next(), HasSubstr("sendInitialEvents=true"));
    head();
    for (int i = 0; i < count; ++i) body(event("ADDED", service("s" + std::to_string(i), "10")));
    ASSERT_TRUE(body(mark("20", true)));
    ASSERT_TRUE(reflector_->has_synced());
    store_.take_changes();
  }
  // A list by pages from a server without watch lists.
  void refuse_watch_list() {
    ASSERT_THAT(next(), HasSubstr("sendInitialEvents=true"));
    head(400);
    body(refusal(400, "BadRequest", "sendInitialEvents is forbidden"));
    end();
  }
  std::string names() const {
    std::string names;
    for (const auto& [key, object] : store_.objects()) names += key.name + ' ';
    return names;
  }
  std::string problems() const {
    std::string text;
    for (const k8s::Problem& problem : reflector_->problems()) text += problem.text() + '\n';
    return text;
  }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  std::optional<Reflector> reflector_{std::in_place, Resource{k8s::Kind::service, "shop", ""}, 7};
  store::Store store_;
  int requests_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Encodings, ReflectorTest,
                         ::testing::Values(Encoding::json, Encoding::protobuf),
                         [](const auto& one) {
                           return one.param == Encoding::json ? "Json" : "Protobuf";
                         });

TEST_P(ReflectorTest, AWatchListIsPutWhenItIsWholeAndFollowed) {
  EXPECT_EQ(next().find("/api/v1/namespaces/shop/services?watch=1"), 0u);
  EXPECT_TRUE(head());
  EXPECT_TRUE(body(event("ADDED", service("a", "3"))));
  EXPECT_TRUE(body(event("ADDED", service("b", "4"))));
  EXPECT_TRUE(body(mark("5")));
  EXPECT_FALSE(reflector_->has_synced());
  EXPECT_TRUE(store_.empty()) << "half a list is nothing";
  EXPECT_TRUE(body(mark("6", true)));
  EXPECT_TRUE(reflector_->has_synced());
  EXPECT_EQ(names(), "a b ");
  EXPECT_TRUE(body(event("DELETED", service("a", "7")) + event("ADDED", service("c", "8"))));
  EXPECT_EQ(names(), "b c ");
  EXPECT_EQ(reflector_->counts().lists, 1u);
  EXPECT_EQ(problems(), "");
}

TEST_P(ReflectorTest, StreamsAreCutAnywhere) {
  const std::string stream = event("ADDED", service("a", "3")) + mark("4", true) +
                             event("MODIFIED", service("a", "5", 81)) +
                             event("ADDED", service("b", "6"));
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    Reflector reflector({k8s::Kind::service, "", ""}, 1);
    store::Store store;
    ASSERT_TRUE(reflector.start(now_));
    ASSERT_TRUE(reflector.head(200, content_type_of(GetParam()), std::nullopt, now_));
    ASSERT_TRUE(reflector.body(std::string_view(stream).substr(0, cut), now_, &store));
    ASSERT_TRUE(reflector.body(std::string_view(stream).substr(cut), now_, &store));
    ASSERT_EQ(store.size(), 2u);
    const auto* a = store.find({k8s::Kind::service, "shop", "a"});
    ASSERT_EQ(a->body.as<k8s::Service>().spec().ports(0).port(), 81);
  }
}

TEST_P(ReflectorTest, PagesAreOneList) {
  refuse_watch_list();
  EXPECT_EQ(next(), "/api/v1/namespaces/shop/services?limit=500");
  head();
  body(page("30", "a+b/c=", {service("a", "1"), service("b", "1")}));
  end();
  EXPECT_TRUE(store_.empty());
  EXPECT_EQ(next(), "/api/v1/namespaces/shop/services?limit=500&continue=a%2Bb%2Fc%3D");
  head();
  body(page("30", "", {service("c", "1")}));
  end();
  EXPECT_EQ(names(), "a b c ");
  EXPECT_THAT(next(), HasSubstr("&resourceVersion=30"));
  EXPECT_EQ(reflector_->counts().lists, 2u) << "the one that was refused and the one by pages";
}

TEST_P(ReflectorTest, AServerWithoutWatchListsIsAskedForPages) {
  const std::function<void()> servers[] = {
      [&] { head(422), body(refusal(422, "Invalid", "not with that feature gate")), end(); },
      [&] { head(400), body(refusal(400, "BadRequest", "what?")), end(); },
      // One that ignores what it does not know: a watch, and no mark.
      [&] { head(), body(event("ADDED", service("a", "1"))), pass(Duration::seconds(9)), end(); },
      [&] {
        head(), body(event("ADDED", service("a", "1")));
        now_ = reflector_->due();
        ASSERT_TRUE(reflector_->is_silent(now_));
        reflector_->give_up(now_, &store_);
      },
      // And its objects change all the time, so that it is never silent.
      [&] {
        const Instant began = now_;
        head();
        while (!reflector_->is_silent(now_)) {
          ASSERT_TRUE(body(event("MODIFIED", service("a", "1"))));
          pass(Duration::seconds(1));
          ASSERT_LE(now_ - began, list_time_max + Duration::seconds(1));
        }
        reflector_->give_up(now_, &store_);
      },
  };
  for (const auto& server : servers) {
    reflector_.emplace(Resource{k8s::Kind::service, "shop", ""}, 7);
    ASSERT_THAT(next(), HasSubstr("sendInitialEvents=true"));
    server();
    ASSERT_THAT(next(), HasSubstr("?limit=500"));
  }
}

TEST_P(ReflectorTest, AServerThatFailsAtWatchListsIsAskedForPages) {
  for (int i = 0; i < watch_list_failures_max; ++i) {
    ASSERT_THAT(next(), HasSubstr("sendInitialEvents=true"));
    head(500);
    body(refusal(500, "InternalError", "no progress notifications"));
    end();
  }
  EXPECT_THAT(next(), HasSubstr("?limit=500"));
  head();
  body(page("30", "", {}));
  end();
  EXPECT_TRUE(reflector_->has_synced());
}

TEST_P(ReflectorTest, C5_GoneAsAStatusOrInTheStreamMeansANewList) {
  sync(2);
  body(event("ERROR", status_of(410, "Expired", "too old resource version: 20 (99)")));
  end();
  EXPECT_EQ(names(), "s0 s1 ") << "nothing is lost meanwhile";
  EXPECT_THAT(next(), HasSubstr("sendInitialEvents=true"));
  head();
  body(event("ADDED", service("s1", "10")) + mark("120", true));
  EXPECT_EQ(names(), "s1 ") << "what was deleted unseen";
  pass(Duration::seconds(100));
  end();
  EXPECT_THAT(next(), HasSubstr("resourceVersion=120"));
  head(410);
  body(refusal(410, "Gone", "too old"));
  end();
  EXPECT_THAT(next(), HasSubstr("sendInitialEvents=true"));
  EXPECT_EQ(reflector_->counts().gone, 2u);
  EXPECT_EQ(reflector_->counts().failures, 0u) << "it is no failure";
}

TEST_P(ReflectorTest, C5_AServerThatForgetsEveryWatchIsNotListedInALoop) {
  // The list is whole, and the watch behind it 410, for an hour; also inside one stream.
  for (const bool in_stream : {false, true}) {
    Reflector reflector({k8s::Kind::service, "shop", ""}, 3);
    const Instant end = now_ + Duration::seconds(3'600);
    while (true) {
      now_ = std::max(now_, reflector.due());
      if (now_ >= end) break;
      const auto request = reflector.start(now_);
      ASSERT_TRUE(request);
      const bool lists = request->target.find("sendInitialEvents") != std::string::npos;
      reflector.head(lists || in_stream ? 200 : 410, content_type_of(GetParam()), std::nullopt,
                     now_);
      if (lists) reflector.body(mark("20", true), now_, &store_);
      pass(Duration::milliseconds(3));
      if (in_stream) {
        reflector.body(event("ERROR", status_of(410, "Expired", "")), now_, &store_);
      } else if (!lists) {
        reflector.body(refusal(410, "Expired", ""), now_, &store_);
      }
      reflector.end(std::nullopt, now_, &store_);
    }
    EXPECT_LT(reflector.counts().lists, 3'600u / 15 + 20);
    EXPECT_GT(reflector.counts().lists, 3'600u / 31);
  }
}

TEST_P(ReflectorTest, AStreamThatCannotBeReadIsNotListedInALoop) {
  const Instant until = now_ + Duration::seconds(3'600);
  while (now_ < until) {
    next();
    head();
    body(mark("20", true));
    EXPECT_FALSE(body(std::string("\xff\xff\xff\xff", 4) + "garbage\n"));
    end();
  }
  EXPECT_LT(reflector_->counts().lists, 3'600u / 15 + 20);
}

TEST_P(ReflectorTest, C5_PagesThatAreForgottenAreAskedForAsAWhole) {
  refuse_watch_list();
  next();
  head();
  body(page("30", "token", {service("a", "1")}));
  end();
  next();
  head(410);
  body(refusal(410, "Expired", "The provided continue parameter is too old"));
  end();
  EXPECT_EQ(next(), "/api/v1/namespaces/shop/services");
  head();
  body(page("31", "", {service("b", "1")}));
  end();
  EXPECT_EQ(names(), "b ");
}

TEST_P(ReflectorTest, AListWithoutAnEndOrAVersionIsNone) {
  refuse_watch_list();
  next();
  head();
  body(page("", "", {service("a", "1")}));
  end();
  EXPECT_FALSE(reflector_->has_synced());
  EXPECT_THAT(problems(), HasSubstr("resourceVersion"));
  for (int i = 0; i <= list_pages_max; ++i) {
    next();
    head();
    body(page("30", "again", {service("a", "1")}));
    end();
  }
  EXPECT_THAT(problems(), HasSubstr("no end"));
  EXPECT_GT(reflector_->due(), now_);
}

TEST_P(ReflectorTest, C6_ABookmarkIsWhereAWatchIsTakenUp) {
  sync(1);
  body(mark("500"));
  pass(Duration::seconds(40));
  end("the connection was reset");
  EXPECT_THAT(next(), HasSubstr("&resourceVersion=500"));
  EXPECT_LE(reflector_->counts().lists, 1u);
  EXPECT_EQ(problems(), "");
  head();
  body(event("MODIFIED", service("s0", "501", 81)));
  pass(Duration::seconds(2));
  end("reset again");
  EXPECT_THAT(next(), HasSubstr("&resourceVersion=501"));
}

TEST_P(ReflectorTest, C6_WatchesDroppedEvery1To30SecondsNeedNoList) {
  sync(50);
  Random random(1);
  const Instant began = now_;
  const Instant until = began + relist_interval;
  int version = 100;
  int drops = 0;
  while (true) {
    pass(Duration::milliseconds(static_cast<int64_t>(random.between(1'000, 30'000))));
    if (now_ >= until) break;
    if (random.chance(0.5)) body(event("MODIFIED", service("s1", std::to_string(++version))));
    end(random.chance(0.5) ? std::optional<std::string>("reset") : std::nullopt);
    const Instant dropped = now_;
    ASSERT_THAT(next(), Not(HasSubstr("sendInitialEvents")));
    ASSERT_LE(now_ - dropped, Duration::milliseconds(200));
    head();
    ++drops;
  }
  EXPECT_GT(drops, 80);
  EXPECT_EQ(reflector_->counts().lists, 1u);
  EXPECT_EQ(reflector_->counts().failures, 0u);
}

TEST_P(ReflectorTest, C7_EverythingIsListedAnewWhenItsTimeHasCome) {
  sync(3);
  const Instant began = now_;
  while (reflector_->counts().lists == 1) {
    pass(Duration::seconds(300));
    end();
    next();
    head();
    ASSERT_LE(now_ - began, relist_interval * 5 / 4 + Duration::seconds(301));
  }
  EXPECT_GE(now_ - began, relist_interval);
  // Also when no watch comes about any more, and when one never ends.
  body(mark("30", true));
  const Instant again = now_;
  while (reflector_->counts().lists == 2) {
    if (now_ - again > Duration::seconds(10)) {
      head(503);
      end();
    } else {
      pass(Duration::seconds(11));
      end();
    }
    next();
    ASSERT_LE(now_ - again, relist_interval * 5 / 4 + Duration::seconds(60));
  }
  head();
  body(mark("40", true));
  const Instant third = now_;
  while (!reflector_->is_silent(now_)) {
    body(mark("41"));
    pass(Duration::seconds(1));
    ASSERT_LE(now_ - third, Duration::seconds(2 * watch_seconds_usual + 60));
  }
}

TEST_P(ReflectorTest, AVersionThatTheServerDoesNotTakeIsGivenUp) {
  // As behind a restored backup of etcd, or another cluster at the same address.
  for (const int code : {400, 404, 422, 500, 504}) {
    reflector_.emplace(Resource{k8s::Kind::service, "shop", ""}, 7);
    sync(1);
    pass(Duration::seconds(5));
    end();
    const Instant began = now_;
    for (int i = 0; i < watch_refusals_max; ++i) {
      ASSERT_THAT(next(), HasSubstr("&resourceVersion=20")) << code;
      head(code);
      body(refusal(code, "", "Too large resource version: 20, current: 7"));
      end();
    }
    EXPECT_THAT(next(), HasSubstr("sendInitialEvents=true")) << code;
    EXPECT_LE(now_ - began, Duration::seconds(15));
  }
}

TEST_P(ReflectorTest, WhoIsDeniedGoesOnWithTheWatch) {
  for (const int code : {401, 403, 429, 503}) {
    reflector_.emplace(Resource{k8s::Kind::service, "shop", ""}, 7);
    sync(1);
    pass(Duration::seconds(5));
    end();
    for (int i = 0; i < 20; ++i) {
      ASSERT_THAT(next(), HasSubstr("&resourceVersion=20")) << code;
      head(code);
      body(refusal(code, "", "no"));
      end();
      ASSERT_THAT(problems(), HasSubstr("HTTP " + std::to_string(code)));
    }
    next();
    head();
    EXPECT_EQ(problems(), "") << "it works again";
  }
}

TEST_P(ReflectorTest, PausesDoubleWithJitterUpToABound) {
  std::vector<Duration> pauses;
  for (int i = 0; i < 12; ++i) {
    next();
    end("connection refused");
    pauses.push_back(reflector_->due() - now_);
  }
  Duration expected = backoff_first;
  for (const Duration pause : pauses) {
    EXPECT_GE(pause, expected / 2);
    EXPECT_LE(pause, expected);
    expected = std::min(expected * 2, backoff_last);
  }
  EXPECT_GT(pauses.back(), Duration::seconds(14));
  // Two that fail together do not come back together.
  Reflector other({k8s::Kind::service, "shop", ""}, 8);
  Reflector another({k8s::Kind::service, "shop", ""}, 9);
  for (Reflector* one : {&other, &another}) {
    one->start(now_);
    one->end("connection refused", now_, &store_);
  }
  EXPECT_NE(other.due(), another.due());
}

TEST_P(ReflectorTest, C11_ASecretThatMayNotBeReadIsAskedForEveryFewMinutes) {
  reflector_.emplace(Resource{k8s::Kind::secret, "shop", "s"}, 7);
  const auto deny = [&] {
    ASSERT_NE(next(), "none");
    head(403);
    body(refusal(403, "Forbidden", "secrets \"s\" is forbidden"));
    end();
  };
  for (int i = 0; i < 15; ++i) deny();
  EXPECT_THAT(problems(), HasSubstr("forbidden"));
  for (int i = 0; i < 20; ++i) {
    deny();
    EXPECT_GE(reflector_->due() - now_, denied_backoff_last / 2);
    EXPECT_LE(reflector_->due() - now_, denied_backoff_last);
  }
  // A server that is busy is another matter.
  ASSERT_NE(next(), "none");
  head(503);
  end();
  EXPECT_LE(reflector_->due() - now_, backoff_last);
  // Rights that came and went: from the beginning.
  ASSERT_NE(next(), "none");
  head();
  ASSERT_TRUE(body(mark("20", true)));
  pass(Duration::seconds(60));
  end();
  deny();
  EXPECT_LE(reflector_->due() - now_, backoff_first);
}

TEST_P(ReflectorTest, RetryAfterIsKeptWithinABound) {
  next();
  head(429, "", Duration::seconds(7));
  body(refusal(429, "TooManyRequests", "later"));
  end();
  EXPECT_EQ(reflector_->due() - now_, Duration::seconds(7));
  next();
  Status status = status_of(503, "", "later");
  status.mutable_details()->set_retry_after_seconds(9);
  head(503);
  body(GetParam() == Encoding::json ? json_of(status) : encode_message("v1", "Status", status));
  end();
  EXPECT_EQ(reflector_->due() - now_, Duration::seconds(9));
  status.mutable_details()->set_retry_after_seconds(INT32_MAX);
  next();
  head(503);
  body(GetParam() == Encoding::json ? json_of(status) : encode_message("v1", "Status", status));
  end();
  EXPECT_EQ(reflector_->due() - now_, retry_after_max);
  next();
  end("refused");
  EXPECT_LT(reflector_->due() - now_, Duration::seconds(30)) << "that was of another answer";
}

TEST_P(ReflectorTest, C4_AListThatLostNearlyEverythingIsBelievedLate) {
  sync(50);
  const auto list = [&](int count) {
    body(event("ERROR", status_of(410, "Gone", "")));
    end();
    for (int i = 0; next().find("sendInitialEvents") == std::string::npos; ++i) ASSERT_LT(i, 3);
    head();
    for (int i = 0; i < count; ++i) body(event("ADDED", service("n" + std::to_string(i), "10")));
    body(mark("30", true));
    end();
  };
  list(4);
  EXPECT_EQ(store_.size(), 50u);
  EXPECT_THAT(problems(), HasSubstr("lists 4 where 50 were"));
  const Instant began = now_;
  for (int i = 1; i < shrink_confirmations; ++i) {
    next();
    head();
    body(mark("30", true));
    end();
    EXPECT_EQ(store_.size(), 50u);
  }
  next();
  head();
  body(event("ADDED", service("n", "10")) + mark("31", true));
  EXPECT_EQ(names(), "n ");
  EXPECT_GE(now_ - began, shrink_pause * shrink_confirmations) << "not within a hiccup";
  EXPECT_EQ(reflector_->counts().shrinks_doubted, uint64_t{shrink_confirmations});
  EXPECT_EQ(problems(), "");
}

TEST_P(ReflectorTest, C4_TheOperatorsWordIsForTheListThatIsDoubted) {
  sync(50);
  reflector_->accept_removals();  // nothing is doubted: it means nothing
  body(event("ERROR", status_of(410, "Gone", "")));
  end();
  next();
  head();
  body(mark("30", true));
  end();
  EXPECT_EQ(store_.size(), 50u);
  reflector_->accept_removals();
  EXPECT_LE(reflector_->due(), now_);
  next();
  head();
  body(mark("31", true));
  EXPECT_EQ(store_.size(), 0u);
}

TEST_P(ReflectorTest, ASilentWatchIsTakenUpElsewhere) {
  sync(1);
  now_ = reflector_->due();
  EXPECT_TRUE(reflector_->is_silent(now_));
  reflector_->give_up(now_, &store_);
  EXPECT_THAT(next(), HasSubstr("&resourceVersion=20"));
}

TEST_P(ReflectorTest, C9_HostileObjectsCostOnlyThemselves) {
  next();
  head();
  k8s::Service nameless = service("", "3");
  k8s::Service path = service("../../etc/passwd", "3");
  k8s::Service nul = service(std::string("a\0b", 3), "3");
  k8s::Service elsewhere = service("a", "3", 80, "other");
  for (const k8s::Service& one : {nameless, path, nul, elsewhere, service("good", "4")}) {
    EXPECT_TRUE(body(event("ADDED", one)));
  }
  body(mark("5", true));
  EXPECT_EQ(names(), "good ");
  EXPECT_EQ(reflector_->problems().size(), 4u);
  for (char c : problems()) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f));
  // The same again and again is said once, and many are bounded.
  for (int i = 0; i < 1'000; ++i) body(event("MODIFIED", nameless));
  EXPECT_EQ(reflector_->problems().size(), 4u);
  for (int i = 0; i < 1'000; ++i) body(event("MODIFIED", service("X" + std::to_string(i), "9")));
  EXPECT_EQ(reflector_->problems().size(), reflector_problems_max);
}

// How a server may be away.
struct Outage {
  const char* name;
  int status;
  const char* content_type;
  std::string body;
  Duration lasts;
  std::optional<std::string> failure;
};

TEST_P(ReflectorTest, C1_AnHourOfOutageChangesNothing) {
  const std::string torn = page("99", "", {service("x", "1"), service("y", "1")});
  const Outage outages[] = {
      {"refused", 0, "", "", Duration(), "Connection refused"},
      {"connect timeout", 0, "", "", Duration::seconds(10), "timed out"},
      {"blackhole", 0, "", "", Duration::seconds(700), "silence"},
      {"reset", 0, "", "", Duration::milliseconds(3), "Connection reset by peer"},
      {"500", 500, "text/plain", "oops", Duration::milliseconds(3), std::nullopt},
      {"503 of a proxy", 503, "text/html", "<html>", Duration::milliseconds(3), std::nullopt},
      {"401", 401, "application/json", "{}", Duration::milliseconds(3), std::nullopt},
      {"403", 403, "application/json", R"({"message":"no"})", Duration::milliseconds(3), {}},
      {"a proxy's page", 200, "text/html", "<html>", Duration::milliseconds(3), std::nullopt},
      {"garbage", 200, "application/json", "{{{{\n\n", Duration::milliseconds(3), std::nullopt},
      {"garbage", 200, protobuf_content_type, "\x7f\xff\xff\xff", Duration::milliseconds(3), {}},
      {"empty", 200, "application/json", "", Duration::milliseconds(3), std::nullopt},
      {"torn", 200, "application/json", torn.substr(0, torn.size() / 2), Duration::milliseconds(3),
       "transfer closed"},
      {"redirect", 302, "text/html", "", Duration::milliseconds(3), std::nullopt},
      {"nothing said", 204, "application/json", "", Duration::milliseconds(3), std::nullopt},
  };
  for (const bool by_pages : {false, true}) {
    for (const Outage& outage : outages) {
      SCOPED_TRACE(outage.name);
      reflector_.emplace(Resource{k8s::Kind::service, "shop", ""}, 7);
      if (by_pages) reflector_->lists_by_pages();
      store_ = store::Store();
      if (by_pages) {
        next(), head(), body(page("20", "", {service("s0", "1"), service("s1", "1")})), end();
        next(), head();
      } else {
        sync(2);
      }
      store_.take_changes();
      pass(Duration::seconds(20));
      end("Connection reset by peer");
      requests_ = 0;
      const Instant until = now_ + Duration::seconds(3'600);
      while (now_ < until) {
        next();
        const Instant answered = std::min(now_ + outage.lasts, reflector_->due());
        if (outage.status != 0) {
          if (head(outage.status, outage.content_type)) body(outage.body);
        }
        now_ = answered;
        if (reflector_->is_silent(now_)) {
          reflector_->give_up(now_, &store_);
        } else {
          end(outage.failure);
        }
        ASSERT_TRUE(requests_ <= 3 || !problems().empty()) << "somebody is told";
      }
      EXPECT_FALSE(store_.has_changes());
      EXPECT_EQ(names(), "s0 s1 ");
      EXPECT_LT(requests_, 3'600 / 15 + 30);
      EXPECT_GE(requests_, 3'600 / 181);
      EXPECT_TRUE(reflector_->has_synced());
    }
  }
}

TEST_P(ReflectorTest, OneObjectByItsName) {
  reflector_.emplace(Resource{k8s::Kind::service, "shop", "a"}, 7);
  EXPECT_THAT(next(), HasSubstr("fieldSelector=metadata.name%3Da"));
  head();
  body(event("ADDED", service("b", "2")) + event("ADDED", service("a", "2")) + mark("3", true));
  EXPECT_EQ(names(), "a ");
  EXPECT_THAT(problems(), HasSubstr("Service shop/b"));
  body(event("ERROR", status_of(410, "", "")));
  end();
  next();
  head();
  body(mark("4", true));
  EXPECT_EQ(names(), "");
}

}  // namespace
}  // namespace millrace::cluster
