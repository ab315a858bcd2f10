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

// Octets of input that find_target_end needs before `end`.
inline constexpr size_t target_input_bytes_min = 32;

struct TargetEnd {
  const uint8_t* at;        // the first octet that is not part of a target, or the end
  const uint8_t* question;  // the first "?" before it, or nullptr
};

TargetEnd find_target_end_portable(const uint8_t* at, const uint8_t* end);
TargetEnd find_target_end_sse2(const uint8_t* at, const uint8_t* end);
TargetEnd find_target_end_avx2(const uint8_t* at, const uint8_t* end);

struct FieldRun {
  Field* next;                // in: where the first goes; out: behind the last
  Field* limit;               // no field goes here
  uint32_t judged_count = 0;  // of the fields that the parser has to look at (is_parsed_field)
  std::array<const Field*, fields_max> judged;
};

// Takes field lines from `line` on, which at least 8 octets of input precede: those that end up to
// `end`, and answers how many octets it took. `end` is at most line_bytes_max behind `line`. Up to
// `readable_end` memory may be read whatever is in it; with 64 octets behind `end` nothing has to
// be copied.
size_t take_field_lines_portable(const uint8_t* line, const uint8_t* end,
                                 const uint8_t* readable_end, FieldRun& run);
size_t take_field_lines_sse2(const uint8_t* line, const uint8_t* end, const uint8_t* readable_end,
                             FieldRun& run);
size_t take_field_lines_avx2(const uint8_t* line, const uint8_t* end, const uint8_t* readable_end,
                             FieldRun& run);

}  // namespace millrace::http
