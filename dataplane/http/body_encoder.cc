#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/http/body_framing.h"

namespace millrace::http {
namespace {

size_t hex_digits(uint64_t value) {
  return value == 0 ? 1 : (67 - static_cast<size_t>(__builtin_clzll(value))) / 4;
}

// "1f4" CRLF, as short as it can be.
size_t write_chunk_size(uint64_t value, uint8_t* to) {
  const size_t digits = hex_digits(value);
  for (size_t i = digits; i-- > 0; value >>= 4) {
    to[i] = static_cast<uint8_t>("0123456789abcdef"[value & 15]);
  }
  to[digits] = '\r';
  to[digits + 1] = '\n';
  return digits + 2;
}

}  // namespace

void BodyEncoder::start(BodyFraming framing) {
  kind_ = framing.kind;
  is_finished_ = false;
  switch (kind_) {
    case BodyFraming::Kind::none: left_ = 0; break;
    case BodyFraming::Kind::content_length: left_ = framing.length; break;
    case BodyFraming::Kind::chunked:
    case BodyFraming::Kind::until_close: left_ = UINT64_MAX; break;
  }
}

BodyEncoder::Result BodyEncoder::prefix(size_t payload_bytes, ByteSpan output) {
  if (payload_bytes == 0) return {};
  if (payload_bytes > left_ || is_finished_) return {Status::overrun, 0, 0};
  if (kind_ == BodyFraming::Kind::content_length) left_ -= payload_bytes;
  if (kind_ != BodyFraming::Kind::chunked) return {};
  if (output.size() < hex_digits(payload_bytes) + 2) return {Status::no_room, 0, 0};
  return {Status::ok, 0, write_chunk_size(payload_bytes, output.data())};
}

BodyEncoder::Result BodyEncoder::suffix(ByteSpan output) {
  if (kind_ != BodyFraming::Kind::chunked) return {};
  if (output.size() < 2) return {Status::no_room, 0, 0};
  output[0] = '\r';
  output[1] = '\n';
  return {Status::ok, 0, 2};
}

BodyEncoder::Result BodyEncoder::encode(ByteView payload, ByteSpan output) {
  if (payload.empty()) return {};
  // Before any of it is written: what is too long must not leave in pieces either.
  if (payload.size() > left_ || is_finished_) return {Status::overrun, 0, 0};
  const bool chunked = kind_ == BodyFraming::Kind::chunked;
  // With as many digits as the output's own size has, header, payload and CRLF always fit.
  const size_t around = chunked ? hex_digits(output.size()) + 4 : 0;
  if (output.size() <= around) return {Status::no_room, 0, 0};
  const size_t taken = std::min(payload.size(), output.size() - around);
  const Result before = prefix(taken, output);
  CHECK(before.status == Status::ok);
  std::memcpy(output.data() + before.written, payload.data(), taken);
  const Result behind = suffix(output.subspan(before.written + taken));
  CHECK(behind.status == Status::ok);
  return {Status::ok, taken, before.written + taken + behind.written};
}

BodyEncoder::Result BodyEncoder::finish(ByteSpan output) {
  if (is_finished_) return {};
  if (kind_ == BodyFraming::Kind::content_length && left_ != 0) return {Status::underrun, 0, 0};
  size_t written = 0;
  if (kind_ == BodyFraming::Kind::chunked) {
    if (output.size() < last_chunk_bytes) return {Status::no_room, 0, 0};
    std::memcpy(output.data(), "0\r\n\r\n", last_chunk_bytes);
    written = last_chunk_bytes;
  }
  is_finished_ = true;
  return {Status::ok, 0, written};
}

}  // namespace millrace::http
