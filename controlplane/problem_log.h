// The log's lines about problems: each once, when it appears, and once more when it is solved.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/k8s/problem.h"

namespace millrace {

void log_line(k8s::Severity severity, const std::string& sentence);

class ProblemLog {
 public:
  // All that is wrong now; not null. The same pointer as before costs nothing, a problem that was
  // there before one comparison.
  void say(const k8s::SharedProblems& problems);

 private:
  k8s::SharedProblems said_ = std::make_shared<const std::vector<k8s::Problem>>();
  // In the log and not solved yet: how many of said_ are the same.
  std::unordered_map<std::string, size_t> open_;
};

}  // namespace millrace
