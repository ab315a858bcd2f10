// IPv6 addresses and prefixes as values (RFC 4291), with their text forms (RFC 5952).
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace millrace {

// Sixteen octets in wire order, so that comparing them is comparing addresses.
class Ipv6Address {
 public:
  static constexpr size_t bytes = 16;
  using Octets = std::array<uint8_t, bytes>;

  constexpr Ipv6Address() = default;  // the unspecified address, "::"
  constexpr explicit Ipv6Address(const Octets& octets) : octets_(octets) {}
  // groups: the eight 16-bit pieces of RFC 4291 section 2.2, in the order of the text.
  static constexpr Ipv6Address from_groups(const std::array<uint16_t, 8>& groups) {
    Octets octets{};
    for (size_t i = 0; i < groups.size(); ++i) {
      octets[2 * i] = static_cast<uint8_t>(groups[i] >> 8);
      octets[2 * i + 1] = static_cast<uint8_t>(groups[i]);
    }
    return Ipv6Address(octets);
  }
  static Ipv6Address load(const uint8_t* wire) {
    Ipv6Address address;
    std::memcpy(address.octets_.data(), wire, bytes);
    return address;
  }
  // Any form of RFC 4291 section 2.2: "::" at most once, the last 32 bits as a dotted quad if the
  // writer liked. No zone ("%eth0"): our ports are named elsewhere. No brackets.
  static std::optional<Ipv6Address> parse(std::string_view text);

  const Octets& octets() const { return octets_; }
  void store(uint8_t* wire) const { std::memcpy(wire, octets_.data(), bytes); }
  // The one form that RFC 5952 section 4 asks for: lower case, no leading zeros, the longest run of
  // two or more zero groups as "::", the first of equals; mapped addresses with a dotted quad
  // (section 5).
  std::string text() const;
  // The same without allocation: writes up to text_bytes_max characters, returns how many.
  static constexpr size_t text_bytes_max = 45;
  size_t write_text(char* out) const;

  constexpr bool is_unspecified() const { return *this == Ipv6Address{}; }  // RFC 4291 2.5.2
  constexpr bool is_loopback() const { return *this == loopback(); }        // RFC 4291 2.5.3
  constexpr bool is_multicast() const { return octets_[0] == 0xff; }        // RFC 4291 2.7
  constexpr bool is_link_local() const {                                    // fe80::/10
    return octets_[0] == 0xfe && (octets_[1] & 0xc0) == 0x80;
  }
  constexpr bool is_unique_local() const { return (octets_[0] & 0xfe) == 0xfc; }  // RFC 4193
  constexpr bool is_documentation() const {  // 2001:db8::/32 (RFC 3849), 3fff::/20 (RFC 9637)
    return (octets_[0] == 0x20 && octets_[1] == 0x01 && octets_[2] == 0x0d && octets_[3] == 0xb8) ||
           (octets_[0] == 0x3f && octets_[1] == 0xff && (octets_[2] & 0xf0) == 0);
  }
  // ::ffff:0:0/96. An IPv4 address in disguise: lets a filter on IPv4 be passed by, so that it has
  // no business on a wire (RFC 6890 section 2.2.3: not globally reachable, not a destination).
  constexpr bool is_ipv4_mapped() const {
    for (size_t i = 0; i < 10; ++i) {
      if (octets_[i] != 0) return false;
    }
    return octets_[10] == 0xff && octets_[11] == 0xff;
  }
  // May stand for one host in a packet on a wire: not unspecified, loopback, multicast or mapped.
  constexpr bool is_unicast() const {
    return !is_multicast() && !is_unspecified() && !is_loopback() && !is_ipv4_mapped();
  }

  // The four bits of RFC 4291 section 2.7; means something in a multicast address only.
  enum class Scope : uint8_t { interface_local = 1, link_local = 2, site_local = 5, global = 14 };
  constexpr uint8_t multicast_scope() const { return octets_[1] & 0x0f; }
  constexpr bool is_link_scope_multicast() const {
    return is_multicast() && multicast_scope() == static_cast<uint8_t>(Scope::link_local);
  }

  static constexpr Ipv6Address loopback() { return from_groups({0, 0, 0, 0, 0, 0, 0, 1}); }
  static constexpr Ipv6Address all_nodes() {  // ff02::1 (RFC 4291 section 2.7.1)
    return from_groups({0xff02, 0, 0, 0, 0, 0, 0, 1});
  }
  // ff02::1:ffXX:XXXX with the last 24 bits of this address (RFC 4291 section 2.7.1): the group in
  // which whoever has it listens for neighbor solicitations.
  constexpr Ipv6Address solicited_node() const {
    Octets octets{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};
    for (size_t i = 13; i < bytes; ++i) octets[i] = octets_[i];
    return Ipv6Address(octets);
  }
  // The Ethernet group of a multicast address: 33:33 and its last 32 bits (RFC 2464 section 7).
  constexpr MacAddress multicast_mac() const {
    return {{0x33, 0x33, octets_[12], octets_[13], octets_[14], octets_[15]}};
  }
  // fe80:: and the modified EUI-64 identifier of a MAC address (RFC 4291 appendix A, RFC 2464
  // section 5): ff:fe goes between its halves, the universal/local bit is turned over.
  static constexpr Ipv6Address link_local_of(const MacAddress& mac) {
    const auto& m = mac.octets;
    return Ipv6Address({0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<uint8_t>(m[0] ^ 0x02), m[1], m[2],
                        0xff, 0xfe, m[3], m[4], m[5]});
  }

  constexpr auto operator<=>(const Ipv6Address&) const = default;

 private:
  Octets octets_{};
};

// An address with the length of its network prefix, "2001:db8::1/64" (RFC 4291 section 2.3).
struct Ipv6Prefix {
  Ipv6Address address;
  uint8_t length = 128;
  static std::optional<Ipv6Prefix> parse(std::string_view text);
  bool contains(const Ipv6Address& other) const;
  std::string text() const;
  auto operator<=>(const Ipv6Prefix&) const = default;
};

// One end of a TCP connection over IPv6.
struct Ipv6SocketAddress {
  Ipv6Address address;
  uint16_t port = 0;
  std::string text() const;  // "[2001:db8::1]:80" (RFC 5952 section 6)
  auto operator<=>(const Ipv6SocketAddress&) const = default;
};

}  // namespace millrace
