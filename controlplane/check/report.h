// What objects would become, as text: --once prints it, and the log's line about a new table is its
// last one.
#pragma once

#include <string>
#include <vector>

#include "controlplane/k8s/problem.h"
#include "controlplane/model/build.h"
#include "controlplane/model/live_model.h"
#include "controlplane/store/store.h"

namespace millrace::check {

// "2 Ingresses, 1 host, 3 routes, 2 service ports, 4 endpoints"
std::string summary(const model::BuildResult& built);
std::string summary(const model::Model& model, const model::ModelCounts& counts);

// The table, the problems (`source_problems` first) and the summary. `is_clean`: no warning and no
// error among them.
std::string report(const store::Store& objects, const std::vector<k8s::Problem>& source_problems,
                   const model::Options& options, bool* is_clean);

}  // namespace millrace::check
