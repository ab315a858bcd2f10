// Where a body ends: taking bodies off the wire and putting them on it (RFC 9112 6 and 7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "dataplane/http/message.h"

namespace millrace::http {

inline constexpr size_t chunk_size_digits_max = 16;
inline constexpr size_t chunk_ext_bytes_max = 4096;  // of one body, all chunks together (H12)
inline constexpr size_t trailer_bytes_max = 8192;    // of one body, line ends included (H13)
inline constexpr size_t trailer_fields_max = 64;

enum class BodyError : uint8_t {
  none,
  chunk_size_invalid,
  chunk_size_too_large,
  chunk_ext_invalid,
  chunk_ext_too_long,
  chunk_end_invalid,  // no CRLF where the chunk's data had to end
  trailer_invalid,
  trailer_too_large,
};
std::string_view sentence(BodyError error);

// Takes a body apart. Chunk extensions and trailers are validated and dropped.
//
//   for (;;) {
//     auto step = decoder.step(input);
//     input = input.subspan(step.consumed);  use(step.payload);
//     if (step.status != BodyDecoder::Status::progress) break;
//   }
class BodyDecoder {
 public:
  enum class Status : uint8_t {
    need_more,  // all input was used and the body goes on
    progress,   // call again with the rest of the input
    finished,   // the body ended with `consumed`; what follows is another message
    error,      // error() says why; the connection cannot be used any more
  };
  struct Step {
    size_t consumed = 0;  // bytes of input that were used, payload included
    ByteView payload;     // a part of the input; may come with `finished`
    Status status = Status::need_more;
  };

  // A decoder that was not started is finished.
  void start(BodyFraming framing);
  Step step(ByteView input);
  // Several steps at once, as far as the input goes: where that are several pieces of payload, they
  // are copied to `place` one behind the other. place: room for as many octets as the input has.
  // What stands before an error comes with it.
  Step gather(ByteView input, uint8_t* place);

  bool is_finished() const { return phase_ == Phase::finished; }
  // The peer ended the connection here: is the body whole? Only a body without declared length may
  // end so; anything else is truncated (H24).
  bool is_whole_at_end_of_stream() const {
    return phase_ == Phase::finished || phase_ == Phase::until_close;
  }
  BodyError error() const { return error_; }

 private:
  enum class Phase : uint8_t {
    finished,
    error,
    content_length,
    until_close,
    // Chunked, in wire order.
    size_first,
    size,
    ext_name_start,
    ext_name,
    ext_name_space,
    ext_value_start,
    ext_value,
    ext_quoted,
    ext_quoted_pair,
    ext_value_end,
    ext_value_space,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
  };
  static constexpr size_t phase_count = static_cast<size_t>(Phase::last_lf) + 1;
  static constexpr bool is_in_ext(Phase phase) {
    return phase >= Phase::ext_name_start && phase <= Phase::ext_value_space;
  }
  static constexpr bool is_in_trailer(Phase phase) {
    return phase >= Phase::trailer_start && phase <= Phase::last_lf;
  }
  struct Grammar;

  Step step_chunked(ByteView input);
  bool take_plain_chunk(ByteView input, Step& step);
  size_t take_framing(ByteView input);
  void take_size(uint8_t octet);
  void take_size_end(uint8_t octet);
  size_t take_ext(ByteView input);
  size_t take_trailer(ByteView input);
  void fail(BodyError error);

  uint64_t left_ = 0;  // of the body or of the chunk, bytes
  uint16_t ext_bytes_ = 0;
  uint16_t trailer_bytes_ = 0;
  uint8_t size_digits_ = 0;
  uint8_t trailer_fields_ = 0;
  Phase phase_ = Phase::finished;
  BodyError error_ = BodyError::none;
};
static_assert(sizeof(BodyDecoder) <= 32);

// What a chunk costs around its payload: up to 16 hexadecimal digits and CRLF before, CRLF behind.
inline constexpr size_t chunk_overhead_bytes_max = chunk_size_digits_max + 2 + 2;
// The last chunk without trailers: "0" CRLF CRLF.
inline constexpr size_t last_chunk_bytes = 5;

// Puts a body on the wire with our own framing, and holds it to what the head has declared: a
// message that says one length and carries another is how two requests become three.
class BodyEncoder {
 public:
  enum class Status : uint8_t {
    ok,
    no_room,   // nothing was written; come back with more room
    overrun,   // more payload than declared: none of it was written
    underrun,  // the end came before the declared length: abort the connection, do not end it
               // cleanly
  };
  struct Result {
    Status status = Status::ok;
    size_t consumed = 0;  // payload bytes taken
    size_t written = 0;   // bytes put into the output
  };

  // An encoder that was not started carries no body.
  void start(BodyFraming framing);

  // Copies as much payload as fits, framed (one chunk a call if chunked). Empty payload writes
  // nothing: an empty chunk would be the end.
  Result encode(ByteView payload, ByteSpan output);

  // For a caller that puts the payload into place itself: prefix, then exactly that payload, then
  // suffix. Both write nothing unless chunked. `prefix` accounts for the payload.
  Result prefix(size_t payload_bytes, ByteSpan output);
  Result suffix(ByteSpan output);

  // The payload is over: writes the last chunk, checks the length. A second call does nothing.
  Result finish(ByteSpan output);

  // Bytes of payload that may still come; UINT64_MAX if no length was declared.
  uint64_t payload_bytes_left() const { return left_; }
  // Most bytes a call of encode() adds to its payload.
  size_t overhead_bytes() const {
    return kind_ == BodyFraming::Kind::chunked ? chunk_overhead_bytes_max : 0;
  }
  bool is_finished() const { return is_finished_; }

 private:
  uint64_t left_ = 0;
  BodyFraming::Kind kind_ = BodyFraming::Kind::none;
  bool is_finished_ = false;
};

}  // namespace millrace::http
