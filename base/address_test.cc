#include "base/address.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Ipv4Address, ReadsAndWritesDottedQuads) {
  EXPECT_EQ(Ipv4Address::parse("10.0.0.255"), Ipv4Address::from_octets(10, 0, 0, 255));
  EXPECT_EQ(Ipv4Address::from_octets(192, 168, 1, 20).text(), "192.168.1.20");
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1..2.3", "1.2.3.4 ",
                          "a.b.c.d", "1.2.3.-4", "1.2.3.", "1.2.3.4.", ".1.2.3.4", "1.2.3.04",
                          "1.2.3.00", "1.2.3.0004", "1.2.3.1000", "1.2.3", "1.2.3.4294967297"}) {
    EXPECT_FALSE(Ipv4Address::parse(bad)) << bad;
  }
  for (uint64_t value = 0; value <= UINT32_MAX; value += 65'521) {
    const auto address = Ipv4Address::from_host_order(static_cast<uint32_t>(value));
    EXPECT_EQ(Ipv4Address::parse(address.text()), address);
  }
}

TEST(Ipv4Address, KnowsWhatMayBeASource) {
  EXPECT_TRUE(Ipv4Address::from_octets(10, 1, 2, 3).is_unicast());
  EXPECT_FALSE(Ipv4Address::from_octets(0, 1, 2, 3).is_unicast());
  EXPECT_FALSE(Ipv4Address::from_octets(224, 0, 0, 1).is_unicast());
  EXPECT_FALSE(Ipv4Address::from_octets(255, 255, 255, 255).is_unicast());
}

TEST(Ipv4Prefix, ContainsItsNetwork) {
  const auto prefix = Ipv4Prefix::parse("10.20.0.7/24");
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->contains(*Ipv4Address::parse("10.20.0.255")));
  EXPECT_FALSE(prefix->contains(*Ipv4Address::parse("10.20.1.0")));
  EXPECT_TRUE(Ipv4Prefix::parse("0.0.0.0/0")->contains(*Ipv4Address::parse("8.8.8.8")));
  EXPECT_FALSE(Ipv4Prefix::parse("10.0.0.0/33"));
  EXPECT_FALSE(Ipv4Prefix::parse("10.0.0.0"));
}

TEST(SocketAddress, ReadsAddressAndPort) {
  EXPECT_EQ(SocketAddress::parse("10.0.0.1:80")->text(), "10.0.0.1:80");
  EXPECT_FALSE(SocketAddress::parse("10.0.0.1"));
  EXPECT_FALSE(SocketAddress::parse("10.0.0.1:65536"));
}

TEST(MacAddress, ReadsAndWrites) {
  EXPECT_EQ(to_text(*parse_mac("02:00:5e:AA:0b:ff")), "02:00:5e:aa:0b:ff");
  EXPECT_FALSE(parse_mac("02:00:5e:AA:0b:f"));
  EXPECT_FALSE(parse_mac("02-00-5e-AA-0b-ff"));
  EXPECT_TRUE(MacAddress::broadcast().is_multicast());
}

TEST(ParseDecimal, RefusesSignsAndOverflow) {
  EXPECT_EQ(parse_decimal("18446744073709551615", UINT64_MAX), UINT64_MAX);
  EXPECT_FALSE(parse_decimal("18446744073709551616", UINT64_MAX));
  EXPECT_FALSE(parse_decimal("+1", 10));
  EXPECT_FALSE(parse_decimal("11", 10));
}

}  // namespace
}  // namespace millrace
