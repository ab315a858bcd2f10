#include "dataplane/http/host.h"

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
  size_t bytes = 0;
  char before = '.';  // so that the first label cannot be empty
  for (; bytes < text.size(); ++bytes) {
    const auto octet = static_cast<char>(host_octets[static_cast<uint8_t>(text[bytes])]);
    if (octet == 0) break;
    if ((octet == '.' && before == '.') || bytes > host_bytes_max) return false;
    out.host_text[bytes] = before = octet;
  }
  if (bytes == 0) return false;
  size_t kept = bytes;
  if (before == '.') --kept;
  if (kept > host_bytes_max) return false;
  out.host_bytes = static_cast<uint8_t>(kept);
  return parse_port(text.substr(bytes), out.port);
}

}  // namespace millrace::http
