#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/unique_fd.h"
#include "tests/diff/endpoint.h"

namespace millrace::diff {
namespace {

constexpr int delayed_ack_ms_max = 220;

void set_sysctl(const char* path, const char* value) {
  // What this kernel does not have is not needed.
  if (std::FILE* file = std::fopen(path, "w"); file != nullptr) {
    std::fputs(value, file);
    std::fclose(file);
  }
}

class Linux final : public Endpoint {
 public:
  bool open(std::string* error) {
    if (unshare(CLONE_NEWNET) != 0) return failed("a network namespace", error);
    tun_ = UniqueFd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK));
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(request.ifr_name, "diff", IFNAMSIZ - 1);
    if (!tun_ || ioctl(tun_.get(), TUNSETIFF, &request) != 0) return failed("a TUN device", error);
    const UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!set_address(control.get(), SIOCSIFADDR, stack_address) ||
        !set_address(control.get(), SIOCSIFNETMASK, 0xffff'ff00))
      return failed("the device's address", error);
    set_sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) return failed("the device up", error);
    // No limit that another dialogue could have used up.
    set_sysctl("/proc/sys/net/ipv4/tcp_challenge_ack_limit", "2147483647");
    set_sysctl("/proc/sys/net/ipv4/tcp_invalid_ratelimit", "0");
    set_sysctl("/proc/sys/net/ipv4/tcp_fastopen", "0");
    set_sysctl("/proc/sys/net/ipv4/tcp_syncookies", "0");
    set_sysctl("/proc/sys/net/ipv4/tcp_rfc1337", "1");
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listen_port);
    address.sin_addr.s_addr = htonl(stack_address);
    const int one = 1;
    setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 128) != 0)
      return failed("a listener", error);
    return true;
  }

  void begin(uint64_t) override {
    drop_connection();
    for (;;) {
      const UniqueFd left(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!left) break;
      abort_at_close(left.get());
    }
    device_out();
  }
  void device_in(ByteView datagram) override {
    if (write_all(datagram)) return;
    std::perror("diff: write to the TUN device");
  }
  std::vector<std::vector<uint8_t>> device_out() override {
    std::vector<std::vector<uint8_t>> out;
    take(&out);
    if (connection_) {
      // What is only delayed goes now.
      const int one = 1;
      setsockopt(connection_.get(), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
      take(&out);
    }
    return out;
  }
  std::vector<std::vector<uint8_t>> device_out_later(uint16_t peer_port) override {
    // What comes first may be of an earlier dialogue.
    std::vector<std::vector<uint8_t>> out;
    for (int waited_ms = 0; waited_ms < delayed_ack_ms_max && out.empty(); waited_ms += 20) {
      pollfd wanted{tun_.get(), POLLIN, 0};
      poll(&wanted, 1, 20);
      for (auto& datagram : device_out()) {
        const bool is_tcp = datagram.size() >= 40 && datagram[9] == IPPROTO_TCP;
        if (is_tcp && load_be16(&datagram[22]) == peer_port) out.push_back(std::move(datagram));
      }
    }
    return out;
  }
  void rest() override {}
  bool accept() override {
    if (connection_) return true;
    connection_ =
        UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!connection_) return false;
    const int one = 1;
    setsockopt(connection_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // RFC 6093 section 5: urgent text stays in line, as it does with us.
    setsockopt(connection_.get(), SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    return true;
  }
  size_t read_all(std::string* text) override {
    std::array<char, 65'536> buffer;
    size_t total = 0;
    while (connection_) {
      const ssize_t count = ::read(connection_.get(), buffer.data(), buffer.size());
      if (count <= 0) break;
      text->append(buffer.data(), static_cast<size_t>(count));
      total += static_cast<size_t>(count);
    }
    return total;
  }
  size_t write(ByteView text) override {
    if (!connection_) return 0;
    const ssize_t count = send(connection_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    return count > 0 ? static_cast<size_t>(count) : 0;
  }
  void shutdown() override {
    if (connection_) ::shutdown(connection_.get(), SHUT_WR);
  }
  void close() override { connection_ = UniqueFd(); }
  std::string state() override {
    if (!connection_) return "NONE";
    tcp_info info{};
    socklen_t length = sizeof info;
    if (getsockopt(connection_.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return "NONE";
    switch (info.tcpi_state) {
      case TCP_ESTABLISHED: return "ESTABLISHED";
      case TCP_SYN_RECV: return "SYN-RECEIVED";
      case TCP_FIN_WAIT1: return "FIN-WAIT-1";
      case TCP_FIN_WAIT2: return "FIN-WAIT-2";
      case TCP_CLOSE_WAIT: return "CLOSE-WAIT";
      case TCP_LAST_ACK: return "LAST-ACK";
      case TCP_CLOSING: return "CLOSING";
      default: return "CLOSED";
    }
  }

 private:
  static bool failed(const char* what, std::string* error) {
    *error = std::string("cannot make ") + what + ": " + std::strerror(errno);
    return false;
  }
  static bool set_address(int control, unsigned long request, uint32_t address) {
    ifreq change{};
    std::strncpy(change.ifr_name, "diff", IFNAMSIZ - 1);
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address);
    std::memcpy(&change.ifr_addr, &in, sizeof in);
    return ioctl(control, request, &change) == 0;
  }
  static void abort_at_close(int fd) {
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  void drop_connection() {
    if (connection_) abort_at_close(connection_.get());
    connection_ = UniqueFd();
  }
  bool write_all(ByteView datagram) {
    return ::write(tun_.get(), datagram.data(), datagram.size()) ==
           static_cast<ssize_t>(datagram.size());
  }
  void take(std::vector<std::vector<uint8_t>>* out) {
    std::array<uint8_t, 65'536> buffer;
    for (;;) {
      const ssize_t count = ::read(tun_.get(), buffer.data(), buffer.size());
      if (count <= 0) return;
      out->emplace_back(buffer.begin(), buffer.begin() + count);
    }
  }

  UniqueFd tun_;
  UniqueFd listener_;
  UniqueFd connection_;
};

}  // namespace

std::unique_ptr<Endpoint> make_linux(std::string* error) {
  auto linux_stack = std::make_unique<Linux>();
  if (!linux_stack->open(error)) return nullptr;
  return linux_stack;
}

}  // namespace millrace::diff
