// The channel: how the control plane hands snapshots to the data plane. A Unix SOCK_SEQPACKET
// socket; the data plane binds and listens, the control plane connects. Both ends are non-blocking
// and live in a poll loop: poll fd() for reading (and the client's for writing while it
// wants_write()), then call on_readable() / on_writable().
//
//   data plane -> control plane   hello     ABI range, epoch, version, ids of the segments it
//   holds,
//                                           and its stats page's descriptor if it has one
//   control plane -> data plane   publish   root and changed segments as sealed memfds
//   (SCM_RIGHTS),
//                                           in one or more parts
//                                 rollback  to the content `version`
//   data plane -> control plane   accepted  epoch, version, ids of the segments it now holds
//                                 refused   one sentence
//
// Every request is answered once, in order. A message that is not exactly right (size, magic, kind,
// count of descriptors, order of parts) closes the connection that sent it, is counted by reason,
// and does nothing else. So does a peer with the wrong uid.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/snapshot_format.h"
#include "shm/snapshot_store.h"
#include "shm/snapshot_writer.h"

namespace millrace::shm {

constexpr uint32_t channel_protocol = 1;
constexpr uint32_t fds_per_message_max = 64;  // the kernel's SCM_MAX_FD is 253
constexpr uint32_t segment_ids_max = 2 * segments_per_kind_max;
constexpr uint32_t refusal_bytes_max = 1024;     // a longer sentence is cut
constexpr uint32_t channel_connections_max = 8;  // the control plane, and tools
constexpr uint32_t publish_parts_max =
    (1 + segment_ids_max + fds_per_message_max - 1) / fds_per_message_max;
constexpr uint32_t channel_backlog = 8;

// Why a connection was closed.
enum class ChannelClose : uint8_t {
  peer_gone,             // an orderly end, or the peer died
  wrong_uid,             // SO_PEERCRED: neither root, nor our own uid, nor the allowed one
  too_many_connections,  // channel_connections_max
  wrong_size,            // shorter or longer than its kind and counts say
  wrong_magic,           // not this protocol, or another revision of it
  wrong_kind,            // unknown, or not one this side takes
  wrong_count,           // a count above its bound
  wrong_descriptors,     // not as many descriptors as announced
  wrong_order,           // a part out of turn, or a second request inside a publish
  socket_error,          // the environment's: errno of the socket
  answer_overflow,       // the peer sends requests and reads no answers
};
constexpr size_t channel_close_count = 11;
const char* to_text(ChannelClose reason);

// Who may connect: root and our own effective uid always; one more uid when set.
struct ChannelPeers {
  std::optional<uid_t> allowed_uid;
};

// ---- data plane side -------------------------------------------------------------------------

// What came of a request.
struct PublishOutcome {
  bool accepted = false;
  uint64_t epoch = 0;
  // An operator chose this very table: nobody but an operator takes it back. See
  // ChannelClient::publish(); so is every rollback.
  bool is_deliberate = false;
  // What was installed, with its rows of the traffic page: the cell may hold a later one by now.
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const TrafficMap> traffic;
  std::string refusal;
};

// The data plane's end: takes publishes, maps and validates them, installs them into the cell. Runs
// on the housekeeping thread.
class ChannelServer {
 public:
  // Binds `path` (mode 0600, owned by the allowed uid if one is set) and listens. A socket file
  // left by a killed process is replaced; one that somebody listens on, or a file that is no
  // socket, is an Error. `cell` must outlive the server.
  static Result<std::unique_ptr<ChannelServer>> listen(const std::string& path,
                                                       const ChannelPeers& peers,
                                                       SnapshotCell& cell, int stats_fd = -1);
  ~ChannelServer();  // removes the socket file if it is still ours
  ChannelServer(const ChannelServer&) = delete;
  ChannelServer& operator=(const ChannelServer&) = delete;

  // An epoll descriptor over the listener and all connections.
  int fd() const;
  // Takes whatever has arrived, never blocks. At most a bounded number of messages a call; poll
  // says so when more are there. The Outcomes in the order of the requests, for the log.
  std::vector<PublishOutcome> on_readable();

  uint64_t accepted_count() const;
  uint64_t refused_count() const;
  uint64_t closed_count(ChannelClose reason) const;
  size_t connection_count() const;

 private:
  struct State;
  explicit ChannelServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// ---- control plane side ----------------------------------------------------------------------

struct ChannelHello {
  uint32_t abi_min = 0;
  uint32_t abi_max = 0;
  uint64_t epoch = 0;
  uint64_t version = 0;
  bool knows_deliberate = false;
  std::vector<uint64_t> segment_ids;  // what the data plane holds; not sent again
};

struct ChannelEvent {
  enum class Kind : uint8_t {
    hello,     // `hello` is set; publishing may begin
    accepted,  // `epoch`, `version`
    refused,   // `message`: the data plane's sentence
    closed,    // `message`: why; the client is dead, connect again
  };
  Kind kind = Kind::closed;
  ChannelHello hello;
  UniqueFd stats_page;  // with the hello, if the data plane has one: for StatsReader::map()
  uint64_t epoch = 0;
  uint64_t version = 0;
  std::string message;
};

class ChannelClient {
 public:
  // Connects to the data plane. Error: nobody listens there, or the listener is neither root nor
  // us nor the allowed uid.
  static Result<std::unique_ptr<ChannelClient>> connect(const std::string& path,
                                                        const ChannelPeers& peers = {});
  ~ChannelClient();
  ChannelClient(const ChannelClient&) = delete;
  ChannelClient& operator=(const ChannelClient&) = delete;

  int fd() const;
  bool wants_write() const;
  // What has happened since the last call; after a `closed` event there is nothing more.
  // on_readable also sends what is waiting.
  std::vector<ChannelEvent> on_readable();
  std::vector<ChannelEvent> on_writable();

  // One request may be under way. Error: no hello yet, a request is under way, the ABI is outside
  // the data plane's range (keep the old table and say so), or the descriptors cannot be made.
  // Seals the root and the segments that the data plane lacks; `built` need not stay.
  // is_deliberate: an operator chose this table; said only to a data plane that understands it.
  Status publish(const BuiltSnapshot& built, bool is_deliberate = false);
  Status rollback(uint64_t version);
  bool ready() const;  // a hello has come, no request is under way, not closed
  const std::optional<ChannelHello>& hello() const;

 private:
  struct State;
  explicit ChannelClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace millrace::shm
