#include "base/address.h"

#include <cstdio>

namespace millrace {

std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t maximum) {
  if (text.empty() || text.size() > 20) return std::nullopt;
  uint64_t value = 0;
  for (char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    uint64_t next;
    if (__builtin_mul_overflow(value, uint64_t{10}, &next)) return std::nullopt;
    if (__builtin_add_overflow(next, static_cast<uint64_t>(digit - '0'), &value))
      return std::nullopt;
  }
  if (value > maximum) return std::nullopt;
  return value;
}

// In one pass: a control plane reads one an endpoint, by the hundred thousand.
std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) {
  constexpr size_t octet_digits_max = 3;
  uint32_t value = 0;
  size_t at = 0;
  for (int octet = 0; octet < 4; ++octet) {
    if (octet > 0 && (at == text.size() || text[at++] != '.')) return std::nullopt;
    const size_t first = at;
    uint32_t number = 0;
    while (at < text.size() && at - first < octet_digits_max && text[at] >= '0' &&
           text[at] <= '9') {
      number = number * 10 + static_cast<uint32_t>(text[at++] - '0');
    }
    // A leading zero reads as octal elsewhere (RFC 6943 section 3.1.1): refuse what is ambiguous.
    const bool is_ambiguous = at - first > 1 && text[first] == '0';
    if (at == first || is_ambiguous || number > 255) return std::nullopt;
    value = value << 8 | number;
  }
  if (at != text.size()) return std::nullopt;
  return Ipv4Address(value);
}

size_t Ipv4Address::write_text(char* out) const {
  char* at = out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const uint32_t octet = value_ >> shift & 255;
    if (octet >= 100) *at++ = static_cast<char>('0' + octet / 100);
    if (octet >= 10) *at++ = static_cast<char>('0' + octet / 10 % 10);
    *at++ = static_cast<char>('0' + octet % 10);
    if (shift > 0) *at++ = '.';
  }
  return static_cast<size_t>(at - out);
}

std::string Ipv4Address::text() const {
  char buffer[text_bytes_max];
  return {buffer, write_text(buffer)};
}

std::optional<Ipv4Prefix> Ipv4Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = Ipv4Address::parse(text.substr(0, slash));
  const auto length = parse_decimal(text.substr(slash + 1), 32);
  if (!address || !length) return std::nullopt;
  return Ipv4Prefix{*address, static_cast<uint8_t>(*length)};
}

std::string Ipv4Prefix::text() const {
  return address.text() + "/" + std::to_string(length);
}

std::string SocketAddress::text() const {
  return address.text() + ":" + std::to_string(port);
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto address = Ipv4Address::parse(text.substr(0, colon));
  const auto port = parse_decimal(text.substr(colon + 1), 65535);
  if (!address || !port) return std::nullopt;
  return SocketAddress{*address, static_cast<uint16_t>(*port)};
}

std::string to_text(const MacAddress& mac) {
  char buffer[18];
  std::snprintf(buffer, sizeof buffer, "%02x:%02x:%02x:%02x:%02x:%02x", mac.octets[0],
                mac.octets[1], mac.octets[2], mac.octets[3], mac.octets[4], mac.octets[5]);
  return buffer;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (size_t i = 0; i < 6; ++i) {
    uint32_t value = 0;
    for (size_t digit = 0; digit < 2; ++digit) {
      const char c = text[i * 3 + digit];
      uint32_t nibble;
      if (c >= '0' && c <= '9') {
        nibble = static_cast<uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        nibble = static_cast<uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        nibble = static_cast<uint32_t>(c - 'A' + 10);
      } else {
        return std::nullopt;
      }
      value = value << 4 | nibble;
    }
    if (i < 5 && text[i * 3 + 2] != ':') return std::nullopt;
    mac.octets[i] = static_cast<uint8_t>(value);
  }
  return mac;
}

}  // namespace millrace
