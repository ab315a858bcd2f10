#include "controlplane/model/ingress_class.h"

namespace millrace::model {

namespace {

constexpr char legacy_annotation[] = "kubernetes.io/ingress.class";
constexpr char default_annotation[] = "ingressclass.kubernetes.io/is-default-class";

}  // namespace

IngressClasses::IngressClasses(const store::Store& objects, const Options& options)
    : options_(options) {
  // Keys are in the order of kinds.
  const auto& all = objects.objects();
  for (auto at = all.lower_bound({k8s::Kind::ingress_class, "", ""});
       at != all.end() && at->first.kind == k8s::Kind::ingress_class; ++at) {
    const auto& [key, object] = *at;
    const auto ingress_class = object.body.as<k8s::IngressClass>();
    is_ours_by_name_[key.name] = ingress_class.spec().controller() == options.controller_name;
    const auto& annotations = ingress_class.metadata().annotations();
    const auto is_default = annotations.find(default_annotation);
    if (is_default != annotations.end() && is_default->second == "true") {
      defaults_.push_back(key.name);
    }
  }
}

bool IngressClasses::is_our_class(const std::string& name) const {
  const auto known = is_ours_by_name_.find(name);
  return known != is_ours_by_name_.end() ? known->second : name == options_.ingress_class;
}

bool IngressClasses::is_ours(const k8s::Object& object, const k8s::Ingress& ingress,
                             k8s::ProblemList* problems) const {
  const auto report = [&](k8s::Severity severity, std::string sentence) {
    problems->add({severity, object.place, object.key.text(), std::move(sentence)});
  };
  const auto& annotations = ingress.metadata().annotations();
  // Most have none, and a name to look for is memory to ask for.
  const auto legacy = annotations.empty() ? annotations.end() : annotations.find(legacy_annotation);
  if (legacy != annotations.end()) {
    const bool ours = is_our_class(legacy->second);
    const std::string& named = ingress.spec().ingress_class_name();
    if (ingress.spec().has_ingress_class_name() && is_our_class(named) != ours) {
      report(k8s::Severity::warning, "the annotation kubernetes.io/ingress.class " +
                                         k8s::quote(legacy->second) +
                                         " and spec.ingressClassName " + k8s::quote(named) +
                                         " disagree; the annotation counts");
    }
    return ours;
  }
  if (ingress.spec().has_ingress_class_name()) {
    const std::string& name = ingress.spec().ingress_class_name();
    if (is_our_class(name)) return true;
    if (!is_ours_by_name_.contains(name)) {
      report(k8s::Severity::warning, "spec.ingressClassName " + k8s::quote(name) +
                                         " names no IngressClass that exists, and ours is " +
                                         k8s::quote(options_.ingress_class) +
                                         "; this Ingress is not served");
    }
    return false;
  }
  if (defaults_.size() > 1) {
    report(k8s::Severity::error, "names no class, and more than one IngressClass is the default (" +
                                     defaults_[0] + ", " + defaults_[1] +
                                     "); this Ingress is not served");
    return false;
  }
  if (defaults_.size() == 1) return is_our_class(defaults_[0]);
  return options_.accept_classless;
}

}  // namespace millrace::model
