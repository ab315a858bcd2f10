// What an octet may be, one table look-up each. Built at compile time from the grammar's words.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace millrace::http {

enum CharClass : uint8_t {
  not_token = 1,        // outside tchar, RFC 9110 5.6.2
  underscore = 2,       // the one tchar that aliases another (H33)
  not_field_value = 4,  // outside field-vchar, SP, HTAB: RFC 9110 5.5
  not_target = 8,       // outside visible ASCII, or "#"
  not_quoted = 16,      // outside qdtext, before quotes and backslashes: RFC 9110 5.6.4
  not_unreserved = 32,  // needs its percent-encoding, RFC 3986 2.3
  path_mark = 64,       // where a path is looked at twice: a dot, a backslash, a percent sign
};

namespace internal {

constexpr bool is_alnum(unsigned c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

constexpr std::array<uint8_t, 256> make_char_classes() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    const std::string_view marks = "!#$%&'*+-.^_`|~";
    const bool token = is_alnum(c) || (c < 128 && marks.find(static_cast<char>(c)) != marks.npos);
    const bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
    const bool target = c > 0x20 && c < 0x7f && c != '#';
    const bool unreserved = is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
    table[c] = static_cast<uint8_t>(
        (token ? 0 : not_token) | (c == '_' ? underscore : 0) | (value ? 0 : not_field_value) |
        (target ? 0 : not_target) | (value && c != '"' && c != '\\' ? 0 : not_quoted) |
        (unreserved ? 0 : not_unreserved) | (c == '.' || c == '\\' || c == '%' ? path_mark : 0));
  }
  return table;
}

// A host's octet in lower case; 0 where it cannot be part of one. RFC 3986 also allows
// percent-encoding and sub-delims in a reg-name. No name in DNS needs them, and what an origin
// makes of them is anybody's guess, so they are refused.
constexpr std::array<uint8_t, 256> make_host_octets() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c >= 'A' && c <= 'Z') {
      table[c] = static_cast<uint8_t>(c | 0x20);
    } else if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      table[c] = static_cast<uint8_t>(c);
    }
  }
  return table;
}

constexpr std::array<uint8_t, 256> make_hex_values() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    table[c] = 0xff;
    if (c >= '0' && c <= '9') table[c] = static_cast<uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f') table[c] = static_cast<uint8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') table[c] = static_cast<uint8_t>(c - 'A' + 10);
  }
  return table;
}

}  // namespace internal

inline constexpr std::array<uint8_t, 256> char_classes = internal::make_char_classes();
inline constexpr std::array<uint8_t, 256> host_octets = internal::make_host_octets();
inline constexpr std::array<uint8_t, 256> hex_values = internal::make_hex_values();  // 0xff: none

constexpr bool is_in_class(uint8_t octet, uint8_t classes) {
  return (char_classes[octet] & classes) != 0;
}
inline bool is_ows(uint8_t octet) {
  return octet == ' ' || octet == '\t';
}

inline bool is_token(std::string_view text) {
  uint8_t classes = 0;
  for (char c : text) classes |= char_classes[static_cast<uint8_t>(c)];
  return !text.empty() && (classes & not_token) == 0;
}

// ASCII only, as HTTP compares names and tokens; `lower` is already in lower case.
inline bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char folded = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    if (folded != lower[i]) return false;
  }
  return true;
}

}  // namespace millrace::http
