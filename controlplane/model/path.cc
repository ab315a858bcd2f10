#include "controlplane/model/path.h"

#include <algorithm>

#include "controlplane/model/limits.h"

namespace millrace::model {

namespace {

bool can_stand_in_a_request_path(char c) {
  const unsigned char byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7f && c != '?' && c != '#';
}

// What most paths are: no octet in them that makes a sequence which only some types allow.
bool is_plain(std::string_view path) {
  char previous = '\0';
  for (const char c : path) {
    if (!can_stand_in_a_request_path(c) || c == '%') return false;
    if (previous == '/' && (c == '/' || c == '.')) return false;
    previous = c;
  }
  return true;
}

}  // namespace

std::optional<PathType> parse_path_type(std::string_view text) {
  for (PathType type : {PathType::exact, PathType::prefix, PathType::implementation_specific}) {
    if (text == to_text(type)) return type;
  }
  return std::nullopt;
}

Status check_path(std::string_view path, PathType type) {
  if (path.empty() || path[0] != '/') return Error{"does not begin with '/'"};
  if (path.size() > path_bytes_max) {
    return Error{"is longer than " + std::to_string(path_bytes_max) + " bytes"};
  }
  const bool plain = is_plain(path);
  if (!plain && !std::all_of(path.begin(), path.end(), can_stand_in_a_request_path)) {
    return Error{"holds a byte that no request path holds; write it percent-encoded"};
  }
  if (!plain && type != PathType::implementation_specific) {
    for (std::string_view sequence : {"//", "/./", "/../", "%2f", "%2F"}) {
      if (path.find(sequence) != std::string_view::npos) {
        return Error{"holds \"" + std::string(sequence) + "\", which pathType " + to_text(type) +
                     " does not allow"};
      }
    }
    for (std::string_view end : {"/.", "/.."}) {
      if (path.ends_with(end)) {
        return Error{"ends in \"" + std::string(end) + "\", which pathType " + to_text(type) +
                     " does not allow"};
      }
    }
  }
  if (type != PathType::exact && path.ends_with('/')) path.remove_suffix(1);
  const auto elements = std::count(path.begin(), path.end(), '/');
  if (type != PathType::exact && elements > static_cast<std::ptrdiff_t>(prefix_elements_max)) {
    return Error{"has more than " + std::to_string(prefix_elements_max) + " elements"};
  }
  return Ok{};
}

}  // namespace millrace::model
