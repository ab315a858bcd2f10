#include "base/ipv6_address.h"

namespace millrace {
namespace {

constexpr size_t groups_in_address = 8;

// One to four hexadecimal digits (RFC 4291 section 2.2).
std::optional<uint16_t> parse_group(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  uint32_t value = 0;
  for (const char c : text) {
    uint32_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A' + 10);
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return static_cast<uint16_t>(value);
}

// Groups between colons, and a dotted quad as the last two where the text may end with one.
struct GroupList {
  std::array<uint16_t, groups_in_address> groups{};
  size_t count = 0;

  bool add(uint16_t group) {
    if (count == groups_in_address) return false;
    groups[count++] = group;
    return true;
  }

  // An empty text is an empty list: what stands before or behind a "::" may be nothing.
  bool read(std::string_view text, bool quad_allowed) {
    if (text.empty()) return true;
    while (true) {
      const size_t colon = text.find(':');
      const std::string_view piece = text.substr(0, colon);
      const bool last = colon == std::string_view::npos;
      if (last && quad_allowed && piece.find('.') != std::string_view::npos) {
        const auto quad = Ipv4Address::parse(piece);
        return quad && add(static_cast<uint16_t>(quad->host_order() >> 16)) &&
               add(static_cast<uint16_t>(quad->host_order()));
      }
      const auto group = parse_group(piece);
      if (!group || !add(*group)) return false;
      if (last) return true;
      text.remove_prefix(colon + 1);
    }
  }
};

struct Run {
  size_t first = 0;
  size_t count = 0;
};

// RFC 5952 section 4.2: the longest run of zero groups, the first of equals, never a single one.
Run longest_zero_run(const std::array<uint16_t, groups_in_address>& groups) {
  Run longest;
  Run run;
  for (size_t i = 0; i < groups_in_address; ++i) {
    if (groups[i] != 0) {
      run.count = 0;
      continue;
    }
    if (run.count++ == 0) run.first = i;
    if (run.count > longest.count) longest = run;
  }
  return longest.count >= 2 ? longest : Run{};
}

char* write_group(char* at, uint16_t group) {
  bool started = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const uint32_t digit = uint32_t{group} >> shift & 15;
    started = started || digit != 0 || shift == 0;
    if (started) *at++ = "0123456789abcdef"[digit];
  }
  return at;
}

}  // namespace

std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text) {
  if (text.size() > text_bytes_max) return std::nullopt;
  GroupList head;
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (!head.read(text, true) || head.count != groups_in_address) return std::nullopt;
    return from_groups(head.groups);
  }
  GroupList tail;
  if (!head.read(text.substr(0, gap), false) || !tail.read(text.substr(gap + 2), true)) {
    return std::nullopt;
  }
  // "::" stands for one group of zeros at least (RFC 4291 section 2.2).
  if (head.count + tail.count >= groups_in_address) return std::nullopt;
  for (size_t i = 0; i < tail.count; ++i) {
    head.groups[groups_in_address - tail.count + i] = tail.groups[i];
  }
  return from_groups(head.groups);
}

size_t Ipv6Address::write_text(char* out) const {
  std::array<uint16_t, groups_in_address> groups;
  for (size_t i = 0; i < groups_in_address; ++i) groups[i] = load_be16(&octets_[2 * i]);
  const Run zeros = longest_zero_run(groups);
  const size_t count = is_ipv4_mapped() ? groups_in_address - 2 : groups_in_address;
  char* at = out;
  for (size_t i = 0; i < count;) {
    if (zeros.count != 0 && i == zeros.first) {
      *at++ = ':';
      *at++ = ':';
      i += zeros.count;
      continue;
    }
    if (i != 0 && at[-1] != ':') *at++ = ':';
    at = write_group(at, groups[i++]);
  }
  if (is_ipv4_mapped()) {
    *at++ = ':';
    at += Ipv4Address::load(&octets_[12]).write_text(at);
  }
  return static_cast<size_t>(at - out);
}

std::string Ipv6Address::text() const {
  char buffer[text_bytes_max];
  return {buffer, write_text(buffer)};
}

std::optional<Ipv6Prefix> Ipv6Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = Ipv6Address::parse(text.substr(0, slash));
  const auto length = parse_decimal(text.substr(slash + 1), 128);
  if (!address || !length) return std::nullopt;
  return Ipv6Prefix{*address, static_cast<uint8_t>(*length)};
}

bool Ipv6Prefix::contains(const Ipv6Address& other) const {
  const size_t whole = length / 8;
  if (std::memcmp(address.octets().data(), other.octets().data(), whole) != 0) return false;
  const uint32_t rest = length % 8;
  if (rest == 0) return true;
  const uint32_t differing = address.octets()[whole] ^ other.octets()[whole];
  return differing >> (8 - rest) == 0;
}

std::string Ipv6Prefix::text() const {
  return address.text() + "/" + std::to_string(length);
}

std::string Ipv6SocketAddress::text() const {
  return "[" + address.text() + "]:" + std::to_string(port);
}

}  // namespace millrace
