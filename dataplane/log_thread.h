// LogThread: the thread that writes the access log, and the ring that the worker's records come by.
// A thread of its own, because a disk may hang for as long as it likes: then records are lost and
// counted, and nobody else notices.
#pragma once

#include <memory>
#include <optional>
#include <thread>

#include "base/result.h"
#include "base/time.h"
#include "dataplane/access_log/access_log.h"
#include "dataplane/config.h"

namespace millrace {

class LogThread {
 public:
  // Opens the file, and makes it (for `owner`, if given). Nothing is written before start().
  static Result<std::unique_ptr<LogThread>> create(const AccessLogConfig& config,
                                                   std::optional<uint32_t> owner);
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;
  ~LogThread();

  // Where the worker's records go; for as long as this lives.
  access_log::RecordRing& ring();
  void start();
  // Writes what is in the ring. False: the file did not take it within `most`; it is lost, and the
  // thread is left to itself until the process ends.
  bool stop(Duration most);

  uint64_t lines_written() const;
  uint64_t lines_lost() const;

 private:
  struct State;
  explicit LogThread(std::shared_ptr<State> state);
  static void run(State& state);

  std::shared_ptr<State> state_;  // the thread's too: it may be left behind
  std::thread thread_;
};

}  // namespace millrace
