#include "controlplane/model/model.h"

namespace millrace::model {

const char* to_text(PathType type) {
  switch (type) {
    case PathType::exact: return "Exact";
    case PathType::prefix: return "Prefix";
    case PathType::implementation_specific: return "ImplementationSpecific";
  }
  return "";
}

std::string ServiceKey::text() const {
  const std::string name = name_space + '/' + service + ':' + port;
  return policy.is_unset() ? name : name + " (" + policy.text() + ')';
}

size_t Model::route_count() const {
  size_t count = cluster_default ? 1 : 0;
  for (const Host& host : hosts) count += host.routes.size() + (host.default_route ? 1 : 0);
  return count;
}

size_t Model::shadowed_count() const {
  size_t count = shadowed_cluster_defaults.size();
  for (const Host& host : hosts) count += host.shadowed.size() + host.shadowed_defaults.size();
  return count;
}

size_t Model::endpoint_count() const {
  size_t count = 0;
  for (const Service& service : services) count += service.endpoints.size();
  return count;
}

}  // namespace millrace::model
