#include "controlplane/cluster/resource.h"

#include <cstdint>

namespace millrace::cluster {

namespace {

std::string group_path(k8s::Kind kind) {
  const std::string version(api_version_of(kind));
  return version.find('/') == std::string::npos ? "/api/" + version : "/apis/" + version;
}

// Names hold letters, digits, '-' and '.', a continue token is base64: '=' and '/' need escaping.
std::string escape(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string escaped;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      escaped += c;
    } else {
      escaped += '%';
      escaped += digits[static_cast<uint8_t>(c) >> 4];
      escaped += digits[static_cast<uint8_t>(c) & 15];
    }
  }
  return escaped;
}

std::string watch_prefix(const Resource& resource, uint64_t seconds) {
  std::string target = resource_path(resource.kind, resource.name_space) + "?watch=1";
  if (!resource.name.empty()) {
    target += "&fieldSelector=" + escape("metadata.name=" + resource.name);
  }
  return target + "&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(seconds);
}

}  // namespace

std::string_view plural_of(k8s::Kind kind) {
  switch (kind) {
    case k8s::Kind::ingress: return "ingresses";
    case k8s::Kind::ingress_class: return "ingressclasses";
    case k8s::Kind::service: return "services";
    case k8s::Kind::endpoint_slice: return "endpointslices";
    case k8s::Kind::secret: return "secrets";
    case k8s::Kind::node: return "nodes";
    case k8s::Kind::name_space: return "namespaces";
  }
  return "";
}

std::string resource_path(k8s::Kind kind, const std::string& name_space) {
  std::string path = group_path(kind) + '/';
  if (!name_space.empty()) path += "namespaces/" + name_space + '/';
  return path + std::string(plural_of(kind));
}

std::string Resource::text() const {
  std::string text(to_text(kind));
  if (!name.empty()) return text + ' ' + name_space + '/' + name;
  if (!is_namespaced(kind)) return text;
  return text + (name_space.empty() ? " of all namespaces" : " of namespace " + name_space);
}

bool Resource::holds(const k8s::ObjectKey& key) const {
  return key.kind == kind && (name_space.empty() || key.name_space == name_space) &&
         (name.empty() || key.name == name);
}

std::string list_target(const Resource& resource, bool in_pages,
                        const std::string& continue_token) {
  std::string target = resource_path(resource.kind, resource.name_space);
  char separator = '?';
  const auto add = [&](const std::string& parameter) {
    target += separator + parameter;
    separator = '&';
  };
  if (!resource.name.empty()) add("fieldSelector=" + escape("metadata.name=" + resource.name));
  if (in_pages) add("limit=" + std::to_string(list_page_objects));
  if (!continue_token.empty()) add("continue=" + escape(continue_token));
  return target;
}

std::string watch_target(const Resource& resource, uint64_t seconds,
                         const std::string& resource_version) {
  return watch_prefix(resource, seconds) + "&resourceVersion=" + escape(resource_version);
}

std::string watch_list_target(const Resource& resource, uint64_t seconds) {
  return watch_prefix(resource, seconds) +
         "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
}

}  // namespace millrace::cluster
