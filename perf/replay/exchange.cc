#include "perf/replay/exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "base/address.h"
#include "base/check.h"

namespace millrace::perf {
namespace {

constexpr std::string_view section_mark = "=== ";
constexpr std::array<std::string_view, 4> section_names = {"client sends", "origin receives",
                                                           "origin sends", "client receives"};
constexpr std::string_view octets_mark = "@octets ";
constexpr uint64_t octets_max = 64 << 20;
// A period that divides neither a segment nor a slot, so that no octet can stand for another.
constexpr uint32_t pattern_period = 251;
constexpr std::string_view id_field = "\r\nX-Request-Id: ";

std::string pattern(uint64_t octets) {
  std::string text(octets, '\0');
  for (uint64_t i = 0; i < octets; ++i) text[i] = static_cast<char>(i % pattern_period);
  return text;
}

void replace(std::string& text, std::string_view name, std::string_view value) {
  for (size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += value.size()) {
    text.replace(at, name.size(), value);
  }
}

}  // namespace

void Text::copy(size_t from, ByteSpan out) const {
  CHECK(from + out.size() <= size());
  size_t done = 0;
  if (from < head.size()) {
    done = std::min(head.size() - from, out.size());
    std::memcpy(out.data(), head.data() + from, done);
  }
  if (done == out.size()) return;
  std::memcpy(out.data() + done, body.data() + (from + done - head.size()), out.size() - done);
}

bool Text::holds(size_t from, ByteView octets) const {
  if (from + octets.size() > size()) return false;
  size_t done = 0;
  if (from < head.size()) {
    done = std::min(head.size() - from, octets.size());
    if (std::memcmp(octets.data(), head.data() + from, done) != 0) return false;
  }
  if (done == octets.size()) return true;
  return std::memcmp(octets.data() + done, body.data() + (from + done - head.size()),
                     octets.size() - done) == 0;
}

Result<Recording> Recording::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{"cannot read " + path};
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return parse(text, path);
}

Result<Recording> Recording::parse(std::string_view text, const std::string& path) {
  Recording recording;
  size_t section = 0;  // how many have begun
  bool in_body = false;
  uint32_t line_number = 0;
  const auto wrong = [&](const char* what) {
    return Error{path + ":" + std::to_string(line_number) + ": " + what};
  };
  while (!text.empty()) {
    ++line_number;
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return wrong("the last line has no end");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.starts_with(section_mark)) {
      if (section > 0 && !in_body) return wrong("the head before has no empty line at its end");
      if (section == message_count) return wrong("there are four messages, not more");
      if (line.substr(section_mark.size()) != section_names[section]) {
        return wrong("not the message that comes next");
      }
      ++section;
      in_body = false;
    } else if (section == 0) {
      if (!line.empty() && line.front() != '#') return wrong("text before the first message");
    } else if (!in_body) {
      recording.messages_[section - 1].head.append(line).append("\r\n");
      in_body = line.empty();
    } else if (line.starts_with(octets_mark)) {
      const auto octets = parse_decimal(line.substr(octets_mark.size()), octets_max);
      if (!octets) return wrong("@octets wants a number up to 67108864");
      recording.messages_[section - 1].body += pattern(*octets);
    } else {
      recording.messages_[section - 1].body.append(line).append("\n");
    }
  }
  if (section != message_count || !in_body) return wrong("a message is missing or not whole");
  if (exchange_id(recording.messages_[0].head).empty() ||
      exchange_id(recording.messages_[1].head).empty()) {
    return wrong("a request has no X-Request-Id");
  }
  return recording;
}

Text Recording::text(size_t message, const ExchangeNames& names) const {
  Text text{messages_[message].head, messages_[message].body};
  replace(text.head, "{host}", names.host);
  replace(text.head, "{client}", names.client);
  replace(text.head, "{id}", names.id);
  return text;
}

Exchange Recording::with(const ExchangeNames& names) const {
  CHECK(names.id.size() == id_bytes);
  return {text(0, names), text(1, names), text(2, names), text(3, names)};
}

std::string_view exchange_id(std::string_view head) {
  const size_t at = head.find(id_field);
  if (at == std::string_view::npos) return {};
  head.remove_prefix(at + id_field.size());
  return head.substr(0, head.find('\r'));
}

}  // namespace millrace::perf
