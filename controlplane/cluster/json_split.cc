#include "controlplane/cluster/json_split.h"

#include <cstddef>
#include <string>

namespace millrace::cluster {

namespace {

// Steps over values (RFC 8259). `at` is beyond the end when something was wrong.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }
  bool next_is(char c) {
    skip_space();
    return at_ < text_.size() && text_[at_] == c;
  }
  bool take(char c) {
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }

  // The value that begins here.
  std::string_view value() {
    skip_space();
    const size_t begin = at_;
    skip_value();
    return ok_ ? text_.substr(begin, at_ - begin) : std::string_view();
  }

 private:
  void fail() {
    ok_ = false;
    at_ = text_.size();
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  void skip_value() {
    if (at_ >= text_.size()) return fail();
    const char first = text_[at_];
    if (first == '"') return skip_string();
    if (first == '{' || first == '[') return skip_nested();
    const size_t begin = at_;
    while (at_ < text_.size() &&
           std::string_view(",]} \t\n\r").find(text_[at_]) == std::string_view::npos) {
      ++at_;
    }
    if (at_ == begin) fail();
  }

  void skip_string() {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '"') {
        ++at_;
        return;
      }
    }
    fail();
  }

  // Brackets are matched by kind; what stands between them is the parser's to judge.
  void skip_nested() {
    std::string open;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        skip_string();
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') {
        open += c;
      } else if (c == '}' || c == ']') {
        if (open.back() != (c == '}' ? '{' : '[')) return fail();
        open.pop_back();
        if (open.empty()) return;
      }
    }
    fail();
  }

  std::string_view text_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace

std::string_view json_member(std::string_view text, std::string_view name) {
  Scanner scanner(text);
  if (!scanner.take('{') || scanner.next_is('}')) return {};
  std::string_view found;
  do {
    if (!scanner.next_is('"')) return {};
    const std::string_view key = scanner.value();
    if (!scanner.take(':')) return {};
    const std::string_view value = scanner.value();
    if (!scanner.ok()) return {};
    if (found.empty() && key.size() == name.size() + 2 && key.substr(1, name.size()) == name) {
      found = value;
    }
  } while (scanner.take(','));
  if (!scanner.take('}') || !scanner.at_end()) return {};
  return found;
}

bool json_elements(std::string_view text, std::vector<std::string_view>* elements) {
  elements->clear();
  Scanner scanner(text);
  if (!scanner.take('[')) return false;
  if (scanner.take(']')) return scanner.at_end();
  do {
    const std::string_view value = scanner.value();
    if (!scanner.ok()) break;
    elements->push_back(value);
  } while (scanner.take(','));
  if (scanner.ok() && scanner.take(']') && scanner.at_end()) return true;
  elements->clear();
  return false;
}

}  // namespace millrace::cluster
