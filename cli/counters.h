// millrace counters: every counter of a running data plane, a line each.
#pragma once

#include <string>

namespace millrace::cli {

// The exit status: 0, or 2 when there is nothing to read.
int run_counters(const std::string& folder, bool nonzero_only);

}  // namespace millrace::cli
