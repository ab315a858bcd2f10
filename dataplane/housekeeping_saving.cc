#include "dataplane/housekeeping_saving.h"

#include <pthread.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "shm/last_good.h"

namespace millrace {

Result<std::unique_ptr<LastGoodSaver>> LastGoodSaver::create(std::string path, Duration interval,
                                                             Duration retry) {
  std::unique_ptr<LastGoodSaver> saver(new LastGoodSaver(std::move(path), interval, retry));
  try {
    saver->thread_ = std::thread([self = saver.get()] { self->run(); });
  } catch (const std::system_error& error) {
    return Error{std::string("no thread that saves the last good table: ") + error.what()};
  }
  pthread_setname_np(saver->thread_.native_handle(), "millrace-save");
  return saver;
}

LastGoodSaver::LastGoodSaver(std::string path, Duration interval, Duration retry)
    : path_(std::move(path)), interval_(interval), retry_(retry) {}

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
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || wanted_ != nullptr; });
    if (wanted_ == nullptr) return;
    std::shared_ptr<const shm::Snapshot> snapshot = std::exchange(wanted_, nullptr);
    const Instant next = clock_.now() + interval_;
    lock.unlock();
    const Status saved = shm::save_last_good(path_, *snapshot);
    if (saved.ok()) snapshot.reset();
    const Instant again = clock_.now() + retry_;
    lock.lock();
    note(saved);
    rest(lock, next, [&] { return stop_; });
    if (saved.ok()) continue;
    // What ails a disk passes without a new table.
    rest(lock, again, [&] { return stop_ || wanted_ != nullptr; });
    if (!stop_ && wanted_ == nullptr) wanted_ = std::move(snapshot);
  }
}

void LastGoodSaver::note(const Status& saved) {
  if (saved.ok()) {
    ++saved_count_;
    said_.clear();
  } else if (saved.error() != said_) {
    error_ = said_ = saved.error();
  }
}

template <class Until>
void LastGoodSaver::rest(std::unique_lock<std::mutex>& lock, Instant end, const Until& until) {
  const Duration left = end - clock_.now();
  if (left <= Duration()) return;
  changed_.wait_for(lock, std::chrono::nanoseconds(left.count_ns()), until);
}

}  // namespace millrace
