// Work on many things by a few threads that live as long as the work takes. For what is done from
// nothing (a first table); a small change is less than the start of a thread.
#pragma once

#include <cstddef>
#include <functional>

namespace millrace {

struct Threads {
  static constexpr size_t count_max = 4;  // more would wait for memory

  // At most so many, the calling one included; 0: one a processor that this process may use, at
  // most count_max.
  size_t count = 0;
};

// Calls work(first, end) for ranges that are [0, count) together, each index once, on this thread
// and on others; returns when all is done. Which thread has which range is chance: what is done
// for an index depends on that index alone and is written where nothing else writes, so that the
// outcome is the same with any number of threads. `work` throws nothing.
//
// things_a_thread: fewer are not worth a thread of their own; at least 1.
void for_ranges(size_t count, size_t things_a_thread, Threads threads,
                const std::function<void(size_t first, size_t end)>& work);

}  // namespace millrace
