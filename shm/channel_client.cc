// The control plane's end of the channel.
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "shm/channel.h"
#include "shm/channel_message.h"

namespace millrace::shm {
namespace {

constexpr uint32_t messages_per_call_max = 16;

}  // namespace

struct ChannelClient::State {
  UniqueFd socket;
  std::optional<ChannelHello> hello;
  bool waiting = false;  // for the answer to a request
  bool closed = false;
  std::deque<Message> outgoing;
  std::vector<ChannelEvent> events;

  void close(const std::string& why) {
    if (closed) return;
    closed = true;
    outgoing.clear();
    ChannelEvent event;
    event.kind = ChannelEvent::Kind::closed;
    event.message = why;
    events.push_back(std::move(event));
  }
  void flush();
  void read();
  std::optional<ChannelClose> take(Message& message);
  std::optional<ChannelClose> take_hello(Message& message);
  std::optional<ChannelClose> take_accepted(const Message& message);
  Status may_request() const;
  std::vector<ChannelEvent> take_events() { return std::exchange(events, {}); }
};

ChannelClient::ChannelClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChannelClient::~ChannelClient() = default;

Result<std::unique_ptr<ChannelClient>> ChannelClient::connect(const std::string& path,
                                                              const ChannelPeers& peers) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{"socket path " + path + " must have 1 to 107 bytes"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return Error{std::string("cannot create a socket: ") + std::strerror(errno)};
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error{"no data plane answers on socket " + path + ": " + std::strerror(errno)};
  }
  if (!peer_is_allowed(socket.get(), peers)) {
    return Error{"the process that listens on socket " + path + " runs as a user not allowed"};
  }
  auto state = std::make_unique<State>();
  state->socket = std::move(socket);
  return std::unique_ptr<ChannelClient>(new ChannelClient(std::move(state)));
}

int ChannelClient::fd() const {
  return state_->socket.get();
}
bool ChannelClient::wants_write() const {
  return !state_->outgoing.empty();
}
const std::optional<ChannelHello>& ChannelClient::hello() const {
  return state_->hello;
}
bool ChannelClient::ready() const {
  return state_->may_request().ok();
}

std::vector<ChannelEvent> ChannelClient::on_readable() {
  state_->read();
  state_->flush();
  return state_->take_events();
}

std::vector<ChannelEvent> ChannelClient::on_writable() {
  state_->flush();
  return state_->take_events();
}

Status ChannelClient::State::may_request() const {
  if (closed) return Error{"the connection to the data plane is closed"};
  if (!hello) return Error{"the data plane has not said hello yet"};
  if (waiting) return Error{"the data plane has not answered the last request yet"};
  return Ok{};
}

Status ChannelClient::publish(const BuiltSnapshot& built, bool is_deliberate) {
  const Status may = state_->may_request();
  if (!may.ok()) return may;
  const ChannelHello& hello = *state_->hello;
  if (snapshot_abi < hello.abi_min || snapshot_abi > hello.abi_max) {
    return Error{"the data plane reads snapshots of ABI " + std::to_string(hello.abi_min) + " to " +
                 std::to_string(hello.abi_max) + ", this control plane writes ABI " +
                 std::to_string(snapshot_abi) + "; its table stays as it is"};
  }
  const std::string name = "millrace-" + std::to_string(built.version);
  Result<UniqueFd> root = seal_into_memfd(built.root, name + "-root");
  if (!root.ok()) return Error{root.error()};

  std::vector<uint64_t> ids;
  std::vector<UniqueFd> fds;
  for (const BuiltSegment& segment : built.segments) {
    const std::vector<uint64_t>& held = hello.segment_ids;
    if (std::find(held.begin(), held.end(), segment.id) != held.end()) continue;
    if (std::find(ids.begin(), ids.end(), segment.id) != ids.end()) continue;
    const char* kind = segment.kind == SegmentKind::routes ? "-routes-" : "-endpoints-";
    Result<UniqueFd> fd =
        seal_into_memfd(segment.bytes, name + kind + std::to_string(segment.index));
    if (!fd.ok()) return Error{fd.error()};
    ids.push_back(segment.id);
    fds.push_back(std::move(*fd));
  }

  const size_t part_count = ids.size() / fds_per_message_max + 1;  // part 0 has the root besides
  CHECK(part_count <= publish_parts_max);
  const uint32_t flags = is_deliberate && hello.knows_deliberate ? publish_deliberate : 0;
  size_t next = 0;
  for (uint32_t part = 0; part < part_count; ++part) {
    const size_t room = fds_per_message_max - (part == 0 ? 1 : 0);
    const size_t count = std::min(room, ids.size() - next);
    const PublishBody body{part, static_cast<uint32_t>(part_count), static_cast<uint32_t>(count),
                           flags};
    Message message = make_message(MessageKind::publish, body, std::span(ids).subspan(next, count));
    if (part == 0) message.fds.push_back(std::move(*root));
    for (size_t i = 0; i < count; ++i) message.fds.push_back(std::move(fds[next + i]));
    next += count;
    state_->outgoing.push_back(std::move(message));
  }
  CHECK(next == ids.size());
  state_->waiting = true;
  state_->flush();
  return Ok{};
}

Status ChannelClient::rollback(uint64_t version) {
  const Status may = state_->may_request();
  if (!may.ok()) return may;
  Message message;
  message.kind = MessageKind::rollback;
  const RollbackBody body{version};
  message.body.resize(sizeof body);
  std::memcpy(message.body.data(), &body, sizeof body);
  state_->outgoing.push_back(std::move(message));
  state_->waiting = true;
  state_->flush();
  return Ok{};
}

void ChannelClient::State::flush() {
  while (!closed && !outgoing.empty()) {
    switch (send_message(socket.get(), outgoing.front())) {
      case SendResult::sent: outgoing.pop_front(); break;
      case SendResult::would_block: return;
      // What the peer said before it went may still be waiting; the next read ends at its close.
      case SendResult::failed:
        read();
        close(to_text(ChannelClose::peer_gone));
        return;
    }
  }
}

void ChannelClient::State::read() {
  for (uint32_t i = 0; i < messages_per_call_max && !closed; ++i) {
    Message message;
    ChannelClose reason = ChannelClose::peer_gone;
    const ReceiveResult result = receive_message(socket.get(), &message, &reason);
    if (result == ReceiveResult::nothing) return;
    if (result == ReceiveResult::closed) return close(to_text(reason));
    if (const auto wrong = take(message)) close(to_text(*wrong));
  }
}

std::optional<ChannelClose> ChannelClient::State::take(Message& message) {
  if (message.kind == MessageKind::hello) return take_hello(message);
  if (!message.fds.empty()) return ChannelClose::wrong_descriptors;
  if (message.kind == MessageKind::publish || message.kind == MessageKind::rollback) {
    return ChannelClose::wrong_kind;
  }
  if (!waiting || !outgoing.empty()) return ChannelClose::wrong_order;
  waiting = false;
  if (message.kind == MessageKind::accepted) return take_accepted(message);
  if (message.body.empty() || message.body.size() > refusal_bytes_max) {
    return ChannelClose::wrong_size;
  }
  // Whatever it lacks, the next publish sends it all.
  hello->segment_ids.clear();
  ChannelEvent event;
  event.kind = ChannelEvent::Kind::refused;
  event.message = as_text(message.body);
  events.push_back(std::move(event));
  return std::nullopt;
}

std::optional<ChannelClose> ChannelClient::State::take_hello(Message& message) {
  if (hello) return ChannelClose::wrong_order;
  if (message.fds.size() > 1) return ChannelClose::wrong_descriptors;
  HelloBody body{};
  ChannelHello said;
  if (auto wrong = read_body(message, segment_ids_max, &body, &said.segment_ids)) return wrong;
  said.abi_min = body.abi_min;
  said.abi_max = body.abi_max;
  said.epoch = body.epoch;
  said.version = body.version;
  said.knows_deliberate = (body.features & feature_deliberate) != 0;
  hello = said;
  ChannelEvent event;
  event.kind = ChannelEvent::Kind::hello;
  event.epoch = said.epoch;
  event.version = said.version;
  event.hello = std::move(said);
  if (!message.fds.empty()) event.stats_page = std::move(message.fds.front());
  events.push_back(std::move(event));
  return std::nullopt;
}

std::optional<ChannelClose> ChannelClient::State::take_accepted(const Message& message) {
  AcceptedBody body{};
  std::vector<uint64_t> ids;
  if (auto wrong = read_body(message, segment_ids_max, &body, &ids)) return wrong;
  hello->epoch = body.epoch;
  hello->version = body.version;
  hello->segment_ids = std::move(ids);
  ChannelEvent event;
  event.kind = ChannelEvent::Kind::accepted;
  event.epoch = body.epoch;
  event.version = body.version;
  events.push_back(std::move(event));
  return std::nullopt;
}

}  // namespace millrace::shm
