// The PROXY protocol's header, versions 1 and 2: what a load balancer says, before anything else on
// a connection, about who has connected to it. Read from octets that may still be arriving, and
// written for endpoints that ask for it; nothing is kept.
//
// Source: "The PROXY protocol", versions 1 and 2, by W. Tarreau (haproxy.org,
// doc/proxy-protocol.txt), sections 2.1 and 2.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/ipv6_address.h"

namespace millrace::proxy {

// Version 1 has 107 octets at most. Version 2 says its length; what is behind the addresses (TLVs)
// is skipped, and a header that is longer than this is refused.
inline constexpr size_t proxy_header_bytes_max = 4096;

enum class ProxyHeaderStatus : uint8_t {
  complete,
  partial,    // so far it may become one
  malformed,  // it never will
};

struct ProxyHeader {
  // 0: the balancer speaks for itself (LOCAL: a health check) or does not know (UNKNOWN, another
  // family than TCP over IPv4 or IPv6): the connection's own addresses count.
  uint8_t client_bytes = 0;
  std::array<char, Ipv6Address::text_bytes_max> client_text;
  uint16_t client_port = 0;

  std::string_view client() const { return {client_text.data(), client_bytes}; }
};

// consumed: octets of the header, when complete.
ProxyHeaderStatus read_proxy_header(ByteView input, ProxyHeader& out, size_t& consumed);

// One end of the connection that is told about: an address as text, of either family.
struct ProxyHeaderEnd {
  std::string_view address;
  uint16_t port = 0;
};

// What write_proxy_header() writes at most.
inline constexpr size_t written_proxy_header_bytes_max = 107;

// version: 1 or 2. Octets written; 0: there is no room. Of ends of two families the IPv4 one is
// written as an IPv6 address; without a client's address the header says that it does not know.
size_t write_proxy_header(int version, const ProxyHeaderEnd& client, const ProxyHeaderEnd& server,
                          ByteSpan output);

}  // namespace millrace::proxy
