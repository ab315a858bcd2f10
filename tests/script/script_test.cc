// The language of wire scripts itself: what it refuses, and that what is not fulfilled is noticed.
#include <gtest/gtest.h>

#include <string>

#include "tests/script/runner.h"
#include "tests/script/script.h"

namespace millrace::script {
namespace {

// "LINE: what" of the first thing wrong, "" when all is right.
std::string outcome_of(const std::string& text) {
  Fault fault;
  const auto script = parse_script("x.tcp", text, &fault);
  if (!script) return std::to_string(fault.line) + ": " + fault.what;
  const auto unfulfilled = run_script(*script, true);
  if (!unfulfilled) return "";
  return std::to_string(unfulfilled->line) + ": " + unfulfilled->what;
}

testing::AssertionResult says(const std::string& text, const std::string& expected) {
  const std::string outcome = outcome_of(text);
  if (outcome.find(expected) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << outcome << "\" instead of " << expected;
}

TEST(ScriptParser, SaysWhichLineIsWrongAndWhy) {
  EXPECT_EQ(outcome_of(""), "0: the script says nothing");
  EXPECT_EQ(outcome_of("# only this\n"), "1: the script says nothing");
  EXPECT_EQ(outcome_of("establish\nsay A\n"), "2: no verb is called \"say\"");
  EXPECT_EQ(outcome_of("in\n"), "1: the line ends where the flags should stand");
  EXPECT_EQ(outcome_of("in X\n"), "1: \"X\" are no flags (letters of FSRPAUEC, or a dot)");
  EXPECT_EQ(outcome_of("in S ttl 3\n"), "1: no field is called \"ttl\"");
  EXPECT_EQ(outcome_of("in S seq -@1\n"), "1: \"-@1\" is no sequence number");
  EXPECT_EQ(outcome_of("in S mss 65536\n"), "1: \"65536\" is no number up to 65535 (an MSS)");
  EXPECT_EQ(outcome_of("in S sack 5\n"), "1: \"5\" is no block BEGIN:END");
  EXPECT_EQ(outcome_of("in S opt 123\n"), "1: \"123\" has half an octet");
  EXPECT_EQ(outcome_of("out S no tfo\n"), "1: no option is called \"tfo\"");
  EXPECT_EQ(outcome_of("silence 5\n"), "1: \"5\" is no span of time");
  EXPECT_EQ(outcome_of("silence 5m\n"), "1: \"5m\" ends with no unit of time (us ms s min h d)");
  EXPECT_EQ(outcome_of("+20ms..10ms out A\n"), "1: the range ends before it begins");
  EXPECT_EQ(outcome_of("+1ms..2ms in A\n"), "1: only out takes a range of time");
  EXPECT_EQ(outcome_of("close now\n"), "1: \"now\" is one word too many");
  EXPECT_EQ(outcome_of("icmp 3 4 mtu 100\n"), "1: an ICMP error quotes a segment: seq is missing");
}

TEST(ScriptRunner, WhatIsFulfilledPasses) {
  EXPECT_EQ(outcome_of("establish\nin A seq 1 len 5\n+40ms out A ack 6\nread 5\n"), "");
  EXPECT_EQ(outcome_of("in S seq 0 &\nin S seq 0\nout SA\n"), "");
}

TEST(ScriptRunner, NoticesWhatIsUnexpected) {
  const std::string answered = "establish\nwrite 5\n";
  EXPECT_TRUE(says(answered, "2: unexpected: PA seq 1 ack 1"));
  EXPECT_TRUE(says(answered + "in A seq 1\n", "3: unexpected"));
  EXPECT_TRUE(says(answered + "out A\nsilence 2s\n", "4: unexpected"));
  EXPECT_TRUE(says(answered + "out A\n+2s read nothing\n", "4: unexpected"));
}

TEST(ScriptRunner, NoticesEveryFieldThatIsOther) {
  const std::string answered = "establish mss 1460 wscale 7 sackok ts * *\nwrite 5\n";
  EXPECT_TRUE(says(answered + "out FA\n", "3: other flags"));
  EXPECT_TRUE(says(answered + "out A seq 2\n", "3: another seq"));
  EXPECT_TRUE(says(answered + "out A ack 2\n", "3: another ack"));
  EXPECT_TRUE(says(answered + "out A win 1\n", "3: win is not 1"));
  EXPECT_TRUE(says(answered + "out A len 4\n", "3: another len"));
  EXPECT_TRUE(says(answered + "out A urg 1\n", "3: another urg"));
  EXPECT_TRUE(says(answered + "out A ecn 1\n", "3: another ecn"));
  EXPECT_TRUE(says(answered + "out A ipid 1\n", "3: another ipid"));
  EXPECT_TRUE(says(answered + "out A mss 1460\n", "3: another mss"));
  EXPECT_TRUE(says(answered + "out A wscale 1\n", "3: another wscale"));
  EXPECT_TRUE(says(answered + "out A sackok\n", "3: sackok is missing"));
  EXPECT_TRUE(says(answered + "out A ts * 7\n", "3: another ts"));
  EXPECT_TRUE(says(answered + "out A sack 1:2\n", "3: other sack blocks"));
  EXPECT_TRUE(says(answered + "out A no ts\n", "3: ts should not be there"));
  EXPECT_TRUE(says(answered + "flow 2\nout A\n", "unexpected"));
}

TEST(ScriptRunner, NoticesWhatComesAtAnotherTime) {
  const std::string said = "establish\nin A seq 1 len 5\n";
  EXPECT_TRUE(says(said + "out A\n", "3: nothing is seen"));
  EXPECT_TRUE(says(said + "+30ms out A\n", "3: nothing is seen"));
  EXPECT_TRUE(says(said + "+50ms out A\n", "3: it comes at the wrong time"));
  EXPECT_TRUE(says(said + "+41ms..60ms out A\n", "3: it comes at the wrong time"));
  EXPECT_TRUE(
      says("establish\n+1s events connected writable\n@500ms accept\n", "3: that time is over"));
}

TEST(ScriptRunner, NoticesWhatTheApplicationSees) {
  const std::string said = "establish\nin A seq 1 len 5\n+40ms out A\n";
  EXPECT_TRUE(says(said + "read 6\n", "4: read gives 5, not 6"));
  EXPECT_TRUE(says(said + "read 5 other\n", "4: octet 0 of the stream is wrong"));
  EXPECT_TRUE(says(said + "read end\n", "4: read gives 1, not 0"));
  EXPECT_TRUE(says(said + "state CLOSED\n", "4: the state is ESTABLISHED"));
  EXPECT_TRUE(says(said + "state OPEN\n", "4: no state is called OPEN"));
  EXPECT_TRUE(says(said + "events connected\n", "4: events: there is readable there is writable"));
  EXPECT_TRUE(says(said + "info rcv_nxt 5\n", "4: rcv_nxt is 6, not 5"));
  EXPECT_TRUE(says(said + "info weight 5\n", "4: nothing known of a connection is called weight"));
  EXPECT_TRUE(says(said + "count tcp_resets_sent >=1\n", "4: tcp_resets_sent is 0, not >=1"));
  EXPECT_TRUE(says(said + "count tcp_dreams 1\n", "4: nothing counted is called tcp_dreams"));
  EXPECT_TRUE(says(said + "write 5 takes 4\n", "4: write takes 5 octets, not 4"));
  EXPECT_TRUE(says("accept\n", "1: there is no connection to accept"));
  EXPECT_TRUE(says("close\n", "1: the application has no connection here"));
  EXPECT_TRUE(says("in A seq 1 ack 1\n", "1: the stack's initial sequence number is not known"));
}

TEST(ScriptRunner, ConfigurationStandsFirst) {
  EXPECT_TRUE(says("establish\nconfig mtu 1400\n", "2: config stands before everything else"));
  EXPECT_TRUE(says("config colour 3\nestablish\n", "1: nothing is called colour"));
  EXPECT_TRUE(says("config mtu 20\nestablish\n", "2: no stack can be made so"));
}

}  // namespace
}  // namespace millrace::script
