// Sees that the data plane has gone back from a table by itself (dataplane/guard): it says so in
// cells of its stats page, which its hello has brought.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/time.h"
#include "shm/stats_page.h"

namespace millrace::publish {

// Without anything else to do.
constexpr Duration guard_look_interval = Duration::milliseconds(250);

struct GuardAct {
  uint64_t bad_version = 0;
  uint64_t back_to_version = 0;
  std::string sentence;  // what failed; printable, bounded by the stats page
  uint64_t number = 0;   // from 1, of this data plane
};

class GuardWatch {
 public:
  // To be called before anything is published: what the data plane has gone back from must not be
  // sent to it again. `stats_fd`: -1 while there is no data plane.
  std::optional<GuardAct> look(int stats_fd, Instant now);
  Instant due() const { return due_; }
  // Why a data plane's page cannot be read, once for each data plane.
  std::optional<std::string> take_refusal() { return std::exchange(refusal_, std::nullopt); }

 private:
  int fd_ = -1;
  std::unique_ptr<shm::StatsReader> page_;
  Instant due_ = Instant::never();
  uint64_t seen_ = 0;      // acts, of this data plane
  uint64_t seen_pid_ = 0;  // which one that is
  uint64_t seen_start_ = 0;
  std::optional<std::string> refusal_;
};

}  // namespace millrace::publish
