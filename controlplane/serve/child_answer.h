// An answer that takes long, made by a child process on a copy of everything as it is now, so that
// the loop goes on. The child has no descriptor of ours, a bound on its processor time, and dies
// with us.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace millrace::serve {

constexpr unsigned child_cpu_seconds_max = 30;
constexpr Duration child_time_max = Duration::seconds(45);
constexpr size_t child_answer_bytes_max = 64U << 20;

class ChildAnswer {
 public:
  struct Made {
    unsigned status = 200;
    std::string body;
  };
  // Only where no other thread runs. Error: there is no process to be had.
  static Result<std::shared_ptr<ChildAnswer>> start(const std::function<Made()>& make);
  ~ChildAnswer();  // kills it
  ChildAnswer(const ChildAnswer&) = delete;
  ChildAnswer& operator=(const ChildAnswer&) = delete;

  int fd() const { return pipe_.get(); }  // readable when there is something to take
  // What it made, once it is done; a failure's sentence as JSON when it died or took too long.
  std::optional<Made> take(bool is_too_late);

 private:
  ChildAnswer(pid_t pid, UniqueFd pipe) : pid_(pid), pipe_(std::move(pipe)) {}
  void end();

  pid_t pid_;
  UniqueFd pipe_;
  std::string bytes_;
};

}  // namespace millrace::serve
