// The part of parsing a head that vector instructions do: where a target ends, and runs of field
// lines that have nothing unusual about them. Whatever is unusual (an offence, an octet above 0x7e
// or a tab in a value, a name of 32 octets, a line that is not whole) ends the run in front of its
// line, for the parser to judge line by line. So a run decides nothing that the parser would decide
// otherwise, and only has to be sure of what it takes.
//
// One algorithm (vector_walk.h) over blocks of 32 octets, in three forms with the same answers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/http/message.h"

namespace millrace::http {

// Both functions need that many octets of input, so that each block lies within it.
inline constexpr size_t vector_input_bytes_min = 64;

struct TargetEnd {
  const uint8_t* at;        // the first octet that is not part of a target, or the end
  const uint8_t* question;  // the first "?" before it, or nullptr
};

// `at` to `end` is searched; at least vector_input_bytes_min octets before `end` are readable.
TargetEnd find_target_end_portable(const uint8_t* at, const uint8_t* end);
TargetEnd find_target_end_sse2(const uint8_t* at, const uint8_t* end);
TargetEnd find_target_end_avx2(const uint8_t* at, const uint8_t* end);

struct FieldRun {
  Field* next;            // in: where the first goes; out: behind the last
  Field* limit;           // no field goes here
  uint32_t judged_count;  // in: 0
  // The fields that the parser has to look at (is_parsed_field).
  std::array<const Field*, fields_max> judged;
};

// Takes field lines from `line` on and answers where the first begins that it did not take. `line`
// follows at least 8 octets of the same head; at least vector_input_bytes_min octets before `end`
// are readable.
const uint8_t* take_field_lines_portable(const uint8_t* line, const uint8_t* end, FieldRun& run);
const uint8_t* take_field_lines_sse2(const uint8_t* line, const uint8_t* end, FieldRun& run);
const uint8_t* take_field_lines_avx2(const uint8_t* line, const uint8_t* end, FieldRun& run);

}  // namespace millrace::http
