#include "dataplane/housekeeping_listing.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "shm/channel_message.h"

namespace millrace {
namespace {

constexpr int events_per_turn_max = 16;
constexpr uint32_t accepts_per_turn_max = 8;

}  // namespace

Result<std::unique_ptr<ListingServer>> ListingServer::listen(const std::string& path,
                                                             const shm::ChannelPeers& peers,
                                                             ConnectionBatch& batch) {
  auto listener = shm::UnixListener::listen(path, peers.allowed_uid, readers_max);
  if (!listener.ok()) return Error{listener.error()};
  std::unique_ptr<ListingServer> server(new ListingServer(batch));
  server->peers_ = peers;
  server->listener_ = std::move(*listener);
  server->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = server->listener_.fd();
  if (!server->epoll_ ||
      ::epoll_ctl(server->fd(), EPOLL_CTL_ADD, server->listener_.fd(), &event) != 0) {
    return Error{"cannot watch socket " + path + ": " + std::strerror(errno)};
  }
  return server;
}

ListingServer::Outcome ListingServer::turn(Instant now) {
  std::array<epoll_event, events_per_turn_max> events{};
  const int count = ::epoll_wait(fd(), events.data(), events_per_turn_max, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.fd == listener_.fd()) {
      accept_all(now);
    } else {
      on_event(event.data.fd, event.events, now);
    }
  }
  if (batch_.is_answered()) deliver(now);
  close_stalled(now);
  Outcome outcome;
  outcome.asked = batch_.is_idle() && ask_for_next();
  outcome.under_way = !batch_.is_idle();
  return outcome;
}

void ListingServer::accept_all(Instant now) {
  for (uint32_t i = 0; i < accepts_per_turn_max; ++i) {
    UniqueFd socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) return;
    accept_one(std::move(socket), now);
  }
}

void ListingServer::accept_one(UniqueFd socket, Instant now) {
  const auto count = [this](ListingClose reason) { ++closed_[static_cast<size_t>(reason)]; };
  if (!shm::peer_is_allowed(socket.get(), peers_)) return count(ListingClose::wrong_uid);
  if (readers_.size() >= readers_max) {
    shm::ListingHeader busy;
    busy.kind = static_cast<uint16_t>(shm::ListingKind::busy);
    ::send(socket.get(), &busy, sizeof busy, MSG_DONTWAIT | MSG_NOSIGNAL);
    return count(ListingClose::too_many);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = socket.get();
  if (::epoll_ctl(fd(), EPOLL_CTL_ADD, socket.get(), &event) != 0) {
    return count(ListingClose::socket_error);
  }
  Reader reader;
  reader.socket = std::move(socket);
  reader.moved_at = now;
  readers_.push_back(std::move(reader));
}

void ListingServer::on_event(int socket, uint32_t events, Instant now) {
  const auto reader = find(socket);
  if (reader == readers_.end()) return;
  if ((events & EPOLLOUT) != 0) watch_room(*reader, false);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  ListingClose reason = ListingClose::reader_gone;
  if (!take_request(*reader, now, &reason)) close(reader, reason);
}

// False: the reader must go, for this reason.
bool ListingServer::take_request(Reader& reader, Instant now, ListingClose* reason) {
  shm::ListingHeader request;
  const ssize_t size =
      ::recv(reader.socket.get(), &request, sizeof request, MSG_DONTWAIT | MSG_TRUNC);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
  *reason = ListingClose::reader_gone;
  if (size <= 0) return false;
  *reason = ListingClose::wrong_request;
  if (size != sizeof request || request.magic != shm::listing_magic ||
      request.abi != shm::listing_abi ||
      request.kind != static_cast<uint16_t>(shm::ListingKind::request) ||
      reader.place != place_none) {
    return false;
  }
  reader.place = 0;
  reader.moved_at = now;
  return true;
}

// The answered batch goes to whom it was for. One that does not fit is thrown away and asked for
// again when there is room: a reader that stalls holds nobody else up.
void ListingServer::deliver(Instant now) {
  const shm::ListingMessage& message = batch_.message();
  const auto reader = batch_socket_ < 0 ? readers_.end() : find(batch_socket_);
  batch_socket_ = -1;
  if (reader != readers_.end()) {
    const ssize_t sent =
        ::send(reader->socket.get(), &message, message.bytes(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      const bool ended = message.header.next >= message.header.capacity;
      reader->place = ended ? place_none : message.header.next;
      reader->moved_at = now;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      watch_room(*reader, true);
    } else {
      close(reader, ListingClose::reader_gone);
    }
  }
  batch_.take_back();
}

void ListingServer::close_stalled(Instant now) {
  for (size_t i = readers_.size(); i-- > 0;) {
    if (now - readers_[i].moved_at < stall_max) continue;
    close(readers_.begin() + static_cast<ptrdiff_t>(i), ListingClose::stalled);
  }
}

bool ListingServer::ask_for_next() {
  for (size_t i = 0; i < readers_.size(); ++i) {
    const size_t at = (first_to_serve_ + i) % readers_.size();
    const Reader& reader = readers_[at];
    if (reader.place == place_none || reader.is_full) continue;
    batch_socket_ = reader.socket.get();
    first_to_serve_ = at + 1;
    batch_.ask(reader.place);
    return true;
  }
  return false;
}

void ListingServer::watch_room(Reader& reader, bool is_full) {
  reader.is_full = is_full;
  epoll_event event{};
  event.events = is_full ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.fd = reader.socket.get();
  ::epoll_ctl(fd(), EPOLL_CTL_MOD, reader.socket.get(), &event);
}

std::vector<ListingServer::Reader>::iterator ListingServer::find(int socket) {
  return std::find_if(readers_.begin(), readers_.end(),
                      [socket](const Reader& reader) { return reader.socket.get() == socket; });
}

// The number of its socket may be another reader's next: what the worker still fills is nobody's.
void ListingServer::close(std::vector<Reader>::iterator reader, ListingClose reason) {
  ++closed_[static_cast<size_t>(reason)];
  if (reader->socket.get() == batch_socket_) batch_socket_ = -1;
  readers_.erase(reader);
}

}  // namespace millrace
