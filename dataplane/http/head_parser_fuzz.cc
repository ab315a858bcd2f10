// Any bytes as a request, as a response and as a chunked body. What must hold for all of them:
//  - the answer is the same whole, by pieces, and at every level of vector instructions;
//  - nothing is read beyond what may be read, which ends at a guard page;
//  - a head that was understood is written so that it is understood the same way again;
//  - a chunked body has one payload and one end, however it was cut.
// The first octet chooses how the input is cut; the rest is the input.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_testing.h"
#include "dataplane/http/head_writer.h"
#include "tests/support/guard_page.h"

namespace {

using namespace millrace;
using namespace millrace::http;
using namespace millrace::http::testing;

constexpr size_t input_bytes_max = 80 * 1024 - frame_room_bytes;

// Each prefix answers `partial` until the answer is there; then it stays.
template <class Parser>
void check_pieces(millrace::testing::GuardPage& page, std::string_view input, Parser parse,
                  Parser reference, size_t stride) {
  const Readable readable = parse.manner.readable;
  const std::string whole = reference(page.place(input));
  CHECK(parse(place_prefix(page, input, input.size(), readable)) == whole);
  HeadScan growing;
  bool is_decided = false;
  for (size_t size = 0; size <= input.size(); size += stride) {
    const ByteView prefix = place_prefix(page, input, size, readable);
    const std::string answer = parse(prefix);
    is_decided = is_decided || answer != "partial";
    CHECK(!is_decided || answer == whole);
    CHECK(parse(prefix, &growing) == answer);
  }
}

// What is written is the same with and without room to spare.
void check_exact_room(size_t written, ByteView roomy, ByteSpan exact, size_t written_exactly) {
  CHECK(written_exactly == written && exact.size() == written);
  CHECK(as_text(roomy.first(written)) == as_text(exact));
}

// The fields that go on, in the order of the wire.
template <class IsDropped>
std::string kept_fields(const Fields& fields, IsDropped is_dropped) {
  std::string text;
  for (const Field& field : fields.all()) {
    if (is_dropped(field)) continue;
    text += std::string(field.name()) + ":" + std::string(field.value()) + "\n";
  }
  return text;
}

bool is_dropped_from_request(const Field& field) {
  return field.has_underscore() || field.is_nominated() || is_forwarding_field(field.known) ||
         is_parsed_field(field.known);
}

void check_request_again(ByteView input) {
  RequestHead head;
  size_t consumed = 0;
  if (parse_request_head(input, head, consumed) != ParseStatus::complete) return;
  std::vector<uint8_t> output(consumed + 3 * head_growth_bytes_max);
  const ForwardingFields forwarding{"192.0.2.7", "http", "fallback"};
  const size_t written = write_request_head(head, forwarding, output);
  CHECK(written != 0 && written <= consumed + head_growth_bytes_max + 32);
  std::vector<uint8_t> exact(written);
  check_exact_room(written, output, exact, write_request_head(head, forwarding, exact));
  // Our own five fields may take a head at the limits beyond them.
  if (head.fields.count + 5 > fields_max || written > head_bytes_max) return;
  RequestHead again;
  size_t consumed_again = 0;
  CHECK(parse_request_head(ByteView(output).first(written), again, consumed_again) ==
        ParseStatus::complete);
  CHECK(consumed_again == written);
  CHECK(again.method_text == head.method_text && again.path == head.path);
  CHECK(again.has_query == head.has_query && again.query == head.query);
  CHECK(again.host() == (head.host_bytes == 0 ? "fallback" : head.host()));
  CHECK(again.port == head.port && again.version == Version::http_1_1 && again.keep_alive);
  CHECK(!again.expects_continue);
  CHECK(again.framing == head.framing ||
        (head.framing.kind == BodyFraming::Kind::none && again.framing.is_empty()));
  CHECK(kept_fields(again.fields, is_dropped_from_request) ==
        kept_fields(head.fields, is_dropped_from_request));
}

bool is_dropped_from_response(const Field& field) {
  return field.is_nominated() || is_hop_by_hop(field.known) || field.known == FieldName::date ||
         field.known == FieldName::server;
}

void check_response_again(ByteView input, Method method) {
  ResponseHead head;
  size_t consumed = 0;
  if (parse_response_head(input, method, head, consumed) != ParseStatus::complete) return;
  ResponseOptions options;
  options.framing = client_framing(head, Version::http_1_1);
  std::vector<uint8_t> output(consumed + 3 * head_growth_bytes_max);
  const size_t written = write_response_head(head, options, output);
  CHECK(written != 0 && written <= consumed + head_growth_bytes_max);
  std::vector<uint8_t> exact(written);
  check_exact_room(written, output, exact, write_response_head(head, options, exact));
  if (head.fields.count + 3 > fields_max || written > head_bytes_max) return;
  ResponseHead again;
  size_t consumed_again = 0;
  CHECK(parse_response_head(ByteView(output).first(written), method, again, consumed_again) ==
        ParseStatus::complete);
  CHECK(consumed_again == written);
  CHECK(again.status == head.status && again.reason == head.reason);
  CHECK(again.framing == options.framing && again.keep_alive);
  CHECK(kept_fields(again.fields, is_dropped_from_response) ==
        kept_fields(head.fields, is_dropped_from_response));
}

void check_body(millrace::testing::GuardPage& page, std::string_view input, size_t piece) {
  const ByteView placed = page.place(input);
  const DecodedBody whole = decode(BodyFraming::chunked(), placed, input.size() + 1);
  CHECK(decode(BodyFraming::chunked(), placed, piece) == whole);
  if (whole.status != BodyDecoder::Status::finished) return;
  // Our own chunks carry the same payload.
  BodyEncoder encoder;
  encoder.start(BodyFraming::chunked());
  std::vector<uint8_t> wire(whole.payload.size() * 6 + 64);
  size_t used = 0;
  std::string_view left = whole.payload;
  while (!left.empty()) {
    const BodyEncoder::Result result =
        encoder.encode(as_bytes(left.substr(0, piece)), ByteSpan(wire).subspan(used));
    CHECK(result.status == BodyEncoder::Status::ok);
    left.remove_prefix(result.consumed);
    used += result.written;
  }
  used += encoder.finish(ByteSpan(wire).subspan(used)).written;
  const DecodedBody again = decode(BodyFraming::chunked(), ByteView(wire).first(used), piece + 3);
  CHECK(again.status == BodyDecoder::Status::finished && again.payload == whole.payload);
}

// Where to begin, so that a bounded run without a corpus gets past the first line.
constexpr std::string_view seeds[] = {
    "\x01GET /a?b HTTP/1.1\r\nHost: example.com.:80\r\nUser-Agent: x\r\nConnection: close, "
    "X-Foo\r\n"
    "X-Foo: 1\r\nX_Bar: 2\r\nX-Forwarded-For: 3\r\n\r\n",
    "\x02POST http://b:81/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    "Expect: 100-continue\r\n\r\n",
    "\x03POST / HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    "\x04OPTIONS * HTTP/1.1\r\nHost: [2001:db8::192.0.2.1]:80\r\n\r\n",
    "\x05HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\nDate: y\r\nConnection: z\r\nz: "
    "1\r\n\r\n",
    "\x86HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\x31GET /catalog/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101\r\n"
    "Accept-Encoding: gzip\r\nConnection: keep-alive\r\nX-Trace: 7f3a\r\n"
    "X-Forwarded-Prefix: /a\r\nTE: trailers\r\nContent-Length:  3 \r\n\r\nabc",
    "\x2aHTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n"
    "Connection: keep-alive\r\nContent-Length: 612\r\nETag: \"64e5\"\r\nX_a:b\r\n\r\n",
    "\x07"
    "5;a=b;c=\"d\\\"\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
};

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_max);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned int random) {
  if (random % 32 == 0) {
    const std::string_view seed = seeds[random / 32 % (sizeof seeds / sizeof seeds[0])];
    if (seed.size() <= size_max) {
      std::memcpy(data, seed.data(), seed.size());
      size = seed.size();
    }
  }
  return LLVMFuzzerMutate(data, size, size_max);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static millrace::testing::GuardPage page(input_bytes_max + frame_room_bytes);
  if (size == 0 || size > input_bytes_max) return 0;
  const uint8_t choice = data[0];
  const std::string_view input = as_text(ByteView(data + 1, size - 1));
  // One choice in five cuts into many pieces, the others into three: many inputs find more than
  // many cuts of each. Long inputs come in longer pieces, so that an input costs about the same.
  const size_t pieces = choice % 5 == 0 ? 512 : 3;
  const size_t stride = 1 + choice % 7 + input.size() / pieces;
  const Method method = choice & 0x80 ? Method::head : Method::get;
  static const std::vector<Manner> manners = all_manners();
  const Manner manner = manners[choice / 7 % manners.size()];
  const Manner reference{VectorLevel::off, {}};
  check_pieces(page, input, RequestParser{manner}, RequestParser{reference}, stride);
  check_pieces(page, input, ResponseParser{method, manner}, ResponseParser{method, reference},
               stride);
  check_request_again(page.place(input));
  check_response_again(page.place(input), method);
  check_body(page, input, stride);
  return 0;
}
