#include <algorithm>

#include "dataplane/http/body_framing.h"
#include "dataplane/http/char_class.h"

namespace millrace::http {
namespace {

constexpr uint16_t crlf = 0x0d0a;
// Of a chunk that is taken at once; an input is never so long that it would hold a longer one.
constexpr size_t plain_size_digits_max = 6;

}  // namespace

std::string_view sentence(BodyError error) {
  switch (error) {
    case BodyError::none: return "the body is in order";
    case BodyError::chunk_size_invalid: return "a chunk size is not a hexadecimal number";
    case BodyError::chunk_size_too_large: return "a chunk size is out of range";
    case BodyError::chunk_ext_invalid: return "a chunk extension is malformed";
    case BodyError::chunk_ext_too_long: return "a body has too many octets of chunk extensions";
    case BodyError::chunk_end_invalid: return "a chunk's data does not end with CRLF";
    case BodyError::trailer_invalid: return "a trailer field is malformed";
    case BodyError::trailer_too_large: return "a trailer section is too large";
  }
  return "the body is malformed";
}

void BodyDecoder::start(BodyFraming framing) {
  *this = BodyDecoder();
  switch (framing.kind) {
    case BodyFraming::Kind::none: break;
    case BodyFraming::Kind::content_length:
      left_ = framing.length;
      if (left_ != 0) phase_ = Phase::content_length;
      break;
    case BodyFraming::Kind::chunked: phase_ = Phase::size_first; break;
    case BodyFraming::Kind::until_close: phase_ = Phase::until_close; break;
  }
}

BodyDecoder::Step BodyDecoder::step(ByteView input) {
  switch (phase_) {
    case Phase::finished: return {0, {}, Status::finished};
    case Phase::error: return {0, {}, Status::error};
    case Phase::until_close: return {input.size(), input, Status::need_more};
    case Phase::content_length: {
      const size_t taken = static_cast<size_t>(std::min<uint64_t>(left_, input.size()));
      left_ -= taken;
      if (left_ == 0) phase_ = Phase::finished;
      return {taken, input.first(taken), left_ == 0 ? Status::finished : Status::need_more};
    }
    default: return step_chunked(input);
  }
}

// A chunk that stands in the input from its size to its CRLF, without extension, is taken at once:
// nearly every one is such, and one who sends thousands of one octet must not find us slow. Anything
// else, and whatever may be wrong, is left to the octet by octet way, which gives it its name.
bool BodyDecoder::take_plain_chunk(ByteView input, Step& step) {
  const uint8_t* const octets = input.data();
  const size_t digits_max = std::min(plain_size_digits_max, input.size());
  uint32_t size = 0;
  size_t at = 0;
  for (; at < digits_max && hex_values[octets[at]] != 0xff; ++at) {
    size = size << 4 | hex_values[octets[at]];
  }
  if (size == 0 || input.size() < at + size_t{size} + 4) return false;
  if (load_be16(octets + at) != crlf || load_be16(octets + at + 2 + size) != crlf) return false;
  step.consumed = at + size + 4;
  step.payload = input.subspan(at + 2, size);
  step.status = step.consumed == input.size() ? Status::need_more : Status::progress;
  return true;
}

// Framing octet by octet, data in one piece: a step ends with the first piece of data.
BodyDecoder::Step BodyDecoder::step_chunked(ByteView input) {
  if (Step step; phase_ == Phase::size_first && take_plain_chunk(input, step)) return step;
  size_t at = 0;
  while (at != input.size()) {
    if (phase_ == Phase::data) {
      const size_t taken = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - at));
      left_ -= taken;
      if (left_ == 0) phase_ = Phase::data_cr;
      const size_t consumed = at + taken;
      return {consumed, input.subspan(at, taken),
              consumed == input.size() ? Status::need_more : Status::progress};
    }
    take_framing(input[at]);
    ++at;
    if (phase_ == Phase::finished) return {at, {}, Status::finished};
    if (phase_ == Phase::error) return {at, {}, Status::error};
  }
  return {at, {}, Status::need_more};
}

// RFC 9112 7.1: what stands before, between and behind the chunks' data.
void BodyDecoder::take_framing(uint8_t octet) {
  switch (phase_) {
    case Phase::size_first:
    case Phase::size: return take_size(octet);
    case Phase::size_lf:
      if (octet != '\n') return fail(BodyError::chunk_size_invalid);
      phase_ = left_ == 0 ? Phase::trailer_start : Phase::data;
      return;
    case Phase::data_cr:
      if (octet != '\r') return fail(BodyError::chunk_end_invalid);
      phase_ = Phase::data_lf;
      return;
    case Phase::data_lf:
      if (octet != '\n') return fail(BodyError::chunk_end_invalid);
      phase_ = Phase::size_first;
      size_digits_ = 0;
      return;
    case Phase::trailer_start:
    case Phase::trailer_name:
    case Phase::trailer_value:
    case Phase::trailer_lf:
    case Phase::last_lf: return take_trailer(octet);
    default: return take_ext(octet);
  }
}

// chunk-size = 1*16 HEXDIG and nothing around it: no sign, no "0x", no white space (H11).
void BodyDecoder::take_size(uint8_t octet) {
  const uint8_t digit = hex_values[octet];
  if (digit == 0xff) return take_size_end(octet);
  if (size_digits_ == chunk_size_digits_max) return fail(BodyError::chunk_size_too_large);
  ++size_digits_;
  left_ = left_ << 4 | digit;
  phase_ = Phase::size;
}

void BodyDecoder::take_size_end(uint8_t octet) {
  if (phase_ == Phase::size_first) return fail(BodyError::chunk_size_invalid);
  if (left_ > content_length_max) return fail(BodyError::chunk_size_too_large);
  if (octet == '\r') {
    phase_ = Phase::size_lf;
  } else if (octet == ';') {
    take_ext(octet);
  } else {
    fail(BodyError::chunk_size_invalid);
  }
}

// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 7.1.1.
// Validated because a newline hidden here is a request to somebody else, then forgotten (H12).
void BodyDecoder::take_ext(uint8_t octet) {
  if (octet != '\r' && ++ext_bytes_ > chunk_ext_bytes_max) {
    return fail(BodyError::chunk_ext_too_long);
  }
  const bool space = is_ows(octet);
  const bool token = !is_in_class(octet, not_token);
  switch (phase_) {
    case Phase::ext_name_start:
      if (space) return;
      if (token) {
        phase_ = Phase::ext_name;
        return;
      }
      break;
    case Phase::ext_name:
      if (token) return;
      [[fallthrough]];
    case Phase::ext_name_space:
      if (octet == '=') {
        phase_ = Phase::ext_value_start;
        return;
      }
      if (space) {
        phase_ = Phase::ext_name_space;
        return;
      }
      if (octet == ';') {
        phase_ = Phase::ext_name_start;
        return;
      }
      if (octet == '\r' && phase_ == Phase::ext_name) {
        phase_ = Phase::size_lf;
        return;
      }
      break;
    case Phase::ext_value_start:
      if (space) return;
      if (token || octet == '"') {
        phase_ = token ? Phase::ext_value : Phase::ext_quoted;
        return;
      }
      break;
    case Phase::ext_quoted:
      if (octet == '"') {
        phase_ = Phase::ext_value_end;
        return;
      }
      if (octet == '\\') {
        phase_ = Phase::ext_quoted_pair;
        return;
      }
      if (!is_in_class(octet, not_quoted)) return;
      break;
    case Phase::ext_quoted_pair:
      if (!is_in_class(octet, not_field_value)) {
        phase_ = Phase::ext_quoted;
        return;
      }
      break;
    case Phase::ext_value:
      if (token) return;
      [[fallthrough]];
    case Phase::ext_value_end:
    case Phase::ext_value_space:
      if (octet == ';') {
        phase_ = Phase::ext_name_start;
        return;
      }
      if (space) {
        phase_ = Phase::ext_value_space;
        return;
      }
      if (octet == '\r' && phase_ != Phase::ext_value_space) {
        phase_ = Phase::size_lf;
        return;
      }
      break;
    default:  // the ";" behind the size
      phase_ = Phase::ext_name_start;
      return;
  }
  fail(BodyError::chunk_ext_invalid);
}

// trailer-section = *( field-line CRLF ), then CRLF (RFC 9112 7.1.2), under the rules of the head's
// fields, then dropped (H13).
void BodyDecoder::take_trailer(uint8_t octet) {
  if (++trailer_bytes_ > trailer_bytes_max) return fail(BodyError::trailer_too_large);
  switch (phase_) {
    case Phase::trailer_start:
      if (octet == '\r') {
        phase_ = Phase::last_lf;
        return;
      }
      if (is_in_class(octet, not_token)) break;
      if (++trailer_fields_ > trailer_fields_max) return fail(BodyError::trailer_too_large);
      phase_ = Phase::trailer_name;
      return;
    case Phase::trailer_name:
      if (octet == ':') {
        phase_ = Phase::trailer_value;
        return;
      }
      if (!is_in_class(octet, not_token)) return;
      break;
    case Phase::trailer_value:
      if (octet == '\r') {
        phase_ = Phase::trailer_lf;
        return;
      }
      if (!is_in_class(octet, not_field_value)) return;
      break;
    case Phase::trailer_lf:
      if (octet != '\n') break;
      phase_ = Phase::trailer_start;
      return;
    default:  // last_lf
      if (octet != '\n') break;
      phase_ = Phase::finished;
      return;
  }
  fail(BodyError::trailer_invalid);
}

void BodyDecoder::fail(BodyError error) {
  error_ = error;
  phase_ = Phase::error;
}

}  // namespace millrace::http
