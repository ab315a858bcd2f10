#include <algorithm>
#include <array>
#include <initializer_list>

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

// RFC 9112 7.1.1 and 7.1.2 by the octet:
//
//   chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
//   trailer-section = *( field-line CRLF )
//
// As a table, because a body may be nothing but these, and then each octet has to cost little.
struct BodyDecoder::Grammar {
  enum Kind : uint8_t {
    cr,
    lf,
    control,  // may stand nowhere
    space,    // SP, HTAB
    quote,
    backslash,
    equals,
    semicolon,
    colon,
    token,
    other,  // in quotes and in values of fields
    kinds = 16,
  };
  using Table = std::array<std::array<Phase, kinds>, phase_count>;

  static Phase behind(Phase phase, uint8_t octet) {
    return table[static_cast<size_t>(phase)][kind_of[octet]];
  }

 private:
  static constexpr Kind kind(uint8_t octet) {
    switch (octet) {
      case '\r': return cr;
      case '\n': return lf;
      case ' ':
      case '\t': return space;
      case '"': return quote;
      case '\\': return backslash;
      case '=': return equals;
      case ';': return semicolon;
      case ':': return colon;
      default: break;
    }
    if (is_in_class(octet, not_field_value)) return control;
    return is_in_class(octet, not_token) ? other : token;
  }
  static constexpr std::array<Kind, 256> make_kinds() {
    std::array<Kind, 256> made{};
    for (unsigned octet = 0; octet < 256; ++octet) made[octet] = kind(static_cast<uint8_t>(octet));
    return made;
  }

  // What is not said here is an error.
  static constexpr Table make_table() {
    Table made{};
    for (auto& row : made) row.fill(Phase::error);
    const auto on = [&made](Phase phase, Kind kind, Phase next) {
      made[static_cast<size_t>(phase)][kind] = next;
    };
    const auto on_any = [&on](Phase phase, std::initializer_list<Kind> of, Phase next) {
      for (const Kind kind : of) on(phase, kind, next);
    };
    on(Phase::ext_name_start, space, Phase::ext_name_start);
    on(Phase::ext_name_start, token, Phase::ext_name);
    on(Phase::ext_name, token, Phase::ext_name);
    on(Phase::ext_name, space, Phase::ext_name_space);
    on(Phase::ext_name, equals, Phase::ext_value_start);
    on(Phase::ext_name, semicolon, Phase::ext_name_start);
    on(Phase::ext_name, cr, Phase::size_lf);
    on(Phase::ext_name_space, space, Phase::ext_name_space);
    on(Phase::ext_name_space, equals, Phase::ext_value_start);
    on(Phase::ext_name_space, semicolon, Phase::ext_name_start);
    on(Phase::ext_value_start, space, Phase::ext_value_start);
    on(Phase::ext_value_start, token, Phase::ext_value);
    on(Phase::ext_value_start, quote, Phase::ext_quoted);
    on(Phase::ext_value, token, Phase::ext_value);
    on(Phase::ext_value, space, Phase::ext_value_space);
    on(Phase::ext_value, semicolon, Phase::ext_name_start);
    on(Phase::ext_value, cr, Phase::size_lf);
    on_any(Phase::ext_quoted, {space, equals, semicolon, colon, token, other}, Phase::ext_quoted);
    on(Phase::ext_quoted, quote, Phase::ext_value_end);
    on(Phase::ext_quoted, backslash, Phase::ext_quoted_pair);
    on_any(Phase::ext_quoted_pair,
           {space, quote, backslash, equals, semicolon, colon, token, other}, Phase::ext_quoted);
    on(Phase::ext_value_end, space, Phase::ext_value_space);
    on(Phase::ext_value_end, semicolon, Phase::ext_name_start);
    on(Phase::ext_value_end, cr, Phase::size_lf);
    on(Phase::ext_value_space, space, Phase::ext_value_space);
    on(Phase::ext_value_space, semicolon, Phase::ext_name_start);

    on(Phase::trailer_start, token, Phase::trailer_name);
    on(Phase::trailer_start, cr, Phase::last_lf);
    on(Phase::trailer_name, token, Phase::trailer_name);
    on(Phase::trailer_name, colon, Phase::trailer_value);
    on_any(Phase::trailer_value, {space, quote, backslash, equals, semicolon, colon, token, other},
           Phase::trailer_value);
    on(Phase::trailer_value, cr, Phase::trailer_lf);
    on(Phase::trailer_lf, lf, Phase::trailer_start);
    on(Phase::last_lf, lf, Phase::finished);
    return made;
  }

  static const std::array<Kind, 256> kind_of;
  static const Table table;
};
constexpr std::array<BodyDecoder::Grammar::Kind, 256> BodyDecoder::Grammar::kind_of = make_kinds();
constexpr BodyDecoder::Grammar::Table BodyDecoder::Grammar::table = make_table();

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

BodyDecoder::Step BodyDecoder::gather(ByteView input, uint8_t* place) {
  Step piece = step(input);
  if (piece.status != Status::progress) return piece;
  size_t consumed = 0;
  size_t gathered = 0;
  for (;;) {
    if (piece.payload.size() == 1) {
      place[gathered] = piece.payload[0];  // the worst case, without a call
    } else {
      std::copy(piece.payload.begin(), piece.payload.end(), place + gathered);
    }
    gathered += piece.payload.size();
    consumed += piece.consumed;
    if (piece.status != Status::progress) return {consumed, {place, gathered}, piece.status};
    const ByteView rest = input.subspan(consumed);
    if (phase_ != Phase::size_first || !take_plain_chunk(rest, piece)) piece = step(rest);
  }
}

// A chunk that stands in the input from its size to its CRLF, without extension, is taken at once:
// nearly every one is such, and one who sends thousands of one octet must not find us slow.
// Anything else, and whatever may be wrong, is left to the octet by octet way, which gives it its
// name.
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

// A step ends with the first piece of data.
BodyDecoder::Step BodyDecoder::step_chunked(ByteView input) {
  size_t at = 0;
  while (at != input.size()) {
    const ByteView rest = input.subspan(at);
    if (Step step; phase_ == Phase::size_first && take_plain_chunk(rest, step)) {
      step.consumed += at;
      return step;
    }
    if (phase_ == Phase::data) {
      const ByteView data = rest.first(static_cast<size_t>(std::min<uint64_t>(left_, rest.size())));
      left_ -= data.size();
      if (left_ == 0) phase_ = Phase::data_cr;
      const bool is_all = data.size() == rest.size();
      return {at + data.size(), data, is_all ? Status::need_more : Status::progress};
    }
    at += take_framing(rest);
    if (phase_ == Phase::finished) return {at, {}, Status::finished};
    if (phase_ == Phase::error) return {at, {}, Status::error};
  }
  return {at, {}, Status::need_more};
}

// RFC 9112 7.1: what stands before, between and behind the chunks' data. Octets taken, one at
// least.
size_t BodyDecoder::take_framing(ByteView input) {
  if (is_in_ext(phase_)) return take_ext(input);
  if (is_in_trailer(phase_)) return take_trailer(input);
  const uint8_t octet = input[0];
  switch (phase_) {
    case Phase::size_lf:
      if (octet != '\n') {
        fail(BodyError::chunk_size_invalid);
      } else {
        phase_ = left_ == 0 ? Phase::trailer_start : Phase::data;
      }
      break;
    case Phase::data_cr:
      if (octet != '\r') {
        fail(BodyError::chunk_end_invalid);
      } else {
        phase_ = Phase::data_lf;
      }
      break;
    case Phase::data_lf:
      if (octet != '\n') {
        fail(BodyError::chunk_end_invalid);
      } else {
        phase_ = Phase::size_first;
        size_digits_ = 0;
      }
      break;
    default: take_size(octet);
  }
  return 1;
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
    phase_ = Phase::ext_name_start;
    if (++ext_bytes_ > chunk_ext_bytes_max) fail(BodyError::chunk_ext_too_long);
  } else {
    fail(BodyError::chunk_size_invalid);
  }
}

// Validated because a newline hidden here is a request to somebody else, then forgotten (H12).
size_t BodyDecoder::take_ext(ByteView input) {
  const size_t octets_max = std::min<size_t>(input.size(), chunk_ext_bytes_max - ext_bytes_);
  Phase phase = phase_;
  size_t at = 0;
  while (at < octets_max && is_in_ext(phase)) phase = Grammar::behind(phase, input[at++]);
  // The line end behind them is not counted.
  if (at < input.size() && is_in_ext(phase)) {
    if (input[at] != '\r') {
      fail(BodyError::chunk_ext_too_long);
      return at + 1;
    }
    phase = Grammar::behind(phase, input[at++]);
  } else if (phase == Phase::size_lf) {
    --ext_bytes_;
  }
  ext_bytes_ = static_cast<uint16_t>(ext_bytes_ + std::min(at, octets_max));
  phase_ = phase;
  if (phase == Phase::error) fail(BodyError::chunk_ext_invalid);
  return at;
}

// Under the rules of the head's fields, then dropped (H13).
size_t BodyDecoder::take_trailer(ByteView input) {
  const size_t octets_max = std::min<size_t>(input.size(), trailer_bytes_max - trailer_bytes_);
  Phase phase = phase_;
  size_t at = 0;
  while (at < octets_max && is_in_trailer(phase)) {
    const bool is_first = phase == Phase::trailer_start;
    phase = Grammar::behind(phase, input[at++]);
    if (is_first && phase == Phase::trailer_name && ++trailer_fields_ > trailer_fields_max) {
      fail(BodyError::trailer_too_large);
      return at;
    }
  }
  trailer_bytes_ = static_cast<uint16_t>(trailer_bytes_ + at);
  phase_ = phase;
  if (phase == Phase::error) fail(BodyError::trailer_invalid);
  if (at < input.size() && is_in_trailer(phase)) {
    fail(BodyError::trailer_too_large);
    ++at;
  }
  return at;
}

void BodyDecoder::fail(BodyError error) {
  error_ = error;
  phase_ = Phase::error;
}

}  // namespace millrace::http
