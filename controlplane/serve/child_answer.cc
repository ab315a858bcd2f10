#include "controlplane/serve/child_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace millrace::serve {

namespace {

constexpr size_t status_digits = 3;  // before the body

void write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) return;
    if (count > 0) done += static_cast<size_t>(count);
  }
}

// Never returns. `pid`: the parent's.
[[noreturn]] void run_child(pid_t parent, int fd, const std::function<ChildAnswer::Made()>& make) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before that
  constexpr int answer_fd = 3;
  if (fd != answer_fd && ::dup2(fd, answer_fd) < 0) ::_exit(1);
  ::close_range(answer_fd + 1, ~0U, 0);
  const rlimit cpu{child_cpu_seconds_max, child_cpu_seconds_max};
  ::setrlimit(RLIMIT_CPU, &cpu);
  try {
    const ChildAnswer::Made made = make();
    write_all(answer_fd, std::to_string(made.status) + made.body);
  } catch (const std::exception&) {
    ::_exit(1);
  }
  ::_exit(0);
}

ChildAnswer::Made failed(const char* sentence) {
  return {500, std::string("{\"error\": \"") + sentence + "\"}\n"};
}

}  // namespace

Result<std::shared_ptr<ChildAnswer>> ChildAnswer::start(const std::function<Made()>& make) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error{std::string("no pipe: ") + std::strerror(errno)};
  UniqueFd reading(ends[0]);
  const UniqueFd writing(ends[1]);
  ::fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Error{std::string("no process: ") + std::strerror(errno)};
  if (pid == 0) run_child(parent, writing.get(), make);
  return std::shared_ptr<ChildAnswer>(new ChildAnswer(pid, std::move(reading)));
}

ChildAnswer::~ChildAnswer() {
  end();
}

void ChildAnswer::end() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(std::exchange(pid_, -1), nullptr, 0);
}

std::optional<ChildAnswer::Made> ChildAnswer::take(bool is_too_late) {
  std::array<char, 64 * 1024> buffer;
  while (true) {
    const ssize_t count = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count > 0) {
      bytes_.append(buffer.data(), static_cast<size_t>(count));
      if (bytes_.size() <= child_answer_bytes_max) continue;
      end();
      return failed("the answer is too large");
    }
    end();
    Made made;
    const char* digits = bytes_.data();
    const bool is_whole =
        bytes_.size() > status_digits &&
        std::from_chars(digits, digits + status_digits, made.status).ec == std::errc();
    if (!is_whole) return failed("the answer could not be made: it took too much time or memory");
    made.body = bytes_.substr(status_digits);
    return made;
  }
  if (!is_too_late) return std::nullopt;
  end();
  return failed("the answer took too long");
}

}  // namespace millrace::serve
