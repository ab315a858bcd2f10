#include "dataplane/net/checksum_run.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace millrace::net {
namespace {

template <bool copying, class Word>
inline Word take(uint8_t*& to, const uint8_t*& from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  if constexpr (copying) {
    std::memcpy(to, &word, sizeof word);
    to += sizeof word;
  }
  from += sizeof word;
  return word;
}

inline uint64_t halves(uint64_t word) {
  return (word & 0xffffffffU) + (word >> 32);
}

// What is left behind the last whole vector, and runs too short for one.
template <bool copying>
inline uint64_t sum_tail(uint8_t* to, const uint8_t* from, size_t count) {
  uint64_t sum = 0;
  for (; count >= 8; count -= 8) sum += halves(take<copying, uint64_t>(to, from));
  if ((count & 4) != 0) sum += take<copying, uint32_t>(to, from);
  if ((count & 2) != 0) sum += take<copying, uint16_t>(to, from);
  if ((count & 1) != 0) sum += take<copying, uint8_t>(to, from);  // the low octet of a padded word
  return sum;
}

// --- portable: two 64-bit lanes in the compiler's vector notation, SSE2 on x86-64, NEON on arm64
// ---

using Lanes = uint64_t __attribute__((vector_size(16)));

template <bool copying>
uint64_t portable_run(uint8_t* to, const uint8_t* from, size_t count) {
  constexpr Lanes low_half = {0xffffffffU, 0xffffffffU};
  Lanes low{};
  Lanes high{};
  for (; count >= 64; count -= 64) {
    // Four names, not an array: so they stay in registers while copying.
    const auto a = take<copying, Lanes>(to, from);
    const auto b = take<copying, Lanes>(to, from);
    const auto c = take<copying, Lanes>(to, from);
    const auto d = take<copying, Lanes>(to, from);
    low += (a & low_half) + (b & low_half) + (c & low_half) + (d & low_half);
    high += (a >> 32) + (b >> 32) + (c >> 32) + (d >> 32);
  }
  const uint64_t sum = low[0] + low[1] + high[0] + high[1] + sum_tail<copying>(to, from, count);
  return halves(sum);
}

uint64_t portable_sum(const uint8_t* from, size_t count) {
  return portable_run<false>(nullptr, from, count);
}
uint64_t portable_copy(uint8_t* to, const uint8_t* from, size_t count) {
  return portable_run<true>(to, from, count);
}

// --- AVX2: multiply-add pairs of 16-bit words into 32-bit lanes ---

#if defined(__x86_64__)

// The instruction takes signed words: each is moved down by 2^15 first (its top bit flipped), and
// the sum up again by as much for every word. 65,535 octets are below 2^11 steps of 8 lanes, each
// of which gains at most 2^16: the total stays below 2^30.
__attribute__((target("avx2"))) inline __m256i pairs(__m256i words) {
  const __m256i top = _mm256_set1_epi16(static_cast<int16_t>(0x8000));
  return _mm256_madd_epi16(_mm256_xor_si256(words, top), _mm256_set1_epi16(1));
}

template <bool copying>
__attribute__((target("avx2"))) inline __m256i take_vector(uint8_t*& to, const uint8_t*& from) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  from += 32;
  if constexpr (copying) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
    to += 32;
  }
  return words;
}

__attribute__((target("avx2"))) inline uint64_t total_of(__m256i lanes) {
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  const __m128i one = _mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1));
  return static_cast<uint64_t>(int64_t{_mm_cvtsi128_si32(one)});
}

template <bool copying>
__attribute__((target("avx2"))) inline uint64_t avx2_run(uint8_t* to, const uint8_t* from,
                                                         size_t count) {
  if (count < 32) return sum_tail<copying>(to, from, count);
  const uint64_t words_in_vectors = count / 32 * 16;
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  for (; count >= 64; count -= 64) {
    const __m256i a = take_vector<copying>(to, from);
    const __m256i b = take_vector<copying>(to, from);
    even = _mm256_add_epi32(even, pairs(a));
    odd = _mm256_add_epi32(odd, pairs(b));
  }
  if (count >= 32) {
    even = _mm256_add_epi32(even, pairs(take_vector<copying>(to, from)));
    count -= 32;
  }
  return total_of(_mm256_add_epi32(even, odd)) + (words_in_vectors << 15) +
         sum_tail<copying>(to, from, count);
}

__attribute__((target("avx2"))) uint64_t avx2_sum(const uint8_t* from, size_t count) {
  return avx2_run<false>(nullptr, from, count);
}
__attribute__((target("avx2"))) uint64_t avx2_copy(uint8_t* to, const uint8_t* from, size_t count) {
  return avx2_run<true>(to, from, count);
}

#endif

constexpr std::array loops {
  SumLoop{"portable", portable_sum, portable_copy},
#if defined(__x86_64__)
      SumLoop{"avx2", avx2_sum, avx2_copy},
#endif
};

size_t runnable() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2")) return 1;
#endif
  return loops.size();
}

}  // namespace

std::span<const SumLoop> sum_loops() {
  return std::span(loops).first(runnable());
}

}  // namespace millrace::net
