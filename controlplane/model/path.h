// One path of a rule, checked as an API server checks it (networking/v1, HTTPIngressPath).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "controlplane/model/model.h"

namespace millrace::model {

// Nothing for anything but the three names; they are case-sensitive.
std::optional<PathType> parse_path_type(std::string_view text);

// What is wrong with a path of this type.
//
// A path begins with '/'. Exact and Prefix refuse what Kubernetes refuses: "//", "/./", "/../",
// "%2f" and an end of "/." or "/..". All refuse bytes that no request path holds (RFC 3986 3.3):
// such a rule could never match and is surely meant otherwise.
Status check_path(std::string_view path, PathType type);

}  // namespace millrace::model
