// What a head costs, for instruments that count instructions:
//   valgrind --tool=callgrind --toggle-collect='measured_*' head_parser_bench [runs]
// Each measured_ function runs once a round; divide by the rounds.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_writer.h"

using namespace millrace;
using namespace millrace::http;

namespace {

// Both stand in a frame with room behind them, as they are received.
constexpr Readable frame_room{64};
ByteView head_of(const std::string& frame) {
  return as_bytes(frame).first(frame.size() - frame_room.bytes_behind);
}

const std::string request =
    "GET /api/v1/catalog/items?page=2&sort=name HTTP/1.1\r\n"
    "Host: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    "Accept: text/html,application/xhtml+xml\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0\r\n"
    "X-Trace: 7f3a\r\n\r\n" +
    std::string(frame_room.bytes_behind, 'x');

const std::string response =
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx\r\n"
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/html\r\n"
    "Content-Length: 612\r\n"
    "Connection: keep-alive\r\n"
    "ETag: \"64e5\"\r\n\r\n" +
    std::string(frame_room.bytes_behind, 'x');

}  // namespace

#define MEASURED extern "C" __attribute__((noinline, used))

MEASURED void measured_parse_request(RequestHead& head, size_t& consumed) {
  CHECK(parse_request_head(head_of(request), head, consumed, nullptr, frame_room) ==
        ParseStatus::complete);
}
// The same where memory ends with the head.
MEASURED void measured_parse_request_without_room(RequestHead& head, size_t& consumed) {
  CHECK(parse_request_head(head_of(request), head, consumed) == ParseStatus::complete);
}
MEASURED void measured_parse_request_sse2(RequestHead& head, size_t& consumed) {
  CHECK(parse_request_head_at(VectorLevel::sse2, head_of(request), head, consumed, nullptr,
                              frame_room) == ParseStatus::complete);
}
MEASURED void measured_parse_request_portable(RequestHead& head, size_t& consumed) {
  CHECK(parse_request_head_at(VectorLevel::portable, head_of(request), head, consumed, nullptr,
                              frame_room) == ParseStatus::complete);
}
MEASURED void measured_parse_request_off(RequestHead& head, size_t& consumed) {
  CHECK(parse_request_head_at(VectorLevel::off, head_of(request), head, consumed, nullptr,
                              frame_room) == ParseStatus::complete);
}
MEASURED void measured_parse_response_without_room(ResponseHead& head, size_t& consumed) {
  CHECK(parse_response_head(head_of(response), Method::get, head, consumed) ==
        ParseStatus::complete);
}
MEASURED void measured_parse_response(ResponseHead& head, size_t& consumed) {
  CHECK(parse_response_head(head_of(response), Method::get, head, consumed, nullptr, frame_room) ==
        ParseStatus::complete);
}
MEASURED size_t measured_write_request(const RequestHead& head, ByteSpan output) {
  return write_request_head(head, {"192.0.2.7", "http", "203.0.113.1"}, output);
}
MEASURED size_t measured_write_response(const ResponseHead& head, ByteSpan output) {
  ResponseOptions options;
  options.framing = client_framing(head, Version::http_1_1);
  options.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  return write_response_head(head, options, output);
}

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 1000;
  RequestHead request_head;
  ResponseHead response_head;
  size_t consumed = 0;
  std::vector<uint8_t> output(4096);
  size_t written = 0;
  for (int i = 0; i < runs; ++i) {
    measured_parse_request(request_head, consumed);
    written += measured_write_request(request_head, output);
    measured_parse_response(response_head, consumed);
    written += measured_write_response(response_head, output);
    measured_parse_request_without_room(request_head, consumed);
    measured_parse_response_without_room(response_head, consumed);
    if (vector_level_max() >= VectorLevel::sse2) {
      measured_parse_request_sse2(request_head, consumed);
    }
    measured_parse_request_portable(request_head, consumed);
    measured_parse_request_off(request_head, consumed);
  }
  std::printf("%d rounds: request head %zu octets, response head %zu octets, %zu written\n", runs,
              head_of(request).size(), head_of(response).size(), written);
  return 0;
}
