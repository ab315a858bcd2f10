#include "controlplane/ownership_file.h"

#include <google/protobuf/descriptor.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <optional>

#include "controlplane/k8s/object.h"
#include "controlplane/manifests/yaml_message.h"
#include "controlplane/model/ownership.pb.h"

namespace millrace {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

const FieldDescriptor* find_field(const Descriptor& descriptor, const std::string& name) {
  for (int i = 0; i < descriptor.field_count(); ++i) {
    if (descriptor.field(i)->json_name() == name) return descriptor.field(i);
  }
  return nullptr;
}

// The first key that `descriptor` does not declare; read_message() would skip it. What is read here
// has no more levels than the message, so this ends.
std::optional<manifests::FieldError> find_unknown(const YAML::Node& node,
                                                  const Descriptor& descriptor) {
  if (node.IsSequence()) {
    for (const YAML::Node& element : node) {
      if (auto unknown = find_unknown(element, descriptor)) return unknown;
    }
    return std::nullopt;
  }
  if (!node.IsMap()) return std::nullopt;
  for (const auto& entry : node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    const FieldDescriptor* field = find_field(descriptor, key);
    if (field == nullptr) {
      return manifests::FieldError{manifests::line_of(entry.first), k8s::printable(key),
                                   "is no key of a policy"};
    }
    if (field->is_map() || field->message_type() == nullptr) continue;
    if (auto unknown = find_unknown(entry.second, *field->message_type())) return unknown;
  }
  return std::nullopt;
}

Error error_at(const std::string& name, const manifests::FieldError& error) {
  return Error{name + ':' + std::to_string(error.line) + ": " +
               (error.field.empty() ? "" : error.field + ": ") + error.sentence};
}

}  // namespace

Result<model::OwnershipPolicy> parse_ownership_file(const std::string& name,
                                                    std::string_view text) {
  model::OwnershipFile file;
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    if (!root.IsMap()) return Error{name + ": is no mapping of keys"};
    if (const auto unknown = find_unknown(root, *model::OwnershipFile::descriptor())) {
      return error_at(name, *unknown);
    }
    manifests::ValueBudget budget;
    manifests::FieldError error;
    if (!manifests::read_message(root, &file, &budget, &error)) return error_at(name, error);
  } catch (const YAML::Exception& exception) {
    return Error{name + ':' + std::to_string(exception.mark.line + 1) + ": " +
                 k8s::printable(exception.msg)};
  }
  auto policy = model::parse_ownership(file);
  if (!policy) return Error{name + ": " + policy.error()};
  return policy;
}

Result<model::OwnershipPolicy> read_ownership_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return Error{path + ": cannot be read"};
  std::string text(ownership_file_bytes_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(stream.gcount()));
  if (stream.bad()) return Error{path + ": cannot be read"};
  if (text.size() > ownership_file_bytes_max) {
    return Error{path + ": is larger than " + std::to_string(ownership_file_bytes_max) + " bytes"};
  }
  return parse_ownership_file(path, text);
}

}  // namespace millrace
