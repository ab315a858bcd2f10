#include "tests/support/lab/process.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/check.h"

namespace millrace::lab {

Process::Process(const Namespace& inside, const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  id_ = fork();
  CHECK(id_ >= 0);
  if (id_ == 0) {
    if (setns(inside.fd(), CLONE_NEWNET) != 0) _exit(126);
    dup2(ends[1], STDOUT_FILENO);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  output_ = ends[0];
}

Process::~Process() {
  if (id_ > 0) end(SIGKILL);
  close(output_);
}

std::string Process::line() {
  std::string said;
  for (char c = 0; read(output_, &c, 1) == 1 && c != '\n';) said += c;
  return said;
}

std::string Process::rest() {
  std::string said;
  char part[4096];
  for (ssize_t count; (count = read(output_, part, sizeof part)) > 0;) {
    said.append(part, static_cast<size_t>(count));
  }
  return said;
}

void Process::signal(int number) const {
  if (id_ > 0) kill(id_, number);
}

int Process::wait() {
  int status = 0;
  while (waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  id_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace millrace::lab
