#include "dataplane/worker.h"

#include <algorithm>

#include "base/check.h"

namespace millrace {
namespace {

proxy::Options proxy_options_of(const WorkerOptions& options) {
  proxy::Options proxy = options.proxy;
  proxy.fast_paths = proxy.fast_paths && options.fast_paths;
  return proxy;
}

tcp::Limits limits_of(const WorkerOptions& options) {
  tcp::Limits limits = options.tcp;
  limits.fast_paths = limits.fast_paths && options.fast_paths;
  return limits;
}

}  // namespace

void size_tables(WorkerOptions& options, uint32_t connections) {
  const uint32_t busy = tcp::busy_among(connections);
  options.tcp.connections = connections;
  options.tcp.half_open = std::min(connections / 4, busy / 2);  // each holds a transfer
  options.tcp.transfers = busy;
  // They come and go within the 60 s of TIME-WAIT; of very many, most stay.
  options.tcp.time_wait = std::min(2 * busy, std::max(131'072U, busy));
  // An exchange holds a session and at most one connection to an endpoint.
  options.proxy.sessions = busy;
  // One endpoint that hangs leaves the others three quarters of what there is.
  options.proxy.endpoints.requests_max = std::max(busy / 4, 1U);
  options.proxy.pool.connections = std::min(connections, busy + options.proxy.pool.idle);
}

Worker::Worker(const WorkerOptions& options, std::vector<nic::Port*> ports, packet::Arena& arena,
               shm::SnapshotCell& cell, Instant start)
    : options_(options),
      ports_(std::move(ports)),
      arena_(arena),
      cell_(cell),
      net_(options.net, limits_of(options), options.keys, arena, counters_, start),
      proxy_(proxy_options_of(options), net_.tcp(), counters_, start),
      listing_(static_cast<uint8_t>(options.number)) {
  CHECK(!ports_.empty() && ports_.size() <= packet::ports_max);
  for (size_t i = 0; i < ports_.size(); ++i) {
    const nic::PortFacts& facts = ports_[i]->facts();
    net_.set_port(static_cast<uint8_t>(i), facts.mac, facts.mtu, facts.checksum_mode);
  }
  proxy_.set_source(
      [](void* net, Ipv4Address destination) {
        return static_cast<NetStack*>(net)->source_for(destination);
      },
      &net_);
}

uint32_t Worker::turn_unflushed(Instant now) {
  const shm::InstalledSnapshot& snapshot = cell_.enter(options_.number);
  const size_t received = receive(now);
  net_.advance(now);
  proxy_.turn(*snapshot.view, snapshot.traffic.get(), now);
  net_.tcp().end_reading();
  release_frames();
  const uint32_t sent = transmit(now);
  listing_.turn(net_.tcp(), now);
  const uint32_t free_before = arena_.free_count();
  reclaim();
  // Memory that came back counts as movement: somebody may have waited for it.
  memory_returned_ = arena_.free_count() != free_before;
  return static_cast<uint32_t>(received) + sent + (memory_returned_ ? 1 : 0);
}

size_t Worker::receive(Instant now) {
  size_t total = 0;
  for (size_t port = 0; port < ports_.size(); ++port) {
    net_.set_room(static_cast<uint8_t>(port), ports_[port]->transmit_room());
  }
  for (size_t port = 0; port < ports_.size(); ++port) {
    const std::span<packet::Frame> place{&frames_[port * nic::burst_frames_max],
                                         nic::burst_frames_max};
    const size_t count = ports_[port]->receive(place, now);
    frame_counts_[port] = count;
    total += count;
    for (size_t i = 0; i < count; ++i) {
      if (i + 1 < count) __builtin_prefetch(place[i + 1].data);
      place[i].port = static_cast<uint8_t>(port);
      net_.ingress(place[i], now);
    }
  }
  return total;
}

void Worker::release_frames() {
  for (size_t port = 0; port < ports_.size(); ++port) {
    if (frame_counts_[port] == 0) continue;
    ports_[port]->release({&frames_[port * nic::burst_frames_max], frame_counts_[port]});
    frame_counts_[port] = 0;
  }
}

uint32_t Worker::transmit(Instant now) {
  uint32_t sent = 0;
  for (size_t index = 0; index < ports_.size(); ++index) {
    const auto port = static_cast<uint8_t>(index);
    net_.egress(port, now);
    const auto queued = net_.queued(port);
    if (!queued.empty()) ports_[index]->transmit(queued, now);
    sent += static_cast<uint32_t>(queued.size());
    net_.clear(port);
  }
  return sent;
}

void Worker::flush() {
  for (nic::Port* port : ports_) port->flush();
}

void Worker::reclaim() {
  std::array<packet::SlotIndex, nic::burst_frames_max> slots;
  for (nic::Port* port : ports_) {
    for (;;) {
      const size_t count = port->reclaim(slots);
      for (size_t i = 0; i < count; ++i) arena_.mark_sent(slots[i]);
      if (count < slots.size()) break;
    }
  }
}

Instant Worker::next_deadline() const {
  return std::min(net_.next_deadline(), proxy_.next_deadline());
}

void Worker::begin_drain(Instant idle_until, Instant now) {
  net_.tcp().stop_listening();
  proxy_.begin_drain(idle_until, now);
}

bool Worker::must_not_sleep() {
  bool waiting =
      net_.tcp().ready_count() > 0 || (memory_returned_ && net_.tcp().is_short_of_memory());
  bool all_have_room = true;
  for (nic::Port* port : ports_) {
    waiting |= port->prepare_wait();
    all_have_room &= port->transmit_room() > 0;
  }
  // What waits to be sent while a port is full (its link is down, say) waits for the port: a turn
  // could do nothing about it.
  return waiting || (all_have_room && net_.has_egress()) || listing_.is_asked();
}

bool Worker::frames_conserved() const {
  return std::all_of(ports_.begin(), ports_.end(),
                     [](const nic::Port* port) { return port->frames_conserved(); });
}

}  // namespace millrace
