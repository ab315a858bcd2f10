#include "controlplane/tls_view.h"

#include <ctime>
#include <memory>

#include "controlplane/model/ingress_class.h"

namespace millrace {

int64_t wall_seconds() {
  return static_cast<int64_t>(std::time(nullptr));
}

certificates::View tls_view(const store::Store& objects, const model::Options& options,
                            const store::Source& source, const model::LiveModel& live) {
  const auto classes = std::make_shared<const model::IngressClasses>(objects, options);
  certificates::View view;
  view.is_ours = [classes](const k8s::Object& object, const k8s::Ingress& ingress) {
    k8s::ProblemList said_elsewhere;
    return classes->is_ours(object, ingress, &said_elsewhere);
  };
  view.why_unknown = [&source](const std::string& name_space, const std::string& name) {
    return source.why_unknown(name_space, name);
  };
  if (options.ownership.limits_certificates()) {
    view.may_have = [&live](const k8s::ObjectKey& ingress, const std::string& secret) {
      return live.has_certificate(ingress, secret);
    };
  }
  view.now_s = wall_seconds();
  return view;
}

}  // namespace millrace
