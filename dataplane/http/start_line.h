// Small things that start lines are made of.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/http/message.h"

namespace millrace::http {

inline std::string_view text_between(const uint8_t* from, const uint8_t* to) {
  return {reinterpret_cast<const char*>(from), static_cast<size_t>(to - from)};
}

constexpr uint64_t word_of(std::string_view text) {
  uint64_t word = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    word |= uint64_t{static_cast<uint8_t>(text[i])} << (8 * i);
  }
  return word;
}
inline constexpr uint64_t http_1_1_octets = word_of("HTTP/1.1");
inline constexpr auto get_octets = static_cast<uint32_t>(word_of("GET "));
inline constexpr auto crlf_octets = static_cast<uint16_t>(word_of("\r\n"));

template <class T>
inline T load(const uint8_t* from) {
  T word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

inline Method recognise_method(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      if (text == "PUT") return Method::put;
      break;
    case 4:
      if (text == "POST") return Method::post;
      if (text == "HEAD") return Method::head;
      break;
    case 5:
      if (text == "PATCH") return Method::patch;
      if (text == "TRACE") return Method::trace;
      break;
    case 6:
      if (text == "DELETE") return Method::delete_;
      break;
    case 7:
      if (text == "OPTIONS") return Method::options;
      if (text == "CONNECT") return Method::connect;
      break;
    default: break;
  }
  return Method::other;
}

}  // namespace millrace::http
