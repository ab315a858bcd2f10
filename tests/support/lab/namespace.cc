#include "tests/support/lab/namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/check.h"

namespace millrace::lab {
namespace {

int own_network_namespace() {
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

}  // namespace

std::string why_no_namespaces() {
  if (geteuid() != 0) return "needs root";
  std::string reason;
  std::thread([&reason] {
    if (unshare(CLONE_NEWNET) != 0) {
      reason = std::string("cannot make a network namespace: ") + std::strerror(errno);
    }
  }).join();
  return reason;
}

Namespace::Namespace() : fd_(-1) {
  std::thread([this] {
    CHECK(unshare(CLONE_NEWNET) == 0);
    fd_ = own_network_namespace();
  }).join();
  CHECK(fd_ >= 0);
  must("ip link set lo up");
}

Namespace::~Namespace() {
  close(fd_);
}

int Namespace::run(const std::string& line, std::string* output) const {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (setns(fd_, CLONE_NEWNET) != 0) _exit(126);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  std::string said;
  char part[4096];
  for (ssize_t count; (count = read(ends[0], part, sizeof part)) > 0;) {
    said.append(part, static_cast<size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (output != nullptr) *output = said;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Namespace::must(const std::string& line) const {
  std::string said;
  const int code = run(line, &said);
  if (code == 0) return;
  std::fprintf(stderr, "lab: \"%s\" ended with %d: %s\n", line.c_str(), code, said.c_str());
  std::abort();
}

Namespace::Entered::Entered(const Namespace& inside) : outside_fd_(own_network_namespace()) {
  CHECK(outside_fd_ >= 0 && setns(inside.fd(), CLONE_NEWNET) == 0);
}

Namespace::Entered::~Entered() {
  CHECK(setns(outside_fd_, CLONE_NEWNET) == 0);
  close(outside_fd_);
}

void join(const VethEnd& a, const VethEnd& b) {
  // The other namespace is named by our descriptor, which `ip` inherits for this one line.
  const int other = dup(b.inside.fd());
  CHECK(other >= 0 && fcntl(other, F_SETFD, 0) == 0);
  a.inside.must("ip link add " + a.name + " type veth peer name " + b.name +
                " netns /proc/self/fd/" + std::to_string(other));
  close(other);
  for (const VethEnd* end : {&a, &b}) {
    end->inside.must("echo 1 > /proc/sys/net/ipv6/conf/" + end->name +
                     "/disable_ipv6 2>/dev/null; true");
    if (!end->address.empty()) {
      end->inside.must("ip address add " + end->address + " dev " + end->name);
    }
    end->inside.must("ip link set " + end->name + " up");
  }
}

std::string private_bpf_file_system() {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return {};
  }
  constexpr const char* directory = "/sys/fs/bpf";
  return mount("bpf", directory, "bpf", 0, "mode=0700") == 0 ? directory : "";
}

}  // namespace millrace::lab
