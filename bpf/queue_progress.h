// QueueProgress: how a worker tells the XDP program how far it has got with one receive queue, so
// that the program can tell when new connections have to wait (millrace_backlog). One store, on the
// worker's path.
#pragma once

#include <cstdint>

#include "bpf/redirect_maps.h"

namespace millrace::bpf {

class QueueProgress {
 public:
  // Of no queue: nothing is told to anybody.
  QueueProgress() = default;
  // backlog lies in the program's map and outlives this.
  explicit QueueProgress(millrace_backlog* backlog) : backlog_(backlog) {}

  // The worker has taken frames from its ring and left `waiting` there.
  void took(uint32_t waiting) {
    if (backlog_ == nullptr) return;
    __atomic_store_n(&backlog_->progress, __u64{++takes_} << 32 | waiting, __ATOMIC_RELAXED);
  }

 private:
  millrace_backlog* backlog_ = nullptr;
  uint32_t takes_ = 0;
};

}  // namespace millrace::bpf
