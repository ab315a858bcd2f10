// millrace validate FILES: manifests checked without a control plane, for a pipeline before a
// merge.
#pragma once

#include <string>
#include <vector>

#include "controlplane/check/validate.h"

namespace millrace::cli {

struct ValidateVerb {
  std::vector<std::string> paths;  // files, folders, "-"
  check::ValidateOptions options;
  bool show_table = false;
  bool json = false;
};

// The exit status: 0 valid; 1 not; 2 a file that cannot be read.
int run_validate(const ValidateVerb& verb);

}  // namespace millrace::cli
