// Who is told what became of the objects: a live cluster, where it is written to their status and
// as Events. Like a source it has no loop of its own, and shares the source's descriptor.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/store/store.h"

namespace millrace::store {

using IngressName = std::pair<std::string, std::string>;  // namespace and name

// What came to be different since the last report, so that a report costs what changed. The first
// one tells all that is served, and what a process before this one served and is no more. A name is
// in one of `began` and `ceased` at most.
struct Report {
  std::vector<IngressName> began;   // have a route in the newest table, and had none
  std::vector<IngressName> ceased;  // had one, and have none
  // Objects that were added, updated or removed, by whomever: their status may be another one.
  std::set<IngressName> changed;
  k8s::SharedProblems problems;  // all that are true now
  // Any was added, updated or removed: the addresses that are made of them may be others.
  bool nodes_or_services_changed = false;
};

class Reporter {
 public:
  virtual ~Reporter() = default;

  // `store` as in turn(): as new as the report, or newer.
  virtual void tell(Report report, const Store& store) = 0;
  virtual Instant due(Instant now) const = 0;
  virtual void turn(Instant now, const Store& store) = 0;
  // An orderly end: what others must know is on its way before `end`, see done().
  virtual void stop(Instant now) = 0;
  virtual bool done() const = 0;
  // What cannot be written at the moment.
  virtual std::vector<k8s::Problem> problems() const = 0;
};

}  // namespace millrace::store
