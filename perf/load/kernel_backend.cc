#include "perf/load/kernel_backend.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace millrace::load {
namespace {

constexpr int backlog = 8'192;
constexpr size_t receive_buffer_bytes = 64 * 1024;
constexpr size_t send_buffer_bytes = 32 * BodyPattern::piece_bytes_max;
constexpr uint32_t generation_mask = 0x7fffffffU;

}  // namespace

KernelBackend::KernelBackend(ResponseText response, uint32_t connections_max, Figures& figures,
                             nic::PortCounters& counters, int epoll_fd)
    : response_(std::move(response)),
      connections_max_(connections_max),
      figures_(figures),
      counters_(counters),
      epoll_fd_(epoll_fd),
      receive_buffer_(receive_buffer_bytes),
      send_buffer_(send_buffer_bytes) {}

KernelBackend::~KernelBackend() {
  for (Socket& socket : sockets_) {
    if (socket.fd >= 0) ::close(socket.fd);
  }
}

Status KernelBackend::listen(SocketAddress first, uint32_t port_count) {
  for (uint32_t i = 0; i < port_count; ++i) {
    const auto port = static_cast<uint16_t>(first.port + i);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(first.address.host_order());
    address.sin_port = htons(port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd, backlog) != 0) {
      const std::string reason = std::strerror(errno);
      if (fd >= 0) ::close(fd);
      return Error{"--listen " + SocketAddress{first.address, port}.text() + ": " + reason};
    }
    add(fd, true);
  }
  return Ok{};
}

uint32_t KernelBackend::add(int fd, bool listens) {
  uint32_t index = static_cast<uint32_t>(sockets_.size());
  if (free_.empty()) {
    sockets_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Socket& s = sockets_[index];
  const uint32_t generation = s.generation + 1;
  s = Socket{};
  s.fd = fd;
  s.generation = generation;
  s.listens = listens;
  epoll_event wanted{};
  wanted.events = listens ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  wanted.data.u64 = kernel_backend_mark | uint64_t{generation & generation_mask} << 32 | index;
  epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &wanted);
  return index;
}

void KernelBackend::event(uint32_t index, uint32_t generation, uint32_t events) {
  Socket& s = sockets_[index];
  if ((s.generation & generation_mask) != generation || s.fd < 0) return;
  if (s.listens) {
    accept_all(index);
    return;
  }
  if ((events & EPOLLOUT) != 0) send_more(index);
  if (s.fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) receive(index);
}

void KernelBackend::accept_all(uint32_t index) {
  for (;;) {
    const int fd = accept4(sockets_[index].fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno != EAGAIN && errno != EINTR) ++figures_.backend_refused;
      return;
    }
    if (open_ >= connections_max_) {
      ++figures_.backend_refused;
      ::close(fd);
      continue;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++open_;
    ++figures_.backend_connections;
    add(fd, false);
  }
}

void KernelBackend::receive(uint32_t index) {
  Socket& s = sockets_[index];
  const uint32_t generation = s.generation;
  while (s.fd >= 0 && s.generation == generation && !s.ends) {
    const ssize_t count = recv(s.fd, receive_buffer_.data(), receive_buffer_.size(), 0);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) close(index);
      return;
    }
    if (count == 0) {
      s.ends = true;
      break;
    }
    counters_.received_bytes += static_cast<uint64_t>(count);
    ByteView text(receive_buffer_.data(), static_cast<size_t>(count));
    while (!text.empty() && !s.ends) {
      uint32_t taken = 0;
      const RequestProgress progress = reader_.take(s.reader, text, &taken);
      if (progress == RequestProgress::broken || progress == RequestProgress::no_room) {
        ++figures_.backend_malformed;
        close(index);
        return;
      }
      text = text.subspan(taken);
      if (progress != RequestProgress::whole) continue;
      ++figures_.backend_requests;
      ++s.owed;
      s.ends = s.reader.is(flag_close_announced);
    }
    send_more(index);
  }
  if (s.fd >= 0 && s.generation == generation && s.ends && s.owed == 0) close(index);
}

void KernelBackend::send_more(uint32_t index) {
  Socket& s = sockets_[index];
  while (s.owed > 0) {
    uint32_t filled = 0;
    const uint32_t left = response_.bytes() - s.sent_of_first;
    while (filled < left && filled + BodyPattern::piece_bytes_max <= send_buffer_.size()) {
      const uint32_t piece = std::min(left - filled, 1024U);
      response_.write(send_buffer_.data() + filled, s.sent_of_first + filled, piece);
      filled += piece;
    }
    const ssize_t count = send(s.fd, send_buffer_.data(), filled, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) close(index);
      return;
    }
    counters_.transmitted_bytes += static_cast<uint64_t>(count);
    s.sent_of_first += static_cast<uint32_t>(count);
    if (s.sent_of_first < response_.bytes()) continue;
    s.sent_of_first = 0;
    --s.owed;
    ++figures_.backend_responses;
  }
  if (s.ends) close(index);
}

void KernelBackend::close(uint32_t index) {
  Socket& s = sockets_[index];
  reader_.forget(s.reader);
  ::close(s.fd);
  s.fd = -1;
  --open_;
  free_.push_back(index);
}

}  // namespace millrace::load
