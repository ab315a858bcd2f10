// Link and internet addresses as values, with their text forms.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace millrace {

// IEEE 802 MAC address, in wire order.
struct MacAddress {
  std::array<uint8_t, 6> octets{};
  auto operator<=>(const MacAddress&) const = default;
  bool is_multicast() const { return (octets[0] & 1) != 0; }  // broadcast included
  bool is_zero() const { return *this == MacAddress{}; }
  static constexpr MacAddress broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
};

// IPv4 address held as a host-order integer, so that comparing and masking are plain arithmetic.
class Ipv4Address {
 public:
  constexpr Ipv4Address() = default;
  static constexpr Ipv4Address from_host_order(uint32_t value) { return Ipv4Address(value); }
  static constexpr Ipv4Address from_octets(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return Ipv4Address(uint32_t{a} << 24 | uint32_t{b} << 16 | uint32_t{c} << 8 | d);
  }
  static Ipv4Address load(const uint8_t* wire) { return Ipv4Address(load_be32(wire)); }
  // Dotted quad, exactly four decimal octets without leading zeros.
  static std::optional<Ipv4Address> parse(std::string_view text);

  constexpr uint32_t host_order() const { return value_; }
  void store(uint8_t* wire) const { store_be32(wire, value_); }
  std::string text() const;
  // The same without allocation: writes up to text_bytes_max characters, returns how many.
  static constexpr size_t text_bytes_max = 15;
  size_t write_text(char* out) const;

  constexpr bool is_zero() const { return value_ == 0; }
  constexpr bool is_multicast() const { return (value_ >> 28) == 0xe; }  // RFC 5771
  constexpr bool is_loopback() const { return (value_ >> 24) == 127; }   // RFC 1122 3.2.1.3 (g)
  constexpr bool is_limited_broadcast() const { return value_ == 0xffffffffU; }
  constexpr bool is_reserved() const {
    return (value_ >> 28) == 0xf;
  }  // RFC 1112 class E, broadcast included
  // Usable as the source of a packet that wants an answer.
  constexpr bool is_unicast() const {
    return (value_ >> 24) != 0 && !is_multicast() && !is_reserved();
  }
  constexpr auto operator<=>(const Ipv4Address&) const = default;

 private:
  constexpr explicit Ipv4Address(uint32_t value) : value_(value) {}
  uint32_t value_ = 0;
};

// An address with the length of its network prefix, "10.0.0.1/24".
struct Ipv4Prefix {
  Ipv4Address address;
  uint8_t length = 32;
  static std::optional<Ipv4Prefix> parse(std::string_view text);
  constexpr uint32_t mask() const { return length == 0 ? 0U : ~uint32_t{0} << (32 - length); }
  constexpr bool contains(Ipv4Address other) const {
    return (other.host_order() & mask()) == (address.host_order() & mask());
  }
  std::string text() const;
  auto operator<=>(const Ipv4Prefix&) const = default;
};

// One end of a TCP connection.
struct SocketAddress {
  Ipv4Address address;
  uint16_t port = 0;
  std::string text() const;
  static std::optional<SocketAddress> parse(std::string_view text);  // "10.0.0.1:80"
  auto operator<=>(const SocketAddress&) const = default;
};

std::string to_text(const MacAddress& mac);  // "02:00:00:00:00:01"
std::optional<MacAddress> parse_mac(std::string_view text);
std::optional<uint64_t> parse_decimal(std::string_view text,
                                      uint64_t maximum);  // digits only, no sign

}  // namespace millrace
