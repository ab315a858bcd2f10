#include "tests/diff/kernel_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"

namespace millrace::diff {
namespace {

constexpr int backlog = 4'096;
constexpr size_t read_octets = 65'536;

sockaddr_in native(SocketAddress address) {
  sockaddr_in native{};
  native.sin_family = AF_INET;
  native.sin_port = htons(address.port);
  native.sin_addr.s_addr = htonl(address.address.host_order());
  return native;
}

template <class T>
void set_option(int fd, int level, int name, const T& value) {
  CHECK(setsockopt(fd, level, name, &value, sizeof(value)) == 0);
}

// As with ours: whole messages leave at once (Nagle's algorithm is off unless asked for), and
// urgent octets stay where they are (RFC 6093 section 6 asks for it).
void prepare(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

const char* name_of(uint8_t state) {
  static constexpr std::array<const char*, 12> names = {
      "none",      "ESTABLISHED", "SYN-SENT",   "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2",
      "TIME-WAIT", "CLOSED",      "CLOSE-WAIT", "LAST-ACK",     "LISTEN",     "CLOSING"};
  return state < names.size() ? names[state] : "?";
}

}  // namespace

KernelPeer::KernelPeer(KernelNamespace& kernel) : kernel_(kernel) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(listener_ >= 0);
  const sockaddr_in local = native(stack_address);
  CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) == 0);
  CHECK(listen(listener_, backlog) == 0);
  set_option(listener_, SOL_SOCKET, SO_OOBINLINE, 1);
}

KernelPeer::~KernelPeer() {
  abort();
  ::close(listener_);
}

void KernelPeer::begin(SocketAddress remote, bool listens) {
  CHECK(connection_ < 0);
  remote_ = remote;
  broken_ = false;
  if (listens) return;
  connection_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(connection_ >= 0);
  prepare(connection_);
  const sockaddr_in local = native({stack_address.address, 0});
  CHECK(bind(connection_, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) == 0);
  const sockaddr_in to = native(remote);
  const int connected = connect(connection_, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  CHECK(connected < 0 && errno == EINPROGRESS);
}

void KernelPeer::end() {
  abort();
  // Whoever still waits to be accepted.
  accept_next();
  abort();
  take_sent();
}

void KernelPeer::accept_next() {
  while (connection_ < 0) {
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    const int fd =
        accept4(listener_, reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    connection_ = fd;
    broken_ = false;
    prepare(fd);
    const SocketAddress remote{Ipv4Address::from_host_order(ntohl(from.sin_addr.s_addr)),
                               ntohs(from.sin_port)};
    if (remote != remote_) abort();
  }
}

void KernelPeer::deliver(const Octets& datagram) {
  kernel_.write(datagram);
  accept_next();
  look_for_error();
}

void KernelPeer::look_for_error() {
  if (connection_ < 0) return;
  pollfd look{connection_, 0, 0};
  if (poll(&look, 1, 0) == 1 && (look.revents & POLLERR) != 0) broken_ = true;
}

Reading KernelPeer::read() {
  Reading reading;
  while (connection_ >= 0) {
    std::array<uint8_t, read_octets> buffer;
    const ssize_t length = ::recv(connection_, buffer.data(), buffer.size(), 0);
    if (length > 0) {
      reading.octets.insert(reading.octets.end(), buffer.begin(), buffer.begin() + length);
      continue;
    }
    reading.broken = broken_;
    reading.ended = length == 0 && !broken_;
    break;
  }
  return reading;
}

void KernelPeer::write(ByteView octets) {
  if (connection_ < 0) return;
  const ssize_t written = send(connection_, octets.data(), octets.size(), MSG_NOSIGNAL);
  // Short, or refused in this state: what went out is what is compared.
  CHECK(written <= static_cast<ssize_t>(octets.size()));
}

void KernelPeer::shutdown() {
  if (connection_ >= 0) ::shutdown(connection_, SHUT_WR);
}

void KernelPeer::close() {
  if (connection_ >= 0) ::close(connection_);
  connection_ = -1;
}

void KernelPeer::abort() {
  if (connection_ < 0) return;
  set_option(connection_, SOL_SOCKET, SO_LINGER, linger{1, 0});
  close();
}

// The namespace's route asks for acknowledgments at once (kernel_namespace.cc).
void KernelPeer::settle() {}

std::string KernelPeer::state() const {
  if (connection_ < 0) return "none";
  tcp_info info{};
  socklen_t size = sizeof(info);
  CHECK(getsockopt(connection_, IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  return name_of(info.tcpi_state);
}

std::vector<WireSegment> KernelPeer::take_sent() {
  std::vector<WireSegment> sent;
  while (const auto datagram = kernel_.read()) {
    // Others speak too: the remains of earlier dialogues, and IPv6.
    auto segment = read_datagram(*datagram);
    if (segment && segment->to == remote_) sent.push_back(std::move(*segment));
  }
  return sent;
}

}  // namespace millrace::diff
