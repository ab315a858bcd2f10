// Requests as bytes with what each is taken for and what the origin gets to see: the tables, one
// file a part of the head, and what they are written with. request_head_test.cc runs them.
#pragma once

#include <string>
#include <vector>

#include "dataplane/http/head_writer.h"
#include "dataplane/http/message.h"

namespace millrace::http::testing {

struct RequestCase {
  std::string name;
  std::string in;
  HeadError error = HeadError::none;
  // If there is none:
  std::string line;     // of the canonical request
  std::string host;     // ditto
  std::string fields;   // ditto, with line ends
  std::string framing;  // ditto, with line end
};

inline const ForwardingFields forwarding{"192.0.2.7", "http", "203.0.113.1"};

inline std::string canonical(const RequestCase& of) {
  return of.line + " HTTP/1.1\r\nHost: " + of.host + "\r\n" + of.fields +
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " + of.host +
         "\r\nX-Real-IP: 192.0.2.7\r\n" + of.framing + "\r\n";
}

inline RequestCase ok(std::string name, std::string in, std::string line = "GET /",
                      std::string host = "a", std::string fields = "", std::string framing = "") {
  return {name, in, HeadError::none, line, host, fields, framing};
}
inline RequestCase bad(std::string name, std::string in, HeadError error) {
  return {name, in, error, "", "", "", ""};
}
// A GET with these field lines besides Host.
inline std::string get(const std::string& lines) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}
inline std::string post(const std::string& lines) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}
inline std::string hosted(const std::string& value) {
  return "GET / HTTP/1.1\r\nHost:" + value + "\r\n\r\n";
}
inline std::string bytes(size_t count, char c) {
  return std::string(count, c);
}
inline std::string hex(unsigned value) {
  const char* digits = "0123456789abcdef";
  return {digits[value >> 4], digits[value & 15]};
}

using E = HeadError;

using RequestCases = std::vector<RequestCase>;
// request_line_cases.cc
void add_start_lines(RequestCases& to);
void add_line_ends(RequestCases& to);
void add_hosts(RequestCases& to);
void add_targets(RequestCases& to);
// request_field_cases.cc
void add_names(RequestCases& to);
void add_values(RequestCases& to);
void add_limits(RequestCases& to);
void add_upgrades(RequestCases& to);
void add_connections(RequestCases& to);
// request_framing_cases.cc
void add_content_lengths(RequestCases& to);
void add_transfer_encodings(RequestCases& to);

}  // namespace millrace::http::testing
