// FrameEngine: a station on a lane.
#pragma once

#include <memory>

#include "perf/load/engine.h"
#include "perf/load/lane.h"
#include "perf/load/station.h"

namespace millrace::load {

class FrameEngine final : public Engine {
 public:
  FrameEngine(std::unique_ptr<Lane> lane, StationOptions options, Instant start)
      : lane_(std::move(lane)), station_(std::move(options), lane_->port(), lane_->arena(), start) {
    lane_->beat(start);
  }

  uint32_t turn(Instant now) override;
  void wait(Instant now, Instant until, bool watch_input) override;
  Instant next_deadline() override { return station_.next_deadline(); }
  bool has_client() const override { return station_.client() != nullptr; }
  bool is_ready() const override { return !has_client() || station_.client()->is_ready(); }
  uint64_t connections_open() const override { return station_.connections_open(); }
  uint64_t responses_ok() const override { return station_.figures().responses_ok; }
  uint64_t errors_total() const override { return station_.figures().errors_total(); }
  void add_busy_ns(uint64_t busy_ns) override { station_.figures().busy_ns += busy_ns; }
  void set_rate(double rate_per_second) override {
    if (has_client()) station_.client()->set_rate(rate_per_second);
  }
  void begin_window(Instant now) override;
  std::string window_json(Instant now) override;
  void stop() override { station_.stop(); }
  bool is_stopped() const override { return station_.is_stopped(); }

 private:
  std::unique_ptr<Lane> lane_;
  Station station_;
  Instant next_beat_;
};

}  // namespace millrace::load
