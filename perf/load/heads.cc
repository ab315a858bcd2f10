#include "perf/load/heads.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/address.h"
#include "base/check.h"

namespace millrace::load {
namespace {

bool equal_ignoring_case(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() &&
         std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? static_cast<char>(x + 32) : x) == y;
         });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view next_line(std::string_view* rest) {
  const size_t end = rest->find("\r\n");
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 2);
  return line;
}

// rest: the field lines and the blank line.
void read_fields(std::string_view rest, Head* head) {
  while (head->well_formed) {
    const std::string_view line = next_line(&rest);
    if (line.empty()) return;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) {
      head->well_formed = false;
      return;
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (equal_ignoring_case(name, "content-length")) {
      const auto length = parse_decimal(value, UINT64_MAX);
      if (!length || (head->has_length && *length != head->content_bytes)) {
        head->well_formed = false;
        return;
      }
      head->has_length = true;
      head->content_bytes = *length;
    } else if (equal_ignoring_case(name, "transfer-encoding")) {
      head->is_chunked = true;
    } else if (equal_ignoring_case(name, "connection")) {
      if (equal_ignoring_case(value, "close")) head->close_announced = true;
      if (equal_ignoring_case(value, "keep-alive")) head->close_announced = false;
    }
  }
}

}  // namespace

size_t find_head_end(std::string_view text) {
  const void* found = memmem(text.data(), text.size(), "\r\n\r\n", 4);
  if (found == nullptr) return head_missing;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data()) + 4;
}

Head read_response_head(std::string_view text) {
  Head head;
  head.head_bytes = static_cast<uint32_t>(text.size());
  std::string_view rest = text;
  const std::string_view line = next_line(&rest);
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || line[8] != ' ') return head;
  const auto status = parse_decimal(line.substr(9, 3), 999);
  if (!status || *status < 100 || (line.size() > 12 && line[12] != ' ')) return head;
  head.status = static_cast<uint16_t>(*status);
  head.well_formed = true;
  head.close_announced = line[7] == '0';
  read_fields(rest, &head);
  // RFC 9112 section 6.3: these have no body whatever their fields say.
  if (head.status < 200 || head.status == 204 || head.status == 304) {
    head.has_length = true;
    head.is_chunked = false;
    head.content_bytes = 0;
  }
  return head;
}

Head read_request_head(std::string_view text) {
  Head head;
  head.head_bytes = static_cast<uint32_t>(text.size());
  std::string_view rest = text;
  const std::string_view line = next_line(&rest);
  const size_t method_end = line.find(' ');
  const size_t target_end = line.rfind(' ');
  if (method_end == 0 || method_end == std::string_view::npos || target_end == method_end) {
    return head;
  }
  const std::string_view version = line.substr(target_end + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return head;
  head.well_formed = true;
  head.close_announced = version == "HTTP/1.0";
  read_fields(rest, &head);
  return head;
}

const Head* KnownHeads::find(ByteView text) {
  for (size_t i = 0; i < known_max; ++i) {
    Known& known = known_[(last_ + i) % known_max];
    const uint32_t length = known.head.head_bytes;
    if (length == 0 || text.size() < length) continue;
    if (std::memcmp(known.bytes.data(), text.data(), length) != 0) continue;
    last_ = (last_ + i) % known_max;
    return &known.head;
  }
  const size_t end = find_head_end(as_text(text));
  if (end == head_missing) return nullptr;
  Head head = read_response_head(as_text(text.first(end)));
  if (end > known_[0].bytes.size()) {
    unkept_ = head;
    return &unkept_;
  }
  Known& place = known_[next_];
  last_ = next_;
  next_ = (next_ + 1) % known_max;
  place.head = head;
  std::memcpy(place.bytes.data(), text.data(), end);
  return &place.head;
}

HeadBuffers::HeadBuffers() : bytes_(size_t{count} * head_bytes_max), sizes_(count) {
  for (uint16_t number = count; number > 0; --number) free_.push_back(number);
}

uint16_t HeadBuffers::acquire() {
  if (free_.empty()) return 0;
  const uint16_t number = free_.back();
  free_.pop_back();
  sizes_[number - 1U] = 0;
  return number;
}

void HeadBuffers::release(uint16_t number) {
  CHECK(number >= 1 && number <= count);
  free_.push_back(number);
}

bool HeadBuffers::append(uint16_t number, ByteView text) {
  uint32_t& size = sizes_[number - 1U];
  if (size + text.size() > head_bytes_max) return false;
  std::memcpy(&bytes_[size_t{number - 1U} * head_bytes_max + size], text.data(), text.size());
  size += static_cast<uint32_t>(text.size());
  return true;
}

std::string_view HeadBuffers::text(uint16_t number) const {
  return as_text({&bytes_[size_t{number - 1U} * head_bytes_max], sizes_[number - 1U]});
}

}  // namespace millrace::load
