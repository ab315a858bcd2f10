// Every test that speaks TCP runs twice, the second time with the fast doors shut: ctest says so in
// the environment (millrace_test_with_doors in cmake/MillraceTargets.cmake).
#pragma once

#include <cstdlib>
#include <string_view>

namespace millrace::testing {

inline bool fast_paths_wanted() {
  const char* said = std::getenv("MILLRACE_FAST_PATHS");
  return said == nullptr || std::string_view(said) != "off";
}

}  // namespace millrace::testing
