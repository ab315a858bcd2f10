// A child process in a namespace, known by its id and gone with its owner.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/lab/namespace.h"

namespace millrace::lab {

class Process {
 public:
  // Standard output is kept for line() and rest(). words[0] is looked up in PATH.
  Process(const Namespace& inside, const std::vector<std::string>& words);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  // Kills it if it still runs.
  ~Process();

  pid_t id() const { return id_; }
  // The next line it says, waiting for it; empty when it has ended.
  std::string line();
  // All it still says until it ends.
  std::string rest();
  void signal(int number) const;
  // Waits for its end; the exit code, or 128 + the signal that ended it.
  int wait();
  int end(int number) {
    signal(number);
    return wait();
  }

 private:
  pid_t id_;
  int output_;
};

}  // namespace millrace::lab
