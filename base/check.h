// CHECK: our own invariants. A failed one is our bug, never the peer's mistake and never the
// environment's: the process prints where and ends, and systemd or the kubelet starts it again.
// It stays on in release builds; conditions on a worker's path are kept to register compares.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace millrace {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant does not hold: %s\n", file, line, condition);
  std::abort();
}

}  // namespace millrace

#define CHECK(condition)                                        \
  do {                                                          \
    if (__builtin_expect(!(condition), 0)) {                    \
      ::millrace::check_failed(#condition, __FILE__, __LINE__); \
    }                                                           \
  } while (false)
