// Engine: what the program's loop drives, whatever carries the load: frames (FrameEngine) or the
// kernel's sockets (KernelEngine).
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace millrace::load {

class Engine {
 public:
  virtual ~Engine() = default;

  // One turn; 0 when nothing moved.
  virtual uint32_t turn(Instant now) = 0;
  // Waits until something may move, or until `until`, or until standard input can be read if
  // told to look at it.
  virtual void wait(Instant now, Instant until, bool watch_input) = 0;
  // When there is something to do although nothing arrives.
  virtual Instant next_deadline() = 0;

  virtual bool has_client() const = 0;
  // All connections that are to stand do; always, without a client.
  virtual bool is_ready() const = 0;
  virtual uint64_t connections_open() const = 0;
  virtual uint64_t responses_ok() const = 0;  // in this window
  virtual uint64_t errors_total() const = 0;  // in this window
  virtual void add_busy_ns(uint64_t busy_ns) = 0;
  virtual void set_rate(double rate_per_second) = 0;
  virtual void begin_window(Instant now) = 0;
  virtual std::string window_json(Instant now) = 0;
  virtual void stop() = 0;
  virtual bool is_stopped() const = 0;
};

}  // namespace millrace::load
