// For this room's tests and fuzz target: heads as comparable text, and a body taken off the wire.
#pragma once

#include <string>
#include <vector>

#include "dataplane/http/body_framing.h"
#include "dataplane/http/head_parser.h"
#include "tests/support/guard_page.h"

namespace millrace::http::testing {

inline std::string describe(const Fields& fields) {
  std::string text;
  for (const Field& field : fields.all()) {
    text += std::string(field.name()) + "=<" + std::string(field.value()) + "> " +
            std::to_string(static_cast<int>(field.known)) + (field.has_underscore() ? "_" : "") +
            (field.is_nominated() ? "!" : "") + "\n";
  }
  return text;
}

inline std::string describe(BodyFraming framing) {
  return std::to_string(static_cast<int>(framing.kind)) + ":" + std::to_string(framing.length);
}

// Everything that a complete head says.
inline std::string describe(const RequestHead& head) {
  return std::string(head.method_text) + "(" + std::to_string(static_cast<int>(head.method)) +
         ") form " + std::to_string(static_cast<int>(head.form)) + " version " +
         std::to_string(static_cast<int>(head.version)) + " host " + std::string(head.host()) +
         " port " + std::to_string(head.port) + " path " + std::string(head.path) +
         (head.has_query ? " query " : " no query ") + std::string(head.query) + " framing " +
         describe(head.framing) + (head.keep_alive ? " keep-alive" : " close") +
         (head.expects_continue ? " expects\n" : "\n") + describe(head.fields);
}

inline std::string describe(const ResponseHead& head) {
  return std::to_string(head.status) + " <" + std::string(head.reason) + "> version " +
         std::to_string(static_cast<int>(head.version)) + " framing " + describe(head.framing) +
         (head.has_content_length ? " declared " + std::to_string(head.content_length) : "") +
         (head.keep_alive ? " keep-alive\n" : " close\n") + describe(head.fields);
}

// What one call answered; equal texts are equal answers.
inline std::string answer_text(ParseStatus status, HeadError error, size_t consumed,
                               const std::string& head) {
  switch (status) {
    case ParseStatus::partial: return "partial";
    case ParseStatus::error: return "error: " + std::string(sentence(error));
    case ParseStatus::complete: break;
  }
  return std::to_string(consumed) + " bytes: " + head;
}

// Everything that a parser may do with the same input: at each level of the machine, with and
// without room behind the input.
struct Manner {
  VectorLevel level = vector_level_max();
  Readable readable{};
};
inline constexpr size_t frame_room_bytes = 64;

inline std::vector<Manner> all_manners() {
  std::vector<Manner> manners;
  for (unsigned level = 0; level <= static_cast<unsigned>(vector_level_max()); ++level) {
    manners.push_back({static_cast<VectorLevel>(level), Readable{}});
    manners.push_back({static_cast<VectorLevel>(level), Readable{frame_room_bytes}});
  }
  return manners;
}

// The two parsers behind one shape.
struct RequestParser {
  Manner manner{};
  std::string operator()(ByteView input, HeadScan* scan = nullptr) const {
    RequestHead head;
    size_t consumed = 0;
    const ParseStatus status =
        parse_request_head_at(manner.level, input, head, consumed, scan, manner.readable);
    return answer_text(status, head.error, consumed,
                       status == ParseStatus::complete ? describe(head) : "");
  }
};

struct ResponseParser {
  Method request_method = Method::get;
  Manner manner{};
  std::string operator()(ByteView input, HeadScan* scan = nullptr) const {
    ResponseHead head;
    size_t consumed = 0;
    const ParseStatus status = parse_response_head_at(manner.level, input, request_method, head,
                                                      consumed, scan, manner.readable);
    return answer_text(status, head.error, consumed,
                       status == ParseStatus::complete ? describe(head) : "");
  }
};

// A prefix of `whole` at the very end of memory, or, for who may read behind it, in front of the
// octets that follow it in `whole` (the worst that could lie there) and of filling.
inline ByteView place_prefix(millrace::testing::GuardPage& page, std::string_view whole,
                             size_t size, Readable readable) {
  std::string frame(whole.substr(0, size + readable.bytes_behind));
  frame.resize(size + readable.bytes_behind, '\n');
  return page.place(frame).first(size);
}

// A whole body, fed in pieces of `piece_bytes`: payload, how it ended, how much was used.
struct DecodedBody {
  std::string payload;
  BodyDecoder::Status status = BodyDecoder::Status::need_more;
  BodyError error = BodyError::none;
  size_t consumed = 0;
  bool operator==(const DecodedBody&) const = default;
};

inline void decode_piece(BodyDecoder& decoder, ByteView piece, DecodedBody& out) {
  for (;;) {
    const BodyDecoder::Step step = decoder.step(piece);
    out.consumed += step.consumed;
    out.payload += as_text(step.payload);
    out.status = step.status;
    out.error = decoder.error();
    piece = piece.subspan(step.consumed);
    if (step.status != BodyDecoder::Status::progress) return;
  }
}

inline DecodedBody decode(BodyFraming framing, ByteView input, size_t piece_bytes) {
  BodyDecoder decoder;
  decoder.start(framing);
  DecodedBody out;
  if (input.empty()) decode_piece(decoder, input, out);
  while (!input.empty()) {
    const size_t bytes = input.size() < piece_bytes ? input.size() : piece_bytes;
    decode_piece(decoder, input.first(bytes), out);
    if (out.status != BodyDecoder::Status::need_more) break;
    input = input.subspan(bytes);
  }
  return out;
}

}  // namespace millrace::http::testing
