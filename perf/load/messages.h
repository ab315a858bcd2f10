// The requests and responses that the load program sends, as texts that can be written from any
// octet on without being kept anywhere: a template, a few digits in it, and a body that repeats.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace millrace::load {

// The sets of request heads, by their usual length in octets; a long host or path makes them
// longer.
enum class RequestHead : uint8_t {
  small,      // 80: what a program sends
  browser,    // 300: eight fields, what a browser sends
  large,      // 1500: sixteen fields with long cookies; does not fit in one segment
  forwarded,  // 400: the browser's, as a backend gets it from a proxy
};

inline constexpr uint32_t message_bytes_max = 1U << 30;

// The octets of bodies: a text that repeats, never holds an end of line, and whose period divides
// no power of two, so that a shift shows.
class BodyPattern {
 public:
  BodyPattern();
  // bytes: at most piece_bytes_max.
  const uint8_t* at(uint64_t body_offset) const {
    return as_bytes(text_).data() + body_offset % period;
  }
  static constexpr uint32_t piece_bytes_max = 2048;

 private:
  static constexpr uint32_t period = 61 * 61;
  std::string text_;
};

struct RequestOptions {
  RequestHead head = RequestHead::browser;
  std::string host_pattern = "tenant%06u.example";  // at most one %0Nu, N from 1 to 9
  uint32_t host_count = 1;
  std::string path = "/";
  uint32_t body_bytes = 0;  // 0: GET, else POST
};

class RequestText {
 public:
  // Error: what is wrong with the pattern, the path or the count.
  static Result<RequestText> make(const RequestOptions& options);

  // Of every request, whatever its host.
  uint32_t bytes() const { return head_bytes_ + body_bytes_; }
  // Writes `bytes` octets from `offset` on of the request that asks host number `host`; returns
  // their sum as a number.
  uint16_t write(uint8_t* to, uint32_t host, uint32_t offset, uint32_t bytes) const;
  std::string text(uint32_t host) const;  // the whole of it

 private:
  RequestText() = default;
  void write_digits(uint8_t* to, uint32_t host) const;

  std::string head_;  // digits are zero octets
  uint32_t head_bytes_ = 0;
  uint32_t body_bytes_ = 0;
  uint32_t digits_at_ = 0;
  uint32_t digit_count_ = 0;
  uint16_t head_sum_ = 0;
  BodyPattern body_;
};

// A 200 with a head of about 150 octets, and a body that begins with the tag.
class ResponseText {
 public:
  ResponseText(std::string_view tag, uint32_t body_bytes);

  uint32_t bytes() const { return head_and_tag_bytes_ + pattern_bytes_; }
  uint16_t write(uint8_t* to, uint32_t offset, uint32_t bytes) const;
  std::string text() const;

 private:
  std::string start_;  // head, tag, and as much of the pattern as makes a segment
  uint32_t head_and_tag_bytes_ = 0;
  uint32_t pattern_bytes_ = 0;
  uint16_t whole_sum_ = 0;  // of the message, where it lies in start_ as a whole
  BodyPattern body_;
};

}  // namespace millrace::load
