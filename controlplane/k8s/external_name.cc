#include "controlplane/k8s/external_name.h"

#include "base/address.h"

namespace millrace::k8s {

bool is_external_name(const Service& service) {
  return service.spec().type() == "ExternalName";
}

std::optional<std::string> dns_name_of(std::string_view external_name) {
  if (external_name.ends_with('.')) external_name.remove_suffix(1);
  if (!is_dns_subdomain(external_name) || Ipv4Address::parse(external_name)) return std::nullopt;
  size_t label = 0;
  for (const char c : external_name) {
    label = c == '.' ? 0 : label + 1;
    if (label > dns_label_bytes_max) return std::nullopt;
  }
  return std::string(external_name);
}

ObjectKey derived_slice_key(const std::string& name_space, const std::string& service) {
  return {Kind::endpoint_slice, name_space, service + "/external-name"};
}

}  // namespace millrace::k8s
