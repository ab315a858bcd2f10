// The numbers that a worker's parts keep by themselves, beside the counters.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dataplane/worker.h"

namespace millrace {

// What the loop's turns in which something moved took, where a port cannot wake the worker: one
// that looks all the time uses its core whole, and this says how much of it was for something. Zero
// where all ports wake it: there the kernel's CPU time says that.
struct WorkerBusy {
  uint64_t turns = 0;
  uint64_t time_ns = 0;
};

inline constexpr std::array<std::string_view, 14> gauge_names = {
    "gauge_tcp_connections",      "gauge_tcp_half_open",
    "gauge_tcp_time_wait",        "gauge_proxy_sessions",
    "gauge_upstream_connections", "gauge_upstream_idle",
    "gauge_arena_slots",          "gauge_arena_slots_free",
    "port_received_frames",       "port_receive_dropped_frames",
    "port_transmitted_frames",    "port_transmit_dropped_frames",
    "worker_busy_turns",          "worker_busy_ns"};

inline std::array<uint64_t, gauge_names.size()> gauges(Worker& worker, const WorkerBusy& busy) {
  nic::PortCounters ports;
  for (const nic::Port* port : worker.ports()) {
    ports.received_frames += port->counters().received_frames;
    ports.receive_dropped_frames += port->counters().receive_dropped_frames;
    ports.transmitted_frames += port->counters().transmitted_frames;
    ports.transmit_dropped_frames += port->counters().transmit_dropped_frames;
  }
  return {worker.tcp().connection_count(),
          worker.tcp().half_open_count(),
          worker.tcp().time_wait_count(),
          worker.proxy().session_count(),
          worker.proxy().pool().count(),
          worker.proxy().pool().idle_count(),
          worker.arena().capacity(),
          worker.arena().free_count(),
          ports.received_frames,
          ports.receive_dropped_frames,
          ports.transmitted_frames,
          ports.transmit_dropped_frames,
          busy.turns,
          busy.time_ns};
}

}  // namespace millrace
