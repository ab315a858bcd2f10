// What earlier proxies have said about a request (H33), read only where somebody is believed: the
// addresses that it came by, who of them is trusted, and whether it has been here before (H36).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/ipv6_address.h"
#include "dataplane/http/message.h"

namespace millrace::http {

// Peers whose forwarding fields, or PROXY headers, are believed.
struct TrustedProxies {
  std::vector<Ipv4Prefix> ipv4;
  std::vector<Ipv6Prefix> ipv6;

  bool is_empty() const { return ipv4.empty() && ipv6.empty(); }
  // address: as text, of either family; what is no address is not trusted.
  bool contains(std::string_view address) const;
};

// The addresses of X-Forwarded-For, first the one that is farthest away. Views of the head, each
// the text of an address: no port, no brackets.
struct ForwardedChain {
  static constexpr size_t hops_max = 16;
  std::array<std::string_view, hops_max> hops;
  size_t count = 0;

  // In X-Forwarded-For and in Forwarded, with what stands between and around them.
  size_t bytes_written_max() const {
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i) bytes += 2 * hops[i].size() + 2 + 10;
    return bytes;
  }
};

// The last hops_max elements of all lines together, from the right up to the first that is no
// address ("unknown", a name, an obfuscated one): what stands to its left cannot be told from what
// a client has made up. An element may have a port, and an IPv6 address brackets.
ForwardedChain read_forwarded_for(const Fields& fields);

// Who has sent the request: the last address that is not a trusted proxy's, or the first of all if
// each is. peer: who has connected, itself trusted; the answer when the chain is empty.
std::string_view client_of(const ForwardedChain& chain, std::string_view peer,
                           const TrustedProxies& trusted);

// What the only field of that name says; empty: there is none, or there are several.
std::string_view only_value(const Fields& fields, FieldName name);

// What may stand in X-Request-ID: letters, digits, "-", "_" and ".".
inline constexpr size_t request_id_bytes_max = 64;
bool is_request_id(std::string_view text);

// Decimal digits without a leading zero; nothing for anything else.
std::optional<uint16_t> parse_port(std::string_view text);

// The value of the only Max-Forwards field (RFC 9110 section 7.6.2), which does not go on as it is:
// the caller answers, or says one less. Nothing: there is none that could be understood.
std::optional<uint32_t> take_max_forwards(Fields& fields);

// Whether a CDN-Loop field (RFC 8586) names this hop.
bool has_passed(const Fields& fields, std::string_view loop_id);

}  // namespace millrace::http
