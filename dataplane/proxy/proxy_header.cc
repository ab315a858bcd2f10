#include "dataplane/proxy/proxy_header.h"

#include <array>
#include <charconv>
#include <cstring>

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

namespace {

constexpr std::string_view unknown_1 = "PROXY UNKNOWN\r\n";

bool is_ipv6(std::string_view address) {
  return address.find(':') != std::string_view::npos;
}

// Texts one behind the other; nothing more once one has not fitted.
class Line {
 public:
  explicit Line(ByteSpan output) : output_(output) {}
  Line& operator<<(std::string_view text) {
    if (text.size() > output_.size() - bytes_) fits_ = false;
    if (!fits_) return *this;
    std::memcpy(output_.data() + bytes_, text.data(), text.size());
    bytes_ += text.size();
    return *this;
  }
  Line& operator<<(uint16_t number) {
    std::array<char, 5> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    return *this << std::string_view(digits.data(), end);
  }
  size_t bytes() const { return fits_ ? bytes_ : 0; }

 private:
  ByteSpan output_;
  size_t bytes_ = 0;
  bool fits_ = true;
};

size_t write_version_1(const ProxyHeaderEnd& client, const ProxyHeaderEnd& server,
                       ByteSpan output) {
  Line line(output);
  line << signature_1 << (is_ipv6(client.address) ? "TCP6 " : "TCP4 ") << client.address << " "
       << server.address << " " << client.port << " " << server.port << "\r\n";
  return line.bytes();
}

// The addresses' octets; false: one of them is none of this family.
template <class Address>
bool store_addresses(const ProxyHeaderEnd& client, const ProxyHeaderEnd& server, uint8_t* to,
                     size_t addresses_bytes) {
  const size_t ports_at = addresses_bytes - 4;
  const auto from = Address::parse(client.address);
  const auto at = Address::parse(server.address);
  if (!from || !at) return false;
  from->store(to);
  at->store(to + ports_at / 2);
  store_be16(to + ports_at, client.port);
  store_be16(to + ports_at + 2, server.port);
  return true;
}

size_t write_version_2(const ProxyHeaderEnd& client, const ProxyHeaderEnd& server, bool is_known,
                       ByteSpan output) {
  const bool ipv6 = is_ipv6(client.address);
  size_t length = !is_known ? 0 : ipv6 ? ipv6_addresses_bytes : ipv4_addresses_bytes;
  if (output.size() < fixed_bytes + length) return 0;
  uint8_t* const addresses = output.data() + fixed_bytes;
  const bool stored =
      is_known && (ipv6 ? store_addresses<Ipv6Address>(client, server, addresses, length)
                        : store_addresses<Ipv4Address>(client, server, addresses, length));
  if (!stored) length = 0;
  std::memcpy(output.data(), signature_2.data(), signature_2.size());
  output[command_at] = command_proxy;
  output[family_at] = !stored ? 0 : ipv6 ? tcp_over_ipv6 : tcp_over_ipv4;
  store_be16(output.data() + length_at, static_cast<uint16_t>(length));
  return fixed_bytes + length;
}

}  // namespace

namespace {

// An IPv4 address beside an IPv6 one (RFC 4291 section 2.5.5.2), in `text`.
ProxyHeaderEnd mapped(const ProxyHeaderEnd& end,
                      std::array<char, Ipv6Address::text_bytes_max>& text) {
  constexpr std::string_view prefix = "::ffff:";
  std::memcpy(text.data(), prefix.data(), prefix.size());
  std::memcpy(text.data() + prefix.size(), end.address.data(), end.address.size());
  return {{text.data(), prefix.size() + end.address.size()}, end.port};
}

}  // namespace

size_t write_proxy_header(int version, const ProxyHeaderEnd& client, const ProxyHeaderEnd& server,
                          ByteSpan output) {
  if (client.address.empty()) {
    return version == 2 ? write_version_2(client, server, false, output)
                        : (Line(output) << unknown_1).bytes();
  }
  std::array<char, Ipv6Address::text_bytes_max> text;
  const bool client_is_ipv6 = is_ipv6(client.address);
  const bool differ = client_is_ipv6 != is_ipv6(server.address);
  const ProxyHeaderEnd from = differ && !client_is_ipv6 ? mapped(client, text) : client;
  const ProxyHeaderEnd to = differ && client_is_ipv6 ? mapped(server, text) : server;
  return version == 2 ? write_version_2(from, to, true, output) : write_version_1(from, to, output);
}

}  // namespace millrace::proxy
