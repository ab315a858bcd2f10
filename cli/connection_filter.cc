#include "cli/connection_filter.h"

#include <algorithm>
#include <cctype>

#include "base/address.h"
#include "base/ipv6_address.h"

namespace millrace::cli {
namespace {

constexpr uint32_t address_bits = 128;
constexpr uint32_t mapped_bits = 96;  // of ::ffff:0:0/96, which IPv4 addresses stand in

// An address or a prefix, without a port.
std::optional<EndFilter> parse_addresses(const std::string& text) {
  EndFilter end;
  const bool has_length = text.find('/') != std::string::npos;
  if (text.find(':') == std::string::npos) {
    const auto prefix = Ipv4Prefix::parse(has_length ? text : text + "/32");
    if (!prefix) return std::nullopt;
    end.address[10] = end.address[11] = 0xff;
    prefix->address.store(&end.address[12]);
    end.prefix_bits = mapped_bits + prefix->length;
    return end;
  }
  const auto prefix = Ipv6Prefix::parse(has_length ? text : text + "/128");
  if (!prefix) return std::nullopt;
  end.address = prefix->address.octets();
  end.prefix_bits = prefix->length;
  return end;
}

// Takes ":80" off the end, where it is a port and no part of an IPv6 address.
std::optional<EndFilter> parse_with_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  const auto port = parse_decimal(text.substr(colon + 1), UINT16_MAX);
  if (!port || *port == 0) return std::nullopt;
  std::string address = text.substr(0, colon);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  std::optional<EndFilter> end = address.empty() ? EndFilter{} : parse_addresses(address);
  if (end) end->port = static_cast<uint16_t>(*port);
  return end;
}

bool has_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return false;
  return text.find(':') == colon || (colon > 0 && text[0] == '[' && text[colon - 1] == ']');
}

}  // namespace

bool EndFilter::matches(const shm::ConnectionRecord::Address& other, uint16_t other_port) const {
  if (port && *port != other_port) return false;
  for (uint32_t bit = 0; bit < std::min(prefix_bits, address_bits); bit += 8) {
    const uint32_t left = std::min(prefix_bits - bit, 8U);
    const uint32_t mask = 0xffU << (8 - left) & 0xffU;
    if (((address[bit / 8] ^ other[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

Result<EndFilter> parse_end(const std::string& text) {
  const auto end = has_port(text) ? parse_with_port(text) : parse_addresses(text);
  if (!end) {
    return Error{"\"" + text + "\" is no address, prefix, address:port or :port"};
  }
  return *end;
}

Result<shm::ConnectionState> parse_state(const std::string& text) {
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto& names = shm::connection_state_names;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return Error{"\"" + text + "\" is no state of RFC 9293"};
  return static_cast<shm::ConnectionState>(found - names.begin());
}

bool ConnectionFilter::matches(const shm::ConnectionRecord& record) const {
  if (state && static_cast<uint8_t>(*state) != record.state) return false;
  if (local && !local->matches(record.local_address, record.local_port)) return false;
  return !remote || remote->matches(record.remote_address, record.remote_port);
}

}  // namespace millrace::cli
