#include "base/ipv6_address.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace millrace {
namespace {

std::string rewritten(std::string_view text) {
  const auto address = Ipv6Address::parse(text);
  return address ? address->text() : "refused";
}

Ipv6Address address(std::string_view text) {
  return Ipv6Address::parse(text).value();
}

TEST(Ipv6Address, WritesTheOneFormOfRfc5952) {
  EXPECT_EQ(rewritten("2001:0DB8:0000:0000:0000:0000:0002:0001"), "2001:db8::2:1");
  EXPECT_EQ(rewritten("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");  // 4.2.2: not for one group
  EXPECT_EQ(rewritten("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");           // 4.2.3: the longest
  EXPECT_EQ(rewritten("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");     // 4.2.3: the first
  EXPECT_EQ(rewritten("0:0:0:0:0:0:0:0"), "::");
  EXPECT_EQ(rewritten("0:0:0:0:0:0:0:1"), "::1");
  EXPECT_EQ(rewritten("1:0:0:0:0:0:0:0"), "1::");
  EXPECT_EQ(rewritten("::2:3:4:5:6:7:8"), "0:2:3:4:5:6:7:8");
  EXPECT_EQ(rewritten("1:2:3:4:5:6:7::"), "1:2:3:4:5:6:7:0");
  EXPECT_EQ(rewritten("fe80::A0b:0C0d"), "fe80::a0b:c0d");
  EXPECT_EQ(rewritten("::ffff:192.0.2.1"), "::ffff:192.0.2.1");  // section 5
  EXPECT_EQ(rewritten("::ffff:c000:201"), "::ffff:192.0.2.1");
  EXPECT_EQ(rewritten("64:ff9b::192.0.2.33"), "64:ff9b::c000:221");
  EXPECT_EQ(rewritten("1:2:3:4:5:6:10.0.0.1"), "1:2:3:4:5:6:a00:1");
}

TEST(Ipv6Address, RefusesWhatIsNoAddress) {
  for (const char* bad : {"",
                          ":",
                          ":::",
                          "1",
                          "1:2:3:4:5:6:7",
                          "1:2:3:4:5:6:7:8:9",
                          "1::2::3",
                          "1:2:3:4:5:6:7:8::",
                          "::1:2:3:4:5:6:7:8",
                          "12345::",
                          "g::",
                          "1:",
                          ":1",
                          "1:2:3:4:5:6:7:",
                          ":2:3:4:5:6:7:8",
                          "::1.2.3",
                          "::1.2.3.4.5",
                          "::1.2.3.256",
                          "1.2.3.4",
                          "1.2.3.4::",
                          "::1.2.3.4:5",
                          "1:2:3:4:5:6:7:1.2.3.4",
                          "fe80::1%eth0",
                          "[::1]",
                          " ::1",
                          "::1 ",
                          "::-1",
                          "1::/64",
                          "::00001",
                          "1:::2",
                          "::1:",
                          "0000:0000:0000:0000:0000:0000:255.255.255.2555"}) {
    EXPECT_EQ(rewritten(bad), "refused") << bad;
  }
}

TEST(Ipv6Address, WhatIsWrittenReadsBackTheSame) {
  Random random(6);
  for (int i = 0; i < 20'000; ++i) {
    Ipv6Address::Octets octets{};
    // Half of the groups are zero, so that runs of every length and place occur.
    for (size_t group = 0; group < 8; ++group) {
      if (random.below(2) == 0) continue;
      octets[2 * group] = static_cast<uint8_t>(random.below(3) == 0 ? 0 : random.next());
      octets[2 * group + 1] = static_cast<uint8_t>(random.next());
    }
    const Ipv6Address written(octets);
    const std::string text = written.text();
    ASSERT_LE(text.size(), Ipv6Address::text_bytes_max);
    ASSERT_EQ(Ipv6Address::parse(text), written) << text;
  }
  // The longest text that is ever written.
  EXPECT_EQ(rewritten("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").size(), 39U);
}

TEST(Ipv6Address, KnowsItsClass) {
  EXPECT_TRUE(Ipv6Address{}.is_unspecified());
  EXPECT_TRUE(address("::1").is_loopback());
  EXPECT_FALSE(address("::2").is_loopback());
  EXPECT_TRUE(address("fe80::1").is_link_local());
  EXPECT_TRUE(address("febf::1").is_link_local());
  EXPECT_FALSE(address("fec0::1").is_link_local());
  EXPECT_TRUE(address("fd00::1").is_unique_local());
  EXPECT_TRUE(address("fc00::1").is_unique_local());
  EXPECT_FALSE(address("fe00::1").is_unique_local());
  EXPECT_TRUE(address("2001:db8:ffff::1").is_documentation());
  EXPECT_FALSE(address("2001:db9::1").is_documentation());
  EXPECT_TRUE(address("3fff:fff::1").is_documentation());
  EXPECT_FALSE(address("3fff:1000::1").is_documentation());
  EXPECT_TRUE(address("::ffff:10.0.0.1").is_ipv4_mapped());
  EXPECT_FALSE(address("::10.0.0.1").is_ipv4_mapped());
  EXPECT_TRUE(address("ff02::1").is_link_scope_multicast());
  EXPECT_FALSE(address("ff05::2").is_link_scope_multicast());
  EXPECT_EQ(address("ff0e::1").multicast_scope(), 14);
  for (const char* host : {"2001:db8::1", "fe80::1", "fd00::1"}) {
    EXPECT_TRUE(address(host).is_unicast()) << host;
  }
  for (const char* none : {"::", "::1", "ff02::1", "ff0e::1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(address(none).is_unicast()) << none;
  }
}

TEST(Ipv6Address, DerivedAddresses) {
  EXPECT_EQ(address("2001:db8::12ab:cdef").solicited_node(), address("ff02::1:ffab:cdef"));
  EXPECT_EQ(to_text(address("ff02::1:ffab:cdef").multicast_mac()), "33:33:ff:ab:cd:ef");
  EXPECT_EQ(to_text(Ipv6Address::all_nodes().multicast_mac()), "33:33:00:00:00:01");
  // The example of RFC 4291 appendix A, with the universal/local bit turned over.
  EXPECT_EQ(Ipv6Address::link_local_of(*parse_mac("34:56:78:9a:bc:de")).text(),
            "fe80::3656:78ff:fe9a:bcde");
}

TEST(Ipv6Prefix, ContainsItsNetwork) {
  const auto contains = [](const char* prefix, const char* other) {
    return Ipv6Prefix::parse(prefix)->contains(address(other));
  };
  EXPECT_TRUE(contains("2001:db8::7/64", "2001:db8::ffff"));
  EXPECT_FALSE(contains("2001:db8::7/64", "2001:db8:0:1::7"));
  EXPECT_TRUE(contains("::/0", "ffff::"));
  EXPECT_TRUE(contains("2001:db8::1/128", "2001:db8::1"));
  EXPECT_FALSE(contains("2001:db8::1/128", "2001:db8::"));
  EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::"));
  EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::"));
  EXPECT_TRUE(contains("2001:db8::2/127", "2001:db8::3"));
  EXPECT_FALSE(contains("2001:db8::2/127", "2001:db8::4"));
  EXPECT_EQ(Ipv6Prefix::parse("2001:DB8::/32")->text(), "2001:db8::/32");
  for (const char* bad :
       {"2001:db8::", "2001:db8::/129", "2001:db8::/", "/64", "::/-1", "::/6 4"}) {
    EXPECT_FALSE(Ipv6Prefix::parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace millrace
