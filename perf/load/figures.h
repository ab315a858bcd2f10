// Figures: what the load program counts and tells, since the last begin().
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/time.h"
#include "dataplane/nic/port.h"
#include "perf/load/histogram.h"

namespace millrace::load {

// What can go wrong with a request, beside a status other than 200. X(name, sentence)
#define MILLRACE_LOAD_ERRORS(X)                                      \
  X(connect_refused, "the target reset a SYN")                       \
  X(connect_timeout, "a SYN was never answered")                     \
  X(local_limit, "this machine had no free port or descriptor")      \
  X(reset, "a standing connection was reset")                        \
  X(closed_early, "the target closed before the response was whole") \
  X(timeout, "no response in time")                                  \
  X(gave_up, "what was sent was never acknowledged")                 \
  X(malformed, "the response was not HTTP/1.1, or came unasked")     \
  X(unframed, "the response had no Content-Length")                  \
  X(wrong_length, "a 200 of another length than expected")           \
  X(wrong_tag, "a 200 whose body does not begin with the tag")

enum class LoadError : uint8_t {
#define MILLRACE_LOAD_ERROR_NAME(name, sentence) name,
  MILLRACE_LOAD_ERRORS(MILLRACE_LOAD_ERROR_NAME)
#undef MILLRACE_LOAD_ERROR_NAME
      count
};

inline constexpr uint16_t status_end = 600;  // larger ones count as the last

struct Figures {
  // The client's.
  uint64_t requests = 0;           // sent
  uint64_t responses_ok = 0;       // whole, 200, right length and tag
  uint64_t slow_responses_ok = 0;  // of the slow clients; not among the others
  uint64_t late_sends = 0;         // sent more than late_send_ns_min after the intended time
  uint64_t new_connections = 0;    // stand, since begin()
  uint64_t closed_by_peer = 0;     // idle connections that the target closed
  std::array<uint64_t, static_cast<size_t>(LoadError::count)> errors{};
  std::array<uint64_t, status_end> statuses{};  // other than 200
  Histogram latency;                            // from the intended (or actual) sending
  Histogram connect_latency;                    // SYN to SYN-ACK

  // The backend's.
  uint64_t backend_requests = 0;
  uint64_t backend_responses = 0;  // handed to TCP as a whole
  uint64_t backend_connections = 0;
  uint64_t backend_malformed = 0;  // requests that were not understood; the connection is reset
  uint64_t backend_refused = 0;    // SYNs beyond the bound of connections or of peers

  uint64_t reflected_frames = 0;

  // Of all of them.
  uint64_t retransmits = 0;
  uint64_t out_of_order = 0;
  uint64_t bad_frames = 0;    // malformed, or a checksum does not hold
  uint64_t other_frames = 0;  // not for us, or nothing we speak
  uint64_t busy_ns = 0;       // turns that did something

  uint64_t errors_total() const;
  void count(LoadError error) { ++errors[static_cast<size_t>(error)]; }
};

inline constexpr uint64_t late_send_ns_min = 100'000;

// Everything at one instant that a window's figures are made from.
struct Gauges {
  Instant at;
  uint64_t cpu_ns = 0;  // of the process
  nic::PortCounters port;
  uint64_t connections_open = 0;
  uint64_t unsent = 0;            // requests of an open loop that are due and wait
  double offered_per_second = 0;  // 0: closed loop
};

// One line of JSON, without its end of line.
std::string to_json(const Figures& figures, const Gauges& begin, const Gauges& now);
uint64_t process_cpu_ns();

}  // namespace millrace::load
