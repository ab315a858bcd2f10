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
// Not waiting, so that a named pipe without a reader is an error; a regular file knows no waiting.
constexpr int open_flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

Error failed(const std::string& path, const char* what) {
  return Error{"access log: " + path + ": " + what};
}

Result<UniqueFd> open_file(const std::string& path, std::optional<uint32_t> owner) {
  UniqueFd fd(::open(path.c_str(), open_flags | O_CREAT | O_EXCL, file_mode));
  if (fd) {
    if (owner && fchown(fd.get(), *owner, *owner) != 0) return failed(path, std::strerror(errno));
    return fd;
  }
  if (errno == EEXIST) fd = UniqueFd(::open(path.c_str(), open_flags));
  if (!fd) return failed(path, std::strerror(errno));
  struct stat facts {};
  if (fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return failed(path, "is no regular file");
  }
  return fd;
}

uint64_t lines_in(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

Result<AccessLogFile> AccessLogFile::open(const std::string& path, std::optional<uint32_t> owner) {
  if (path == standard_output) {
    UniqueFd fd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!fd) return failed(path, std::strerror(errno));
    return AccessLogFile(path, std::move(fd));
  }
  Result<UniqueFd> fd = open_file(path, owner);
  if (!fd.ok()) return Error{fd.error()};
  return AccessLogFile(path, std::move(*fd));
}

// Octets written: all, unless last_error_ says why not.
size_t AccessLogFile::write_some() {
  size_t written = 0;
  while (written < waiting_.size()) {
    const ssize_t went = ::write(fd_.get(), &waiting_[written], waiting_.size() - written);
    if (went > 0) {
      written += static_cast<size_t>(went);
    } else if (went < 0 && errno == EAGAIN) {  // somebody else has made the pipe so
      pollfd fd{fd_.get(), POLLOUT, 0};
      poll(&fd, 1, -1);
    } else if (went == 0 || errno != EINTR) {
      last_error_ = went == 0 ? "nothing is taken" : std::strerror(errno);
      break;
    }
  }
  return written;
}

void AccessLogFile::flush() {
  if (waiting_.empty()) return;
  last_error_.clear();
  const size_t written = write_some();
  if (written > 0) {
    lines_written_ += lines_in(std::string_view(waiting_).substr(0, written));
    in_the_middle_ = waiting_[written - 1] != '\n';
    waiting_.erase(0, written);
  }
  if (!last_error_.empty()) lose_waiting();
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
  if (fstat(fd_.get(), &here) == 0 && stat(path_.c_str(), &named) == 0 &&
      here.st_ino == named.st_ino && here.st_dev == named.st_dev) {
    return Ok{};
  }
  flush();
  Result<UniqueFd> fd = open_file(path_, std::nullopt);
  if (!fd.ok()) return Error{fd.error()};
  fd_ = std::move(*fd);
  if (in_the_middle_) {  // of a line whose begin is in the old file
    waiting_.erase(0, waiting_.find('\n') + 1);
    in_the_middle_ = false;
    ++lines_lost_;
  }
  return Ok{};
}

}  // namespace millrace::access_log
