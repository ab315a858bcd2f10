#include "shm/stats_text.h"

#include <errno.h>
#include <fcntl.h>

#include <cstring>

#include "base/unique_fd.h"

namespace millrace::shm {

std::string stats_text(const StatsReading& reading, bool nonzero_only) {
  std::string text = "pid " + std::to_string(reading.pid) + "\napplied_epoch " +
                     std::to_string(reading.applied_epoch) + "\napplied_version " +
                     std::to_string(reading.applied_version) + "\n";
  if (!reading.last_error.empty()) text += "last_error " + reading.last_error + "\n";
  if (!reading.guard_reason.empty()) text += "guard_reason " + reading.guard_reason + "\n";
  for (const StatsReading::Counter& counter : reading.counters) {
    if (nonzero_only && counter.sum == 0) continue;
    text += counter.name + " " + std::to_string(counter.sum) + "\n";
  }
  return text;
}

Result<StatsReading> read_stats(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error{path + ": " + std::strerror(errno)};
  const auto reader = StatsReader::map(fd.get());
  if (!reader.ok()) return Error{path + ": " + reader.error()};
  return (*reader)->read();
}

}  // namespace millrace::shm
