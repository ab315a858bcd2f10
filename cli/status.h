// millrace status: the control plane at this moment.
#pragma once

#include <string>

namespace millrace::cli {

// The exit status: 0 when all is well; 1 when something waits for an operator: nothing is
// published, the data plane is away, behind or refuses, a table is held back, the history cannot be
// written; 2 when nobody answers. A pin or a freeze is an operator's own doing and no reason for 1.
int run_status(const std::string& folder, bool json);

}  // namespace millrace::cli
