#include "controlplane/k8s/problem.h"

#include <algorithm>
#include <utility>

namespace millrace::k8s {

std::string_view to_text(Severity severity) {
  switch (severity) {
    case Severity::note: return "note";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
  }
  return "";
}

std::string_view reason_of(const Problem& problem) {
  switch (problem.reason) {
    case Reason::by_severity: break;
    case Reason::shadowed: return "Shadowed";
    case Reason::backend_missing: return "BackendMissing";
    case Reason::endpoints_missing: return "EndpointsMissing";
    case Reason::policy_denied: return "PolicyDenied";
    case Reason::quota_exceeded: return "QuotaExceeded";
    case Reason::tls_not_terminated: return "TLSNotTerminated";
    case Reason::certificate_missing: return "CertificateMissing";
    case Reason::certificate_invalid: return "CertificateInvalid";
    case Reason::certificate_expiring: return "CertificateExpiring";
  }
  switch (problem.severity) {
    case Severity::note: return "Degraded";
    case Severity::warning: return "Overruled";
    case Severity::error: return "Refused";
  }
  return "";
}

std::string Problem::text() const {
  std::string text;
  if (!place.file.empty()) text += place.text() + ": ";
  if (!object.empty()) text += object + ": ";
  return text + sentence;
}

void ProblemList::add(Problem problem) {
  const auto [at, is_new] =
      count_of_.try_emplace(problem.object + '\n' + problem.place.file, counts_.size());
  if (is_new) counts_.push_back(Count{problem.object, problem.place, 0, problem.severity});
  Count& count = counts_[at->second];
  count.worst = std::max(count.worst, problem.severity);
  if (++count.count <= object_problems_max) problems_.push_back(std::move(problem));
}

std::vector<Problem> ProblemList::take() {
  for (const Count& one : counts_) {
    if (one.count <= object_problems_max) continue;
    problems_.push_back(
        Problem{one.worst, one.place, one.object,
                "and " + std::to_string(one.count - object_problems_max) + " more problems"});
  }
  counts_.clear();
  count_of_.clear();
  return std::exchange(problems_, {});
}

}  // namespace millrace::k8s
