#include "base/wipe.h"

namespace millrace {

[[gnu::noinline]] void wipe_dead_stack() {
  char dead[dead_stack_bytes];
  explicit_bzero(dead, sizeof dead);
}

}  // namespace millrace
