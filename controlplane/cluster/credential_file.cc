#include "controlplane/cluster/credential_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/unique_fd.h"
#include "controlplane/k8s/object.h"

namespace millrace::cluster {

namespace {

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::optional<uint8_t> base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<uint8_t>(c - 'A');
  if (c >= 'a' && c <= 'z') return static_cast<uint8_t>(c - 'a' + 26);
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0' + 52);
  if (c == '+') return uint8_t{62};
  if (c == '/') return uint8_t{63};
  return std::nullopt;
}

}  // namespace

Result<std::string> read_credential(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return Error{k8s::printable(path) + ": " + std::strerror(errno)};
  std::string bytes;
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = read(fd.get(), buffer, sizeof buffer);
    if (count < 0) return Error{k8s::printable(path) + ": " + std::strerror(errno)};
    if (count == 0) break;
    bytes.append(buffer, static_cast<size_t>(count));
    if (bytes.size() > credential_bytes_max) {
      return Error{k8s::printable(path) + ": is longer than 1 MiB"};
    }
  }
  if (bytes.empty()) return Error{k8s::printable(path) + ": is empty"};
  return bytes;
}

Result<std::string> read_token(const std::string& path) {
  auto bytes = read_credential(path);
  if (!bytes) return bytes;
  std::string token = trimmed(*bytes);
  const bool is_text =
      std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (token.empty() || !is_text) return Error{k8s::printable(path) + ": holds no token"};
  return token;
}

bool decode_base64(std::string_view text, std::string* bytes) {
  bytes->clear();
  uint32_t bits = 0;
  int count = 0;
  int padding = 0;
  for (char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const auto value = base64_value(c);
    if (!value || padding > 0) return false;
    bits = bits << 6 | *value;
    if (++count < 4) continue;
    for (int shift = 16; shift >= 0; shift -= 8) *bytes += static_cast<char>(bits >> shift & 0xff);
    bits = 0;
    count = 0;
  }
  if (count == 0) return padding == 0;
  if (count == 1 || count + padding != 4) return false;
  bits <<= 6 * (4 - count);
  for (int i = 0; i < count - 1; ++i) *bytes += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
  return true;
}

}  // namespace millrace::cluster
