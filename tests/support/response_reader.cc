#include "tests/support/response_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace millrace::support {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

void ResponseReader::start() {
  state_ = State::head;
  framing_ = Framing::none;
  close_announced_ = false;
  status_ = 0;
  body_bytes_ = 0;
  wanted_ = 0;
  head_.clear();
  line_.clear();
  kept_.clear();
}

uint32_t ResponseReader::take(std::string_view bytes) {
  uint32_t taken = 0;
  while (taken < bytes.size() && (state_ == State::head || state_ == State::body)) {
    const std::string_view rest = bytes.substr(taken);
    taken += state_ == State::head ? take_head(rest) : take_body(rest);
  }
  return taken;
}

void ResponseReader::end_of_stream() {
  if (state_ == State::done) return;
  state_ =
      state_ == State::body && framing_ == Framing::until_close ? State::done : State::malformed;
}

std::string_view ResponseReader::tag() const {
  const std::string_view kept = kept_;
  return kept.substr(0, kept.find_first_of(" \t\r\n"));
}

uint32_t ResponseReader::take_head(std::string_view bytes) {
  const size_t before = head_.size();
  head_.append(bytes.substr(0, head_bytes_max - before));
  const size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == std::string::npos) {
    if (head_.size() >= head_bytes_max) state_ = State::malformed;
    return static_cast<uint32_t>(head_.size() - before);
  }
  head_.resize(end + 4);
  const auto taken = static_cast<uint32_t>(head_.size() - before);
  read_head();
  return taken;
}

void ResponseReader::read_head() {
  std::string_view rest = head_;
  const std::optional<uint64_t> status = rest.starts_with("HTTP/1.") && rest.size() > 13
                                             ? number(rest.substr(9, 3), 10)
                                             : std::nullopt;
  if (!status || *status < 100) {
    state_ = State::malformed;
    return;
  }
  status_ = static_cast<int>(*status);
  close_announced_ = rest.starts_with("HTTP/1.0");
  framing_ = Framing::until_close;
  rest.remove_prefix(rest.find("\r\n") + 2);
  while (!rest.starts_with("\r\n")) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(line.size() + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (equals_ignoring_case(name, "content-length")) {
      const std::optional<uint64_t> length = number(value, 10);
      if (!length) {
        state_ = State::malformed;
        return;
      }
      framing_ = Framing::length;
      wanted_ = *length;
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
      framing_ = Framing::chunk_size;
    } else if (equals_ignoring_case(name, "connection")) {
      if (equals_ignoring_case(value, "close")) close_announced_ = true;
      if (equals_ignoring_case(value, "keep-alive")) close_announced_ = false;
    }
  }
  if (status_ < 200) {  // an interim response (RFC 9110 section 15.2): the real one follows
    start();
    return;
  }
  if (status_ == 204 || status_ == 304) framing_ = Framing::none;
  const bool empty = framing_ == Framing::none || (framing_ == Framing::length && wanted_ == 0);
  state_ = empty ? State::done : State::body;
}

uint32_t ResponseReader::take_body(std::string_view bytes) {
  switch (framing_) {
    case Framing::until_close: keep(bytes); return static_cast<uint32_t>(bytes.size());
    case Framing::length:
    case Framing::chunk_data: {
      const std::string_view part = bytes.substr(0, wanted_);
      keep(part);
      wanted_ -= part.size();
      if (wanted_ == 0) {
        if (framing_ == Framing::length) state_ = State::done;
        framing_ = Framing::chunk_end;
      }
      return static_cast<uint32_t>(part.size());
    }
    default: return take_line_of_chunks(bytes);
  }
}

uint32_t ResponseReader::take_line_of_chunks(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  const size_t size = end == std::string_view::npos ? bytes.size() : end + 1;
  line_.append(bytes.substr(0, size));
  if (line_.size() > 256) {
    state_ = State::malformed;
  } else if (end != std::string_view::npos) {
    read_line_of_chunks();
    line_.clear();
  }
  return static_cast<uint32_t>(size);
}

void ResponseReader::read_line_of_chunks() {
  if (!line_.ends_with("\r\n")) {
    state_ = State::malformed;
    return;
  }
  const std::string_view line = std::string_view(line_).substr(0, line_.size() - 2);
  if (framing_ == Framing::chunk_end) {
    framing_ = Framing::chunk_size;
    if (!line.empty()) state_ = State::malformed;
  } else if (framing_ == Framing::trailer) {
    if (line.empty()) state_ = State::done;
  } else {
    const std::optional<uint64_t> size = number(trimmed(line.substr(0, line.find(';'))), 16);
    if (!size) {
      state_ = State::malformed;
      return;
    }
    wanted_ = *size;
    framing_ = wanted_ == 0 ? Framing::trailer : Framing::chunk_data;
  }
}

void ResponseReader::keep(std::string_view body) {
  body_bytes_ += body.size();
  if (kept_.size() < body_bytes_kept) kept_.append(body.substr(0, body_bytes_kept - kept_.size()));
}

}  // namespace millrace::support
