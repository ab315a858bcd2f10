// The policy file of --policy: YAML into model::OwnershipPolicy. docs/operating.md describes it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "controlplane/model/ownership.h"

namespace millrace {

constexpr size_t ownership_file_bytes_max = size_t{4} << 20;

// Error: one line with the file's name, the line and the field, as far as they are known. A key
// that is not known is an error: a misspelt one would leave hosts to everybody.
Result<model::OwnershipPolicy> read_ownership_file(const std::string& path);

// `name` is the file's, for errors.
Result<model::OwnershipPolicy> parse_ownership_file(const std::string& name, std::string_view text);

}  // namespace millrace
