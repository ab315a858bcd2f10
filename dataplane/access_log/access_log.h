// AccessLog: the far end of the access log. Takes the worker's records out of the ring, makes lines
// of them, and writes those.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "dataplane/access_log/access_line.h"
#include "dataplane/access_log/access_log_file.h"
#include "dataplane/access_log/record_ring.h"

namespace millrace::access_log {

class AccessLog {
 public:
  // ring: outlives this.
  AccessLog(RecordRing& ring, AccessLogFile file, Format format)
      : ring_(ring), file_(std::move(file)), format_(format) {}

  // One buffer's worth of what there is, written. True: more is there. wall_ns_of_origin: what to
  // add to the workers' clock for the time since 1970.
  bool turn(uint64_t wall_ns_of_origin);
  // Once a second: whether the file was rotated. A sentence for the operator, said once until
  // things change; empty: nothing to say.
  std::string once_a_second();

  uint64_t lines_written() const { return file_.lines_written(); }
  uint64_t lines_lost() const { return file_.lines_lost(); }

 private:
  RecordRing& ring_;
  AccessLogFile file_;
  Format format_;
  std::string said_;  // what was said last
};

}  // namespace millrace::access_log
