// KernelClient: the client over the kernel's own sockets: the same schedule, requests, checks and
// figures as over frames, at the kernel's cost. For real machines, and to hold the other one
// against.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "perf/load/client.h"
#include "perf/load/figures.h"
#include "perf/load/index_queue.h"
#include "perf/load/messages.h"
#include "perf/load/response_check.h"
#include "perf/load/schedule.h"

namespace millrace::load {

class KernelClient {
 public:
  // epoll_fd: where connections are registered, with their index in the low half of the data.
  // options.first_address is zero unless sources are to be bound.
  KernelClient(const ClientOptions& options, RequestText request, Expectation expectation,
               Figures& figures, nic::PortCounters& counters, int epoll_fd, Instant start);
  KernelClient(const KernelClient&) = delete;
  KernelClient& operator=(const KernelClient&) = delete;
  ~KernelClient();

  void event(uint32_t index, uint32_t generation, uint32_t events, Instant now);
  // Opens, sends and times out what is due; how many of them.
  uint32_t turn(Instant now);
  Instant next_deadline() const;

  bool is_ready() const { return ready_; }
  uint64_t connections_open() const { return open_; }
  double rate_per_second() const { return schedule_.is_open() ? schedule_.rate_per_second() : 0; }
  uint64_t unsent() const;
  void set_rate(double rate_per_second, Instant now) { schedule_.set_rate(rate_per_second, now); }
  void stop();
  bool is_stopped() const { return stopping_; }

 private:
  enum class Kind : uint8_t { worker, idle, slow };
  struct Socket {
    Connection check{};  // the state of the response's check; of its own, what names it
    int fd = -1;
    uint32_t generation = 0;
    State state = State::closed;
    bool in_idle = false;
    uint32_t request_sent = 0;  // octets
    uint64_t since_ns = 0;      // when the request was due, or the opening began
    uint64_t deadline_ns = 0;   // of the answer; closed: when to open again
  };

  Kind kind_of(uint32_t index) const;
  bool is_short() const { return options_.lifetime == Lifetime::request; }
  uint32_t open_due();
  void open(uint32_t index, Instant since);
  void connected(uint32_t index);
  void ask(uint32_t index, Instant due);
  void send_more(uint32_t index);
  void receive(uint32_t index, size_t bytes_max);
  void answered(uint32_t index);
  void peer_closed(uint32_t index);
  void make_idle(uint32_t index);
  uint32_t send_due();
  void fail(uint32_t index, LoadError error);
  void close(uint32_t index, bool pause);
  void look_for_timeouts();
  void check_ready();

  ClientOptions options_;
  RequestText request_;
  Figures& figures_;
  nic::PortCounters& counters_;
  ResponseCheck check_;
  Schedule schedule_;
  Random random_;
  int epoll_fd_;
  std::vector<Socket> sockets_;
  IndexQueue idle_;
  IndexQueue unused_;
  std::vector<uint32_t> paused_;
  std::vector<uint8_t> buffer_;
  Instant now_;
  Instant next_scan_;
  Instant credit_at_;
  double credit_ = 0;
  uint32_t next_source_ = 0;
  uint64_t open_ = 0;
  uint32_t busy_ = 0;
  bool ready_ = false;
  bool stopping_ = false;
};

}  // namespace millrace::load
