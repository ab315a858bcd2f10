// KernelEngine: client and backend over the kernel's sockets, around one epoll.
#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "perf/load/engine.h"
#include "perf/load/kernel_backend.h"
#include "perf/load/kernel_client.h"
#include "perf/load/options.h"

namespace millrace::load {

class KernelEngine final : public Engine {
 public:
  // Error: what the kernel refused.
  static Result<std::unique_ptr<Engine>> make(const Options& options, Instant start);

  uint32_t turn(Instant now) override;
  void wait(Instant now, Instant until, bool watch_input) override;
  Instant next_deadline() override;
  bool has_client() const override { return client_.has_value(); }
  bool is_ready() const override { return !client_ || client_->is_ready(); }
  uint64_t connections_open() const override;
  uint64_t responses_ok() const override { return figures_.responses_ok; }
  uint64_t errors_total() const override { return figures_.errors_total(); }
  void add_busy_ns(uint64_t busy_ns) override { figures_.busy_ns += busy_ns; }
  void set_rate(double rate_per_second) override {
    if (client_) client_->set_rate(rate_per_second, now_);
  }
  void begin_window(Instant now) override;
  std::string window_json(Instant now) override;
  void stop() override {
    if (client_) client_->stop();
  }
  bool is_stopped() const override { return !client_ || client_->is_stopped(); }

 private:
  KernelEngine() = default;
  Gauges gauges(Instant now);
  uint32_t take_events(Instant now, const timespec& timeout);

  UniqueFd epoll_;
  Figures figures_;
  Gauges window_begin_;
  nic::PortCounters counters_;
  std::optional<KernelClient> client_;
  std::optional<KernelBackend> backend_;
  Instant now_;
};

}  // namespace millrace::load
