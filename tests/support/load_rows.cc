#include "tests/support/load_rows.h"

#include <algorithm>

namespace millrace::support {
namespace {

std::string_view next_word(std::string_view& text) {
  const size_t start = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(start);
  const std::string_view word = text.substr(0, text.find_first_of(" \t\r\n"));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

bool LoadRows::set(std::string_view line) {
  const std::string_view host = next_word(line);
  const std::string_view path = next_word(line);
  const std::string_view answers = next_word(line);
  if (host.empty() || !path.starts_with('/') || answers.empty()) return false;
  const std::optional<AnswerSet> expected = intern(answers);
  if (!expected) return false;
  for (Row& row : rows_) {
    if (row.host == host && row.path == path) {
      row.expected = *expected;
      return true;
    }
  }
  Row row{std::string(host), std::string(path), *expected, {}};
  row.request = "GET " + row.path + " HTTP/1.1\r\nHost: " + row.host + "\r\n" +
                (close_each_ ? "Connection: close\r\n\r\n" : "\r\n");
  rows_.push_back(std::move(row));
  return true;
}

AnswerSet LoadRows::answer(int status, std::string_view tag) const {
  const std::string digits = std::to_string(status);
  const std::string_view wanted = status == 200 ? tag : std::string_view(digits);
  const auto found = std::find(answers_.begin(), answers_.end(), wanted);
  return found == answers_.end() ? 0 : AnswerSet{1} << (found - answers_.begin());
}

std::optional<AnswerSet> LoadRows::intern(std::string_view answers) {
  AnswerSet set = 0;
  while (!answers.empty()) {
    const std::string_view word = answers.substr(0, answers.find(','));
    answers.remove_prefix(std::min(word.size() + 1, answers.size()));
    auto found = std::find(answers_.begin(), answers_.end(), word);
    if (found == answers_.end()) {
      if (word.empty() || answers_.size() == answers_max) return std::nullopt;
      found = answers_.insert(answers_.end(), std::string(word));
    }
    set |= AnswerSet{1} << (found - answers_.begin());
  }
  return set;
}

}  // namespace millrace::support
