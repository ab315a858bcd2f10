// The forms for every machine, and for every x86-64.
#include "dataplane/http/vector_head.h"

#include <cstring>

#include "dataplane/http/byte_rows.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/field_name_table.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/http/start_line.h"
#include "dataplane/http/vector_walk.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::http {
namespace {

uint8_t classes_of(const uint8_t* text, size_t bytes) {
  uint8_t classes = 0;
  for (size_t i = 0; i < bytes; ++i) classes |= char_classes[text[i]];
  return classes;
}

constexpr uint64_t in_each_octet(uint8_t value) {
  return uint64_t{0x0101010101010101} * value;
}
constexpr uint64_t low_bits = in_each_octet(0x7f);
constexpr uint64_t high_bits = in_each_octet(0x80);

// Octets in 64-bit words. Each predicate sets the high bit of the octets for which it holds,
// exactly: no sum of seven bits carries into the next octet.
constexpr uint64_t are_zero(uint64_t word) {
  return ~(((word & low_bits) + low_bits) | word) & high_bits;
}
constexpr uint64_t are(char c, uint64_t word) {
  return are_zero(word ^ in_each_octet(static_cast<uint8_t>(c)));
}
// Below `floor` or above 0x7e.
constexpr uint64_t are_outside(uint8_t floor, uint64_t word) {
  const uint64_t seven = word & low_bits;
  const uint64_t at_least = seven + in_each_octet(static_cast<uint8_t>(0x80 - floor));
  return (~at_least | (seven + in_each_octet(1)) | word) & high_bits;
}
// The high bits as eight bits; each product moves one of them to its place in the top octet.
constexpr uint32_t gathered(uint64_t highs) {
  return static_cast<uint32_t>((highs >> 7) * 0x0102040810204080U >> 56);
}
static_assert(gathered(0x8000000000008000U) == 0x82);

class PortableBlock {
 public:
  struct Rows {};
  static PortableBlock load(const uint8_t* from) {
    PortableBlock block;
    std::memcpy(block.words_, from, sizeof block.words_);
    return block;
  }
  static PortableBlock zero() { return {}; }
  void store(uint8_t* to) const { std::memcpy(to, words_, sizeof words_); }
  uint32_t colons(Rows) const {
    return each([](uint64_t word) { return are(':', word); });
  }
  uint32_t questions() const {
    return each([](uint64_t word) { return are('?', word); });
  }
  uint32_t line_stops(Rows) const {
    return each([](uint64_t word) { return are_outside(0x20, word); });
  }
  uint32_t target_stops() const {
    return each([](uint64_t word) { return are_outside(0x21, word) | are('#', word); });
  }
  uint32_t matches(const uint8_t* text, Rows) const {
    const PortableBlock other = load(text);
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; ++i) {
      bits |= gathered(are_zero((words_[i] | in_each_octet(0x20)) ^ other.words_[i])) << (8 * i);
    }
    return bits;
  }
  bool is_token(const uint8_t* line, size_t bytes) const {
    return (classes_of(line, bytes) & not_token) == 0;
  }
  bool has_underscore(const uint8_t* line, size_t bytes) const {
    return (classes_of(line, bytes) & underscore) != 0;
  }
  static size_t copy_host(std::string_view, char*) { return 0; }
  static size_t first(uint32_t bits) {
    return bits == 0 ? block_octets : static_cast<size_t>(__builtin_ctz(bits));
  }

 private:
  template <class Predicate>
  uint32_t each(Predicate predicate) const {
    return gathered(predicate(words_[0])) | gathered(predicate(words_[1])) << 8 |
           gathered(predicate(words_[2])) << 16 | gathered(predicate(words_[3])) << 24;
  }
  uint64_t words_[4] = {};
};

#if defined(__SSE2__)

class Sse2Block {
 public:
  struct Rows {};
  static Sse2Block load(const uint8_t* from) {
    const auto* vectors = reinterpret_cast<const __m128i*>(from);
    return {_mm_loadu_si128(vectors), _mm_loadu_si128(vectors + 1)};
  }
  static Sse2Block zero() { return {_mm_setzero_si128(), _mm_setzero_si128()}; }
  void store(uint8_t* to) const {
    auto* vectors = reinterpret_cast<__m128i*>(to);
    _mm_storeu_si128(vectors, low_);
    _mm_storeu_si128(vectors + 1, high_);
  }
  uint32_t colons(Rows) const { return bits(are(low_, ':'), are(high_, ':')); }
  uint32_t questions() const { return bits(are(low_, '?'), are(high_, '?')); }
  uint32_t line_stops(Rows) const {
    return bits(are_outside(low_, 0x20), are_outside(high_, 0x20));
  }
  uint32_t target_stops() const {
    return bits(_mm_or_si128(are_outside(low_, 0x21), are(low_, '#')),
                _mm_or_si128(are_outside(high_, 0x21), are(high_, '#')));
  }
  uint32_t matches(const uint8_t* text, Rows) const {
    const __m128i fold = _mm_set1_epi8(0x20);
    const Sse2Block other = load(text);
    return bits(_mm_cmpeq_epi8(_mm_or_si128(low_, fold), other.low_),
                _mm_cmpeq_epi8(_mm_or_si128(high_, fold), other.high_));
  }
  bool is_token(const uint8_t* line, size_t bytes) const {
    return (classes_of(line, bytes) & not_token) == 0;
  }
  bool has_underscore(const uint8_t* line, size_t bytes) const {
    return (classes_of(line, bytes) & underscore) != 0;
  }
  static size_t copy_host(std::string_view, char*) { return 0; }
  static size_t first(uint32_t bits) {
    return bits == 0 ? block_octets : static_cast<size_t>(__builtin_ctz(bits));
  }

 private:
  Sse2Block(__m128i low, __m128i high) : low_(low), high_(high) {}
  static __m128i are(__m128i octets, char c) { return _mm_cmpeq_epi8(octets, _mm_set1_epi8(c)); }
  // One more, and 0x7f is negative like everything above it.
  static __m128i are_outside(__m128i octets, char floor) {
    const __m128i one_more = _mm_add_epi8(octets, _mm_set1_epi8(1));
    return _mm_cmplt_epi8(one_more, _mm_set1_epi8(static_cast<char>(floor + 1)));
  }
  static uint32_t bits(__m128i low, __m128i high) {
    return static_cast<uint32_t>(_mm_movemask_epi8(low)) |
           static_cast<uint32_t>(_mm_movemask_epi8(high)) << 16;
  }
  __m128i low_;
  __m128i high_;
};

#endif

}  // namespace

FieldRun PortableVectors::take_field_lines(const LineRange& range, RequestJudge& judge) {
  return take_lines<PortableBlock>(range, judge);
}
FieldRun PortableVectors::take_field_lines(const LineRange& range, ResponseJudge& judge) {
  return take_lines<PortableBlock>(range, judge);
}
ParseStatus PortableVectors::parse_request(ByteView input, RequestHead& out, size_t& consumed,
                                           HeadScan* scan, Readable readable) {
  if (is_first_look(scan) && take_plain_request<PortableBlock>(input, readable, out, consumed)) {
    return ParseStatus::complete;
  }
  return parse_request_by_lines(input, out, consumed, scan, readable);
}
ParseStatus PortableVectors::parse_response(ByteView input, Method request_method,
                                            ResponseHead& out, size_t& consumed, HeadScan* scan,
                                            Readable readable) {
  if (is_first_look(scan) &&
      take_plain_response<PortableBlock>(input, readable, request_method, out, consumed)) {
    return ParseStatus::complete;
  }
  return parse_response_by_lines(input, request_method, out, consumed, scan, readable);
}

#if defined(__SSE2__)

FieldRun Sse2Vectors::take_field_lines(const LineRange& range, RequestJudge& judge) {
  return take_lines<Sse2Block>(range, judge);
}
FieldRun Sse2Vectors::take_field_lines(const LineRange& range, ResponseJudge& judge) {
  return take_lines<Sse2Block>(range, judge);
}
ParseStatus Sse2Vectors::parse_request(ByteView input, RequestHead& out, size_t& consumed,
                                       HeadScan* scan, Readable readable) {
  if (is_first_look(scan) && take_plain_request<Sse2Block>(input, readable, out, consumed)) {
    return ParseStatus::complete;
  }
  return parse_request_by_lines(input, out, consumed, scan, readable);
}
ParseStatus Sse2Vectors::parse_response(ByteView input, Method request_method, ResponseHead& out,
                                        size_t& consumed, HeadScan* scan, Readable readable) {
  if (is_first_look(scan) &&
      take_plain_response<Sse2Block>(input, readable, request_method, out, consumed)) {
    return ParseStatus::complete;
  }
  return parse_response_by_lines(input, request_method, out, consumed, scan, readable);
}

VectorLevel vector_level_max() {
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
  return has_avx2 ? VectorLevel::avx2 : VectorLevel::sse2;
}

#else

VectorLevel vector_level_max() {
  return VectorLevel::portable;
}

#endif

}  // namespace millrace::http
