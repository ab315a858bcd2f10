#include "dataplane/http/forwarding.h"

#include <algorithm>

#include "dataplane/http/char_class.h"

namespace millrace::http {
namespace {

bool is_white_space(char c) {
  return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_white_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_white_space(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the last element of a list off it (RFC 9110 section 5.6.1). Empty: it was empty.
std::string_view take_last(std::string_view& list) {
  const size_t comma = list.rfind(',');
  const std::string_view last =
      trimmed(comma == std::string_view::npos ? list : list.substr(comma + 1));
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(0, comma);
  return last;
}

// The address in an element: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80.
// Empty: there is none.
std::string_view address_in(std::string_view element) {
  if (!element.empty() && element.front() == '[') {
    const size_t end = element.find(']');
    if (end == std::string_view::npos) return {};
    const std::string_view behind = element.substr(end + 1);
    if (!behind.empty() && (behind.front() != ':' || !parse_port(behind.substr(1)))) return {};
    element = element.substr(1, end - 1);
    return Ipv6Address::parse(element) ? element : std::string_view{};
  }
  const size_t colon = element.find(':');
  if (colon != std::string_view::npos && parse_port(element.substr(colon + 1)) &&
      Ipv4Address::parse(element.substr(0, colon))) {
    return element.substr(0, colon);
  }
  const bool is_address = Ipv4Address::parse(element) || Ipv6Address::parse(element);
  return is_address ? element : std::string_view{};
}

}  // namespace

bool TrustedProxies::contains(std::string_view address) const {
  if (const auto v4 = Ipv4Address::parse(address)) {
    return std::any_of(ipv4.begin(), ipv4.end(),
                       [&](const Ipv4Prefix& prefix) { return prefix.contains(*v4); });
  }
  const auto v6 = Ipv6Address::parse(address);
  if (v6 && v6->is_ipv4_mapped()) {
    std::array<char, Ipv4Address::text_bytes_max> text;
    const size_t bytes = Ipv4Address::load(&v6->octets()[12]).write_text(text.data());
    return contains({text.data(), bytes});
  }
  return v6 && std::any_of(ipv6.begin(), ipv6.end(),
                           [&](const Ipv6Prefix& prefix) { return prefix.contains(*v6); });
}

ForwardedChain read_forwarded_for(const Fields& fields) {
  ForwardedChain chain;
  const auto lines = fields.all();
  size_t first = ForwardedChain::hops_max;  // filled from the back
  bool known = true;
  for (size_t i = lines.size(); i > 0 && known; --i) {
    const Field& line = lines[i - 1];
    if (line.known != FieldName::x_forwarded_for || line.has_underscore()) continue;
    for (std::string_view list = line.value(); !list.empty() && known && first > 0;) {
      const std::string_view element = take_last(list);
      if (element.empty()) continue;
      const std::string_view address = address_in(element);
      known = !address.empty();
      if (known) chain.hops[--first] = address;
    }
  }
  std::move(chain.hops.begin() + static_cast<long>(first), chain.hops.end(), chain.hops.begin());
  chain.count = ForwardedChain::hops_max - first;
  return chain;
}

std::string_view client_of(const ForwardedChain& chain, std::string_view peer,
                           const TrustedProxies& trusted) {
  for (size_t i = chain.count; i > 0; --i) {
    if (!trusted.contains(chain.hops[i - 1])) return chain.hops[i - 1];
  }
  return chain.count == 0 ? peer : chain.hops[0];
}

std::string_view only_value(const Fields& fields, FieldName name) {
  std::string_view value;
  size_t lines = 0;
  for (const Field& field : fields.all()) {
    if (field.known != name || field.has_underscore()) continue;
    value = field.value();
    ++lines;
  }
  return lines == 1 ? value : std::string_view{};
}

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= request_id_bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) {
           const char letter = static_cast<char>(c | 0x20);
           return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_' || c == '.';
         });
}

std::optional<uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  uint32_t port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port > UINT16_MAX) return std::nullopt;
  return static_cast<uint16_t>(port);
}

std::optional<uint32_t> take_max_forwards(Fields& fields) {
  constexpr size_t digits_max = 9;  // fits; no way has more hops
  const std::string_view value = only_value(fields, FieldName::max_forwards);
  if (value.empty() || value.size() > digits_max) return std::nullopt;
  uint32_t hops = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    hops = hops * 10 + static_cast<uint32_t>(c - '0');
  }
  for (Field& field : std::span(fields.lines.data(), fields.count)) {
    if (field.known == FieldName::max_forwards) field.flags |= Field::is_nominated_flag;
  }
  return hops;
}

bool has_passed(const Fields& fields, std::string_view loop_id) {
  for (const Field& field : fields.all()) {
    if (field.known != FieldName::cdn_loop) continue;
    for (std::string_view list = field.value(); !list.empty();) {
      std::string_view element = take_last(list);
      element = trimmed(element.substr(0, element.find(';')));  // without its parameters
      if (equals_ignoring_case(element, loop_id)) return true;
    }
  }
  return false;
}

}  // namespace millrace::http
