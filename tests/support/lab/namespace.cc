#include "tests/support/lab/namespace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

#include "base/address.h"
#include "base/check.h"

namespace millrace::lab {
namespace {

int own_network_namespace() {
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

// Interfaces made later in the calling thread's namespace send nothing of their own.
void silence_ipv6() {
  const int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;  // a kernel without IPv6
  CHECK(write(fd, "1", 1) == 1);
  close(fd);
}

// By ioctl and not by running `ip`: tests make many namespaces, and on an emulated machine each
// command costs a tenth of a second.
class InterfaceSetup {
 public:
  explicit InterfaceSetup(const std::string& name)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    CHECK(fd_ >= 0 && name.size() < IFNAMSIZ);
    std::memcpy(request_.ifr_name, name.data(), name.size());
  }
  InterfaceSetup(const InterfaceSetup&) = delete;
  InterfaceSetup& operator=(const InterfaceSetup&) = delete;
  ~InterfaceSetup() { close(fd_); }

  void set_up() {
    CHECK(ioctl(fd_, SIOCGIFFLAGS, &request_) == 0);
    request_.ifr_flags = static_cast<short>(request_.ifr_flags | IFF_UP);
    CHECK(ioctl(fd_, SIOCSIFFLAGS, &request_) == 0);
  }
  void set_address(const Ipv4Prefix& prefix) {
    put(prefix.address.host_order());
    CHECK(ioctl(fd_, SIOCSIFADDR, &request_) == 0);
    put(prefix.mask());
    CHECK(ioctl(fd_, SIOCSIFNETMASK, &request_) == 0);
  }

 private:
  void put(uint32_t address) {
    sockaddr_in value{};
    value.sin_family = AF_INET;
    value.sin_addr.s_addr = htonl(address);
    std::memcpy(&request_.ifr_addr, &value, sizeof value);
  }
  int fd_;
  ifreq request_{};
};

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
    InterfaceSetup("lo").set_up();
    silence_ipv6();
  }).join();
  CHECK(fd_ >= 0);
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
    const Namespace::Entered entered(end->inside);
    InterfaceSetup interface(end->name);
    if (!end->address.empty()) {
      const std::optional<Ipv4Prefix> prefix = Ipv4Prefix::parse(end->address);
      CHECK(prefix.has_value());
      interface.set_address(*prefix);
    }
    interface.set_up();
  }
}

uint64_t scaled(uint64_t count) {
  const char* divisor = std::getenv("MILLRACE_TEST_DIVISOR");
  return count / parse_decimal(divisor != nullptr ? divisor : "1", 1'000'000).value_or(1);
}

std::string private_bpf_file_system() {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return {};
  }
  constexpr const char* directory = "/sys/fs/bpf";
  return mount("bpf", directory, "bpf", 0, "mode=0700") == 0 ? directory : "";
}

}  // namespace millrace::lab
