// Which Ingresses are ours (networking/v1: spec.ingressClassName, IngressClass, the default class
// and the older annotation).
#pragma once

#include <map>
#include <string>

#include "controlplane/k8s/objects.pb.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/build.h"

namespace millrace::model {

class IngressClasses {
 public:
  IngressClasses(const store::Store& objects, const Options& options);

  // Whether we serve this Ingress. In this order: the annotation "kubernetes.io/ingress.class",
  // spec.ingressClassName, the default IngressClass, options.accept_classless. Says in `problems`
  // when the answer is no and its author surely did not mean that.
  bool is_ours(const k8s::Object& object, const k8s::Ingress& ingress,
               k8s::ProblemList* problems) const;

 private:
  bool is_our_class(const std::string& name) const;

  const Options& options_;
  std::map<std::string, bool> is_ours_by_name_;  // every IngressClass object
  std::vector<std::string> defaults_;            // names, sorted
};

}  // namespace millrace::model
