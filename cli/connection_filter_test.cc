#include "cli/connection_filter.h"

#include <gtest/gtest.h>

#include "base/ipv6_address.h"

namespace millrace::cli {
namespace {

using Address = shm::ConnectionRecord::Address;

Address mapped(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d};
}

bool end_matches(const std::string& text, const Address& address, uint16_t port) {
  const auto end = parse_end(text);
  EXPECT_TRUE(end.ok()) << text;
  return end.ok() && end->matches(address, port);
}

TEST(EndFilter, AnAddressIsThatAddressWithAnyPort) {
  EXPECT_TRUE(end_matches("10.0.0.1", mapped(10, 0, 0, 1), 80));
  EXPECT_TRUE(end_matches("10.0.0.1", mapped(10, 0, 0, 1), 81));
  EXPECT_FALSE(end_matches("10.0.0.1", mapped(10, 0, 0, 2), 80));
}

TEST(EndFilter, APrefixIsItsAddresses) {
  EXPECT_TRUE(end_matches("10.20.0.0/15", mapped(10, 21, 3, 4), 1));
  EXPECT_FALSE(end_matches("10.20.0.0/15", mapped(10, 22, 3, 4), 1));
  EXPECT_TRUE(end_matches("0.0.0.0/0", mapped(10, 22, 3, 4), 1));
}

TEST(EndFilter, APortIsThatPort) {
  EXPECT_TRUE(end_matches(":80", mapped(10, 0, 0, 1), 80));
  EXPECT_FALSE(end_matches(":80", mapped(10, 0, 0, 1), 8'080));
  EXPECT_TRUE(end_matches("10.0.0.1:80", mapped(10, 0, 0, 1), 80));
  EXPECT_FALSE(end_matches("10.0.0.1:80", mapped(10, 0, 0, 1), 81));
}

TEST(EndFilter, Ipv6HasItsForms) {
  const Address address = Ipv6Address::parse("2001:db8::1")->octets();
  EXPECT_TRUE(end_matches("2001:db8::1", address, 443));
  EXPECT_TRUE(end_matches("2001:db8::/32", address, 443));
  EXPECT_FALSE(end_matches("2001:db9::/32", address, 443));
  EXPECT_TRUE(end_matches("[2001:db8::1]:443", address, 443));
  EXPECT_FALSE(end_matches("[2001:db8::1]:443", address, 444));
  // Every IPv4 address is no IPv6 one, but for the prefix that they all stand in.
  EXPECT_FALSE(end_matches("2001:db8::/32", mapped(32, 1, 13, 184), 443));
}

TEST(EndFilter, NonsenseIsRefused) {
  for (const char* text :
       {"", ":", "10.0.0", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.0/33", "host:80",
        "10.0.0.1:80:90", "2001:db8::/129", "[2001:db8::1]:", "[]:80", "[10.0.0.1:80"}) {
    EXPECT_FALSE(parse_end(text).ok()) << text;
  }
}

TEST(StateFilter, StatesHaveTheNamesOfTheRfc) {
  EXPECT_EQ(*parse_state("ESTABLISHED"), shm::ConnectionState::established);
  EXPECT_EQ(*parse_state("syn-sent"), shm::ConnectionState::syn_sent);
  EXPECT_EQ(*parse_state("time-wait"), shm::ConnectionState::time_wait);
  EXPECT_FALSE(parse_state("ESTAB").ok());
  EXPECT_FALSE(parse_state("").ok());
}

TEST(ConnectionFilter, AllThatIsAskedForMustHold) {
  shm::ConnectionRecord record;
  record.state = static_cast<uint8_t>(shm::ConnectionState::established);
  record.local_address = mapped(10, 0, 0, 1);
  record.local_port = 80;
  record.remote_address = mapped(10, 0, 0, 9);
  record.remote_port = 40'000;
  ConnectionFilter filter;
  EXPECT_TRUE(filter.matches(record));
  filter.state = shm::ConnectionState::established;
  filter.local = *parse_end(":80");
  filter.remote = *parse_end("10.0.0.9");
  EXPECT_TRUE(filter.matches(record));
  record.remote_address[15] = 8;
  EXPECT_FALSE(filter.matches(record));
  record.remote_address[15] = 9;
  record.local_port = 81;
  EXPECT_FALSE(filter.matches(record));
  record.local_port = 80;
  record.state = static_cast<uint8_t>(shm::ConnectionState::close_wait);
  EXPECT_FALSE(filter.matches(record));
}

}  // namespace
}  // namespace millrace::cli
