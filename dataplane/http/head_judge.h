// What the fields of a head decide, judged one by one as they come, and the head when they are
// over. Only the cases that nearly every head has are inline.
#pragma once

#include <cstring>

#include "dataplane/http/field_semantics.h"
#include "dataplane/http/host.h"
#include "dataplane/http/message.h"

namespace millrace::http {

// "keep-alive" in any case, as two words that overlap. The hyphen is left out of the folding, which
// would make one of a CR.
inline bool is_keep_alive(std::string_view text) {
  constexpr uint64_t fold = 0x2020202020202020;
  uint64_t front;
  uint64_t back;
  if (text.size() != 10) return false;
  std::memcpy(&front, text.data(), sizeof front);
  std::memcpy(&back, text.data() + 2, sizeof back);
  front |= fold & ~(uint64_t{0x20} << 32);
  back |= fold & ~(uint64_t{0x20} << 16);
  return front == 0x696c612d7065656bU && back == 0x6576696c612d7065U;  // "keep-ali", "ep-alive"
}

inline constexpr size_t usual_length_digits_max = 18;  // always below content_length_max
static_assert(content_length_max > 999'999'999'999'999'999);

// What nearly every field that is judged says: the connection is kept, or a length of few digits.
// False: nothing was decided.
inline bool take_usual(const Field& field, Semantics& semantics) {
  const std::string_view value = field.value();
  if (field.known == FieldName::connection) {
    if (!is_keep_alive(value) || semantics.connection_options != 0) return false;
    semantics.connection_options = 1;
    semantics.has_keep_alive = true;
    return true;
  }
  if (field.known != FieldName::content_length || semantics.has_content_length ||
      value.size() - 1 >= usual_length_digits_max) {
    return false;
  }
  uint64_t length = 0;
  for (const char c : value) {
    const unsigned digit = static_cast<uint8_t>(c) - unsigned{'0'};
    if (digit > 9) return false;
    length = length * 10 + digit;
  }
  semantics.has_content_length = true;
  semantics.content_length = length;
  return true;
}

class RequestJudge {
 public:
  explicit RequestJudge(RequestHead& out) : out_(out) {}

  // For a field with is_parsed_field(known).
  HeadError judge(const Field& field) {
    return take_usual(field, semantics_) ? HeadError::none : take_other(field);
  }

  // Where a caller who knows how puts a Host that is nothing but a host; nullptr if this one is not
  // to be taken so. Then take_host() instead of judge().
  char* host_text() {
    return has_host_ || out_.form == TargetForm::absolute ? nullptr : out_.host_text.data();
  }
  void take_host(size_t host_bytes) {
    has_host_ = true;
    out_.host_bytes = static_cast<uint8_t>(host_bytes);
    out_.port = 0;
  }

  // RFC 9112 6.3, in its order.
  HeadError conclude() {
    if (!has_host_ && out_.version == Version::http_1_1) return HeadError::host_missing;
    out_.framing = BodyFraming::none();
    if (semantics_.has_transfer_encoding) {
      // RFC 9112 6.1 lets a server choose one of the two. The next hop may choose the other.
      if (semantics_.has_content_length) return HeadError::framing_ambiguous;
      if (out_.version == Version::http_1_0) return HeadError::transfer_encoding_in_http_1_0;
      out_.framing = BodyFraming::chunked();
    } else if (semantics_.has_content_length) {
      out_.framing = BodyFraming::content_length(semantics_.content_length);
    }
    out_.keep_alive = wants_keep_alive(out_.version, semantics_);
    out_.expects_continue =
        has_expect_ && out_.version == Version::http_1_1 && !out_.framing.is_empty();
    if (semantics_.has_nominations) mark_nominated_fields(out_.fields);
    out_.has_cdn_loop = has_cdn_loop_;
    out_.upgrade = {};
    if (semantics_.upgrade_lines != 0 && out_.version == Version::http_1_1 &&
        out_.framing.is_empty()) {
      out_.upgrade = tunnel_protocol(semantics_, out_.fields);
    }
    return HeadError::none;
  }

 private:
  HeadError take_any_host(std::string_view value);
  HeadError take_other(const Field& field);

  RequestHead& out_;
  Semantics semantics_;
  bool has_host_ = false;
  bool has_expect_ = false;
  bool has_cdn_loop_ = false;
};

// The same for a response; what concerns only requests is carried through.
class ResponseJudge {
 public:
  ResponseJudge(ResponseHead& out, Method request_method)
      : out_(out), request_method_(request_method) {}

  HeadError judge(const Field& field) {
    return take_usual(field, semantics_) ? HeadError::none : take_other(field);
  }
  char* host_text() { return nullptr; }
  void take_host(size_t) {}

  // RFC 9112 6.3, in its order.
  HeadError conclude() {
    if (semantics_.has_transfer_encoding) {
      if (semantics_.has_content_length) return HeadError::framing_ambiguous;
      if (out_.version == Version::http_1_0) return HeadError::transfer_encoding_in_http_1_0;
    }
    out_.has_content_length = semantics_.has_content_length;
    out_.content_length = semantics_.content_length;
    out_.framing = framing();
    out_.keep_alive = wants_keep_alive(out_.version, semantics_) &&
                      out_.framing.kind != BodyFraming::Kind::until_close;
    if (semantics_.has_nominations) mark_nominated_fields(out_.fields);
    out_.upgrade =
        out_.status == 101 ? tunnel_protocol(semantics_, out_.fields) : std::string_view();
    return HeadError::none;
  }

 private:
  BodyFraming framing() const {
    if (request_method_ == Method::head || out_.status < 200 || out_.status == 204 ||
        out_.status == 304) {
      return BodyFraming::none();
    }
    if (semantics_.has_transfer_encoding) return BodyFraming::chunked();
    if (semantics_.has_content_length) {
      return BodyFraming::content_length(semantics_.content_length);
    }
    return BodyFraming::until_close();
  }

  HeadError take_other(const Field& field);

  ResponseHead& out_;
  const Method request_method_;
  Semantics semantics_;
};

}  // namespace millrace::http
