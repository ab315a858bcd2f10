// The stats page as lines of a name and a number, for people and for awk.
#pragma once

#include <string>

#include "base/result.h"
#include "shm/stats_page.h"

namespace millrace::shm {

// nonzero_only: without the counters that are 0.
std::string stats_text(const StatsReading& reading, bool nonzero_only);

// Of the page that a file of the data plane leads to. Error: "PATH: what is wrong".
Result<StatsReading> read_stats(const std::string& path);

}  // namespace millrace::shm
