#include "dataplane/http/head_writer.h"

#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "dataplane/http/head_output.h"

namespace millrace::http {
namespace {

using Kind = BodyFraming::Kind;

template <class Output>
void write_host(const RequestHead& head, std::string_view fallback, Output& output) {
  if (head.host_bytes == 0) {
    output.inserted_text(fallback);
    return;
  }
  output.host(head);
  if (head.port != 0) {
    output.octet(':');
    output.decimal(head.port);
  }
}

template <class Output>
void write_content_length(uint64_t length, Output& output) {
  output.literal("Content-Length: ");
  output.decimal(length);
  output.literal("\r\n");
}

// RFC 9110 8.6: methods that anticipate content say so even when there is none. It also leaves an
// origin nothing to guess about where such a request ends.
bool anticipates_content(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch;
}

template <class Output>
void write_request_framing(const RequestHead& head, Output& output) {
  switch (head.framing.kind) {
    case Kind::chunked: output.literal("Transfer-Encoding: chunked\r\n"); break;
    case Kind::content_length: write_content_length(head.framing.length, output); break;
    case Kind::none:
      if (anticipates_content(head.method)) output.literal("Content-Length: 0\r\n");
      break;
    case Kind::until_close: CHECK(head.framing.kind != Kind::until_close); break;
  }
}

bool has_no_framing_field(uint16_t status) {
  return status < 200 || status == 204;
}

template <class Output>
void write_response_framing(const ResponseHead& head, BodyFraming framing, Output& output) {
  if (has_no_framing_field(head.status)) return;  // RFC 9110 8.6, RFC 9112 6.1
  switch (framing.kind) {
    case Kind::chunked: output.literal("Transfer-Encoding: chunked\r\n"); break;
    case Kind::content_length: write_content_length(framing.length, output); break;
    case Kind::none:  // HEAD and 304 tell the length of what they do not carry
      if (head.has_content_length) write_content_length(head.content_length, output);
      break;
    case Kind::until_close: break;
  }
}

template <class Output>
void write_connection(Version client_version, bool keep_alive, Output& output) {
  if (!keep_alive) {
    output.literal("Connection: close\r\n");
  } else if (client_version == Version::http_1_0) {
    output.literal("Connection: keep-alive\r\n");
  }
}

// RFC 9110 7.8: the protocol that the next hop is asked for, or agrees to.
template <class Output>
void write_upgrade(std::string_view protocol, Output& output) {
  if (protocol.empty()) return;
  output.literal("Connection: Upgrade\r\nUpgrade: ");
  output.text(protocol);
  output.literal("\r\n");
}

template <class Output>
void write_date(std::string_view date, Output& output) {
  if (date.empty()) return;
  CHECK(date.size() == http_date_bytes);
  output.literal("Date: ");
  output.text(date);
  output.literal("\r\n");
}

// For the whole host, out of scripts' reach, and not with requests that another site makes.
template <class Output>
void write_cookie(const ResponseOptions& options, Output& output) {
  output.literal("Set-Cookie: ");
  output.inserted_text(options.cookie_name);
  output.octet('=');
  output.inserted_text(options.cookie_value);
  output.literal("; Path=/; HttpOnly; SameSite=Lax\r\n");
}

// A field that goes on as it stands: its flags are canonical and nothing else. `names_end`: the
// first name that does not go on.
bool is_sent_whole(const Field& field, FieldName names_end) {
  uint16_t known_and_flags;
  static_assert(offsetof(Field, flags) == offsetof(Field, known) + 1);
  std::memcpy(&known_and_flags, &field.known, sizeof known_and_flags);
  const unsigned above = known_and_flags - (unsigned{Field::is_canonical_flag} << 8);
  return above < static_cast<unsigned>(names_end);
}

// Writes the lines that are sent whole, as many at a time as follow each other, behind `line` (or
// nothing) if that is in front of them. Calls note(name) for each, and visit(field) for all others.
template <class Output, class Note, class Visit>
void write_lines(std::string_view line, const Fields& fields, FieldName names_end, Output& output,
                 Note note, Visit visit) {
  const Field* field = fields.lines.data();
  const Field* const end = field + fields.count;
  const char* from = line.data();
  const char* to = from + line.size();
  for (;;) {
    const Field* const first = field;
    while (field != end && is_sent_whole(*field, names_end)) {
      note(field->known);
      ++field;
    }
    if (field != first) {
      if (from == nullptr) from = first->line;
      to = field[-1].line + field[-1].line_bytes();
    }
    if (from != nullptr) output.lines(from, to);
    from = nullptr;
    if (field == end) return;
    do {
      visit(*field);
      ++field;
    } while (field != end && !is_sent_whole(*field, names_end));
  }
}

template <class Output>
void write_request_line(const RequestHead& head, Output& output) {
  if (!head.canonical_line.empty()) {
    output.lines(head.canonical_line.data(),
                 head.canonical_line.data() + head.canonical_line.size());
    return;
  }
  output.text(head.method_text);
  output.octet(' ');
  output.text(head.path);
  if (head.has_query) {
    output.octet('?');
    output.text(head.query);
  }
  output.literal(" HTTP/1.1\r\n");
}

// RFC 7239 section 6: an IPv6 address is quoted and in brackets.
template <class Output>
void write_forwarded_node(std::string_view address, Output& output) {
  const bool ipv6 = address.find(':') != std::string_view::npos;
  output.literal("for=");
  if (ipv6) output.literal("\"[");
  output.inserted_text(address);
  if (ipv6) output.literal("]\"");
}

// Every hop, and with the last one, ours, what it was asked for. A host is quoted, for it may have
// a port or brackets.
template <class Output>
void write_forwarded(const ForwardingFields& forwarding, size_t host, size_t host_end,
                     Output& output) {
  output.literal("Forwarded: ");
  for (size_t i = 0; forwarding.before != nullptr && i < forwarding.before->count; ++i) {
    write_forwarded_node(forwarding.before->hops[i], output);
    output.literal(", ");
  }
  write_forwarded_node(forwarding.client_address, output);
  output.literal(";proto=");
  output.inserted_text(forwarding.scheme);
  output.literal(";host=\"");
  output.again(host, host_end);
  output.literal("\"\r\n");
}

// What an earlier proxy has said of the client and was believed stands in front of the client's own
// address; the rest is what we have seen ourselves (H33).
template <class Output>
void write_forwarding_fields(const ForwardingFields& forwarding, size_t host, size_t host_end,
                             Output& output) {
  output.literal("X-Forwarded-For: ");
  for (size_t i = 0; forwarding.before != nullptr && i < forwarding.before->count; ++i) {
    output.inserted_text(forwarding.before->hops[i]);
    output.literal(", ");
  }
  const size_t address = output.position();
  output.inserted_text(forwarding.client_address);
  const size_t address_end = output.position();
  output.literal("\r\nX-Forwarded-Proto: ");
  output.inserted_text(forwarding.scheme);
  output.literal("\r\nX-Forwarded-Host: ");
  if (forwarding.host.empty()) {
    output.again(host, host_end);
  } else {
    output.inserted_text(forwarding.host);
  }
  if (forwarding.port != 0) {
    output.literal("\r\nX-Forwarded-Port: ");
    output.decimal(forwarding.port);
  }
  output.literal("\r\nX-Real-IP: ");
  if (forwarding.real_address.empty()) {
    output.again(address, address_end);
  } else {
    output.inserted_text(forwarding.real_address);
  }
  output.literal("\r\n");
  if (!forwarding.request_id.empty()) {
    output.literal("X-Request-ID: ");
    output.inserted_text(forwarding.request_id);
    output.literal("\r\n");
  }
  if (!forwarding.loop_id.empty()) {
    output.literal("CDN-Loop: ");
    output.inserted_text(forwarding.loop_id);
    output.literal("\r\n");
  }
  if (forwarding.max_forwards) {
    output.literal("Max-Forwards: ");
    output.decimal(*forwarding.max_forwards);
    output.literal("\r\n");
  }
  if (forwarding.writes_forwarded) write_forwarded(forwarding, host, host_end, output);
}

// Of a field that is not in the part of FieldName whose fields go on without a look.
bool goes_on(const Field& field, FieldName names_end, const ForwardingFields& forwarding) {
  if (field.has_underscore()) return false;
  if (field.known == FieldName::cdn_loop) return true;  // whoever nominates it
  if (field.is_nominated()) return false;
  return field.known < names_end ||
         (field.known == FieldName::x_forwarded_other && forwarding.passes_other_fields);
}

template <class Output>
size_t write_request(const RequestHead& head, const ForwardingFields& forwarding, Output output) {
  write_request_line(head, output);
  output.literal("Host: ");
  const size_t host = output.position();
  write_host(head, forwarding.fallback_host, output);
  const size_t host_end = output.position();
  output.literal("\r\n");
  // By the order of FieldName.
  const FieldName names_end =
      forwarding.request_id.empty() ? FieldName::forwarded : FieldName::x_request_id;
  write_lines(
      {}, head.fields, names_end, output, [](FieldName) {},
      [&](const Field& field) {
        if (goes_on(field, names_end, forwarding)) output.field(field);
      });
  write_forwarding_fields(forwarding, host, host_end, output);
  write_request_framing(head, output);
  write_upgrade(head.upgrade, output);
  output.literal("\r\n");
  return output.written();
}

constexpr uint64_t bit_of(FieldName name) {
  return uint64_t{1} << static_cast<unsigned>(name);
}
static_assert(field_name_count <= 64 + static_cast<size_t>(FieldName::date) &&
              FieldName::date < FieldName::server && static_cast<size_t>(FieldName::server) < 64);

template <class Output>
size_t write_response(const ResponseHead& head, const ResponseOptions& options, Output output) {
  if (head.canonical_line.empty()) {
    output.literal("HTTP/1.1 ");  // our own version, to a client of any (RFC 9110 2.5)
    output.three_digits(head.status);
    output.octet(' ');
    output.text(head.reason);
    output.literal("\r\n");
  }
  uint64_t seen =
      0;  // a bit a name; names from 64 on share those of the first, which nobody asks for
  const auto note = [&seen](FieldName name) {
    seen |= uint64_t{1} << (static_cast<unsigned>(name) % 64);
  };
  write_lines(head.canonical_line, head.fields, FieldName::connection, output, note,
              [&](const Field& field) {
                if (is_hop_by_hop(field.known) || field.is_nominated()) return;
                note(field.known);
                output.field(field);
              });
  if (!head.is_informational()) {
    if ((seen & bit_of(FieldName::date)) == 0) write_date(options.date, output);
    if ((seen & bit_of(FieldName::server)) == 0) output.literal("Server: millrace\r\n");
    if (!options.cookie_name.empty()) write_cookie(options, output);
    write_response_framing(head, options.framing, output);
    write_connection(options.client_version, options.keep_alive, output);
  }
  write_upgrade(head.upgrade, output);
  output.literal("\r\n");
  return output.written();
}

// What a request gets beside texts: "? HTTP/1.1" and line ends (24), names and separators of Host
// (6), the X-Forwarded- fields and X-Real-IP (115), X-Request-ID (16), CDN-Loop (12), Max-Forwards
// (26), Forwarded (45), a framing field (38), Connection and Upgrade (32).
constexpr size_t request_names_bytes_max = 320;
// Everything of a fixed size that a head may get, with room to scribble.
constexpr size_t fixed_bytes_max = head_growth_bytes_max + RoomyOutput::scribbled_bytes_max;

[[gnu::noinline]] size_t write_request_carefully(const RequestHead& head,
                                                 const ForwardingFields& forwarding,
                                                 ByteSpan output) {
  return write_request(head, forwarding, HeadOutput(output));
}
[[gnu::noinline]] size_t write_response_carefully(const ResponseHead& head,
                                                  const ResponseOptions& options, ByteSpan output) {
  return write_response(head, options, HeadOutput(output));
}

// All in one function each, so that where the next octet goes stays in a register.
[[gnu::flatten]] size_t write_request_roomily(const RequestHead& head,
                                              const ForwardingFields& forwarding,
                                              RoomyOutput output) {
  return write_request(head, forwarding, output);
}
[[gnu::flatten]] size_t write_response_roomily(const ResponseHead& head,
                                               const ResponseOptions& options, RoomyOutput output) {
  return write_response(head, options, output);
}

}  // namespace

size_t bytes_of(const ForwardingFields& forwarding) {
  const size_t once = 3 * forwarding.fallback_host.size() + 3 * forwarding.client_address.size() +
                      2 * forwarding.scheme.size() + forwarding.request_id.size() +
                      forwarding.loop_id.size() + forwarding.real_address.size() +
                      forwarding.host.size();
  return forwarding.before == nullptr ? once : once + forwarding.before->bytes_written_max();
}

size_t write_request_head(const RequestHead& head, const ForwardingFields& forwarding,
                          ByteSpan output) {
  const size_t host_bytes = head.host_bytes + size_t{6};  // and a colon and a port
  const size_t reserved = head.method_text.size() + head.path.size() + head.query.size() +
                          head.upgrade.size() + 3 * host_bytes + bytes_of(forwarding) +
                          request_names_bytes_max + RoomyOutput::scribbled_bytes_max;
  if (reserved <= output.size()) {
    const size_t written = write_request_roomily(head, forwarding, {output, reserved});
    if (written != 0) return written;
  }
  return write_request_carefully(head, forwarding, output);
}

BodyFraming client_framing(const ResponseHead& head, Version client_version) {
  switch (head.framing.kind) {
    case Kind::none:
    case Kind::content_length: return head.framing;
    case Kind::chunked:
    case Kind::until_close: break;
  }
  return client_version == Version::http_1_0 ? BodyFraming::until_close() : BodyFraming::chunked();
}

size_t write_response_head(const ResponseHead& head, const ResponseOptions& options,
                           ByteSpan output) {
  CHECK(!options.keep_alive || options.framing.kind != Kind::until_close);
  const size_t reserved = head.reason.size() + head.upgrade.size() + fixed_bytes_max;
  if (reserved <= output.size()) {
    const size_t written = write_response_roomily(head, options, {output, reserved});
    if (written != 0) return written;
  }
  return write_response_carefully(head, options, output);
}

std::string_view local_reply_text(uint16_t status) {
  switch (status) {
    case 200: return "200 OK\n";
    case 400: return "400 Bad Request\n";
    case 404: return "404 Not Found\n";
    case 405: return "405 Method Not Allowed\n";
    case 408: return "408 Request Timeout\n";
    case 413: return "413 Content Too Large\n";
    case 414: return "414 URI Too Long\n";
    case 417: return "417 Expectation Failed\n";
    case 429: return "429 Too Many Requests\n";
    case 431: return "431 Request Header Fields Too Large\n";
    case 500: return "500 Internal Server Error\n";
    case 501: return "501 Not Implemented\n";
    case 502: return "502 Bad Gateway\n";
    case 503: return "503 Service Unavailable\n";
    case 504: return "504 Gateway Timeout\n";
    case 505: return "505 HTTP Version Not Supported\n";
    case 508: return "508 Loop Detected\n";
    default: return {};
  }
}

size_t write_local_reply(const LocalReply& reply, ByteSpan bytes) {
  const std::string_view body = local_reply_text(reply.status);
  CHECK(!body.empty());
  HeadOutput output(bytes);
  output.literal("HTTP/1.1 ");
  output.text(body.substr(0, body.size() - 1));
  output.literal("\r\n");
  write_date(reply.date, output);
  output.literal("Server: millrace\r\nContent-Type: text/plain\r\n");
  write_content_length(body.size(), output);
  if (reply.status == 405 || reply.status == 200) {  // of OPTIONS, RFC 9110 section 9.3.7
    output.literal("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
  }
  write_connection(reply.client_version, reply.keep_alive, output);
  output.literal("\r\n");
  if (!reply.to_head_request) output.text(body);
  return output.written();
}

}  // namespace millrace::http
