// A kubeconfig file: which server, and who we are there.
#pragma once

#include <string>

#include "base/result.h"
#include "controlplane/cluster/http_client.h"

namespace millrace::cluster {

// `context`: empty for the file's current-context. With all files that it names. Error: file, line
// or entry, and what is wrong.
Result<HttpIdentity> read_kubeconfig(const std::string& path, const std::string& context);

}  // namespace millrace::cluster
