#include "dataplane/proxy/proxy_header.h"

#include "base/address.h"
#include "dataplane/http/forwarding.h"

namespace millrace::proxy {
namespace {

// ---- version 1: one line of text ---------------------------------------------------------------

constexpr std::string_view signature_1 = "PROXY ";
constexpr size_t line_bytes_max = 107;  // with its CRLF

// Takes the text up to the next single space, or all that is left.
std::string_view take_word(std::string_view& line) {
  const size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  return word;
}

void put(const Ipv4Address& address, ProxyHeader& out) {
  out.client_bytes = static_cast<uint8_t>(address.write_text(out.client_text.data()));
}

// An IPv4 client of a balancer that listens on IPv6 is an IPv4 client (RFC 4291 section 2.5.5.2).
void put(const Ipv6Address& address, ProxyHeader& out) {
  if (address.is_ipv4_mapped()) {
    put(Ipv4Address::load(&address.octets()[12]), out);
    return;
  }
  out.client_bytes = static_cast<uint8_t>(address.write_text(out.client_text.data()));
}

template <class Address>
bool take_addresses(std::string_view source, std::string_view destination, ProxyHeader& out) {
  const auto from = Address::parse(source);
  if (!from || !Address::parse(destination)) return false;
  put(*from, out);
  return true;
}

// What stands behind "PROXY ", without the line end.
ProxyHeaderStatus read_words(std::string_view line, ProxyHeader& out) {
  const std::string_view family = take_word(line);
  if (family == "UNKNOWN") return ProxyHeaderStatus::complete;  // whatever else the line says
  if (family != "TCP4" && family != "TCP6") return ProxyHeaderStatus::malformed;
  const bool ipv6 = family == "TCP6";
  const std::string_view source = take_word(line);
  const std::string_view destination = take_word(line);
  const auto source_port = http::parse_port(take_word(line));
  const auto destination_port = http::parse_port(line);
  if (!source_port || !destination_port) return ProxyHeaderStatus::malformed;
  const bool taken = ipv6 ? take_addresses<Ipv6Address>(source, destination, out)
                          : take_addresses<Ipv4Address>(source, destination, out);
  if (!taken) return ProxyHeaderStatus::malformed;
  out.client_port = *source_port;
  return ProxyHeaderStatus::complete;
}

ProxyHeaderStatus read_version_1(std::string_view text, ProxyHeader& out, size_t& consumed) {
  const size_t end = text.substr(0, line_bytes_max).find("\r\n");
  if (end == std::string_view::npos) {
    return text.size() >= line_bytes_max ? ProxyHeaderStatus::malformed
                                         : ProxyHeaderStatus::partial;
  }
  consumed = end + 2;
  return read_words(text.substr(signature_1.size(), end - signature_1.size()), out);
}

// ---- version 2: binary -------------------------------------------------------------------------

constexpr std::string_view signature_2 = {"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr size_t fixed_bytes = 16;
constexpr size_t command_at = 12;
constexpr size_t family_at = 13;
constexpr size_t length_at = 14;
constexpr uint8_t command_local = 0x20;
constexpr uint8_t command_proxy = 0x21;
constexpr uint8_t tcp_over_ipv4 = 0x11;
constexpr uint8_t tcp_over_ipv6 = 0x21;
constexpr size_t ipv4_addresses_bytes = 12;
constexpr size_t ipv6_addresses_bytes = 36;

// addresses: what the fixed part is followed by.
ProxyHeaderStatus read_addresses(uint8_t family, ByteView addresses, ProxyHeader& out) {
  if (family == tcp_over_ipv4) {
    if (addresses.size() < ipv4_addresses_bytes) return ProxyHeaderStatus::malformed;
    put(Ipv4Address::load(addresses.data()), out);
    out.client_port = load_be16(&addresses[8]);
  } else if (family == tcp_over_ipv6) {
    if (addresses.size() < ipv6_addresses_bytes) return ProxyHeaderStatus::malformed;
    put(Ipv6Address::load(addresses.data()), out);
    out.client_port = load_be16(&addresses[32]);
  }
  return ProxyHeaderStatus::complete;
}

ProxyHeaderStatus read_version_2(ByteView input, ProxyHeader& out, size_t& consumed) {
  if (input.size() < fixed_bytes) return ProxyHeaderStatus::partial;
  const uint8_t command = input[command_at];
  if (command != command_local && command != command_proxy) return ProxyHeaderStatus::malformed;
  const size_t length = load_be16(&input[length_at]);
  if (fixed_bytes + length > proxy_header_bytes_max) return ProxyHeaderStatus::malformed;
  if (input.size() < fixed_bytes + length) return ProxyHeaderStatus::partial;
  consumed = fixed_bytes + length;
  if (command == command_local) return ProxyHeaderStatus::complete;
  return read_addresses(input[family_at], input.subspan(fixed_bytes, length), out);
}

bool begins_like(std::string_view text, std::string_view signature) {
  return text.substr(0, signature.size()) == signature.substr(0, text.size());
}

}  // namespace

ProxyHeaderStatus read_proxy_header(ByteView input, ProxyHeader& out, size_t& consumed) {
  out.client_bytes = 0;
  out.client_port = 0;
  const std::string_view text = as_text(input);
  if (begins_like(text, signature_1)) {
    return text.size() < signature_1.size() ? ProxyHeaderStatus::partial
                                            : read_version_1(text, out, consumed);
  }
  if (begins_like(text, signature_2)) {
    return text.size() < signature_2.size() ? ProxyHeaderStatus::partial
                                            : read_version_2(input, out, consumed);
  }
  return ProxyHeaderStatus::malformed;
}

}  // namespace millrace::proxy
