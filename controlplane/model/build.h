// Objects -> Model and problems: every rule about Ingress in one place. Pure: the same objects give
// the same model, whatever order they came in.
//
// Which rule wins. Hosts: precise, then wildcard (exactly one first label), then the empty host,
// and no fall-through to another one once a host is chosen. Inside a host an Exact full match, then
// the longest path as written among Prefix and ImplementationSpecific (which is matched as Prefix);
// on the same path Prefix before ImplementationSpecific; then the Ingress with the oldest
// creationTimestamp, then `namespace/name`, then the order of rules and paths. An Ingress without a
// timestamp (a hand-written manifest) comes after all that have one.
//
// Two Prefix paths that differ in a trailing slash match the same requests ("/foo" and "/foo/"), so
// they are one key: the longer one is the route, the other one is shadowed.
//
// Default backends. `spec.defaultBackend` of an Ingress with rules takes the rest of that Ingress's
// hosts; of an Ingress without rules, the rest of everything. The oldest one wins each. A rule
// without paths makes its host known, so its requests go to the host's default, else the cluster's.
//
// What cannot be used is a problem and touches nothing else: an unknown pathType or an invalid path
// drops that path, an invalid host drops that rule; a backend that does not resolve keeps its
// route, which answers 503.
#pragma once

#include <string>
#include <vector>

#include "base/parallel.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/limits.h"
#include "controlplane/model/model.h"
#include "controlplane/model/ownership.h"
#include "controlplane/store/store.h"

namespace millrace::model {

// What the model as a whole may hold. At most the constants of the same names in limits.h, which
// the snapshot's format bears.
struct ModelBounds {
  size_t routes = routes_max;
  size_t services = services_max;
  size_t service_policies = service_policies_max;
};

struct Options {
  // The class name that is ours even if no IngressClass object says so.
  std::string ingress_class = "millrace";
  // IngressClass objects with this spec.controller are ours, whatever their name.
  std::string controller_name = "millrace.dev/ingress-controller";
  // Ingresses without any class, when no IngressClass is the default: ours. A folder of manifests
  // is written for us; a cluster may be shared.
  bool accept_classless = true;
  // Services of type ExternalName lead to the addresses of their derived slices. Otherwise they are
  // not served: whoever may write a Service could lead routes to whatever the node reaches.
  bool serve_external_names = false;
  ModelBounds bounds{};
  OwnershipPolicy ownership{};
  // What reads everything at once; the model does not depend on it.
  Threads threads{};
};

struct BuildResult {
  Model model;
  std::vector<k8s::Problem> problems;
  size_t ingresses = 0;          // served
  size_t ingresses_ignored = 0;  // of other classes
};

// All at once; who is told of changes keeps a LiveModel (live_model.h).
BuildResult build(const store::Store& objects, const Options& options);

}  // namespace millrace::model
