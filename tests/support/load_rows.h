// What the load tool asks for and which answers are right. A row is a host, a path and a set of
// answers; an answer is a backend's tag (the first word of the body of a 200) or, where a status
// other than 200 is expected, that status as three digits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::support {

// A set of at most 64 different answers over the whole run, a bit for each.
using AnswerSet = uint64_t;

struct Row {
  std::string host;
  std::string path;
  AnswerSet expected = 0;
  std::string request;  // as sent
};

class LoadRows {
 public:
  static constexpr size_t answers_max = 64;

  explicit LoadRows(bool close_each) : close_each_(close_each) {}

  // "HOST PATH ANSWER[,ANSWER...]". Adds the row, or changes what is expected if host and path are
  // there already. False when the line does not read so or there are too many different answers.
  bool set(std::string_view line);

  const std::vector<Row>& rows() const { return rows_; }

  // The set that holds only this answer; empty when no row ever expected it.
  AnswerSet answer(int status, std::string_view tag) const;

 private:
  std::optional<AnswerSet> intern(std::string_view answers);

  bool close_each_;
  std::vector<Row> rows_;
  std::vector<std::string> answers_;
};

}  // namespace millrace::support
