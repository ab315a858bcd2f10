#include "dataplane/housekeeping_saving.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "shm/last_good.h"

namespace millrace {

LastGoodSaver::LastGoodSaver(std::string path, Duration interval)
    : path_(std::move(path)), interval_(interval), thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "millrace-save");
}

LastGoodSaver::~LastGoodSaver() {
  stop();
}

void LastGoodSaver::want(std::shared_ptr<const shm::Snapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  // What was wanted until now is dropped here; the memory of its segments is the window's as well.
  wanted_ = std::move(snapshot);
  changed_.notify_one();
}

std::string LastGoodSaver::take_error() {
  const std::lock_guard lock(mutex_);
  return std::exchange(error_, {});
}

uint64_t LastGoodSaver::saved_count() const {
  const std::lock_guard lock(mutex_);
  return saved_count_;
}

void LastGoodSaver::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void LastGoodSaver::run() {
  const MonotonicClock clock;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || wanted_ != nullptr; });
    if (wanted_ == nullptr) return;
    std::shared_ptr<const shm::Snapshot> snapshot = std::exchange(wanted_, nullptr);
    const Instant next = clock.now() + interval_;
    lock.unlock();
    const Status saved = shm::save_last_good(path_, *snapshot);
    snapshot.reset();
    lock.lock();
    if (saved.ok()) {
      ++saved_count_;
    } else {
      error_ = saved.error();
    }
    const Duration rest = next - clock.now();
    if (rest > Duration()) {
      changed_.wait_for(lock, std::chrono::nanoseconds(rest.count_ns()), [&] { return stop_; });
    }
  }
}

}  // namespace millrace
