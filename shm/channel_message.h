// The channel's messages on the wire, and sending and receiving one with its descriptors. Private
// to the two ends of the channel and to their tests.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "shm/channel.h"

namespace millrace::shm {

constexpr uint32_t channel_magic = 0x4e484c4dU;  // "MLHN"

enum class MessageKind : uint16_t { hello = 1, publish, rollback, accepted, refused };

// One message: header, then the body of its kind, then `count` segment ids where the body says so.
struct MessageHeader {
  uint32_t magic;
  uint16_t protocol;
  uint16_t kind;
  uint32_t body_bytes;  // behind this header, ids included
  uint32_t fd_count;
};
static_assert(sizeof(MessageHeader) == 16);

struct HelloBody {
  uint32_t abi_min;
  uint32_t abi_max;
  uint64_t epoch;
  uint64_t version;
  uint32_t count;
  uint32_t features;  // what this data plane understands beyond the first form; zero before there
                      // was any, and a control plane that knows none of them looks at none
};
static_assert(sizeof(HelloBody) == 32);
constexpr uint32_t feature_deliberate = 1;

// Part 0 carries the root's descriptor first. Then come, in every part, one descriptor an id.
struct PublishBody {
  uint32_t part;
  uint32_t part_count;
  uint32_t count;
  uint32_t flags;  // those whose feature the hello has named; the same in every part
};
static_assert(sizeof(PublishBody) == 16);
constexpr uint32_t publish_deliberate = 1;
constexpr uint32_t publish_flags_known = publish_deliberate;

struct RollbackBody {
  uint64_t version;
};
static_assert(sizeof(RollbackBody) == 8);

struct AcceptedBody {
  uint64_t epoch;
  uint64_t version;
  uint32_t count;
  uint32_t reserved;
};
static_assert(sizeof(AcceptedBody) == 24);
// A refusal's body is its sentence: 1 to refusal_bytes_max bytes.

constexpr size_t message_bytes_max =
    sizeof(MessageHeader) + sizeof(HelloBody) + segment_ids_max * sizeof(uint64_t);
static_assert(message_bytes_max > sizeof(MessageHeader) + refusal_bytes_max);

struct Message {
  MessageKind kind = MessageKind::hello;
  std::vector<uint8_t> body;
  std::vector<UniqueFd> fds;
};

template <class Body>
Message make_message(MessageKind kind, const Body& body, std::span<const uint64_t> ids) {
  Message message;
  message.kind = kind;
  message.body.resize(sizeof body + ids.size_bytes());
  std::memcpy(message.body.data(), &body, sizeof body);
  if (!ids.empty()) std::memcpy(message.body.data() + sizeof body, ids.data(), ids.size_bytes());
  return message;
}

// The body and ids of a message that holds exactly both; the count must be within count_max.
template <class Body>
std::optional<ChannelClose> read_body(const Message& message, uint32_t count_max, Body* body,
                                      std::vector<uint64_t>* ids) {
  if (message.body.size() < sizeof *body) return ChannelClose::wrong_size;
  std::memcpy(body, message.body.data(), sizeof *body);
  if (body->count > count_max) return ChannelClose::wrong_count;
  if (message.body.size() != sizeof *body + body->count * sizeof(uint64_t)) {
    return ChannelClose::wrong_size;
  }
  ids->resize(body->count);
  if (!ids->empty()) {
    std::memcpy(ids->data(), message.body.data() + sizeof *body, ids->size() * sizeof(uint64_t));
  }
  return std::nullopt;
}

enum class SendResult : uint8_t { sent, would_block, failed };
SendResult send_message(int socket, const Message& message);

enum class ReceiveResult : uint8_t { received, nothing, closed };
// `closed`: *reason says why the connection must go. Descriptors that came are owned in any case.
ReceiveResult receive_message(int socket, Message* message, ChannelClose* reason);

bool peer_is_allowed(int socket, const ChannelPeers& peers);

}  // namespace millrace::shm
