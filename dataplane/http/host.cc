#include "dataplane/http/host.h"

#include <algorithm>

#include "base/address.h"
#include "dataplane/http/char_class.h"

namespace millrace::http {
namespace {

// ":" and at most five digits; the digits may be missing (RFC 3986 3.2.3).
bool parse_port(std::string_view text, uint16_t& port) {
  port = 0;
  if (text.empty()) return true;
  if (text[0] != ':' || text.size() > 6) return false;
  uint32_t value = 0;
  for (char c : text.substr(1)) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > 65535 || (value == 0 && text.size() > 1)) return false;
  port = static_cast<uint16_t>(value);
  return true;
}

bool parse_ip_literal(std::string_view text, Authority out) {
  const size_t close = text.find(']');
  if (close == text.npos || !is_ipv6_address(text.substr(1, close - 1))) return false;
  for (size_t i = 0; i <= close; ++i) {
    const char c = text[i];
    out.host_text[i] = c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c;
  }
  out.host_bytes = static_cast<uint8_t>(close + 1);
  return parse_port(text.substr(close + 1), out.port);
}

}  // namespace

bool is_ipv6_address(std::string_view text) {
  size_t at = 0;
  int groups = 0;
  bool has_gap = false;
  if (text.substr(0, 2) == "::") {
    has_gap = true;
    at = 2;
    if (at == text.size()) return true;
  }
  for (;;) {
    const size_t start = at;
    while (at < text.size() && hex_values[static_cast<uint8_t>(text[at])] != 0xff) ++at;
    if (at < text.size() && text[at] == '.') {  // the last 32 bits as IPv4
      if (!Ipv4Address::parse(text.substr(start))) return false;
      groups += 2;
      break;
    }
    if (at == start || at - start > 4) return false;
    ++groups;
    if (at == text.size()) break;
    if (text[at] != ':' || groups > 7) return false;
    ++at;
    if (at < text.size() && text[at] == ':') {
      if (has_gap) return false;
      has_gap = true;
      ++at;
      if (at == text.size()) break;
    } else if (at == text.size()) {
      return false;
    }
  }
  return has_gap ? groups <= 7 : groups == 8;  // a gap stands for one group at least
}

bool parse_authority(std::string_view text, Authority out) {
  if (!text.empty() && text[0] == '[') return parse_ip_literal(text, out);
  const size_t scanned = std::min(text.size(), host_bytes_max + 1);  // a dot may follow the longest
  char* const to = out.host_text.data();
  const char* const from = text.data();
  size_t bytes = 0;
  size_t label = 0;  // where the label at hand began; none may be empty
  for (; bytes < scanned; ++bytes) {
    const auto octet = static_cast<char>(host_octets[static_cast<uint8_t>(from[bytes])]);
    if (octet <= '.') {  // of what a host may contain only "-" and "." come this low
      if (octet == 0) break;
      if (octet == '.') {
        if (bytes == label) return false;
        label = bytes + 1;
      }
    }
    to[bytes] = octet;
  }
  if (bytes == 0) return false;
  size_t kept = bytes;
  if (label == bytes) --kept;  // the last octet was a dot
  if (kept > host_bytes_max) return false;
  out.host_bytes = static_cast<uint8_t>(kept);
  return parse_port(text.substr(bytes), out.port);
}

}  // namespace millrace::http
