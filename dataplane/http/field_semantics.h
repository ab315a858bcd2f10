// The fields that decide where a message ends and whether the connection goes on.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"

namespace millrace::http {

// What has been gathered from a field section, line by line. No views: a line that is judged may be
// a copy of the one in the head.
struct Semantics {
  uint64_t content_length = 0;
  uint32_t connection_options = 0;
  bool has_content_length = false;
  bool has_transfer_encoding = false;
  bool has_close = false;
  bool has_keep_alive = false;
  bool has_nominations = false;  // of names that are not hop-by-hop anyway
  bool has_upgrade_option = false;
  uint8_t upgrade_lines = 0;  // 2: two or more
};

enum class Direction : uint8_t { request, response };

// Each takes one line's value and answers `none` or why the message is refused.
HeadError take_content_length(std::string_view value, Semantics& semantics);     // RFC 9110 8.6
HeadError take_transfer_encoding(std::string_view value, Semantics& semantics);  // RFC 9112 6.1
// RFC 9110 7.6.1. A request that nominates a protected name is refused; an origin's nomination of
// one is ignored, because old origins list Transfer-Encoding there.
HeadError take_connection(std::string_view value, Direction direction, Semantics& semantics);

// The one protocol that an Upgrade field names and its Connection field confirms (RFC 9110 7.8), if
// it may become a tunnel; else empty: a list, several lines, a name that is too long, or a protocol
// that would be understood here if it were meant for us. Those would hide requests from us (H21).
std::string_view tunnel_protocol(const Semantics& semantics, const Fields& fields);
// protocol-name ["/" protocol-version] (RFC 9110 7.8), of upgrade_bytes_max octets at most.
bool is_short_protocol(std::string_view text);
bool is_http_or_tls(std::string_view protocol);
inline void take_upgrade(Semantics& semantics) {
  if (semantics.upgrade_lines < 2) ++semantics.upgrade_lines;
}

// Marks the fields that the Connection fields nominate; afterwards, because they may come last.
void mark_nominated_fields(Fields& fields);

// Persistence by version and connection options, RFC 9112 9.3.
inline bool wants_keep_alive(Version version, const Semantics& semantics) {
  if (semantics.has_close) return false;
  return version == Version::http_1_1 || semantics.has_keep_alive;
}

}  // namespace millrace::http
