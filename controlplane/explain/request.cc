#include "controlplane/explain/request.h"

#include <algorithm>
#include <cctype>

namespace millrace::explain {

namespace {

bool is_unreserved(unsigned char octet) {  // RFC 3986 2.3
  return std::isalnum(octet) != 0 || octet == '-' || octet == '.' || octet == '_' || octet == '~';
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// What is encoded without need is decoded; what could be read in two ways is refused.
std::string decode(std::string_view path, std::string* refusal, bool* has_encoded_slash) {
  std::string decoded;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto octet = static_cast<unsigned char>(path[i]);
    if (octet == '\\') *refusal = "a backslash in the path";
    if (octet <= 0x20 || octet >= 0x7f) *refusal = "an octet in the path that no path holds";
    if (octet != '%') {
      decoded += path[i];
      continue;
    }
    const int high = i + 2 < path.size() ? hex_value(path[i + 1]) : -1;
    const int low = i + 2 < path.size() ? hex_value(path[i + 2]) : -1;
    if (high < 0 || low < 0) {
      *refusal = "a % without two digits";
      return decoded;
    }
    const auto value = static_cast<unsigned char>(high * 16 + low);
    if (value < 0x20 || value == 0x7f) *refusal = "an encoded control octet";
    *has_encoded_slash |= value == '/' || value == '\\';
    if (is_unreserved(value)) {
      decoded += static_cast<char>(value);
    } else {
      decoded += path.substr(i, 3);
    }
    i += 2;
  }
  return decoded;
}

}  // namespace

std::string normalise_path(std::string_view path, std::string* refusal, bool* has_encoded_slash) {
  const std::string decoded = decode(path, refusal, has_encoded_slash);
  std::vector<std::string_view> kept;
  bool ends_in_slash = false;
  std::string_view rest(decoded);
  while (!rest.empty()) {
    rest.remove_prefix(1);  // its slash
    const std::string_view segment = rest.substr(0, std::min(rest.find('/'), rest.size()));
    rest.remove_prefix(segment.size());
    const bool is_last = rest.empty();
    ends_in_slash = false;
    if (segment == "." || segment == "..") {
      if (segment == ".." && kept.empty()) {
        *refusal = "segments above the root";
        return decoded;
      }
      if (segment == "..") kept.pop_back();
      ends_in_slash = is_last;
      continue;
    }
    if (segment.starts_with(".;") || segment.starts_with("..;")) *refusal = "dots with parameters";
    kept.push_back(segment);
  }
  std::string path_out;
  for (const std::string_view segment : kept) path_out += '/' + std::string(segment);
  if (ends_in_slash || path_out.empty()) path_out += '/';
  return path_out;
}

Result<Request> parse_request(std::string_view url, const std::vector<std::string>& headers) {
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) {
    const std::string name = lower(url.substr(0, scheme));
    if (name != "http" && name != "https") return Error{"\"" + name + "\" is not http or https"};
    url.remove_prefix(scheme + 3);
  }
  const size_t end = std::min(url.find_first_of("/?#"), url.size());
  std::string_view authority = url.substr(0, end);
  std::string_view path = url.substr(end);
  path = path.substr(0, std::min(path.find_first_of("?#"), path.size()));
  const size_t user = authority.rfind('@');
  if (user != std::string_view::npos) authority.remove_prefix(user + 1);
  Request request;
  std::string host(authority);
  for (const std::string& header : headers) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos || colon == 0) {
      return Error{"\"" + header + "\" is no header; one is \"Name: value\""};
    }
    const std::string_view name = trimmed(std::string_view(header).substr(0, colon));
    if (lower(name) == "host") host = trimmed(std::string_view(header).substr(colon + 1));
  }
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
    host.resize(colon);
  }
  if (host.ends_with('.')) host.pop_back();
  request.host = lower(host);
  request.path =
      normalise_path(path.empty() ? "/" : path, &request.refusal, &request.has_encoded_slash);
  return request;
}

}  // namespace millrace::explain
