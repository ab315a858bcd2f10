#include "dataplane/access_log/access_log_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace millrace::access_log {
namespace {

constexpr std::string_view standard_output = "stdout";
constexpr mode_t file_mode = S_IRUSR | S_IWUSR | S_IRGRP;
// A pipe that has room at all has room for so much (PIPE_BUF, pipe(7)).
constexpr size_t pipe_write_bytes_max = 4096;

UniqueFd open_file(const std::string& path) {
  return UniqueFd(
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, file_mode));
}

uint64_t lines_in(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

Result<AccessLogFile> AccessLogFile::open(const std::string& path) {
  if (path == standard_output) {
    UniqueFd fd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!fd) return Error{std::string("access log: stdout: ") + std::strerror(errno)};
    struct stat facts {};
    const bool is_regular = fstat(fd.get(), &facts) == 0 && S_ISREG(facts.st_mode);
    return AccessLogFile(path, std::move(fd), is_regular);
  }
  UniqueFd fd = open_file(path);
  if (!fd) return Error{"access log: " + path + ": " + std::strerror(errno)};
  struct stat facts {};
  if (fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return Error{"access log: " + path + ": is no regular file"};
  }
  return AccessLogFile(path, std::move(fd), true);
}

AccessLogFile::Wrote AccessLogFile::write_some(std::string_view text, size_t& written) {
  while (written < text.size()) {
    std::string_view part = text.substr(written);
    if (!is_regular_) {
      pollfd fd{fd_.get(), POLLOUT, 0};
      if (poll(&fd, 1, 0) <= 0) return Wrote::some;
      part = part.substr(0, pipe_write_bytes_max);
    }
    const ssize_t went = ::write(fd_.get(), part.data(), part.size());
    if (went < 0 && errno == EINTR) continue;
    if (went < 0 && errno == EAGAIN) return Wrote::some;
    if (went <= 0) {
      last_error_ = std::strerror(errno);
      return Wrote::failed;
    }
    written += static_cast<size_t>(went);
  }
  return Wrote::all;
}

void AccessLogFile::flush() {
  if (waiting_.empty()) return;
  last_error_.clear();
  size_t written = 0;
  const Wrote wrote = write_some(waiting_, written);
  if (written > 0) {
    lines_written_ += lines_in(std::string_view(waiting_).substr(0, written));
    in_the_middle_ = waiting_[written - 1] != '\n';
    waiting_.erase(0, written);
  }
  if (wrote == Wrote::failed) lose_waiting();
}

// All but the rest of a line that has begun: whoever reads what comes later finds whole lines.
void AccessLogFile::lose_waiting() {
  const size_t kept = in_the_middle_ ? waiting_.find('\n') + 1 : 0;
  lines_lost_ += lines_in(std::string_view(waiting_).substr(kept));
  waiting_.resize(kept);
}

Status AccessLogFile::look() {
  if (path_ == standard_output) return Ok{};
  struct stat here {};
  struct stat named {};
  if (fstat(fd_.get(), &here) != 0) here = {};
  if (stat(path_.c_str(), &named) == 0 && here.st_ino == named.st_ino &&
      here.st_dev == named.st_dev) {
    return Ok{};
  }
  flush();
  UniqueFd fd = open_file(path_);
  if (!fd) return Error{"access log: " + path_ + ": " + std::strerror(errno)};
  fd_ = std::move(fd);
  if (in_the_middle_) {  // of a line whose begin is in the old file
    waiting_.erase(0, waiting_.find('\n') + 1);
    in_the_middle_ = false;
    ++lines_lost_;
  }
  return Ok{};
}

}  // namespace millrace::access_log
