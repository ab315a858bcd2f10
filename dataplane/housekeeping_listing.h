// Where operators' tools ask for a listing of connections: a Unix socket of its own beside the
// channel's, served on the housekeeping thread. Every reader has a place in the table where its
// listing goes on; one batch at a time is asked of the worker, for one reader after the other.
//
// What readers can cost, whatever they do: the worker one batch at a time (connection_batch.h
// bounds a turn's share, and housekeeping looks for the answer once a millisecond), this thread one
// send of 50 KB for it, the kernel what fits in readers_max socket buffers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "dataplane/connection_batch.h"
#include "shm/channel.h"
#include "shm/unix_socket.h"

namespace millrace {

// Why a reader's connection was closed.
enum class ListingClose : uint8_t {
  reader_gone,    // it has what it wanted, or died
  wrong_uid,      // as on the channel: neither root, nor our own uid, nor the configured user
  too_many,       // readers_max are there already; it was told
  wrong_request,  // not exactly a request, or a second one before the first is answered
  stalled,        // it took nothing, or asked nothing, for stall_max
  socket_error,
};

class ListingServer {
 public:
  static constexpr uint32_t readers_max = 4;
  static constexpr Duration stall_max = Duration::seconds(5);

  // batch outlives the server.
  static Result<std::unique_ptr<ListingServer>> listen(const std::string& path,
                                                       const shm::ChannelPeers& peers,
                                                       ConnectionBatch& batch);

  // Readable when turn() has something to do, but for answers of the worker.
  int fd() const { return epoll_.get(); }

  struct Outcome {
    bool asked = false;      // the worker was asked just now: wake it
    bool under_way = false;  // its answer is awaited: come back within a millisecond
  };
  // Also ten times a second when nothing moves.
  Outcome turn(Instant now);

  size_t reader_count() const { return readers_.size(); }
  uint64_t closed_count(ListingClose reason) const { return closed_[static_cast<size_t>(reason)]; }

 private:
  static constexpr uint32_t place_none = UINT32_MAX;  // nothing is asked

  struct Reader {
    UniqueFd socket;
    uint32_t place = place_none;  // where its listing goes on
    bool is_full = false;         // its buffer takes no batch
    Instant moved_at;             // asked or took something last
  };

  explicit ListingServer(ConnectionBatch& batch) : batch_(batch) {}
  void accept_all(Instant now);
  void accept_one(UniqueFd socket, Instant now);
  void on_event(int socket, uint32_t events, Instant now);
  bool take_request(Reader& reader, Instant now, ListingClose* reason);
  void deliver(Instant now);
  void close_stalled(Instant now);
  bool ask_for_next();
  void watch_room(Reader& reader, bool is_full);
  std::vector<Reader>::iterator find(int socket);
  void close(std::vector<Reader>::iterator reader, ListingClose reason);

  ConnectionBatch& batch_;
  shm::ChannelPeers peers_;
  shm::UnixListener listener_;
  UniqueFd epoll_;
  std::vector<Reader> readers_;
  int batch_socket_ = -1;      // of the reader that the batch is for; -1: it has left
  size_t first_to_serve_ = 0;  // so that all have their turn
  std::array<uint64_t, 6> closed_{};
};

}  // namespace millrace
