// Something wrong with an object, as data: the folder's reader and the model's builder collect
// problems, main.cc writes them to the log, and none of them ever stops the other objects.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane/k8s/object.h"

namespace millrace::k8s {

// One object may fill this many lines of a log; the rest is counted.
constexpr size_t object_problems_max = 16;

enum class Severity {
  note,     // works as asked for, and still worth knowing: a Service without endpoints
  warning,  // a part of an object does not do what it seems to say: a shadowed path
  error,    // a part of an object is not served: broken YAML, an unknown pathType
};

std::string_view to_text(Severity severity);

// What kind of thing is wrong, for machines: the reason of an Event, a label of a metric. Whoever
// makes a problem says it where there is more to say than the severity.
enum class Reason : uint8_t {
  by_severity,  // Degraded, Overruled or Refused
  shadowed,
  backend_missing,
  endpoints_missing,
  policy_denied,
  quota_exceeded,
  tls_not_terminated,
  certificate_missing,
  certificate_invalid,
  certificate_expiring,
};

struct Problem {
  Severity severity = Severity::error;
  Place place;           // empty file when unknown
  std::string object;    // "Ingress shop/cart"; empty when the document does not tell
  std::string sentence;  // what is wrong and what was kept; no newline
  Reason reason = Reason::by_severity;

  auto operator<=>(const Problem&) const = default;
  std::string text() const;  // "shop.yaml:12: Ingress shop/cart: ..."
};

// All that are true at some time, for several who look at them later. Made anew whenever they are
// others, so the same pointer means the same problems; none at all may be null.
using SharedProblems = std::shared_ptr<const std::vector<Problem>>;

// "Shadowed": in CamelCase, as Kubernetes writes reasons.
std::string_view reason_of(const Problem& problem);

// Collects problems and keeps one object from flooding the rest: after object_problems_max of one
// object the others are only counted.
class ProblemList {
 public:
  void add(Problem problem);
  // Everything added, plus one counting line for each object that had too many. In order of adding.
  std::vector<Problem> take();

 private:
  struct Count {
    std::string object;
    Place place;
    size_t count = 0;
    Severity worst = Severity::note;
  };
  std::vector<Problem> problems_;
  std::vector<Count> counts_;  // one an object, in order of their first problem
  std::unordered_map<std::string, size_t> count_of_;  // object and file -> index in counts_
};

}  // namespace millrace::k8s
