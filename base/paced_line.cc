#include "base/paced_line.h"

#include <utility>

namespace millrace {

void PacedLine::say(Instant now, std::string line) {
  turn(now);
  if (now < quiet_until_) {
    debug_(line);
    newest_ = std::move(line);
    ++left_out_;
    return;
  }
  info_(line);
  quiet_until_ = now + pace_interval;
}

void PacedLine::turn(Instant now) {
  if (now < due()) return;
  flush();
  quiet_until_ = now + pace_interval;
}

void PacedLine::flush() {
  if (left_out_ == 0) return;
  if (left_out_ > 1) newest_ += " (" + std::to_string(left_out_ - 1) + " more before it)";
  info_(newest_);
  left_out_ = 0;
}

}  // namespace millrace
