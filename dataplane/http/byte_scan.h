// Finding the next octet that matters, 16 at a time where the machine can. Each scan answers the
// first octet of [at, end) that stops it, or `end`; nothing outside the range is ever read. `at` is
// not null.
//
// Sse2Scan needs nothing beyond baseline x86-64. PortableScan is its twin: the same tests run both.
#pragma once

#include <cstdint>

#include "dataplane/http/char_class.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::http {

struct PortableScan {
  // Control octets but HTAB, and DEL: the end of a field value, or an offence in it.
  static const uint8_t* value_end(const uint8_t* at, const uint8_t* end) {
    while (at != end && !is_in_class(*at, not_field_value)) ++at;
    return at;
  }
  // The colon behind a name, or what cannot be in a name anyway: SP, controls, octets above 0x7f.
  static const uint8_t* name_end(const uint8_t* at, const uint8_t* end) {
    while (at != end && *at != ':' && *at > 0x20 && *at < 0x80) ++at;
    return at;
  }
  // "?", SP, or an octet that a target must not contain.
  static const uint8_t* target_stop(const uint8_t* at, const uint8_t* end) {
    while (at != end && *at != '?' && !is_in_class(*at, not_target)) ++at;
    return at;
  }
};

#if defined(__SSE2__)

struct Sse2Scan {
  static const uint8_t* value_end(const uint8_t* at, const uint8_t* end) {
    return scan(at, end, [](__m128i octets) {
      const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(octets, _mm_set1_epi8(0x1f)), octets);
      const __m128i tabs = _mm_cmpeq_epi8(octets, _mm_set1_epi8('\t'));
      const __m128i deletes = _mm_cmpeq_epi8(octets, _mm_set1_epi8(0x7f));
      return _mm_or_si128(_mm_andnot_si128(tabs, controls), deletes);
    });
  }
  static const uint8_t* name_end(const uint8_t* at, const uint8_t* end) {
    return scan(at, end, [](__m128i octets) {
      // The comparison is signed: octets from 0x80 are below zero.
      const __m128i outside = _mm_cmplt_epi8(octets, _mm_set1_epi8(0x21));
      return _mm_or_si128(outside, _mm_cmpeq_epi8(octets, _mm_set1_epi8(':')));
    });
  }
  static const uint8_t* target_stop(const uint8_t* at, const uint8_t* end) {
    return scan(at, end, [](__m128i octets) {
      const __m128i outside = _mm_or_si128(_mm_cmplt_epi8(octets, _mm_set1_epi8(0x21)),
                                           _mm_cmpeq_epi8(octets, _mm_set1_epi8(0x7f)));
      const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(octets, _mm_set1_epi8('?')),
                                         _mm_cmpeq_epi8(octets, _mm_set1_epi8('#')));
      return _mm_or_si128(outside, marks);
    });
  }

 private:
  static __m128i load(const uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }

  template <class Stops>
  static const uint8_t* scan(const uint8_t* at, const uint8_t* end, Stops stops) {
    // As integers: the last start of a whole vector may lie before the range, even before its
    // object.
    const uintptr_t last = reinterpret_cast<uintptr_t>(end) - 16;
    for (; reinterpret_cast<uintptr_t>(at) <= last; at += 16) {
      const int mask = _mm_movemask_epi8(stops(load(at)));
      if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
    }
    return scan_tail(at, end, stops);
  }

  // At most 15 octets: through a copy, because reading past the end is never right. The filling
  // stops no scan.
  template <class Stops>
  [[gnu::noinline]] static const uint8_t* scan_tail(const uint8_t* at, const uint8_t* end,
                                                    Stops stops) {
    alignas(16) uint8_t tail[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(tail), _mm_set1_epi8('a'));
    const size_t left = static_cast<size_t>(end - at);
    copy_tail(tail, at, left);
    const int mask = _mm_movemask_epi8(stops(load(tail)));
    return mask != 0 ? at + __builtin_ctz(static_cast<unsigned>(mask)) : end;
  }

  // memcpy of 0 to 15 octets without a call.
  static void copy_tail(uint8_t* to, const uint8_t* from, size_t count) {
    if (count & 8) {
      __builtin_memcpy(to, from, 8);
      to += 8;
      from += 8;
    }
    if (count & 4) {
      __builtin_memcpy(to, from, 4);
      to += 4;
      from += 4;
    }
    if (count & 2) {
      __builtin_memcpy(to, from, 2);
      to += 2;
      from += 2;
    }
    if (count & 1) *to = *from;
  }
};
using FastScan = Sse2Scan;

#else

using FastScan = PortableScan;

#endif

}  // namespace millrace::http
