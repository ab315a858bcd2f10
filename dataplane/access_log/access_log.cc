#include "dataplane/access_log/access_log.h"

namespace millrace::access_log {
namespace {

// One turn's share, so that housekeeping comes to its other work: about a tenth of a second's worth
// of writing at most.
constexpr int buffers_per_turn_max = 64;
constexpr size_t records_bytes_per_buffer = AccessLogFile::buffer_bytes / 2;

}  // namespace

bool AccessLog::turn(uint64_t wall_ns_of_origin) {
  bool any = false;
  for (int i = 0; i < buffers_per_turn_max; ++i) {
    if (!file_.has_room()) {
      file_.flush();
      if (!file_.has_room()) return true;  // its reader is slow
    }
    bool taken = false;
    const bool more = ring_.drain(records_bytes_per_buffer, [&](ByteView record) {
      append_line(AccessEntry(record), format_, wall_ns_of_origin, file_.buffer());
      taken = true;
    });
    any = any || taken;
    if (more) continue;
    file_.flush();
    return any;
  }
  file_.flush();
  return true;
}

std::string AccessLog::once_a_second() {
  std::string say;
  if (const Status looked = file_.look(); !looked.ok()) {
    say = looked.error() + "; lines go to the file that was there before";
  } else if (!file_.last_error().empty()) {
    say = "access log: lines are lost: " + file_.last_error();
  }
  if (say == said_) return {};
  said_ = say;
  return say;
}

void AccessLog::finish(uint64_t wall_ns_of_origin) {
  const uint64_t nothing = UINT64_MAX;
  uint64_t before = nothing;
  while (turn(wall_ns_of_origin) && lines_written() != before) before = lines_written();
}

}  // namespace millrace::access_log
