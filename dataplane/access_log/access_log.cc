#include "dataplane/access_log/access_log.h"

namespace millrace::access_log {

bool AccessLog::turn(uint64_t wall_ns_of_origin) {
  const bool more = ring_.drain(AccessLogFile::buffer_bytes / 2, [&](ByteView record) {
    append_line(AccessEntry(record), format_, wall_ns_of_origin, file_.buffer());
    if (file_.is_full()) file_.flush();  // escaped octets make lines longer than records
  });
  file_.flush();
  return more;
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

}  // namespace millrace::access_log
