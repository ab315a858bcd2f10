// The worker: one core, its ports, its stack, its proxy, run to completion. Read this file first.
//
//   turn():  receive a burst from each port -> net -> tcp         (frames lent by the ports)
//            timers
//            proxy: every ready connection, reads, routes, writes
//            text that nobody read moves out of the frames        (frames go back)
//            egress: tcp builds segments while the ports have room
//            transmit; a few records for an operator who has asked for a listing
//            kick, take back what was sent
//
// turn() reads no clock and makes no system call of its own: `now` is an argument, so a simulation
// runs the same worker over simulated ports and replays a seed exactly. run() is the loop around it
// on a real clock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/time.h"
#include "dataplane/connection_batch.h"
#include "dataplane/counters.h"
#include "dataplane/net_stack.h"
#include "dataplane/nic/port.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame.h"
#include "dataplane/proxy/proxy.h"
#include "shm/snapshot_store.h"

namespace millrace {

struct WorkerOptions {
  uint32_t number = 0;  // among the workers of the process: its place in the snapshot cell
  NetConfig net;
  tcp::Limits tcp;
  tcp::Keys keys;
  proxy::Options proxy;
  // Off: no fast door is taken anywhere, with the same frames on the wire.
  bool fast_paths = true;
};

// Every table that grows with the number of TCP connections, those of clients and those to
// endpoints together.
void size_tables(WorkerOptions& options, uint32_t connections);

class Worker {
 public:
  // ports: 1 to packet::ports_max; index i is the port's name in net. arena: where all their
  // transmit slots lie. Both outlive the worker. start: the clock's now.
  Worker(const WorkerOptions& options, std::vector<nic::Port*> ports, packet::Arena& arena,
         shm::SnapshotCell& cell, Instant start);

  // One turn. Returns how many frames were received or sent: 0 means that there was nothing to do.
  uint32_t turn(Instant now) {
    const uint32_t moved = turn_unflushed(now);
    flush();
    return moved;
  }
  // The same in two steps, for a caller who may sleep in between: getting ready for it flushes too.
  uint32_t turn_unflushed(Instant now);
  void flush();

  // The earliest instant at which a turn has something to do without a frame arriving.
  Instant next_deadline() const;
  // True when frames or events wait: a sleep would be a mistake. Otherwise the ports are ready for
  // it.
  bool must_not_sleep();
  // Before sleeping: lets go of the snapshot, so that a sleeper pins nothing.
  void go_offline() { cell_.leave(options_.number); }

  // Nobody new; what is under way ends, clients at rest from idle_until on. For good.
  void begin_drain(Instant idle_until, Instant now);
  bool is_drained() const { return net_.tcp().connection_count() == 0; }

  // Those that are under way when the worker has had its last turn, for the access log.
  void note_open_exchanges(Instant now) { proxy_.note_open_exchanges(now); }

  void set_date(std::string_view date) { proxy_.set_date(date); }
  // Whether every port accounts for every buffer of its own, and the arena for every slot.
  bool frames_conserved() const;

  // What its tables take, all that grows with the limits; no frame memory.
  size_t memory_bytes() const {
    const size_t aliases = net_.ipv6() == nullptr ? 0 : net_.ipv6()->aliases.memory_bytes();
    return net_.tcp().memory_bytes() + proxy_.memory_bytes() + aliases;
  }
  const Counters& counters() const { return counters_; }
  NetStack& net() { return net_; }
  tcp::Tcp& tcp() { return net_.tcp(); }
  proxy::Proxy& proxy() { return proxy_; }
  packet::Arena& arena() { return arena_; }
  const std::vector<nic::Port*>& ports() const { return ports_; }
  // What housekeeping asks for listings by, from its own thread.
  ConnectionBatch& listing() { return listing_; }

 private:
  static constexpr size_t frames_per_turn_max = packet::ports_max * nic::burst_frames_max;

  size_t receive(Instant now);
  void release_frames();
  uint32_t transmit(Instant now);
  void reclaim();

  WorkerOptions options_;
  std::vector<nic::Port*> ports_;
  packet::Arena& arena_;
  shm::SnapshotCell& cell_;
  Counters counters_;
  NetStack net_;
  proxy::Proxy proxy_;

  // The frames of this turn, each port's side by side.
  std::array<packet::Frame, frames_per_turn_max> frames_;
  std::array<size_t, packet::ports_max> frame_counts_{};
  bool memory_returned_ = false;  // in the last turn

  ConnectionBatch listing_;
};

}  // namespace millrace
