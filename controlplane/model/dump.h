// The model as text for people: `--once` prints it and golden files hold it.
#pragma once

#include <string>
#include <vector>

#include "controlplane/k8s/problem.h"
#include "controlplane/model/model.h"

namespace millrace::model {

std::string dump(const Model& model);
std::string dump(const std::vector<k8s::Problem>& problems);

}  // namespace millrace::model
