// The constants of the vector code, 32 octets each, as memory: a compiler that sees their values
// builds them anew in each round of a loop, which costs more than all the rest of it.
#pragma once

#include <cstdint>

namespace millrace::http {

struct ByteRows {
  alignas(32) uint8_t colon[32];
  alignas(32) uint8_t question[32];
  alignas(32) uint8_t hash[32];
  alignas(32) uint8_t underscore[32];
  alignas(32) uint8_t fold[32];  // what tells upper from lower case
  alignas(32) uint8_t one[32];
  alignas(32) uint8_t low_half[32];
  alignas(32) uint8_t line_floor[32];    // the least octet of a line that is no stop, and one more
  alignas(32) uint8_t target_floor[32];  // of a target
  alignas(32) uint8_t forwarded_prefix[32];  // "x-forwarded-"
  // tchar (RFC 9110 5.6.2) as a matrix: an octet is one if tchar_rows of its low half and
  // tchar_columns of its high half share a bit. Each twice, once for each half of a vector.
  alignas(32) uint8_t tchar_rows[32];
  alignas(32) uint8_t tchar_columns[32];
  // What a host may contain, likewise (host_octets in char_class.h).
  alignas(32) uint8_t host_rows[32];
  alignas(32) uint8_t host_columns[32];
  alignas(32) uint8_t dot[32];
  alignas(32) uint8_t before_upper[32];  // "A" less one
  alignas(32) uint8_t behind_upper[32];  // "Z" and one more
};

extern const ByteRows byte_rows;

}  // namespace millrace::http
