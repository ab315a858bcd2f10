// AccessLogFile: where the lines go. Writing waits for the disk, or for whoever reads: the thread
// that calls it has nothing else to do. What cannot be written (no space) is lost, and counted.
//
// A regular file is appended to. Whoever rotates it renames or removes it: within a second of that
// a new one is made under the old name (look()). "stdout" is the process's own, usually a pipe to
// what gathers the logs of containers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::access_log {

class AccessLogFile {
 public:
  static constexpr size_t buffer_bytes = size_t{1} << 16;

  // path: of a regular file, made if it is not there (owner may write, group may read; it belongs
  // to `owner`, if given); or "stdout". Error: the path and the reason.
  static Result<AccessLogFile> open(const std::string& path,
                                    std::optional<uint32_t> owner = std::nullopt);

  // Lines, newline included, are appended here, and go out with the next flush().
  std::string& buffer() { return waiting_; }
  bool is_full() const { return waiting_.size() >= buffer_bytes; }
  void flush();
  // Whether the file is still the one under its name; if not it is opened anew. Error: it cannot
  // be, and lines go to the old one.
  Status look();

  uint64_t lines_written() const { return lines_written_; }
  uint64_t lines_lost() const { return lines_lost_; }
  // Of the last flush(); empty: it went well.
  const std::string& last_error() const { return last_error_; }

 private:
  AccessLogFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  size_t write_some();
  void lose_waiting();

  std::string path_;
  UniqueFd fd_;
  bool in_the_middle_ = false;  // what waits begins in the middle of a line
  std::string waiting_;
  uint64_t lines_written_ = 0;
  uint64_t lines_lost_ = 0;
  std::string last_error_;
};

}  // namespace millrace::access_log
