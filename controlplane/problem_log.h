// The log's lines about problems: each once, when it appears, and once more when it is solved.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controlplane/k8s/problem.h"

namespace millrace {

void log_line(k8s::Severity severity, const std::string& sentence);

class ProblemLog {
 public:
  // All that is wrong now.
  void say(const std::vector<k8s::Problem>& problems);

 private:
  // In the log and not solved yet, by what it is.
  std::map<std::string, k8s::Problem> said_;
};

}  // namespace millrace
