// What is watched, and how an API server is asked for it: paths and queries of lists and watches.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "controlplane/k8s/object.h"

namespace millrace::cluster {

constexpr int list_page_objects = 500;

struct Resource {
  k8s::Kind kind = k8s::Kind::ingress;
  std::string name_space;  // empty: all, or a kind without namespaces
  std::string name;        // if not empty, only the object of this name (and namespace)

  auto operator<=>(const Resource&) const = default;
  std::string text() const;  // "Ingress of all namespaces"
  bool holds(const k8s::ObjectKey& key) const;
};

// "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"
std::string resource_path(k8s::Kind kind, const std::string& name_space);
std::string_view plural_of(k8s::Kind kind);  // "ingresses"

// `in_pages`: list_page_objects at a time; `continue_token`: empty for the first page.
std::string list_target(const Resource& resource, bool in_pages, const std::string& continue_token);
// `seconds`: what the server is asked to end it after.
std::string watch_target(const Resource& resource, uint64_t seconds,
                         const std::string& resource_version);
// A watch that begins with the list (KEP-3157).
std::string watch_list_target(const Resource& resource, uint64_t seconds);

}  // namespace millrace::cluster
