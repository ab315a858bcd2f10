// The last good snapshot on disk: what the data plane starts with when the control plane or the API
// server is away. The file holds the snapshot's own bytes behind a small table of contents, and
// loading goes through the same validator as a publish. It never holds private keys: snapshots do
// not.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "shm/snapshot.h"

namespace millrace::shm {

// Replaces the file at `path` as a whole: written beside it (path + ".tmp"), synced, renamed, and
// the folder synced. A crash at any point leaves the old file or the new one. Mode 0600.
Status save_last_good(const std::string& path, const Snapshot& snapshot);

// Error: no such file, or one sentence about the byte that is wrong.
Result<std::shared_ptr<const Snapshot>> load_last_good(const std::string& path);

}  // namespace millrace::shm
