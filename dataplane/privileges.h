// Giving up rights once the ports are open (P1): no capability is left, none can be gained again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace millrace {

// Becomes `user` (if given) and drops every capability, in all threads that there are (DPDK brings
// some) and will be. Folders that the process writes to later must already belong to user.
Status drop_privileges(std::optional<uint32_t> user);

// Makes the folder (and its parents) and gives it to user, if given.
Status make_folder(const std::string& path, std::optional<uint32_t> user);

}  // namespace millrace
