#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace millrace {

namespace {

// A thread that others keep from its processor holds one range back, not half of everything.
constexpr size_t ranges_a_thread = 16;

// std::thread::hardware_concurrency() counts those that others were given as well.
size_t usable_processors() {
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return 1;
  return static_cast<size_t>(CPU_COUNT(&processors));
}

size_t count_of(Threads threads) {
  if (threads.count != 0) return threads.count;
  return std::clamp<size_t>(usable_processors(), 1, Threads::count_max);
}

}  // namespace

void for_ranges(size_t count, size_t things_a_thread, Threads threads,
                const std::function<void(size_t first, size_t end)>& work) {
  const size_t used = std::min(count / things_a_thread, count_of(threads));
  if (used <= 1) {
    if (count > 0) work(0, count);
    return;
  }
  const size_t range = (count - 1) / (used * ranges_a_thread) + 1;
  std::atomic<size_t> next{0};
  const auto take_ranges = [&] {
    for (size_t first = next.fetch_add(range); first < count; first = next.fetch_add(range)) {
      work(first, std::min(first + range, count));
    }
  };
  std::vector<std::jthread> others;
  others.reserve(used - 1);
  try {
    while (others.size() + 1 < used) others.emplace_back(take_ranges);
  } catch (const std::system_error&) {
    // The system gives no thread: those that there are do the work.
  }
  take_ranges();
}

}  // namespace millrace
