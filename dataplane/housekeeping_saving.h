// LastGoodSaver: keeps the last-good file up to date, on a thread of its own. A disk takes tens of
// milliseconds to sync a large table and may hang for as long as it likes; the next table does not
// wait for that.
//
// The file is written at most once an interval, always with the newest table; one that was wanted
// is begun within an interval of it, unless the disk is still busy with the one before. One that
// could not be saved is tried again after a pause, for as long as no newer one is wanted.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/time.h"
#include "shm/snapshot.h"

namespace millrace {

class LastGoodSaver {
 public:
  static constexpr Duration interval_default = Duration::seconds(1);
  static constexpr Duration retry_default = Duration::seconds(10);

  // Error: there is no room for a thread more. The thread has the rights of the one that calls.
  static Result<std::unique_ptr<LastGoodSaver>> create(std::string path,
                                                       Duration interval = interval_default,
                                                       Duration retry = retry_default);
  LastGoodSaver(const LastGoodSaver&) = delete;
  LastGoodSaver& operator=(const LastGoodSaver&) = delete;
  ~LastGoodSaver();  // stops

  // This is the table in force. Does not wait for the disk.
  void want(std::shared_ptr<const shm::Snapshot> snapshot);
  // The last failure since this was asked; empty when there was none, or none but the one that was
  // asked for last.
  std::string take_error();
  // Saves what is still to be saved, and waits for it: the kernel does not let a process end in the
  // middle of a sync either. Nothing is saved afterwards, and what failed is not tried again.
  void stop();

  uint64_t saved_count() const;

 private:
  LastGoodSaver(std::string path, Duration interval, Duration retry);
  void run();
  void note(const Status& saved);
  template <class Until>
  void rest(std::unique_lock<std::mutex>& lock, Instant end, const Until& until);

  const std::string path_;
  const Duration interval_;
  const Duration retry_;
  MonotonicClock clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const shm::Snapshot> wanted_;  // nullptr: the file is as it should be
  std::string error_;
  std::string said_;  // the error that goes on
  uint64_t saved_count_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace millrace
