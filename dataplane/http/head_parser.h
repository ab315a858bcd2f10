// Parses HTTP/1.x heads, strictly (RFC 9112 2 to 6; rows H1 to H17 of docs/testing).
//
// Stateless: the input is everything received since the last message ended, contiguous. Only whole
// lines are judged, so an answer depends on the bytes and not on how they were cut: each prefix of
// an input answers `partial`, until the first that answers something else, and that answer stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "dataplane/http/message.h"

namespace millrace::http {

enum class ParseStatus : uint8_t {
  complete,  // `out` is valid and `consumed` bytes belong to the head
  partial,   // more bytes are needed; `out` means nothing
  error,  // out.error says why; nothing else in `out` may be read, and the connection has to close
};

// What the last call that answered `partial` has seen, so that a head that arrives byte by byte
// costs linear time. Zero at the start of each message; it never changes an answer. The same bytes
// must be passed again with more behind them (they may have moved).
struct HeadScan {
  uint32_t bytes_seen = 0;
  uint32_t line_start = 0;
};

// How far memory behind the input may be read, whatever is in it (it decides nothing). A received
// frame has room behind its text; with 64 octets the end of a head need not be copied to be looked
// at in vectors.
struct Readable {
  size_t bytes_behind = 0;
};

// A request head. One empty line before it is tolerated (RFC 9112 2.2) and counted in `consumed`.
ParseStatus parse_request_head(ByteView input, RequestHead& out, size_t& consumed,
                               HeadScan* scan = nullptr, Readable readable = {});

// A response head. `request_method` decides whether a body follows (RFC 9112 6.3). Every error is
// the origin's: the client gets 502 or, in the middle of a body, the end of its connection.
ParseStatus parse_response_head(ByteView input, Method request_method, ResponseHead& out,
                                size_t& consumed, HeadScan* scan = nullptr, Readable readable = {});

// How a parse may look at octets. Every machine chooses the most that it has, once, at start; the
// answers are the same.
enum class VectorLevel : uint8_t {
  off,       // one octet after the other, one line after the other: what all others agree with
  portable,  // eight octets in a word
  sse2,
  avx2,
};
VectorLevel vector_level_max();

// The same at a level up to vector_level_max(), for tests and measurements.
ParseStatus parse_request_head_at(VectorLevel level, ByteView input, RequestHead& out,
                                  size_t& consumed, HeadScan* scan = nullptr,
                                  Readable readable = {});
ParseStatus parse_response_head_at(VectorLevel level, ByteView input, Method request_method,
                                   ResponseHead& out, size_t& consumed, HeadScan* scan = nullptr,
                                   Readable readable = {});

// The status of the local reply to a request refused for this reason: 400, 405, 414, 417, 431, 501
// or 505.
uint16_t reply_status(HeadError error);
// One sentence for logs and counters. Never contains bytes of the message (H39).
std::string_view sentence(HeadError error);

}  // namespace millrace::http
