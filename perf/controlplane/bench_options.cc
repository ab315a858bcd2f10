#include "perf/controlplane/bench_options.h"

#include <errno.h>

#include <cstdio>
#include <cstdlib>

#include "base/address.h"

namespace millrace::perf {

void refuse(const std::string& what) {
  std::fprintf(stderr, "%s: %s (--help says more)\n", program_invocation_short_name, what.c_str());
  std::exit(2);
}

uint32_t number(const char* name, const char* text, uint32_t most) {
  const auto value = parse_decimal(text, most);
  if (!value || *value == 0) {
    refuse(std::string(name) + " must be 1 to " + std::to_string(most) + ", not " + text);
  }
  return static_cast<uint32_t>(*value);
}

}  // namespace millrace::perf
