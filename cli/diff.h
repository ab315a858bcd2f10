// millrace diff A B: what differs between two tables. Each is a version's number, "live" (what is
// published) or "queued" (what the objects ask for). With --against-cluster: what would differ if
// these files were applied to the cluster that the running control plane watches.
#pragma once

#include <string>
#include <vector>

#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

struct DiffOptions {
  std::string folder;
  std::vector<std::string> names;  // two tables, or files
  bool against_cluster = false;
  bool json = false;
};

// The exit status: 0 no difference; 1 differences, a problem that is an error, or no such version;
// 2 wrong use, a file that cannot be read, nobody there.
int run_diff(const DiffOptions& options);

std::string diff_text(const answer::Diff& diff);
std::string cause_text(const record::Cause& cause);
std::string problem_text(const answer::Problem& problem);

}  // namespace millrace::cli
