// A line of the log that a storm of changes would say again and again: the first one after quiet is
// said at once, from then on the newest one is said once in pace_interval, with a count of those
// left out, which are in the log for debugging.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/time.h"

namespace millrace {

constexpr Duration pace_interval = Duration::seconds(1);

class PacedLine {
 public:
  using Write = std::function<void(const std::string& line)>;
  PacedLine(Write info, Write debug) : info_(std::move(info)), debug_(std::move(debug)) {}

  void say(Instant now, std::string line);
  // Says the newest line when due() has come.
  void turn(Instant now);
  Instant due() const { return left_out_ == 0 ? Instant::never() : quiet_until_; }
  // Says what was not said yet, at the end.
  void flush();

 private:
  const Write info_;
  const Write debug_;
  Instant quiet_until_;
  std::string newest_;
  uint64_t left_out_ = 0;  // newest_ included
};

}  // namespace millrace
