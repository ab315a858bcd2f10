#include "shm/channel_message.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

namespace millrace::shm {
namespace {

// Room for one descriptor more than allowed, so that too many are seen and not cut.
constexpr size_t control_bytes = CMSG_SPACE((fds_per_message_max + 1) * sizeof(int));

void take_descriptors(msghdr& envelope, std::vector<UniqueFd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&envelope); part != nullptr;
       part = CMSG_NXTHDR(&envelope, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

SendResult send_message(int socket, const Message& message) {
  CHECK(message.fds.size() <= fds_per_message_max);
  MessageHeader header{
      channel_magic, static_cast<uint16_t>(channel_protocol), static_cast<uint16_t>(message.kind),
      static_cast<uint32_t>(message.body.size()), static_cast<uint32_t>(message.fds.size())};
  std::array<iovec, 2> parts{
      {{&header, sizeof header}, {const_cast<uint8_t*>(message.body.data()), message.body.size()}}};
  alignas(cmsghdr) std::array<uint8_t, control_bytes> control{};
  msghdr envelope{};
  envelope.msg_iov = parts.data();
  envelope.msg_iovlen = parts.size();
  if (!message.fds.empty()) {
    envelope.msg_control = control.data();
    envelope.msg_controllen = CMSG_SPACE(message.fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&envelope);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(message.fds.size() * sizeof(int));
    for (size_t i = 0; i < message.fds.size(); ++i) {
      const int fd = message.fds[i].get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &envelope, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return SendResult::sent;
  // ETOOMANYREFS: the kernel bounds descriptors in flight; they drain as the peer reads.
  const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS;
  return later ? SendResult::would_block : SendResult::failed;
}

ReceiveResult receive_message(int socket, Message* message, ChannelClose* reason) {
  MessageHeader header{};
  message->body.resize(message_bytes_max);
  message->fds.clear();
  std::array<iovec, 2> parts{
      {{&header, sizeof header}, {message->body.data(), message->body.size()}}};
  alignas(cmsghdr) std::array<uint8_t, control_bytes> control{};
  msghdr envelope{};
  envelope.msg_iov = parts.data();
  envelope.msg_iovlen = parts.size();
  envelope.msg_control = control.data();
  envelope.msg_controllen = control.size();
  ssize_t size;
  do {
    size = ::recvmsg(socket, &envelope, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return ReceiveResult::nothing;
    *reason = errno == ECONNRESET ? ChannelClose::peer_gone : ChannelClose::socket_error;
    return ReceiveResult::closed;
  }
  take_descriptors(envelope, message->fds);
  const size_t received = static_cast<size_t>(size);
  *reason = ChannelClose::peer_gone;
  if (received == 0) return ReceiveResult::closed;
  *reason = ChannelClose::wrong_size;
  if ((envelope.msg_flags & MSG_TRUNC) != 0 || received < sizeof header) {
    return ReceiveResult::closed;
  }
  *reason = ChannelClose::wrong_magic;
  if (header.magic != channel_magic || header.protocol != channel_protocol) {
    return ReceiveResult::closed;
  }
  *reason = ChannelClose::wrong_size;
  if (header.body_bytes != received - sizeof header) return ReceiveResult::closed;
  *reason = ChannelClose::wrong_descriptors;
  if ((envelope.msg_flags & MSG_CTRUNC) != 0 || message->fds.size() != header.fd_count ||
      header.fd_count > fds_per_message_max) {
    return ReceiveResult::closed;
  }
  *reason = ChannelClose::wrong_kind;
  if (header.kind < static_cast<uint16_t>(MessageKind::hello) ||
      header.kind > static_cast<uint16_t>(MessageKind::refused)) {
    return ReceiveResult::closed;
  }
  message->kind = static_cast<MessageKind>(header.kind);
  message->body.resize(header.body_bytes);
  return ReceiveResult::received;
}

bool peer_is_allowed(int socket, const ChannelPeers& peers) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid() ||
         (peers.allowed_uid.has_value() && peer.uid == *peers.allowed_uid);
}

const char* to_text(ChannelClose reason) {
  switch (reason) {
    case ChannelClose::peer_gone: return "the peer closed the connection or ended";
    case ChannelClose::wrong_uid: return "the peer's user is not allowed";
    case ChannelClose::too_many_connections: return "too many connections";
    case ChannelClose::wrong_size: return "a message has the wrong size";
    case ChannelClose::wrong_magic: return "a message is of another protocol or revision";
    case ChannelClose::wrong_kind: return "a message's kind is unknown or not for this side";
    case ChannelClose::wrong_count: return "a message's count exceeds its bound";
    case ChannelClose::wrong_descriptors: return "a message does not carry its descriptors";
    case ChannelClose::wrong_order: return "a message came out of order";
    case ChannelClose::socket_error: return "the socket failed";
    case ChannelClose::answer_overflow: return "the peer does not read its answers";
  }
  return "unknown";
}

}  // namespace millrace::shm
