// MemifGate: stands between DPDK's memif driver and the far end's control socket, so that the
// driver's shared memory never goes while the worker reads it, and comes back by itself.
//
//   far end <--socket--> gate <--driver's socket--> DPDK's memif driver
//
// The driver handles control messages on a thread of its own. When the far end goes, it unmaps the
// rings at once, also while the worker is in a burst (DPDK 22.11: memif_disconnect), and a client
// never connects again. So the driver speaks to the gate only. The gate passes the handshake on,
// file descriptors included, and says "open" when both sides are connected. When the far end goes,
// it first says "closing", waits until the worker has seen it, and only then lets the driver know.
//
// The gate's thread sleeps except while a link comes or goes; a client tries to connect ten times a
// second. Messages: the memif protocol 2.0, as in DPDK's documentation of its memif driver.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::nic {

enum class MemifRole : uint8_t { server, client };  // who listens; the client brings the memory

class MemifGate {
 public:
  // The driver, as the gate needs it; called on the gate's thread.
  class Driver {
   public:
    virtual ~Driver() = default;
    // A client's driver connects to the driver's socket. False: it could not.
    virtual bool connect() = 0;
    virtual void disconnect() = 0;
    // Whether the driver has its rings.
    virtual bool connected() const = 0;
  };

  // Listens on socket (a server), and prepares the driver's socket beside it. What a dead process
  // left there is removed. owner: the uid that the process will have later. Errors: the socket's
  // folder is not there or not writable, another process listens.
  static Result<std::unique_ptr<MemifGate>> create(const std::string& socket, MemifRole role,
                                                   uint32_t id, std::optional<uint32_t> owner);
  MemifGate(const MemifGate&) = delete;
  MemifGate& operator=(const MemifGate&) = delete;
  // Ends as by stop(); the driver is closed by then.
  ~MemifGate();

  // Where the driver listens (a server's) or connects to (a client's).
  const std::string& driver_socket() const { return driver_socket_; }

  // Starts the thread. driver outlives stop().
  Status start(Driver& driver);
  // Ends the thread and the link. The worker does not use the driver any more.
  void stop();

  // For the worker, at the beginning of every use of the driver: whether the rings are there, until
  // it asks again.
  bool is_open() {
    const Door door = door_.load(std::memory_order_acquire);
    if (door == Door::closing) door_.store(Door::closed, std::memory_order_release);
    return door == Door::open;
  }
  // The same for others, who only want to know.
  bool seems_open() const { return door_.load(std::memory_order_relaxed) == Door::open; }
  uint64_t openings() const { return openings_.load(std::memory_order_relaxed); }

 private:
  enum class Door : uint8_t { closed, open, closing };

  MemifGate(const std::string& socket, MemifRole role, uint32_t id);
  Status listen(std::optional<uint32_t> owner);
  void run(Driver& driver);
  UniqueFd next_far_end();
  UniqueFd connect_driver(Driver& driver);
  void serve(Driver& driver, int far, int near);
  void close_door();
  bool stopping_within(int milliseconds) const;

  std::string socket_;
  MemifRole role_;
  std::string driver_socket_;
  UniqueFd listener_;  // a server's on socket_, a client's on driver_socket_
  UniqueFd stop_;      // readable: end
  UniqueFd near_;      // to the driver; open until the driver is closed
  std::thread thread_;
  std::atomic<Door> door_{Door::closed};
  std::atomic<uint64_t> openings_{0};
};

}  // namespace millrace::nic
