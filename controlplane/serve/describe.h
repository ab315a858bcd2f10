// Models, differences and explanations as the API's answers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/answers/answers.pb.h"
#include "controlplane/explain/explain.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/delta.h"

namespace millrace::serve {

constexpr size_t changes_named_max = 10'000;  // of a difference, of each kind
constexpr size_t endpoints_named_max = 100;   // of an explanation

answer::Diff describe(const model::ModelDelta& delta, const std::string& from,
                      const std::string& to);

// Routes offset to offset + limit in the model's order, defaults and shadowed ones included, of one
// host or of all.
answer::Routes list_routes(const model::Model& model, const std::optional<std::string>& host,
                           uint32_t offset, uint32_t limit);

answer::Explanation describe(const explain::Explanation& found, const explain::Request& request);

answer::Problem describe(const k8s::Problem& problem);

}  // namespace millrace::serve
