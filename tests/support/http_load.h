// An HTTP/1.1 client for load and for checks, over the kernel's own sockets: many connections, one
// thread, epoll. Every answer is held against the rows of load_rows.h.
//
// Two ways to ask. Closed loop: each connection sends its next request when the last was answered;
// latency counts from sending. Fixed rate (open loop): request i is due at start + i / rate whether
// or not the ones before were answered, and latency counts from when it was due, so a stall of the
// server is seen by every request that fell into it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/latency_histogram.h"
#include "tests/support/load_rows.h"
#include "tests/support/response_reader.h"

namespace millrace::support {

struct LoadOptions {
  sockaddr_storage target{};  // of either family
  socklen_t target_bytes = 0;
  uint32_t connections = 1;
  double seconds = 0;     // 0: no limit
  uint64_t requests = 0;  // 0: no limit
  double rate = 0;        // requests a second; 0: closed loop
  double warmup_seconds =
      0;  // answers to requests due earlier are checked but not in the latencies
  double timeout_seconds = 5;  // for an answer and for a connection to open
  bool close_each = false;     // a connection for each request
  bool control = false;        // commands on stdin, see --help
};

struct LoadReport {
  uint64_t requests = 0;       // answered or failed
  uint64_t failed = 0;         // no answer, or a status that was not expected
  uint64_t wrong_backend = 0;  // a 200 with a tag that was not expected
  uint64_t broken = 0;         // established connections that ended without "Connection: close"
  uint64_t unsent = 0;         // due at a fixed rate, but no connection was free before the end
  uint64_t opened = 0;         // connections established
  double seconds = 0;
};

class HttpLoad {
 public:
  HttpLoad(const LoadOptions& options, LoadRows rows);
  ~HttpLoad();
  HttpLoad(const HttpLoad&) = delete;
  HttpLoad& operator=(const HttpLoad&) = delete;

  // Runs to the end of the duration or count, or to a stop; then prints the line.
  void run();
  void stop() { stopping_ = true; }
  const LoadReport& report() const { return report_; }

 private:
  enum class Phase : uint8_t { closed, connecting, idle, waiting };

  struct Connection {
    int fd = -1;
    uint32_t generation = 0;  // one more at each open, so that a late event meets the right one
    Phase phase = Phase::closed;
    uint32_t row = 0;
    AnswerSet expected_at_send = 0;
    uint64_t due_ns = 0;
    uint64_t deadline_ns = 0;  // closed: when to open again
    ResponseReader reader;
  };

  struct IdleConnection {
    uint32_t index;
    uint32_t generation;
  };

  uint64_t now_ns() const;
  void open(uint32_t index);
  void close(Connection& connection, uint64_t reopen_ns);
  void event(uint32_t index, uint32_t events);
  void connected(uint32_t index);
  void receive(uint32_t index, bool hung_up);
  void peer_closed(uint32_t index);
  void answered(uint32_t index);
  void check_answer(const Connection& connection);
  void fail(Connection& connection, const char* why);
  void complain(const Connection& connection, const char* kind, const std::string& what);
  void make_idle(uint32_t index);
  bool may_send(uint64_t now) const;
  void send_due();
  void send(uint32_t index, uint64_t due_ns);
  void look_for_timeouts(uint64_t now);
  int64_t wait_ns(uint64_t now) const;
  void read_commands();
  void command(std::string_view line);
  bool finished(uint64_t now) const;
  void print_line() const;

  LoadOptions options_;
  LoadRows rows_;
  LoadReport report_;
  LatencyHistogram latencies_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::deque<IdleConnection> idle_;
  std::vector<char> buffer_;
  std::string commands_;  // bytes of a command line not yet whole
  uint64_t start_ns_ = 0;
  uint64_t end_ns_ = UINT64_MAX;
  uint64_t next_scan_ns_ = 0;
  uint64_t sent_ = 0;
  uint64_t outstanding_ = 0;
  uint32_t next_row_ = 0;
  uint32_t complaints_ = 0;
  bool stopping_ = false;
};

}  // namespace millrace::support
