// Tokens, keys and certificates as they lie in files or, in base64, inside another one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace millrace::cluster {

constexpr size_t credential_bytes_max = 1 << 20;  // of one file

// Error: the file and why; one that is empty or longer than credential_bytes_max is an error too.
Result<std::string> read_credential(const std::string& path);
// White space around it is not part of a token; inside it there is none.
Result<std::string> read_token(const std::string& path);

// RFC 4648 4, with padding; white space is skipped. False when it is something else.
bool decode_base64(std::string_view text, std::string* bytes);

}  // namespace millrace::cluster
