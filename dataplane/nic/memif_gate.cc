#include "dataplane/nic/memif_gate.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace millrace::nic {
namespace {

// The memif protocol: fixed messages over SOCK_SEQPACKET, at most one descriptor with each.
constexpr size_t message_bytes = 128;
constexpr uint16_t type_connected = 7;
constexpr uint16_t type_disconnect = 8;

constexpr int connect_again_ms = 100;  // a client whose server is away, or has refused it
constexpr int handshake_ms_max = 2'000;
constexpr int look_again_ms = 1;  // while the driver or the worker is waited for
constexpr int backlog = 4;

struct Message {
  std::array<uint8_t, message_bytes> bytes;
  UniqueFd descriptor;
  uint16_t type() const {
    uint16_t value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
};

// False: the other side is gone, or what it says is no message.
bool receive(int from, Message& message) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec part{message.bytes.data(), message.bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = recvmsg(from, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  for (cmsghdr* entry = CMSG_FIRSTHDR(&header); entry != nullptr;
       entry = CMSG_NXTHDR(&header, entry)) {
    if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
    int descriptor;
    std::memcpy(&descriptor, CMSG_DATA(entry), sizeof descriptor);
    message.descriptor = UniqueFd(descriptor);
  }
  return got == static_cast<ssize_t>(message_bytes) && (header.msg_flags & MSG_CTRUNC) == 0;
}

bool send(int to, Message& message) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec part{message.bytes.data(), message.bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (message.descriptor) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* entry = CMSG_FIRSTHDR(&header);
    entry->cmsg_level = SOL_SOCKET;
    entry->cmsg_type = SCM_RIGHTS;
    entry->cmsg_len = CMSG_LEN(sizeof(int));
    const int descriptor = message.descriptor.get();
    std::memcpy(CMSG_DATA(entry), &descriptor, sizeof descriptor);
  }
  return sendmsg(to, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(message_bytes);
}

bool address_of(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

UniqueFd connect_to(const std::string& path) {
  sockaddr_un address;
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || !address_of(path, address)) return {};
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return {};
  return fd;
}

// Removes the socket of a process that is gone. False: somebody listens there.
bool remove_stale(const std::string& path) {
  if (connect_to(path)) return false;
  const bool refused = errno == ECONNREFUSED;  // so does what is no socket
  struct stat facts {};
  if (refused && lstat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode)) unlink(path.c_str());
  return true;
}

Error failed(const std::string& path, const char* what) {
  return Error{"memif socket " + path + ": " + what};
}

// Only the owner may connect: whoever does is believed in everything.
Result<UniqueFd> listen_on(const std::string& path, std::optional<uint32_t> owner) {
  sockaddr_un address;
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed(path, std::strerror(errno));
  if (!address_of(path, address)) return failed(path, "the path is too long");
  if (!remove_stale(path)) return failed(path, "another process listens there");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      (owner && chown(path.c_str(), *owner, *owner) != 0) || ::listen(fd.get(), backlog) != 0) {
    return failed(path, std::strerror(errno));
  }
  return fd;
}

}  // namespace

MemifGate::MemifGate(const std::string& socket, MemifRole role, uint32_t id)
    : socket_(socket),
      role_(role),
      driver_socket_(socket + (role == MemifRole::server ? ".server." : ".client.") +
                     std::to_string(id)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Result<std::unique_ptr<MemifGate>> MemifGate::create(const std::string& socket, MemifRole role,
                                                     uint32_t id, std::optional<uint32_t> owner) {
  std::unique_ptr<MemifGate> gate(new MemifGate(socket, role, id));
  if (!gate->stop_) return failed(socket, std::strerror(errno));
  auto listener =
      listen_on(role == MemifRole::server ? gate->socket_ : gate->driver_socket_, owner);
  if (!listener) return Error{listener.error()};
  gate->listener_ = std::move(*listener);
  if (role == MemifRole::server && !remove_stale(gate->driver_socket_)) {
    return failed(gate->driver_socket_, "another process listens there");
  }
  return gate;
}

MemifGate::~MemifGate() {
  stop();
  if (!listener_) return;  // what lies there is another process's
  unlink(driver_socket_.c_str());
  if (role_ == MemifRole::server) unlink(socket_.c_str());
}

Status MemifGate::start(Driver& driver) {
  try {
    thread_ = std::thread([this, &driver] { run(driver); });
  } catch (const std::system_error& error) {
    return failed(socket_, error.what());
  }
  pthread_setname_np(thread_.native_handle(), "millrace-memif");
  return Ok{};
}

void MemifGate::stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  while (write(stop_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
  door_.store(Door::closed, std::memory_order_release);
}

bool MemifGate::stopping_within(int milliseconds) const {
  pollfd fd{stop_.get(), POLLIN, 0};
  return poll(&fd, 1, milliseconds) > 0;
}

void MemifGate::run(Driver& driver) {
  while (!stopping_within(0)) {
    UniqueFd far = next_far_end();
    if (!far) continue;
    near_ = connect_driver(driver);
    if (near_) serve(driver, far.get(), near_.get());
    if (stopping_within(0)) return;  // near_ stays: the driver still talks while it is closed
    near_.reset();
    if (role_ == MemifRole::client) driver.disconnect();
    while (driver.connected() && !stopping_within(look_again_ms)) {
    }
    far.reset();
    if (role_ == MemifRole::client) stopping_within(connect_again_ms);
  }
}

// A connection to the far end; empty: not now.
UniqueFd MemifGate::next_far_end() {
  if (role_ == MemifRole::client) {
    UniqueFd far = connect_to(socket_);
    if (!far) stopping_within(connect_again_ms);
    return far;
  }
  std::array<pollfd, 2> fds{{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  poll(fds.data(), fds.size(), -1);
  if ((fds[0].revents & POLLIN) == 0) return {};
  return UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

UniqueFd MemifGate::connect_driver(Driver& driver) {
  if (role_ == MemifRole::server) return connect_to(driver_socket_);
  if (!driver.connect()) return {};
  return UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

// One link from the handshake to its end.
void MemifGate::serve(Driver& driver, int far, int near) {
  bool greeted = false;  // the last message of the handshake has passed
  bool open = false;
  int waited_ms = 0;
  while (waited_ms < handshake_ms_max) {
    if (greeted && !open && driver.connected()) {
      open = true;
      openings_.fetch_add(1, std::memory_order_relaxed);
      door_.store(Door::open, std::memory_order_release);
    }
    std::array<pollfd, 3> fds{{{far, POLLIN, 0}, {near, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    const int ready = poll(fds.data(), fds.size(), open ? -1 : look_again_ms);
    if (ready == 0) ++waited_ms;
    if ((fds[2].revents & POLLIN) != 0) break;
    if (ready <= 0) continue;
    const bool from_far = fds[0].revents != 0;
    Message message;
    // Once the link is there, neither side has anything to say but goodbye.
    if (!receive(from_far ? far : near, message) || open) break;
    if (!send(from_far ? near : far, message) || message.type() == type_disconnect) break;
    greeted |= message.type() == type_connected;
  }
  if (open) close_door();
}

void MemifGate::close_door() {
  door_.store(Door::closing, std::memory_order_release);
  while (door_.load(std::memory_order_acquire) == Door::closing) {
    if (stopping_within(look_again_ms)) return;
  }
}

}  // namespace millrace::nic
