// LastGoodSaver: keeps the last-good file up to date, on a thread of its own. A disk takes tens of
// milliseconds to sync a large table and may hang for as long as it likes; the next table does not
// wait for that.
//
// The file is written at most once an interval, always with the newest table; one that was wanted
// is begun within an interval of it, unless the disk is still busy with the one before.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/time.h"
#include "shm/snapshot.h"

namespace millrace {

class LastGoodSaver {
 public:
  static constexpr Duration interval_default = Duration::seconds(1);

  explicit LastGoodSaver(std::string path, Duration interval = interval_default);
  LastGoodSaver(const LastGoodSaver&) = delete;
  LastGoodSaver& operator=(const LastGoodSaver&) = delete;
  ~LastGoodSaver();  // stops

  // This is the table in force. Does not wait for the disk.
  void want(std::shared_ptr<const shm::Snapshot> snapshot);
  // The last failure since this was asked; empty when there was none.
  std::string take_error();
  // Saves what is still to be saved, and waits for it: the kernel does not let a process end in the
  // middle of a sync either. Nothing is saved afterwards.
  void stop();

  uint64_t saved_count() const;

 private:
  void run();

  const std::string path_;
  const Duration interval_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const shm::Snapshot> wanted_;  // nullptr: the file is as it should be
  std::string error_;
  uint64_t saved_count_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace millrace
