#include "controlplane/k8s/object.h"

#include <cstdio>
#include <utility>

namespace millrace::k8s {

namespace {

constexpr size_t quoted_bytes_max = 120;

bool is_label_edge(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

}  // namespace

std::string_view to_text(Kind kind) {
  switch (kind) {
    case Kind::ingress: return "Ingress";
    case Kind::ingress_class: return "IngressClass";
    case Kind::service: return "Service";
    case Kind::endpoint_slice: return "EndpointSlice";
    case Kind::secret: return "Secret";
    case Kind::node: return "Node";
    case Kind::name_space: return "Namespace";
  }
  return "";
}

std::string_view api_version_of(Kind kind) {
  switch (kind) {
    case Kind::ingress:
    case Kind::ingress_class: return "networking.k8s.io/v1";
    case Kind::service:
    case Kind::secret:
    case Kind::node:
    case Kind::name_space: return "v1";
    case Kind::endpoint_slice: return "discovery.k8s.io/v1";
  }
  return "";
}

bool is_namespaced(Kind kind) {
  return kind != Kind::ingress_class && kind != Kind::node && kind != Kind::name_space;
}

AnyObject empty_object(Kind kind) {
  switch (kind) {
    case Kind::ingress: return Ingress();
    case Kind::ingress_class: return IngressClass();
    case Kind::service: return Service();
    case Kind::endpoint_slice: return EndpointSlice();
    case Kind::secret: return Secret();
    case Kind::node: return Node();
    case Kind::name_space: return Namespace();
  }
  return Ingress();
}

std::string ObjectKey::text() const {
  std::string text(to_text(kind));
  text += ' ';
  if (!name_space.empty()) text += name_space + '/';
  return text + name;
}

std::string Place::text() const {
  const std::string name = printable(file);
  return line > 0 ? name + ':' + std::to_string(line) : name;
}

const ObjectMeta& metadata_of(const AnyObject& object) {
  return std::visit([](const auto& body) -> const ObjectMeta& { return body.metadata(); }, object);
}

std::string take_field_manager(AnyObject* object) {
  ObjectMeta* metadata =
      std::visit([](auto& body) -> ObjectMeta* { return body.mutable_metadata(); }, *object);
  const ManagedFieldsEntry* latest = nullptr;
  const auto time_of = [](const ManagedFieldsEntry& entry) {
    return std::pair(entry.time().seconds(), entry.time().nanos());
  };
  for (const ManagedFieldsEntry& entry : metadata->managed_fields()) {
    if (!entry.subresource().empty()) continue;
    if (latest == nullptr || time_of(*latest) < time_of(entry)) latest = &entry;
  }
  std::string manager = latest == nullptr ? std::string() : latest->manager();
  metadata->clear_managed_fields();
  return manager;
}

bool is_dns_subdomain(std::string_view text) {
  if (text.empty() || text.size() > name_bytes_max) return false;
  char previous = '.';
  for (char c : text) {
    const bool after_edge = is_label_edge(previous);
    if (c == '.') {
      if (!after_edge) return false;
    } else if (c == '-') {
      if (previous == '.') return false;
    } else if (!is_label_edge(c)) {
      return false;
    }
    previous = c;
  }
  return is_label_edge(previous);
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == quoted_bytes_max) return out + "...";
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7f) {
      out += text[i];
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(c));
    out += escaped;
  }
  return out;
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, quoted_bytes_max)) {
    if (c == '"' || c == '\\') out += '\\';
    out += printable({&c, 1});
  }
  if (text.size() <= quoted_bytes_max) return out + '"';
  return out + "...\" (" + std::to_string(text.size()) + " bytes)";
}

}  // namespace millrace::k8s
