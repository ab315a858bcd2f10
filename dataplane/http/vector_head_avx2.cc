// The form for x86-64 with AVX2 and BMI. Only what is defined inside the region may use them, and
// nothing in it can be chosen by the linker for code that runs elsewhere (ADR 0024).
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/http/byte_rows.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/field_name_table.h"
#include "dataplane/http/start_line.h"
#include "dataplane/http/vector_head.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi")
#endif

namespace millrace::http {
namespace {

inline __m256i octets_at(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

class Avx2Block {
 public:
  struct Rows {
    Rows()
        : colon(octets_at(byte_rows.colon)),
          one(octets_at(byte_rows.one)),
          line_floor(octets_at(byte_rows.line_floor)),
          fold(octets_at(byte_rows.fold)) {}
    __m256i colon, one, line_floor, fold;
  };
  static Avx2Block load(const uint8_t* from) { return Avx2Block(octets_at(from)); }
  static Avx2Block zero() { return Avx2Block(_mm256_setzero_si256()); }
  void store(uint8_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), octets_); }
  uint32_t colons(const Rows& rows) const { return bits(_mm256_cmpeq_epi8(octets_, rows.colon)); }
  uint32_t questions() const { return bits(are(byte_rows.question)); }
  uint32_t line_stops(const Rows& rows) const {
    return bits(are_outside(rows.line_floor, rows.one));
  }
  uint32_t target_stops() const {
    return bits(
        _mm256_or_si256(are_outside(octets_at(byte_rows.target_floor), octets_at(byte_rows.one)),
                        are(byte_rows.hash)));
  }
  uint32_t matches(const uint8_t* text, const Rows& rows) const {
    const __m256i folded = _mm256_or_si256(octets_, rows.fold);
    return bits(_mm256_cmpeq_epi8(folded, octets_at(text)));
  }
  bool is_token(const uint8_t* /*line*/, size_t bytes) const {
    const uint32_t others = bits(outside(octets_, byte_rows.tchar_rows, byte_rows.tchar_columns));
    return first(others) >= bytes;
  }
  bool has_underscore(const uint8_t* /*line*/, size_t bytes) const {
    return first(bits(are(byte_rows.underscore))) < bytes;
  }
  [[gnu::always_inline]] static size_t copy_host(std::string_view text, char* to) {
    const size_t bytes = text.size();
    if (bytes - 1 >= 31) return 0;
    const __m256i octets = octets_at(reinterpret_cast<const uint8_t*>(text.data()));
    const __m256i upper =
        _mm256_and_si256(_mm256_cmpgt_epi8(octets, octets_at(byte_rows.before_upper)),
                         _mm256_cmpgt_epi8(octets_at(byte_rows.behind_upper), octets));
    const __m256i lower =
        _mm256_or_si256(octets, _mm256_and_si256(upper, octets_at(byte_rows.fold)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), lower);
    const uint32_t in_host = (1U << bytes) - 1;
    const uint32_t others = bits(outside(octets, byte_rows.host_rows, byte_rows.host_columns));
    const uint32_t dots = bits(_mm256_cmpeq_epi8(octets, octets_at(byte_rows.dot))) & in_host;
    // No label may be empty: neither the first nor the last nor one between two dots.
    const uint32_t ends = 1U | 1U << (bytes - 1) | dots << 1;
    return ((others & in_host) | (dots & ends)) == 0 ? bytes : 0;
  }
  static size_t first(uint32_t bits) { return _tzcnt_u64(bits); }

 private:
  explicit Avx2Block(__m256i octets) : octets_(octets) {}
  __m256i are(const uint8_t* row) const { return _mm256_cmpeq_epi8(octets_, octets_at(row)); }
  // One more, and 0x7f is negative like everything above it.
  __m256i are_outside(__m256i floor, __m256i one) const {
    return _mm256_cmpgt_epi8(floor, _mm256_add_epi8(octets_, one));
  }
  // Where an octet is not of the matrix: its row (low half) and column (high half) share no bit.
  // The look-up of a row answers 0 for octets above 0x7f.
  static __m256i outside(__m256i octets, const uint8_t* rows, const uint8_t* columns) {
    const __m256i highs =
        _mm256_and_si256(_mm256_srli_epi16(octets, 4), octets_at(byte_rows.low_half));
    const __m256i shared = _mm256_and_si256(_mm256_shuffle_epi8(octets_at(rows), octets),
                                            _mm256_shuffle_epi8(octets_at(columns), highs));
    return _mm256_cmpeq_epi8(shared, _mm256_setzero_si256());
  }
  static uint32_t bits(__m256i octets) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(octets));
  }

  __m256i octets_;
};

}  // namespace
}  // namespace millrace::http

#define MILLRACE_VECTOR_REGION
#include "dataplane/http/vector_walk.h"
#undef MILLRACE_VECTOR_REGION

namespace millrace::http {

FieldRun Avx2Vectors::take_field_lines(const LineRange& range, RequestJudge& judge) {
  return take_lines<Avx2Block>(range, judge);
}
FieldRun Avx2Vectors::take_field_lines(const LineRange& range, ResponseJudge& judge) {
  return take_lines<Avx2Block>(range, judge);
}
ParseStatus Avx2Vectors::parse_request(ByteView input, RequestHead& out, size_t& consumed,
                                       HeadScan* scan, Readable readable) {
  if (is_first_look(scan) && take_plain_request<Avx2Block>(input, readable, out, consumed)) {
    return ParseStatus::complete;
  }
  return parse_request_by_lines(input, out, consumed, scan, readable);
}
ParseStatus Avx2Vectors::parse_response(ByteView input, Method request_method, ResponseHead& out,
                                        size_t& consumed, HeadScan* scan, Readable readable) {
  if (is_first_look(scan) &&
      take_plain_response<Avx2Block>(input, readable, request_method, out, consumed)) {
    return ParseStatus::complete;
  }
  return parse_response_by_lines(input, request_method, out, consumed, scan, readable);
}

}  // namespace millrace::http

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
