// The form for x86-64 with AVX2 and BMI. Only what is defined inside the region may use them, and
// nothing in it can be chosen by the linker for code that runs elsewhere (ADR 0024).
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/http/byte_rows.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/field_name_table.h"
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
  // RFC 9110 5.6.2: an octet is a tchar if its row (low half) and its column (high half) share a
  // bit. The look-up of a row answers 0 for octets above 0x7f.
  uint8_t name_classes(const uint8_t* /*line*/, size_t bytes) const {
    const __m256i columns =
        _mm256_and_si256(_mm256_srli_epi16(octets_, 4), octets_at(byte_rows.low_half));
    const __m256i shared =
        _mm256_and_si256(_mm256_shuffle_epi8(octets_at(byte_rows.tchar_rows), octets_),
                         _mm256_shuffle_epi8(octets_at(byte_rows.tchar_columns), columns));
    const uint32_t others = bits(_mm256_cmpeq_epi8(shared, _mm256_setzero_si256()));
    const uint32_t in_name = (1U << bytes) - 1;
    return static_cast<uint8_t>(
        ((others & in_name) != 0 ? not_token : 0) |
        ((bits(are(byte_rows.underscore)) & in_name) != 0 ? underscore : 0));
  }
  static size_t first(uint32_t bits) { return _tzcnt_u64(bits); }

 private:
  explicit Avx2Block(__m256i octets) : octets_(octets) {}
  __m256i are(const uint8_t* row) const { return _mm256_cmpeq_epi8(octets_, octets_at(row)); }
  // One more, and 0x7f is negative like everything above it.
  __m256i are_outside(__m256i floor, __m256i one) const {
    return _mm256_cmpgt_epi8(floor, _mm256_add_epi8(octets_, one));
  }
  static uint32_t bits(__m256i octets) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(octets));
  }

  __m256i octets_;
};

}  // namespace
}  // namespace millrace::http

#include "dataplane/http/vector_walk.h"

namespace millrace::http {

TargetEnd find_target_end_avx2(const uint8_t* at, const uint8_t* end) {
  return find_target_end<Avx2Block>(at, end);
}
size_t take_field_lines_avx2(const uint8_t* line, const uint8_t* end, const uint8_t* readable_end,
                             FieldRun& run) {
  return take_field_lines<Avx2Block>(line, end, readable_end, run);
}

}  // namespace millrace::http

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
