// The authority of a request: uri-host [ ":" port ] (RFC 9112 3.2, RFC 3986 3.2).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"

namespace millrace::http {

struct Authority {
  std::array<char, host_bytes_max + 1>& host_text;  // lower case, no trailing dot (H15)
  uint8_t& host_bytes;
  uint16_t& port;  // 0: none given, or given as empty
};

// Accepts a registered name of letters, digits, "-", "_", "~" in labels that are not empty, an IPv4
// address (a name by its syntax), or an IPv6 address in brackets. Refuses user information,
// percent-encoding, sub-delims, IPvFuture and zones: no Ingress host can match them. False: `out`
// is not to be read.
bool parse_authority(std::string_view text, Authority out);

// The address inside the brackets: RFC 3986 3.2.2 "IPv6address".
bool is_ipv6_address(std::string_view text);

}  // namespace millrace::http
