// millrace routes: the rules of a table, in the order of hosts and paths, and where each leads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace::cli {

struct RoutesOptions {
  std::string folder;
  std::string version = "live";
  std::optional<std::string> host;
  uint32_t offset = 0;
  uint32_t limit = 0;  // 0: all
  bool json = false;
};

// The exit status: 0; 1 when there is no such version; 2 when nobody answers.
int run_routes(const RoutesOptions& options);

}  // namespace millrace::cli
