// millrace rollback, release, freeze, unfreeze, accept: an operator's word about what is published.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace millrace::cli {

struct HoldOptions {
  std::string folder;
  std::string verb;  // as the API has it: "rollback"
  std::vector<std::pair<std::string, std::string>> arguments{};
  bool json = false;
};

// The exit status: 0 done; 1 not possible now (nothing to release, no such version); 2 nobody
// there.
int run_hold(const HoldOptions& options);

}  // namespace millrace::cli
