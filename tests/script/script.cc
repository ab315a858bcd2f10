#include "tests/script/script.h"

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace millrace::script {
namespace {

std::optional<int64_t> number_of(const std::string& word) {
  if (word.empty()) return std::nullopt;
  char* end = nullptr;
  const long long value = std::strtoll(word.c_str(), &end, 0);
  if (*end != '\0') return std::nullopt;
  return value;
}

bool take_ranges(const std::string& word, std::vector<std::pair<int64_t, int64_t>>* ranges) {
  std::istringstream in(word);
  for (std::string part; std::getline(in, part, ',');) {
    const size_t dash = part.find('-', 1);
    if (dash == std::string::npos) return false;
    const auto begin = number_of(part.substr(0, dash));
    const auto end = number_of(part.substr(dash + 1));
    if (!begin || !end) return false;
    ranges->emplace_back(*begin, *end);
  }
  return !ranges->empty();
}

bool take_hex(const std::string& word, std::vector<uint8_t>* bytes) {
  if (word.size() % 2 != 0) return false;
  for (size_t i = 0; i < word.size(); i += 2) {
    const auto byte = number_of("0x" + word.substr(i, 2));
    if (!byte) return false;
    bytes->push_back(static_cast<uint8_t>(*byte));
  }
  return true;
}

}  // namespace

std::optional<int64_t> parse_seconds_ns(const std::string& word) {
  if (word.empty()) return std::nullopt;
  char* end = nullptr;
  const double seconds = std::strtod(word.c_str(), &end);
  if (*end != '\0' || !(seconds >= 0)) return std::nullopt;
  return std::llround(seconds * 1e9);
}

std::optional<Script> read_script(const std::string& path, std::string* error) {
  std::ifstream file(path);
  if (!file) {
    *error = path + ": cannot be read";
    return std::nullopt;
  }
  Script script;
  script.path = path;
  int number = 0;
  for (std::string source; std::getline(file, source);) {
    ++number;
    const size_t comment = source.find('#');
    std::istringstream in(comment == std::string::npos ? source : source.substr(0, comment));
    Line line;
    line.number = number;
    line.source = source;
    std::string word;
    if (!(in >> word)) continue;
    if (word[0] == '+') {
      line.after_ns = parse_seconds_ns(word.substr(1));
      if (!line.after_ns || !(in >> word)) {
        *error = path + ":" + std::to_string(number) + ": +SECONDS COMMAND was expected";
        return std::nullopt;
      }
    }
    line.command = word;
    while (in >> word) line.words.push_back(word);
    script.lines.push_back(line);
  }
  return script;
}

std::optional<SegmentText> parse_segment_text(const std::vector<std::string>& words,
                                              std::string* error) {
  SegmentText text;
  if (words.empty()) {
    *error = "flags are missing (S F R P . U, in any order)";
    return std::nullopt;
  }
  text.flags = words[0];
  if (text.flags.find_first_not_of("SFRP.UEW") != std::string::npos) {
    *error = "\"" + text.flags + "\" are no flags (S F R P . U E W)";
    return std::nullopt;
  }
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& name = words[i];
    if (name == "sackok") {
      text.sack_ok = true;
      continue;
    }
    if (name == "nosackok") {
      text.no_sack_ok = true;
      continue;
    }
    if (name == "notime") {
      text.no_time = true;
      continue;
    }
    if (name == "badsum") {
      text.bad_checksum = true;
      continue;
    }
    if (i + 1 == words.size()) {
      *error = "\"" + name + "\" needs a value";
      return std::nullopt;
    }
    const std::string& value = words[++i];
    if (name == "sack") {
      if (take_ranges(value, &text.sack)) continue;
      *error = "\"" + value + "\" are no ranges (BEGIN-END,...)";
      return std::nullopt;
    }
    if (name == "options") {
      if (take_hex(value, &text.raw_options)) continue;
      *error = "\"" + value + "\" is not hexadecimal";
      return std::nullopt;
    }
    const auto number = number_of(value);
    if (!number) {
      *error = "\"" + value + "\" is not a number";
      return std::nullopt;
    }
    const auto small = static_cast<uint32_t>(*number);
    if (name == "seq")
      text.seq = *number;
    else if (name == "ack")
      text.ack = *number;
    else if (name == "window")
      text.window = small;
    else if (name == "text")
      text.text = small;
    else if (name == "mss")
      text.mss = small;
    else if (name == "scale")
      text.scale = small;
    else if (name == "urgent")
      text.urgent = small;
    else if (name == "from")
      text.from_port = small;
    else if (name == "to")
      text.to_port = small;
    else if (name == "time") {
      text.has_time = true;
      text.time_value = small;
    } else if (name == "echo")
      text.time_echo = small;
    else {
      *error = "\"" + name + "\" says nothing of a segment";
      return std::nullopt;
    }
  }
  return text;
}

}  // namespace millrace::script
