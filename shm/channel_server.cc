// The data plane's end of the channel.
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "shm/channel.h"
#include "shm/channel_message.h"
#include "shm/unix_socket.h"

namespace millrace::shm {
namespace {

constexpr int events_per_call_max = 16;
// A whole publish and one more request, so that one peer cannot keep the thread.
constexpr uint32_t messages_per_call_max = publish_parts_max + 1;
constexpr uint64_t root_bytes_max = sizeof(RootHeader) + segment_ids_max * sizeof(SegmentEntry);

std::string errno_text() {
  return std::strerror(errno);
}

struct Connection {
  UniqueFd socket;
  // A publish under way.
  uint32_t next_part = 0;  // 0: none
  uint32_t part_count = 0;
  uint32_t flags = 0;
  UniqueFd root;
  std::map<uint64_t, UniqueFd> segments;

  void end_publish() {
    next_part = 0;
    root.reset();
    segments.clear();
  }
};

}  // namespace

struct ChannelServer::State {
  ChannelPeers peers;
  SnapshotCell* cell = nullptr;
  UnixListener listener;
  UniqueFd epoll;
  int stats_fd = -1;                      // not ours
  std::map<int, Connection> connections;  // by socket
  std::array<uint64_t, channel_close_count> closed{};
  uint64_t accepted = 0;
  uint64_t refused = 0;

  void count(ChannelClose reason) { ++closed[static_cast<size_t>(reason)]; }

  void accept_all();
  void greet(Connection& connection);
  void serve(int socket, std::vector<PublishOutcome>& outcomes);
  std::optional<ChannelClose> take(Connection& connection, Message& message,
                                   std::vector<PublishOutcome>& outcomes);
  std::optional<ChannelClose> take_publish(Connection& connection, Message& message,
                                           std::vector<PublishOutcome>& outcomes);
  std::optional<ChannelClose> answer(Connection& connection, const Result<uint64_t>& epoch,
                                     bool is_deliberate, std::vector<PublishOutcome>& outcomes);
  Result<uint64_t> install(Connection& connection);
  Result<std::shared_ptr<const Snapshot>> open(Connection& connection);
  std::vector<uint64_t> held_ids() const {
    std::vector<uint64_t> ids;
    for (const SegmentEntry& entry : cell->current().view->directory()) {
      ids.push_back(entry.segment_id);
    }
    return ids;
  }
};

ChannelServer::ChannelServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

ChannelServer::~ChannelServer() = default;

Result<std::unique_ptr<ChannelServer>> ChannelServer::listen(const std::string& path,
                                                             const ChannelPeers& peers,
                                                             SnapshotCell& cell, int stats_fd) {
  auto listener = UnixListener::listen(path, peers.allowed_uid, channel_backlog);
  if (!listener.ok()) return Error{listener.error()};
  auto state = std::make_unique<State>();
  state->peers = peers;
  state->cell = &cell;
  state->stats_fd = stats_fd;
  state->listener = std::move(*listener);
  state->epoll = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!state->epoll) return Error{"cannot watch socket " + path + ": " + errno_text()};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = state->listener.fd();
  if (::epoll_ctl(state->epoll.get(), EPOLL_CTL_ADD, state->listener.fd(), &event) != 0) {
    return Error{"cannot watch socket " + path + ": " + errno_text()};
  }
  return std::unique_ptr<ChannelServer>(new ChannelServer(std::move(state)));
}

int ChannelServer::fd() const {
  return state_->epoll.get();
}
uint64_t ChannelServer::accepted_count() const {
  return state_->accepted;
}
uint64_t ChannelServer::refused_count() const {
  return state_->refused;
}
uint64_t ChannelServer::closed_count(ChannelClose reason) const {
  return state_->closed[static_cast<size_t>(reason)];
}
size_t ChannelServer::connection_count() const {
  return state_->connections.size();
}

std::vector<PublishOutcome> ChannelServer::on_readable() {
  std::vector<PublishOutcome> outcomes;
  std::array<epoll_event, events_per_call_max> events{};
  const int count = ::epoll_wait(state_->epoll.get(), events.data(), events_per_call_max, 0);
  for (int i = 0; i < count; ++i) {
    const int socket = events[static_cast<size_t>(i)].data.fd;
    if (socket == state_->listener.fd()) {
      state_->accept_all();
    } else {
      state_->serve(socket, outcomes);
    }
  }
  return outcomes;
}

void ChannelServer::State::accept_all() {
  for (uint32_t i = 0; i < channel_backlog; ++i) {
    UniqueFd socket(::accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) return;
    if (!peer_is_allowed(socket.get(), peers)) {
      count(ChannelClose::wrong_uid);
      continue;
    }
    if (connections.size() >= channel_connections_max) {
      count(ChannelClose::too_many_connections);
      continue;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = socket.get();
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) {
      count(ChannelClose::socket_error);
      continue;
    }
    const int number = socket.get();
    Connection& connection = connections[number];
    connection.socket = std::move(socket);
    greet(connection);
  }
}

void ChannelServer::State::greet(Connection& connection) {
  const std::vector<uint64_t> ids = held_ids();
  const InstalledSnapshot& current = cell->current();
  const HelloBody body{snapshot_abi_min,
                       snapshot_abi_max,
                       current.epoch,
                       current.view->version(),
                       static_cast<uint32_t>(ids.size()),
                       feature_deliberate};
  // The first message into an empty socket: there is room, or the peer is gone and read says so.
  Message message = make_message(MessageKind::hello, body, ids);
  if (stats_fd >= 0) message.fds.emplace_back(::fcntl(stats_fd, F_DUPFD_CLOEXEC, 0));
  send_message(connection.socket.get(), message);
}

void ChannelServer::State::serve(int socket, std::vector<PublishOutcome>& outcomes) {
  const auto found = connections.find(socket);
  if (found == connections.end()) return;
  for (uint32_t i = 0; i < messages_per_call_max; ++i) {
    Message message;
    ChannelClose reason = ChannelClose::peer_gone;
    const ReceiveResult result = receive_message(socket, &message, &reason);
    if (result == ReceiveResult::nothing) return;
    std::optional<ChannelClose> close;
    if (result == ReceiveResult::closed) {
      close = reason;
    } else {
      close = take(found->second, message, outcomes);
    }
    if (close) {
      count(*close);
      connections.erase(found);
      return;
    }
  }
}

std::optional<ChannelClose> ChannelServer::State::take(Connection& connection, Message& message,
                                                       std::vector<PublishOutcome>& outcomes) {
  if (message.kind == MessageKind::publish) return take_publish(connection, message, outcomes);
  if (message.kind != MessageKind::rollback) return ChannelClose::wrong_kind;
  if (connection.next_part != 0) return ChannelClose::wrong_order;
  if (!message.fds.empty()) return ChannelClose::wrong_descriptors;
  RollbackBody body{};
  if (message.body.size() != sizeof body) return ChannelClose::wrong_size;
  std::memcpy(&body, message.body.data(), sizeof body);
  return answer(connection, cell->rollback(body.version), true, outcomes);
}

std::optional<ChannelClose> ChannelServer::State::take_publish(
    Connection& connection, Message& message, std::vector<PublishOutcome>& outcomes) {
  PublishBody body{};
  std::vector<uint64_t> ids;
  if (auto wrong = read_body(message, fds_per_message_max, &body, &ids)) return wrong;
  if (body.part_count == 0 || body.part_count > publish_parts_max) return ChannelClose::wrong_count;
  if ((body.flags & ~publish_flags_known) != 0) return ChannelClose::wrong_size;
  const bool first = connection.next_part == 0;
  if (body.part != connection.next_part || body.part >= body.part_count ||
      (!first && (body.part_count != connection.part_count || body.flags != connection.flags))) {
    return ChannelClose::wrong_order;
  }
  if (message.fds.size() != ids.size() + (first ? 1 : 0)) return ChannelClose::wrong_descriptors;
  if (first) {
    connection.part_count = body.part_count;
    connection.flags = body.flags;
    connection.root = std::move(message.fds.front());
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    connection.segments[ids[i]] = std::move(message.fds[i + (first ? 1 : 0)]);
  }
  if (connection.segments.size() > segment_ids_max) return ChannelClose::wrong_count;
  if (++connection.next_part < connection.part_count) return std::nullopt;
  const Result<uint64_t> epoch = install(connection);
  connection.end_publish();
  return answer(connection, epoch, (connection.flags & publish_deliberate) != 0, outcomes);
}

Result<uint64_t> ChannelServer::State::install(Connection& connection) {
  Result<std::shared_ptr<const Snapshot>> snapshot = open(connection);
  if (!snapshot.ok()) return Error{snapshot.error()};
  return cell->install(std::move(*snapshot));
}

// Finds the memory of every segment that the root names: just sent, or held already.
Result<std::shared_ptr<const Snapshot>> ChannelServer::State::open(Connection& connection) {
  Result<MappedBytes> root = MappedBytes::map_sealed(connection.root.get(), root_bytes_max);
  if (!root.ok()) return Error{"snapshot refused: root: " + root.error()};
  const ByteView bytes = root->view();
  std::vector<SegmentMemory> segments;
  // Only ids are read here, within the bytes; what they mean is the validator's to judge.
  for (size_t at = sizeof(RootHeader); at + sizeof(SegmentEntry) <= bytes.size();
       at += sizeof(SegmentEntry)) {
    SegmentEntry entry{};
    std::memcpy(&entry, bytes.data() + at, sizeof entry);
    const auto sent = connection.segments.find(entry.segment_id);
    if (sent == connection.segments.end()) {
      SegmentMemory held = cell->find_segment(entry.segment_id);
      if (held == nullptr) {
        return Error{"snapshot refused: root: segment " + std::to_string(segments.size()) +
                     ": neither sent nor held"};
      }
      segments.push_back(std::move(held));
      continue;
    }
    Result<MappedBytes> memory = MappedBytes::map_sealed(sent->second.get(), segment_bytes_max);
    if (!memory.ok()) {
      return Error{"snapshot refused: segment " + std::to_string(segments.size()) + ": " +
                   memory.error()};
    }
    segments.push_back(std::make_shared<const MappedBytes>(std::move(*memory)));
  }
  const std::vector<std::shared_ptr<const Snapshot>> known(cell->window().begin(),
                                                           cell->window().end());
  return Snapshot::create(std::move(*root), std::move(segments), known);
}

std::optional<ChannelClose> ChannelServer::State::answer(Connection& connection,
                                                         const Result<uint64_t>& epoch,
                                                         bool is_deliberate,
                                                         std::vector<PublishOutcome>& outcomes) {
  PublishOutcome outcome;
  outcome.is_deliberate = is_deliberate;
  Message message;
  if (epoch.ok()) {
    ++accepted;
    const std::vector<uint64_t> ids = held_ids();
    outcome.accepted = true;
    outcome.epoch = *epoch;
    outcome.snapshot = cell->current().owner;
    outcome.traffic = cell->current().traffic;
    const AcceptedBody body{*epoch, cell->current().view->version(),
                            static_cast<uint32_t>(ids.size()), 0};
    message = make_message(MessageKind::accepted, body, ids);
  } else {
    ++refused;
    outcome.refusal = epoch.error();
    const std::string sentence = epoch.error().substr(0, refusal_bytes_max);
    message.kind = MessageKind::refused;
    message.body.assign(sentence.begin(), sentence.end());
  }
  outcomes.push_back(std::move(outcome));
  switch (send_message(connection.socket.get(), message)) {
    case SendResult::sent: return std::nullopt;
    case SendResult::would_block: return ChannelClose::answer_overflow;
    case SendResult::failed: return ChannelClose::peer_gone;
  }
  return std::nullopt;
}

}  // namespace millrace::shm
