#include "controlplane/manifests/file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <yaml-cpp/yaml.h>

#include "controlplane/manifests/yaml_message.h"

namespace millrace::manifests {

namespace {

using k8s::Kind;
using k8s::Object;
using k8s::ObjectKey;
using k8s::Place;
using k8s::Problem;
using k8s::Severity;

constexpr Kind all_kinds[] = {Kind::ingress, Kind::ingress_class, Kind::service,
                              Kind::endpoint_slice};

// One document's text and the number of lines before it.
struct Chunk {
  std::string_view text;
  int lines_before = 0;
};

bool is_marker(std::string_view line, std::string_view marker) {
  return line.substr(0, marker.size()) == marker &&
         (line.size() == marker.size() || line[marker.size()] == ' ' ||
          line[marker.size()] == '\t' || line[marker.size()] == '\r');
}

// Divides at the lines "---" and "...": inside a document YAML forbids both at the first column
// (YAML 1.2.2, c-forbidden), so this needs no parser, and a broken document cannot hide the next.
std::vector<Chunk> split_documents(std::string_view text) {
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
  std::vector<Chunk> chunks;
  size_t start = 0;
  int start_line = 0;
  int line_number = 0;
  for (size_t at = 0; at < text.size(); ++line_number) {
    const size_t newline = text.find('\n', at);
    const size_t next = newline == std::string_view::npos ? text.size() : newline + 1;
    const std::string_view line =
        text.substr(at, (newline == std::string_view::npos ? text.size() : newline) - at);
    if (is_marker(line, "---") || is_marker(line, "...")) {
      chunks.push_back({text.substr(start, at - start), start_line});
      const bool ends = line[0] == '.';  // "..." belongs to no document
      start = ends ? next : at;
      start_line = ends ? line_number + 1 : line_number;
    }
    at = next;
  }
  chunks.push_back({text.substr(start), start_line});
  return chunks;
}

// White space, comments, directives and a bare "---" make no document.
bool is_blank(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t newline = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, newline - at);
    if (is_marker(line, "---")) line.remove_prefix(3);
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#' && line[0] != '%') return false;
    at = newline + 1;
  }
  return true;
}

bool has_bytes(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") != std::string_view::npos;
}

std::string scalar_of(const YAML::Node& node, const char* name) {
  const YAML::Node value = node[name];
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

// yaml-cpp says "yaml-cpp: error at line 3, column 5: ..." counted from its own start; this gives
// the sentence alone, the place is told by us. It may hold an anchor as it stands in the file.
std::string sentence_of(const YAML::Exception& error) {
  return error.msg.empty() ? std::string("not YAML") : k8s::printable(error.msg);
}

class DocumentReader {
 public:
  DocumentReader(const std::string& file, ParsedFile* out) : file_(file), out_(out) {}

  void read(const Chunk& chunk) {
    lines_before_ = chunk.lines_before;
    const std::string text(chunk.text);
    try {
      const YAML::Node root = YAML::Load(text);
      if (!root.IsNull()) read_object(root, "", "");
    } catch (const YAML::Exception& error) {
      const int line = error.mark.is_null() ? 1 : error.mark.line + 1;
      refuse(line, "", "this document is not valid YAML: " + sentence_of(error));
    } catch (const std::exception& error) {
      refuse(1, "", "this document cannot be read: " + k8s::printable(error.what()));
    }
  }

 private:
  // `kind` and `api_version` are what a list says of its items, empty elsewhere.
  void read_object(const YAML::Node& node, const std::string& list_kind,
                   const std::string& list_version) {
    if (!node.IsMap()) {
      return refuse(line_of(node), "",
                    "this document is no object: kind and apiVersion are missing");
    }
    std::string kind_text = scalar_of(node, "kind");
    std::string version = scalar_of(node, "apiVersion");
    if (kind_text.empty()) kind_text = list_kind;
    if (version.empty()) version = list_version;
    if (kind_text.empty() || version.empty()) {
      return refuse(line_of(node), "",
                    kind_text.empty() ? "kind is missing" : "apiVersion is missing");
    }
    if (kind_text == "List" || (kind_text.size() > 4 && kind_text.ends_with("List") &&
                                kind_from(kind_text.substr(0, kind_text.size() - 4)))) {
      return read_list(node, kind_text, version);
    }
    const std::optional<Kind> kind = kind_from(kind_text);
    if (!kind) return;
    if (version != api_version_of(*kind)) {
      // Kinds of the same name live in other groups (a Service of Knative): not ours, no problem.
      if (!is_older_version(*kind, version)) return;
      return refuse(line_of(node), name_of(node, *kind),
                    "apiVersion " + k8s::quote(version) + " is not read, only " +
                        std::string(api_version_of(*kind)));
    }
    decode(node, *kind);
  }

  void read_list(const YAML::Node& node, const std::string& kind, const std::string& version) {
    if (list_depth_ > 0) return refuse(line_of(node), "", "a List inside a List is not read");
    const YAML::Node items = node["items"];
    if (!items || items.IsNull()) return;
    if (!items.IsSequence()) return refuse(line_of(items), "", "items is no list");
    const std::string item_kind = kind == "List" ? "" : kind.substr(0, kind.size() - 4);
    ++list_depth_;
    for (const YAML::Node& item : items) {
      read_object(item, item_kind, item_kind.empty() ? "" : version);
    }
    --list_depth_;
  }

  void decode(const YAML::Node& node, Kind kind) {
    k8s::AnyObject body = k8s::empty_object(kind);
    FieldError error;
    google::protobuf::Message* message =
        std::visit([](auto& one) -> google::protobuf::Message* { return &one; }, body);
    if (!read_message(node, message, &budget_, &error)) {
      return refuse(error.line, name_of(node, kind),
                    (error.field.empty() ? "" : error.field + ": ") + error.sentence);
    }
    const std::string field_manager = k8s::take_field_manager(&body);
    const k8s::ObjectMeta& metadata = metadata_of(body);
    const bool cluster_scoped = kind == Kind::ingress_class;
    ObjectKey key{kind, cluster_scoped ? "" : metadata.namespace_(), metadata.name()};
    if (key.name_space.empty() && !cluster_scoped) key.name_space = "default";
    // Names reach log lines, status and hashes, so nothing but a name may pass here.
    if (!k8s::is_dns_subdomain(key.name)) {
      return refuse(line_of(node), name_of(node, kind),
                    key.name.empty() ? "metadata.name is missing"
                                     : "metadata.name " + k8s::quote(key.name) +
                                           " is not a lower-case DNS name");
    }
    if (!cluster_scoped && !k8s::is_dns_subdomain(key.name_space)) {
      return refuse(
          line_of(node), name_of(node, kind),
          "metadata.namespace " + k8s::quote(key.name_space) + " is not a lower-case DNS name");
    }
    out_->objects.push_back(
        Object{std::move(key), place(line_of(node)), k8s::Body(body), field_manager});
  }

  static std::optional<Kind> kind_from(std::string_view text) {
    for (Kind kind : all_kinds) {
      if (text == to_text(kind)) return kind;
    }
    return std::nullopt;
  }

  // An earlier version of the same API, which an old manifest may still name.
  static bool is_older_version(Kind kind, std::string_view version) {
    if (version == "v1") return true;  // forgot the group
    if (kind == Kind::ingress && version.starts_with("extensions/")) return true;
    const std::string_view wanted = api_version_of(kind);
    const size_t slash = wanted.find('/');
    return slash != std::string_view::npos && version.starts_with(wanted.substr(0, slash + 1));
  }

  // The object's name for a message about it, straight from the YAML: decoding may have failed.
  static std::string name_of(const YAML::Node& node, Kind kind) {
    const YAML::Node metadata = node["metadata"];
    std::string name_space;
    std::string name;
    if (metadata && metadata.IsMap()) {
      name_space = scalar_of(metadata, "namespace");
      name = scalar_of(metadata, "name");
    }
    if (kind == Kind::ingress_class)
      name_space.clear();
    else if (name_space.empty())
      name_space = "default";
    if (!k8s::is_dns_subdomain(name)) return std::string(to_text(kind));
    if (!name_space.empty() && !k8s::is_dns_subdomain(name_space)) {
      return std::string(to_text(kind)) + ' ' + name;
    }
    return ObjectKey{kind, name_space, name}.text();
  }

  Place place(int line) const { return Place{file_, line > 0 ? line + lines_before_ : 0}; }

  void refuse(int line, std::string object, std::string sentence) {
    out_->problems.push_back(
        Problem{Severity::error, place(line), std::move(object), std::move(sentence)});
  }

  const std::string& file_;
  ParsedFile* out_;
  ValueBudget budget_;
  int lines_before_ = 0;
  int list_depth_ = 0;
};

}  // namespace

ParsedFile parse_file(const std::string& file, std::string_view text) {
  ParsedFile parsed;
  parsed.holds_documents = has_bytes(text);
  DocumentReader reader(file, &parsed);
  for (const Chunk& chunk : split_documents(text)) {
    if (!is_blank(chunk.text)) reader.read(chunk);
  }
  return parsed;
}

}  // namespace millrace::manifests
