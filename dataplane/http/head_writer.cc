#include "dataplane/http/head_writer.h"

#include "base/check.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/head_output.h"

namespace millrace::http {
namespace {

using Kind = BodyFraming::Kind;

// H34: what we insert ourselves must not be able to end a line.
bool is_visible_ascii(std::string_view text) {
  uint8_t classes = 0;
  for (char c : text) classes |= char_classes[static_cast<uint8_t>(c)];
  return (classes & not_target) == 0;
}

void write_host(const RequestHead& head, std::string_view fallback, HeadOutput& output) {
  if (head.host_bytes == 0) {
    output.text(fallback);
    return;
  }
  output.text(head.host());
  if (head.port != 0) {
    output.octet(':');
    output.decimal(head.port);
  }
}

void write_content_length(uint64_t length, HeadOutput& output) {
  output.text("Content-Length: ");
  output.decimal(length);
  output.text("\r\n");
}

// RFC 9110 8.6: methods that anticipate content say so even when there is none. It also leaves an
// origin nothing to guess about where such a request ends.
bool anticipates_content(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch;
}

void write_request_framing(const RequestHead& head, HeadOutput& output) {
  switch (head.framing.kind) {
    case Kind::chunked: output.text("Transfer-Encoding: chunked\r\n"); break;
    case Kind::content_length: write_content_length(head.framing.length, output); break;
    case Kind::none:
      if (anticipates_content(head.method)) output.text("Content-Length: 0\r\n");
      break;
    case Kind::until_close: CHECK(head.framing.kind != Kind::until_close); break;
  }
}

bool has_no_framing_field(uint16_t status) {
  return status < 200 || status == 204;
}

void write_response_framing(const ResponseHead& head, BodyFraming framing, HeadOutput& output) {
  if (has_no_framing_field(head.status)) return;  // RFC 9110 8.6, RFC 9112 6.1
  switch (framing.kind) {
    case Kind::chunked: output.text("Transfer-Encoding: chunked\r\n"); break;
    case Kind::content_length: write_content_length(framing.length, output); break;
    case Kind::none:  // HEAD and 304 tell the length of what they do not carry
      if (head.has_content_length) write_content_length(head.content_length, output);
      break;
    case Kind::until_close: break;
  }
}

void write_connection(Version client_version, bool keep_alive, HeadOutput& output) {
  if (!keep_alive) {
    output.text("Connection: close\r\n");
  } else if (client_version == Version::http_1_0) {
    output.text("Connection: keep-alive\r\n");
  }
}

void write_date(std::string_view date, HeadOutput& output) {
  if (date.empty()) return;
  CHECK(date.size() == http_date_bytes);
  output.text("Date: ");
  output.text(date);
  output.text("\r\n");
}

}  // namespace

size_t write_request_head(const RequestHead& head, const ForwardingFields& forwarding,
                          ByteSpan bytes) {
  CHECK(is_visible_ascii(forwarding.client_address) && is_visible_ascii(forwarding.scheme) &&
        is_visible_ascii(forwarding.fallback_host));
  HeadOutput output(bytes);
  output.text(head.method_text);
  output.octet(' ');
  output.text(head.path);
  if (head.has_query) {
    output.octet('?');
    output.text(head.query);
  }
  output.text(" HTTP/1.1\r\nHost: ");
  write_host(head, forwarding.fallback_host, output);
  output.text("\r\n");
  for (const Field& field : head.fields.all()) {
    const bool ends_here = field.known >= FieldName::forwarded;  // by the order of FieldName
    if (!ends_here && !field.has_underscore() && !field.is_nominated()) output.field(field);
  }
  output.text("X-Forwarded-For: ");
  output.text(forwarding.client_address);
  output.text("\r\nX-Forwarded-Proto: ");
  output.text(forwarding.scheme);
  output.text("\r\nX-Forwarded-Host: ");
  write_host(head, forwarding.fallback_host, output);
  output.text("\r\nX-Real-IP: ");
  output.text(forwarding.client_address);
  output.text("\r\n");
  write_request_framing(head, output);
  output.text("\r\n");
  return output.written();
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
                           ByteSpan bytes) {
  CHECK(!options.keep_alive || options.framing.kind != Kind::until_close);
  HeadOutput output(bytes);
  output.text("HTTP/1.1 ");  // our own version, to a client of any (RFC 9110 2.5)
  output.decimal(head.status);
  output.octet(' ');
  output.text(head.reason);
  output.text("\r\n");
  bool has_date = false;
  bool has_server = false;
  for (const Field& field : head.fields.all()) {
    if (is_hop_by_hop(field.known) || field.is_nominated()) continue;
    has_date |= field.known == FieldName::date;
    has_server |= field.known == FieldName::server;
    output.field(field);
  }
  if (!head.is_informational()) {
    if (!has_date) write_date(options.date, output);
    if (!has_server) output.text("Server: millrace\r\n");
    write_response_framing(head, options.framing, output);
    write_connection(options.client_version, options.keep_alive, output);
  }
  output.text("\r\n");
  return output.written();
}

std::string_view local_reply_text(uint16_t status) {
  switch (status) {
    case 400: return "400 Bad Request\n";
    case 404: return "404 Not Found\n";
    case 405: return "405 Method Not Allowed\n";
    case 408: return "408 Request Timeout\n";
    case 413: return "413 Content Too Large\n";
    case 414: return "414 URI Too Long\n";
    case 417: return "417 Expectation Failed\n";
    case 431: return "431 Request Header Fields Too Large\n";
    case 500: return "500 Internal Server Error\n";
    case 501: return "501 Not Implemented\n";
    case 502: return "502 Bad Gateway\n";
    case 503: return "503 Service Unavailable\n";
    case 504: return "504 Gateway Timeout\n";
    case 505: return "505 HTTP Version Not Supported\n";
    default: return {};
  }
}

size_t write_local_reply(const LocalReply& reply, ByteSpan bytes) {
  const std::string_view body = local_reply_text(reply.status);
  CHECK(!body.empty());
  HeadOutput output(bytes);
  output.text("HTTP/1.1 ");
  output.text(body.substr(0, body.size() - 1));
  output.text("\r\n");
  write_date(reply.date, output);
  output.text("Server: millrace\r\nContent-Type: text/plain\r\n");
  write_content_length(body.size(), output);
  if (reply.status == 405) {
    output.text("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
  }
  write_connection(reply.client_version, reply.keep_alive, output);
  output.text("\r\n");
  if (!reply.to_head_request) output.text(body);
  return output.written();
}

}  // namespace millrace::http
