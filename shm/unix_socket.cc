#include "shm/unix_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace millrace::shm {
namespace {

std::string errno_text() {
  return std::strerror(errno);
}

// Makes room for our socket: removes one that nobody listens on, keeps everything else.
Status remove_stale_socket(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return Ok{};
    return Error{"cannot look at socket path " + path + ": " + errno_text()};
  }
  if (!S_ISSOCK(info.st_mode)) return Error{"socket path " + path + " is taken by another file"};
  const UniqueFd probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return Error{"cannot create a socket: " + errno_text()};
  const bool listens =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno != ECONNREFUSED;
  if (listens) return Error{"another process listens on socket " + path};
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Error{"cannot remove the stale socket " + path + ": " + errno_text()};
  }
  return Ok{};
}

}  // namespace

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{"socket path " + path + " must have 1 to 107 bytes"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UnixListener::UnixListener(UnixListener&& other) noexcept {
  *this = std::move(other);
}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

UnixListener::~UnixListener() {
  if (path_.empty()) return;
  struct stat info {};
  if (::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

Result<UnixListener> UnixListener::listen(const std::string& path, std::optional<uid_t> owner_uid,
                                          uint32_t backlog) {
  const Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) return Error{address.error()};
  const Status room = remove_stale_socket(path, *address);
  if (!room.ok()) return Error{room.error()};
  UnixListener listener;
  listener.socket_ = UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener.socket_) return Error{"cannot create a socket: " + errno_text()};
  if (::bind(listener.fd(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return Error{"cannot bind socket " + path + ": " + errno_text()};
  }
  struct stat info {};
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      (owner_uid && ::chown(path.c_str(), *owner_uid, static_cast<gid_t>(-1)) != 0) ||
      ::lstat(path.c_str(), &info) != 0) {
    const std::string what = errno_text();
    ::unlink(path.c_str());
    return Error{"cannot give socket " + path + " to its user: " + what};
  }
  listener.path_ = path;
  listener.device_ = info.st_dev;
  listener.inode_ = info.st_ino;
  if (::listen(listener.fd(), static_cast<int>(backlog)) != 0) {
    return Error{"cannot listen on socket " + path + ": " + errno_text()};
  }
  return listener;
}

}  // namespace millrace::shm
