// The model of a store, kept true while the store changes: a change costs what it concerns, not
// what there is. After any sequence of changes the model, the problems and the counts are those
// that build() gives for the same objects from nothing; the sequence leaves no trace.
//
// What is global is exact too. routes_max: the youngest Ingresses do without, and who is among them
// may change with any other one. service_policies_max and services_max likewise.
//
// Copies nothing of an object but what the model says of it; it shares the objects' bodies with the
// store. One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/k8s/problem.h"
#include "controlplane/model/build.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"
#include "controlplane/model/problem_book.h"
#include "controlplane/store/store.h"

namespace millrace::model {

struct ModelCounts {
  size_t ingresses = 0;          // served
  size_t ingresses_ignored = 0;  // of other classes
  size_t routes = 0;             // defaults included
  size_t shadowed = 0;           // likewise
  size_t endpoints = 0;

  bool operator==(const ModelCounts&) const = default;
};

struct ModelUpdate {
  ModelDelta delta;  // from the model before to the model after
  ProblemChanges problems;

  bool empty() const { return delta.empty() && problems.empty(); }
};

class LiveModel {
 public:
  explicit LiveModel(const Options& options);
  ~LiveModel();
  LiveModel(LiveModel&&) noexcept;
  LiveModel& operator=(LiveModel&&) noexcept;

  // Everything anew: `objects` as if nothing had been known before.
  void rebuild(const store::Store& objects);

  // What happened to `objects` since rebuild() or the last update(): what take_changes() gives.
  // More than that (an object that did not change) does no harm; less leaves the model behind.
  ModelUpdate update(const store::Store& objects, const std::vector<store::Change>& changes);

  // Valid until the next call of rebuild() or update().
  const Model& model() const;
  // All there are, in the order of what they come from; walks those that have any.
  std::vector<k8s::Problem> problems() const;
  const ModelCounts& counts() const;
  // False when a quota that is enforced leaves this Ingress's certificate (the Secret's name) out.
  bool has_certificate(const k8s::ObjectKey& ingress, const std::string& secret) const;

 private:
  friend BuildResult build(const store::Store& objects, const Options& options);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::model
