// What an HTTP/1.x head means once it was understood (RFC 9110, RFC 9112). A head is parsed into
// these structures, the received bytes are dropped, and what is sent is written from them.
//
// Ownership: fields, method, path, query and reason are views INTO the bytes given to the parser
// and live exactly as long as those bytes stay where they are. The host is a copy inside the head.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/http/field_names.h"

namespace millrace::http {

inline constexpr size_t fields_max = 128;             // lines in one field section
inline constexpr size_t head_bytes_max = 64 * 1024;   // start line, fields and the empty line
inline constexpr size_t line_bytes_max = 16 * 1024;   // one line with its CRLF
inline constexpr size_t target_bytes_max = 8192;      // RFC 9112 3 asks for at least 8,000
inline constexpr size_t method_bytes_max = 32;        // the longest registered one has 17
inline constexpr size_t host_bytes_max = 255;         // a name in presentation form, RFC 1035 2.3.4
inline constexpr size_t connection_options_max = 16;  // elements of all Connection fields together
inline constexpr size_t upgrade_bytes_max = 31;       // the name of a protocol that may be a tunnel
inline constexpr uint64_t content_length_max = INT64_MAX;

// RFC 9110 9.3 and RFC 5789; everything else that is a token is `other` and keeps its text.
enum class Method : uint8_t {
  other,
  get,
  head,
  post,
  put,
  delete_,
  connect,
  options,
  trace,
  patch
};

// A request may be sent again only if its method is idempotent (RFC 9110 9.2.2).
constexpr bool is_idempotent(Method method) {
  switch (method) {
    case Method::get:
    case Method::head:
    case Method::put:
    case Method::delete_:
    case Method::options:
    case Method::trace: return true;
    default: return false;
  }
}

// Minor versions above 1 are handled as 1.1 (RFC 9110 2.5); other major versions are refused.
enum class Version : uint8_t { http_1_0, http_1_1 };

// RFC 9112 3.2. The authority form belongs to CONNECT, which is refused.
enum class TargetForm : uint8_t { origin, absolute, asterisk };

// How the end of a body is found (RFC 9112 6.3). `until_close` exists for responses only.
struct BodyFraming {
  enum class Kind : uint8_t { none, content_length, chunked, until_close };
  Kind kind = Kind::none;
  uint64_t length = 0;  // bytes; only for content_length

  static constexpr BodyFraming none() { return {}; }
  static constexpr BodyFraming content_length(uint64_t bytes) {
    return {Kind::content_length, bytes};
  }
  static constexpr BodyFraming chunked() { return {Kind::chunked, 0}; }
  static constexpr BodyFraming until_close() { return {Kind::until_close, 0}; }
  // No byte of payload can follow.
  constexpr bool is_empty() const {
    return kind == Kind::none || (kind == Kind::content_length && length == 0);
  }
  bool operator==(const BodyFraming&) const = default;
};

// One field line. Name and value are offsets from the start of its line, so that 128 of them cost
// two kilobytes and the array needs no initialisation.
struct Field {
  const char* line;
  uint16_t name_bytes;
  uint16_t value_offset;
  uint16_t value_bytes;
  FieldName known;
  uint8_t flags;

  static constexpr uint8_t has_underscore_flag = 1;
  static constexpr uint8_t is_nominated_flag = 2;
  static constexpr uint8_t is_canonical_flag = 4;
  static constexpr uint8_t is_judged_flag = 0x80;  // the parser's own: see vector_head.h
  // H33: many origins take `_` for `-`, so such a name could be an alias; not sent on in requests.
  bool has_underscore() const { return (flags & has_underscore_flag) != 0; }
  // H14: a Connection field lists it, so it ends at this hop.
  bool is_nominated() const { return (flags & is_nominated_flag) != 0; }
  // The line as received is octet for octet what would be written for this name and value: name,
  // ": ", a value that is not empty, CRLF. Such lines may be copied whole.
  bool is_canonical() const { return (flags & is_canonical_flag) != 0; }
  // Of a canonical line, its end included.
  size_t line_bytes() const { return size_t{value_offset} + value_bytes + 2; }
  std::string_view name() const { return {line, name_bytes}; }
  std::string_view value() const { return {line + value_offset, value_bytes}; }  // OWS trimmed
};
static_assert(sizeof(Field) == 16);

// A field section in the order of arrival: all of its lines, each where the one before it ends.
struct Fields {
  uint32_t count;
  std::array<Field, fields_max> lines;

  std::span<const Field> all() const { return {lines.data(), count}; }
  // The first of that name, or nullptr. A walk: for what the parser has not already decided.
  const Field* find(FieldName name) const;
};

// Why a head was refused. Sentences and statuses: head_parser.h.
enum class HeadError : uint8_t {
  none,
  line_end_invalid,
  request_line_malformed,
  method_too_long,
  method_not_allowed,
  connect_unsupported,
  target_invalid,
  target_too_long,
  version_unsupported,
  status_line_malformed,
  field_line_folded,
  field_name_invalid,
  field_value_invalid,
  field_line_too_long,
  fields_too_many,
  head_too_large,
  host_missing,
  host_duplicate,
  host_invalid,
  content_length_invalid,
  content_length_duplicate,
  transfer_encoding_invalid,
  transfer_encoding_unsupported,
  transfer_encoding_duplicate,
  transfer_encoding_in_http_1_0,
  framing_ambiguous,
  connection_invalid,
  connection_nominates_protected,
  expectation_unsupported,
};
inline constexpr size_t head_error_count =
    static_cast<size_t>(HeadError::expectation_unsupported) + 1;

// A request that may be routed. Uninitialised until a parse answered `complete`.
struct RequestHead {
  HeadError error;
  Method method;
  Version version;
  TargetForm form;
  bool keep_alive;        // the client wants to go on after this exchange (RFC 9112 9.3)
  bool expects_continue;  // Expect: 100-continue on HTTP/1.1 with a body to come (RFC 9110 10.1.1)
  bool has_query;         // "?" was there, even with nothing behind it
  bool has_cdn_loop;      // at least one CDN-Loop field (H36)
  uint8_t host_bytes;     // 0: an HTTP/1.0 request without Host
  uint16_t port;          // of Host or of the absolute target; 0: none given
  BodyFraming framing;
  std::string_view method_text;
  std::string_view path;   // begins with "/", or is "*"; percent-encoding untouched
  std::string_view query;  // without "?"
  // The protocol that the client wants to go on with (H21); empty: none, or none that we let
  // through. Never on HTTP/1.0 nor with a body.
  std::string_view upgrade;
  // The start line as received, if it is octet for octet what would be written for this head (with
  // HTTP/1.1 and the target in origin form), its line end included; else empty.
  std::string_view canonical_line;
  Fields fields;
  std::array<char, host_bytes_max + 1> host_text;

  // Lower case, without port and without the trailing dot (H15); IPv6 literals keep their brackets.
  std::string_view host() const { return {host_text.data(), host_bytes}; }
};

// A response of an origin, in the light of the request's method.
struct ResponseHead {
  HeadError error;
  Version version;
  bool keep_alive;          // the origin's connection may be used again after the body
  bool has_content_length;  // declared, also where there is no body (HEAD, 304)
  uint16_t status;          // 100 to 999
  uint64_t content_length;  // bytes, if has_content_length
  BodyFraming framing;      // of the body that follows on the wire
  std::string_view reason;
  std::string_view upgrade;         // of a 101: what the connection becomes; else empty
  std::string_view canonical_line;  // as in RequestHead
  Fields fields;

  // 1xx: another head follows (RFC 9110 15.2). 101 ends HTTP on the connection: the caller refuses
  // it where nobody asked for that protocol.
  bool is_informational() const { return status < 200; }
};

}  // namespace millrace::http
