#include "controlplane/check/report.h"

#include <algorithm>

#include "controlplane/compile/compile.h"
#include "controlplane/model/dump.h"

namespace millrace::check {

namespace {

std::string count_of(size_t count, const char* one, const char* many) {
  return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

}  // namespace

std::string summary(const model::BuildResult& built) {
  const model::Model& model = built.model;
  return summary(model, {built.ingresses, built.ingresses_ignored, model.route_count(),
                         model.shadowed_count(), model.endpoint_count()});
}

std::string summary(const model::Model& model, const model::ModelCounts& counts) {
  std::string text = count_of(counts.ingresses, "Ingress", "Ingresses");
  if (counts.ingresses_ignored > 0) {
    text += " (and " + std::to_string(counts.ingresses_ignored) + " of other classes)";
  }
  text += ", " + count_of(model.hosts.size(), "host", "hosts");
  text += ", " + count_of(counts.routes, "route", "routes");
  if (counts.shadowed > 0) text += " (and " + std::to_string(counts.shadowed) + " shadowed)";
  text += ", " + count_of(model.services.size(), "service port", "service ports");
  return text + ", " + count_of(counts.endpoints, "endpoint", "endpoints");
}

std::string report(const store::Store& objects, const std::vector<k8s::Problem>& source_problems,
                   const model::Options& options, bool* is_clean) {
  const model::BuildResult built = model::build(objects, options);
  std::vector<k8s::Problem> problems = source_problems;
  problems.insert(problems.end(), built.problems.begin(), built.problems.end());
  auto compiled = compile::compile(built.model, compile::SlotTable(), 1);
  if (compiled) {
    problems.insert(problems.end(), compiled->problems.begin(), compiled->problems.end());
  } else {
    problems.push_back({k8s::Severity::error, {}, "", compiled.error()});
  }
  *is_clean = std::none_of(problems.begin(), problems.end(), [](const k8s::Problem& problem) {
    return problem.severity != k8s::Severity::note;
  });
  return model::dump(built.model) + model::dump(problems) + summary(built) + '\n';
}

}  // namespace millrace::check
