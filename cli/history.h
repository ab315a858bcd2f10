// millrace history: the versions that were published, newest first; of one version, its causes and
// what it changed.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::cli {

struct HistoryOptions {
  std::string folder;
  uint64_t version = 0;  // 0: the list
  uint32_t limit = 20;
  bool json = false;
};

// The exit status: 0; 1 when there is no such version; 2 when nobody answers.
int run_history(const HistoryOptions& options);

}  // namespace millrace::cli
