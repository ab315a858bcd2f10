// Writes heads from what was understood: canonical line ends, one framing field, nothing that was
// meant for another hop (RFC 9110 7.6.1, RFC 9112 3 and 4).
//
// Every function answers the number of bytes written, or 0 if the output is too small; then the
// output's content means nothing, as what stands behind the written bytes never does. With a few
// hundred bytes to spare (head_growth_bytes_max and 16 are always enough) writing is quickest. A
// head that was parsed from n bytes never needs more than n + head_growth_bytes_max (for requests,
// plus the sizes of the ForwardingFields).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/message.h"

namespace millrace::http {

// Most bytes a head can grow by on its way through. A request: Host of an absolute target (8 +
// 261), X-Forwarded-Host (20 + 261), the other three names (54), X-Forwarded-Port (25), the names
// of X-Request-ID, CDN-Loop and Max-Forwards (52), Forwarded (52 + 261), Content-Length: 0 (19),
// the path "/" (1). A response: Date (37), Server (18), Transfer-Encoding (28), Connection (24), a
// space in the status line (1), Set-Cookie (111). Either: a space behind each of 128 colons.
inline constexpr size_t head_growth_bytes_max = 1280;

// What we tell the origin about the client (H33). Texts are ours, or come from validated routes;
// they must consist of visible ASCII, which is checked again here (H34).
struct ForwardingFields {
  // Who the request comes from: for X-Forwarded-For, behind those whom it came by, and, unless
  // real_address says otherwise, for X-Real-IP. "192.0.2.7", "2001:db8::1".
  std::string_view client_address;
  std::string_view scheme;  // "http" or "https", for X-Forwarded-Proto
  // Host for an HTTP/1.0 client that sent none: the address that it connected to.
  std::string_view fallback_host;
  uint16_t port = 0;              // for X-Forwarded-Port; 0: no such field
  std::string_view request_id{};  // for X-Request-ID, instead of the client's; empty: that goes on
  std::string_view loop_id{};     // for one more CDN-Loop field (RFC 8586); empty: none
  std::optional<uint32_t> max_forwards = std::nullopt;  // instead of what take_max_forwards() took
  bool writes_forwarded = false;  // Forwarded (RFC 7239) beside the fields above

  // What a trusted proxy has said; nothing of a stranger.
  const ForwardedChain* before = nullptr;  // for X-Forwarded-For and Forwarded
  std::string_view real_address{};         // for X-Real-IP
  std::string_view host{};                 // for X-Forwarded-Host, instead of Host
  bool passes_other_fields = false;        // X-Forwarded-Prefix and the like
};

// The most that the texts of these fields take in a head, beside head_growth_bytes_max.
size_t bytes_of(const ForwardingFields& forwarding);

// The request as the origin gets it: HTTP/1.1, origin form, Host from the target's authority,
// fields in their order without those of this hop, of other proxies and with underscores in their
// name. Framing follows head.framing: a chunked body is chunked again, by us. No Connection field,
// for the origin's connection is kept, unless the client wants to go on with another protocol.
size_t write_request_head(const RequestHead& head, const ForwardingFields& forwarding,
                          ByteSpan output);

// How the body of this response goes to a client of this version: HTTP/1.1 gets chunks where the
// length is unknown, HTTP/1.0 knows none and gets the end of the connection.
BodyFraming client_framing(const ResponseHead& head, Version client_version);

struct ResponseOptions {
  Version client_version = Version::http_1_1;
  bool keep_alive = true;  // after this exchange; must be false if framing is until_close
  BodyFraming framing;     // from client_framing()
  std::string_view date;   // IMF-fixdate, for origins that sent no Date (RFC 9110 6.6.1)
  // A Set-Cookie of ours (RFC 6265 section 4.1) beside the origin's; an empty name: none. Both of
  // visible ASCII.
  std::string_view cookie_name{};
  std::string_view cookie_value{};
};

// The response as the client gets it, final or informational. Content-Length of HEAD and 304 stays
// as the origin declared it; 204 and 1xx have no framing field. 101 names the protocol.
size_t write_response_head(const ResponseHead& head, const ResponseOptions& options,
                           ByteSpan output);

struct LocalReply {
  uint16_t status = 500;  // one of those that local_reply_text() knows
  Version client_version = Version::http_1_1;
  bool keep_alive = false;
  bool to_head_request = false;  // the length is told, the body is not sent
  std::string_view date;         // IMF-fixdate
};
// The most that write_local_reply ever writes.
inline constexpr size_t local_reply_bytes_max = 512;

// A whole response of our own with a small text body that says nothing but the status: bytes of the
// request are never echoed (H39). 405 names the methods that are allowed (RFC 9110 15.5.6).
size_t write_local_reply(const LocalReply& reply, ByteSpan output);

// The body of our own reply: "404 Not Found" and a line end. Empty for a status that we never send.
std::string_view local_reply_text(uint16_t status);

// The interim response that asks for the body (RFC 9110 15.2.1).
inline constexpr std::string_view continue_bytes = "HTTP/1.1 100 Continue\r\n\r\n";

inline constexpr size_t http_date_bytes = 29;
// "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 5.6.7). For the years 1970 to 9999;
// anything outside is clamped. Once a second is enough.
void format_http_date(int64_t unix_seconds, std::span<char, http_date_bytes> output);

}  // namespace millrace::http
