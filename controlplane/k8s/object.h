// One Kubernetes object as the control plane holds it: its key, where it was read, its content.
#pragma once

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>

#include "controlplane/k8s/body.h"

namespace millrace::k8s {

// Longest name and namespace that Kubernetes gives (a DNS subdomain, RFC 1123).
constexpr size_t name_bytes_max = 253;

std::string_view to_text(Kind kind);         // "Ingress"
std::string_view api_version_of(Kind kind);  // "networking.k8s.io/v1"
bool is_namespaced(Kind kind);
AnyObject empty_object(Kind kind);

// What an object is called. Cluster-scoped objects have an empty namespace.
struct ObjectKey {
  Kind kind = Kind::ingress;
  std::string name_space;
  std::string name;

  auto operator<=>(const ObjectKey&) const = default;
  std::string text() const;  // "Ingress shop/cart", "IngressClass millrace"
  // Made by this process of what it learned elsewhere, and in no cluster: there stands a '/' in
  // its name, which no object of an API server has.
  bool is_derived() const { return is_derived_name(name); }
  static bool is_derived_name(std::string_view name) { return name.find('/') != name.npos; }
};

// A file relative to the manifest folder and a line in it; line 0 when no line is known, an empty
// file when the object came from elsewhere.
struct Place {
  std::string file;
  int line = 0;

  auto operator<=>(const Place&) const = default;
  std::string text() const;  // "shop.yaml:12"
};

struct Object {
  ObjectKey key;
  Place place;
  Body body;  // there, but in an Object that only names one
  // Who made the last change to what it asks for (metadata.managedFields),
  // "kubectl-client-side-apply"; empty when its source does not say.
  std::string field_manager{};
};

const ObjectMeta& metadata_of(const AnyObject& object);

// The manager of the latest entry of metadata.managedFields that is about no subresource (a status
// says nothing about who asked for what); empty when there is none. Takes the list out of `object`.
std::string take_field_manager(AnyObject* object);

// A DNS subdomain as Kubernetes checks it (RFC 1123): lower-case letters, digits, '-', and '.'
// between labels that begin and end with a letter or digit.
bool is_dns_subdomain(std::string_view text);

// Text from a manifest as it may stand in a log line: in quotes, what is not printable ASCII
// escaped, cut to a bounded length.
std::string quote(std::string_view text);

// The same without quotes, for text that is not ours either: a file's name, a library's sentence.
std::string printable(std::string_view text);

}  // namespace millrace::k8s
