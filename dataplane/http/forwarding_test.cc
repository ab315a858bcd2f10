#include "dataplane/http/forwarding.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_writer.h"

namespace millrace::http {
namespace {

// A head whose octets live as long as it.
struct Parsed {
  explicit Parsed(const std::string& fields)
      : text("GET / HTTP/1.1\r\nHost: a.example\r\n" + fields + "\r\n") {
    size_t consumed = 0;
    EXPECT_EQ(parse_request_head(as_bytes(text), head, consumed), ParseStatus::complete) << text;
  }
  Parsed(const Parsed&) = delete;
  std::string text;
  RequestHead head;
};

std::vector<std::string> chain_of(const std::string& fields) {
  const Parsed parsed(fields);
  const ForwardedChain chain = read_forwarded_for(parsed.head.fields);
  return {chain.hops.begin(), chain.hops.begin() + static_cast<long>(chain.count)};
}

using Hops = std::vector<std::string>;

TEST(Forwarding, H33_TheChainIsReadFromTheRightUpToWhatIsNoAddress) {
  EXPECT_EQ(chain_of(""), Hops{});
  EXPECT_EQ(chain_of("X-Forwarded-For: 1.2.3.4\r\n"), Hops{"1.2.3.4"});
  EXPECT_EQ(chain_of("X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n"), (Hops{"1.2.3.4", "5.6.7.8"}));
  EXPECT_EQ(chain_of("x-forwarded-for:1.2.3.4 ,\t5.6.7.8 \r\nX-Forwarded-For: 9.9.9.9\r\n"),
            (Hops{"1.2.3.4", "5.6.7.8", "9.9.9.9"}));
  EXPECT_EQ(chain_of("X-Forwarded-For: 1.2.3.4, unknown, 5.6.7.8\r\n"), Hops{"5.6.7.8"});
  EXPECT_EQ(chain_of("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: evil, 5.6.7.8\r\n"),
            Hops{"5.6.7.8"});
  EXPECT_EQ(chain_of("X-Forwarded-For: 5.6.7.8, unknown\r\n"), Hops{});
  EXPECT_EQ(chain_of("X-Forwarded-For: ,,1.2.3.4,, ,\r\n"), Hops{"1.2.3.4"});
  EXPECT_EQ(chain_of("X-Forwarded-For: \r\nX-Forwarded-For: 1.2.3.4\r\n"), Hops{"1.2.3.4"});
  EXPECT_EQ(chain_of("X_Forwarded_For: 6.6.6.6\r\n"), Hops{});
}

TEST(Forwarding, H33_AnElementMayHaveAPortAndBrackets) {
  EXPECT_EQ(chain_of("X-Forwarded-For: 1.2.3.4:80\r\n"), Hops{"1.2.3.4"});
  EXPECT_EQ(chain_of("X-Forwarded-For: 2001:db8::1\r\n"), Hops{"2001:db8::1"});
  EXPECT_EQ(chain_of("X-Forwarded-For: [2001:db8::1]\r\n"), Hops{"2001:db8::1"});
  EXPECT_EQ(chain_of("X-Forwarded-For: [2001:db8::1]:443\r\n"), Hops{"2001:db8::1"});
  for (const char* no_address : {"1.2.3", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:70000", "[1.2.3.4]",
                                 "[2001:db8::1", "[2001:db8::1]x", "[2001:db8::1]:", "[]",
                                 "\"1.2.3.4\"", "1.2.3.4;x", "01.2.3.4", "_hidden", "-"}) {
    EXPECT_EQ(chain_of("X-Forwarded-For: " + std::string(no_address) + "\r\n"), Hops{})
        << no_address;
  }
}

TEST(Forwarding, H33_TheChainIsBounded) {
  std::string line = "X-Forwarded-For: ";
  for (int i = 0; i < 60; ++i) line += "10.0.0." + std::to_string(i) + ", ";
  const Hops hops = chain_of(line + "\r\n");
  ASSERT_EQ(hops.size(), ForwardedChain::hops_max);
  EXPECT_EQ(hops.front(), "10.0.0.44");
  EXPECT_EQ(hops.back(), "10.0.0.59");
}

TEST(Forwarding, H33_TheClientIsTheLastWhoIsNotTrusted) {
  const TrustedProxies trusted{{*Ipv4Prefix::parse("10.0.0.0/8")},
                               {*Ipv6Prefix::parse("2001:db8::/32")}};
  const auto client = [&](const std::string& fields) {
    const Parsed parsed(fields);
    return std::string(client_of(read_forwarded_for(parsed.head.fields), "10.9.9.9", trusted));
  };
  EXPECT_EQ(client(""), "10.9.9.9");
  EXPECT_EQ(client("X-Forwarded-For: 192.0.2.1\r\n"), "192.0.2.1");
  EXPECT_EQ(client("X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n"), "192.0.2.1");
  EXPECT_EQ(client("X-Forwarded-For: 6.6.6.6, 2001:db8::7, 10.0.0.1\r\n"), "6.6.6.6");
  EXPECT_EQ(client("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n"), "10.0.0.3") << "all are ours";
  EXPECT_EQ(client("X-Forwarded-For: 6.6.6.6, junk, 10.0.0.2\r\n"), "10.0.0.2")
      << "nobody knows who stands left of junk";
}

TEST(Forwarding, TrustedProxiesAreNetworksOfBothFamilies) {
  const TrustedProxies trusted{
      {*Ipv4Prefix::parse("10.1.0.0/16"), *Ipv4Prefix::parse("192.0.2.7/32")},
      {*Ipv6Prefix::parse("2001:db8::/32")}};
  EXPECT_TRUE(trusted.contains("10.1.255.255"));
  EXPECT_TRUE(trusted.contains("192.0.2.7"));
  EXPECT_TRUE(trusted.contains("2001:db8:ffff::1"));
  EXPECT_TRUE(trusted.contains("::ffff:10.1.2.3")) << "an IPv4 client of a socket for both";
  EXPECT_FALSE(trusted.contains("::ffff:10.2.2.3"));
  for (const char* other : {"10.2.0.0", "192.0.2.8", "2001:db9::", "::", "", "10.1.0.0/16", "x"}) {
    EXPECT_FALSE(trusted.contains(other)) << other;
  }
  EXPECT_TRUE(TrustedProxies().is_empty());
  EXPECT_FALSE(TrustedProxies().contains("10.1.0.1"));
}

TEST(Forwarding, OnlyOneFieldHasAValue) {
  const Parsed parsed(
      "X-Request-ID: one\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n"
      "X_Request_ID: two\r\n");
  EXPECT_EQ(only_value(parsed.head.fields, FieldName::x_request_id), "one");
  EXPECT_EQ(only_value(parsed.head.fields, FieldName::x_forwarded_proto), "");
  EXPECT_EQ(only_value(parsed.head.fields, FieldName::x_forwarded_host), "");
}

TEST(Forwarding, RequestIdsAndPortsHaveTheirForms) {
  for (const char* good : {"a", "0123456789abcdef0123456789abcdef", "A-b_c.9"}) {
    EXPECT_TRUE(is_request_id(good)) << good;
  }
  for (const std::string bad : {"", "a b", "a,b", "a\"", "a:b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_request_id(bad)) << bad;
  }
  EXPECT_TRUE(is_request_id(std::string(64, 'x')));
  EXPECT_FALSE(is_request_id(std::string(65, 'x')));
  EXPECT_EQ(parse_port("0"), 0);
  EXPECT_EQ(parse_port("65535"), 65'535);
  for (const char* bad : {"", "65536", "-1", "08", "1 ", "999999", "x"}) {
    EXPECT_EQ(parse_port(bad), std::nullopt) << bad;
  }
}

TEST(Forwarding, H32_MaxForwardsIsTakenOut) {
  const auto taken = [](const std::string& fields) {
    Parsed parsed(fields);
    return take_max_forwards(parsed.head.fields);
  };
  EXPECT_EQ(taken("Max-Forwards: 0\r\n"), 0U);
  EXPECT_EQ(taken("Max-Forwards: 999999999\r\n"), 999'999'999U);
  for (const char* none :
       {"", "Max-Forwards: \r\n", "Max-Forwards: -1\r\n", "Max-Forwards: 1 2\r\n",
        "Max-Forwards: 9999999999\r\n", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n"}) {
    EXPECT_EQ(taken(none), std::nullopt) << none;
  }
}

TEST(Forwarding, H36_CdnLoopNamesUs) {
  const auto passed = [](const std::string& fields) {
    const Parsed parsed(fields);
    EXPECT_EQ(parsed.head.has_cdn_loop, fields.find("CDN-Loop:") != std::string::npos) << fields;
    return has_passed(parsed.head.fields, "millrace-1f");
  };
  EXPECT_FALSE(passed(""));
  EXPECT_FALSE(passed("CDN-Loop: millrace-2f\r\n"));
  EXPECT_FALSE(passed("CDN-Loop: millrace-1f2\r\n"));
  EXPECT_FALSE(passed("CDN-Loop: a;b=millrace-1f\r\n"));
  EXPECT_FALSE(passed("CDN-Loop: \r\n"));
  EXPECT_TRUE(passed("CDN-Loop: millrace-1f\r\n"));
  EXPECT_TRUE(passed("CDN-Loop: MILLRACE-1F\r\n"));
  EXPECT_TRUE(passed("CDN-Loop: a, millrace-1f ; v=1 , b\r\n"));
  EXPECT_TRUE(passed("CDN-Loop: a\r\nCDN-Loop: millrace-1f\r\n"));
  EXPECT_FALSE(passed("X: CDN-Loops\r\n")) << "another field";
}

// ---- what is written ---------------------------------------------------------------------------

std::string written(const Parsed& parsed, const ForwardingFields& forwarding) {
  std::vector<uint8_t> roomy(8192);
  roomy.resize(write_request_head(parsed.head, forwarding, roomy));
  // Just enough room goes another way to the same head.
  std::vector<uint8_t> tight(roomy.size());
  EXPECT_EQ(write_request_head(parsed.head, forwarding, tight), roomy.size());
  EXPECT_EQ(tight, roomy);
  EXPECT_LE(roomy.size(), parsed.text.size() + head_growth_bytes_max + bytes_of(forwarding));
  return std::string(as_text(roomy));
}

const std::string start = "GET / HTTP/1.1\r\nHost: a.example\r\n";

TEST(Forwarding, H33_OfAStrangerOnlyWhatWeHaveSeenGoesOn) {
  const Parsed parsed(
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 6\r\nX-Forwarded-Prefix: /x\r\n"
      "X-Request-ID: theirs\r\nForwarded: for=6.6.6.6\r\n");
  ForwardingFields forwarding{"192.0.2.7", "http", ""};
  forwarding.port = 8080;
  const std::string seen =
      "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"
      "X-Forwarded-Port: 8080\r\nX-Real-IP: 192.0.2.7\r\n";
  EXPECT_EQ(written(parsed, forwarding), start + "X-Request-ID: theirs\r\n" + seen + "\r\n");
  forwarding.request_id = "ours";
  forwarding.loop_id = "millrace-1f";
  forwarding.writes_forwarded = true;
  EXPECT_EQ(written(parsed, forwarding),
            start + seen + "X-Request-ID: ours\r\nCDN-Loop: millrace-1f\r\n" +
                "Forwarded: for=192.0.2.7;proto=http;host=\"a.example\"\r\n\r\n");
}

TEST(Forwarding, H33_WhatATrustedProxyHasSaidStandsInFront) {
  const Parsed parsed(
      "X-Forwarded-For: 203.0.113.5, 2001:db8::9\r\nX-Forwarded-Prefix: /x\r\n"
      "X-Forwarded-Prefix_: /y\r\n");
  const ForwardedChain chain = read_forwarded_for(parsed.head.fields);
  ForwardingFields forwarding{"10.0.0.2", "https", ""};
  forwarding.before = &chain;
  forwarding.real_address = "203.0.113.5";
  forwarding.host = "shop.example:8443";
  forwarding.passes_other_fields = true;
  forwarding.writes_forwarded = true;
  EXPECT_EQ(written(parsed, forwarding),
            start +
                "X-Forwarded-Prefix: /x\r\n"
                "X-Forwarded-For: 203.0.113.5, 2001:db8::9, 10.0.0.2\r\n"
                "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example:8443\r\n"
                "X-Real-IP: 203.0.113.5\r\n"
                "Forwarded: for=203.0.113.5, for=\"[2001:db8::9]\", "
                "for=10.0.0.2;proto=https;host=\"a.example\"\r\n\r\n");
}

TEST(Forwarding, H36_EarlierHopsStayInCdnLoop) {
  const Parsed parsed("CDN-Loop:a\r\nAccept: x\r\n");
  ForwardingFields forwarding{"192.0.2.7", "http", ""};
  forwarding.loop_id = "millrace-1f";
  EXPECT_EQ(written(parsed, forwarding),
            start +
                "CDN-Loop: a\r\nAccept: x\r\nX-Forwarded-For: 192.0.2.7\r\n"
                "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"
                "X-Real-IP: 192.0.2.7\r\nCDN-Loop: millrace-1f\r\n\r\n");
}

TEST(Forwarding, H36_NobodyMayHaveCdnLoopTakenAway) {
  const std::string text =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: cdn-loop\r\nCDN-Loop: a\r\n\r\n";
  RequestHead head;
  size_t consumed = 0;
  EXPECT_EQ(parse_request_head(as_bytes(text), head, consumed), ParseStatus::error);
  EXPECT_EQ(head.error, HeadError::connection_nominates_protected);
}

}  // namespace
}  // namespace millrace::http
