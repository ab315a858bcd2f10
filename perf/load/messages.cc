#include "perf/load/messages.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"
#include "perf/load/wire.h"

namespace millrace::load {
namespace {

constexpr uint32_t small_head_bytes = 80;
constexpr uint32_t browser_head_bytes = 300;
constexpr uint32_t large_head_bytes = 1500;
constexpr uint32_t forwarded_head_bytes = 400;
constexpr uint32_t response_head_bytes = 150;
constexpr std::string_view head_end = "\r\n\r\n";

struct HostPattern {
  std::string before;
  std::string after;
  uint32_t digits = 0;
};

Result<HostPattern> parse_host_pattern(const std::string& text) {
  const size_t percent = text.find('%');
  HostPattern pattern;
  pattern.before = text.substr(0, percent);
  if (percent != std::string::npos) {
    const bool well_formed = text.size() >= percent + 4 && text[percent + 1] == '0' &&
                             text[percent + 2] >= '1' && text[percent + 2] <= '9' &&
                             text[percent + 3] == 'u';
    if (!well_formed || text.find('%', percent + 1) != std::string::npos) {
      return Error{"host pattern \"" + text + "\": a number is written %0Nu, N from 1 to 9, once"};
    }
    pattern.digits = static_cast<uint32_t>(text[percent + 2] - '0');
    pattern.after = text.substr(percent + 4);
  }
  for (char c : pattern.before + pattern.after) {
    if (c <= ' ' || c >= 127 || c == '/') {
      return Error{"host pattern \"" + text + "\" holds what no host name can"};
    }
  }
  return pattern;
}

// The fields behind Host; the last one is filled up. host: of the request, or one as long.
std::string fields_of(RequestHead head, const std::string& host) {
  if (head == RequestHead::small) return "User-Agent: l";
  std::string fields =
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0\r\n"
      "Accept: text/html,*/*;q=0.8\r\n"
      "Accept-Language: en-US\r\n"
      "Accept-Encoding: gzip, deflate\r\n";
  if (head != RequestHead::forwarded) fields += "Connection: keep-alive\r\n";
  fields += "Cache-Control: max-age=0\r\n";
  if (head == RequestHead::large) {
    fields +=
        "Upgrade-Insecure-Requests: 1\r\n"
        "Sec-Fetch-Dest: document\r\n"
        "Sec-Fetch-Mode: navigate\r\n"
        "Sec-Fetch-Site: same-origin\r\n"
        "Sec-Fetch-User: ?1\r\n"
        "Priority: u=0, i\r\n"
        "Referer: https://www.example/a/page/that/somebody/came/from?with=a&long=query\r\n"
        "If-None-Match: \"5e4b1f2c-3d7a9\"\r\n";
  }
  if (head == RequestHead::forwarded) {
    fields +=
        "X-Forwarded-For: 10.90.16.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " + host +
        "\r\nX-Forwarded-Port: 80\r\nX-Real-IP: 10.90.16.1\r\n";
  }
  return fields + "Cookie: id=";
}

uint32_t wanted_bytes(RequestHead head) {
  switch (head) {
    case RequestHead::small: return small_head_bytes;
    case RequestHead::browser: return browser_head_bytes;
    case RequestHead::large: return large_head_bytes;
    case RequestHead::forwarded: return forwarded_head_bytes;
  }
  return 0;
}

// The head with its last field filled up to `bytes` octets, if it is not as long already.
std::string padded(std::string head, size_t bytes) {
  if (head.size() + head_end.size() < bytes) {
    head.append(bytes - head_end.size() - head.size(), 'x');
  }
  return head.append(head_end);
}

}  // namespace

BodyPattern::BodyPattern() {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012345678";
  static_assert(letters.size() == 61);
  while (text_.size() < period + piece_bytes_max) {
    const size_t row = text_.size() / letters.size();
    for (size_t i = 0; i < letters.size(); ++i) text_ += letters[(i + row) % letters.size()];
  }
}

Result<RequestText> RequestText::make(const RequestOptions& options) {
  const auto pattern = parse_host_pattern(options.host_pattern);
  if (!pattern.ok()) return Error{pattern.error()};
  uint64_t hosts_possible = 1;
  for (uint32_t i = 0; i < pattern->digits; ++i) hosts_possible *= 10;
  if (options.host_count == 0 || options.host_count > hosts_possible) {
    return Error{"host pattern \"" + options.host_pattern + "\" has no room for " +
                 std::to_string(options.host_count) + " hosts"};
  }
  if (options.path.empty() || options.path[0] != '/' ||
      options.path.find_first_of(" \r\n\t") != std::string::npos) {
    return Error{"path \"" + options.path + "\" must begin with a slash and hold no blanks"};
  }
  RequestText made;
  made.head_ = (options.body_bytes > 0 ? "POST " : "GET ") + options.path +
               " HTTP/1.1\r\nHost: " + pattern->before;
  made.digits_at_ = static_cast<uint32_t>(made.head_.size());
  made.digit_count_ = pattern->digits;
  made.head_ += std::string(pattern->digits, '\0') + pattern->after + "\r\n";
  if (options.body_bytes > 0) {
    made.head_ += "Content-Length: " + std::to_string(options.body_bytes) + "\r\n";
  }
  const std::string host = pattern->before + std::string(pattern->digits, '0') + pattern->after;
  made.head_ = padded(made.head_ + fields_of(options.head, host), wanted_bytes(options.head));
  if (made.head_.size() > 4096) return Error{"host and path make a head of more than 4096 octets"};
  made.head_bytes_ = static_cast<uint32_t>(made.head_.size());
  made.body_bytes_ = options.body_bytes;
  made.head_sum_ = sum_of_text(as_bytes(made.head_));
  return made;
}

void RequestText::write_digits(uint8_t* to, uint32_t host) const {
  for (uint32_t i = digit_count_; i > 0; --i) {
    to[i - 1] = static_cast<uint8_t>('0' + host % 10);
    host /= 10;
  }
}

uint16_t RequestText::write(uint8_t* to, uint32_t host, uint32_t offset, uint32_t bytes) const {
  if (offset == 0 && bytes == head_bytes_) {
    std::memcpy(to, head_.data(), bytes);
    if (digit_count_ == 0) return head_sum_;
    write_digits(to + digits_at_, host);
    // In the template the digits count nothing.
    const net::PartialSum digits =
        net::at_offset(net::sum_of({to + digits_at_, digit_count_}), digits_at_);
    return net::fold({uint64_t{head_sum_} + as_number(digits)});
  }
  uint32_t done = 0;
  if (offset < head_bytes_) {
    done = std::min(bytes, head_bytes_ - offset);
    std::memcpy(to, head_.data() + offset, done);
    uint8_t digits[10];
    write_digits(digits, host);
    for (uint32_t i = 0; i < digit_count_; ++i) {
      const uint32_t at = digits_at_ + i;
      if (at >= offset && at < offset + done) to[at - offset] = digits[i];
    }
  }
  if (done < bytes) std::memcpy(to + done, body_.at(offset + done - head_bytes_), bytes - done);
  return sum_of_text({to, bytes});
}

std::string RequestText::text(uint32_t host) const {
  std::string all(bytes(), '\0');
  for (uint32_t at = 0; at < bytes();) {
    const uint32_t piece = std::min(bytes() - at, 1024U);
    write(reinterpret_cast<uint8_t*>(all.data()) + at, host, at, piece);
    at += piece;
  }
  return all;
}

ResponseText::ResponseText(std::string_view tag, uint32_t body_bytes) {
  start_ = padded(
      "HTTP/1.1 200 OK\r\nServer: millrace-load\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
      "Content-Type: text/plain\r\nContent-Length: " +
          std::to_string(body_bytes) + "\r\nETag: \"",
      response_head_bytes - 1);
  start_.insert(start_.size() - head_end.size(), "\"");
  start_ += tag.substr(0, body_bytes);
  head_and_tag_bytes_ = static_cast<uint32_t>(start_.size());
  pattern_bytes_ = body_bytes - static_cast<uint32_t>(std::min<size_t>(tag.size(), body_bytes));
  const uint32_t kept = std::min(pattern_bytes_, 1460U);
  start_.append(reinterpret_cast<const char*>(body_.at(0)), kept);
  if (start_.size() == bytes()) whole_sum_ = sum_of_text(as_bytes(start_));
}

uint16_t ResponseText::write(uint8_t* to, uint32_t offset, uint32_t bytes) const {
  if (offset == 0 && bytes <= start_.size()) {
    if (bytes == this->bytes()) {
      std::memcpy(to, start_.data(), bytes);
      return whole_sum_;
    }
    return as_number(net::copy_and_sum(to, as_bytes(start_).data(), bytes));
  }
  if (offset >= head_and_tag_bytes_) {
    return as_number(net::copy_and_sum(to, body_.at(offset - head_and_tag_bytes_), bytes));
  }
  const uint32_t done = std::min(bytes, head_and_tag_bytes_ - offset);
  std::memcpy(to, start_.data() + offset, done);
  if (done < bytes) {
    std::memcpy(to + done, body_.at(offset + done - head_and_tag_bytes_), bytes - done);
  }
  return sum_of_text({to, bytes});
}

std::string ResponseText::text() const {
  std::string all(bytes(), '\0');
  for (uint32_t at = 0; at < bytes();) {
    const uint32_t piece = std::min(bytes() - at, 1024U);
    write(reinterpret_cast<uint8_t*>(all.data()) + at, at, piece);
    at += piece;
  }
  return all;
}

}  // namespace millrace::load
