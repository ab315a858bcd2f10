// The part of parsing a head that is done in vectors: heads that have nothing unusual about them,
// as a whole; and of others, runs of such field lines. Whatever is unusual (an offence, an octet
// above 0x7e or a tab in a value, a name of 32 octets, a line that is not whole) ends a run in
// front of its line, for the parser to judge line by line. So nothing is decided here that the
// parser would decide otherwise, and what is taken need only be taken surely.
//
// One algorithm (vector_walk.h) over blocks of 32 octets, in three forms with the same answers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "dataplane/http/head_judge.h"
#include "dataplane/http/head_parser.h"
#include "dataplane/http/message.h"

namespace millrace::http {

struct LineRange {
  const uint8_t* line;          // where a line begins; at least 8 octets of input precede it
  const uint8_t* end;           // of the input, at most line_bytes_max behind `line`
  const uint8_t* readable_end;  // of what may be read, whatever is in it
  Field* next;                  // where the first line's field goes
  Field* limit;                 // where none goes
};

struct FieldRun {
  size_t octets;    // of the lines taken
  Field* next;      // behind the last field
  HeadError error;  // of the judge, about the last of them
};

// Each form is a struct of these functions.
//
// take_field_lines: takes lines until one is unusual, and asks the judge about those that concern
// it.
//
// parse_request, parse_response: take a plain head as a whole. That is a start line with HTTP/1.1
// (and a target in origin form), lines that a run takes, and the empty line, all of it there. For
// every other head, for what is no head, for what the judge refuses and for what came in pieces the
// parser starts over: parse_*_by_lines, which are defined in head_parser.cc.
#define MILLRACE_VECTORS(name)                                                                    \
  struct name {                                                                                   \
    static FieldRun take_field_lines(const LineRange& range, RequestJudge& judge);                \
    static FieldRun take_field_lines(const LineRange& range, ResponseJudge& judge);               \
    static ParseStatus parse_request(ByteView input, RequestHead& out, size_t& consumed,          \
                                     HeadScan* scan, Readable readable);                          \
    static ParseStatus parse_response(ByteView input, Method request_method, ResponseHead& out,   \
                                      size_t& consumed, HeadScan* scan, Readable readable);       \
    static ParseStatus parse_request_by_lines(ByteView input, RequestHead& out, size_t& consumed, \
                                              HeadScan* scan, Readable readable);                 \
    static ParseStatus parse_response_by_lines(ByteView input, Method request_method,             \
                                               ResponseHead& out, size_t& consumed,               \
                                               HeadScan* scan, Readable readable);                \
  }
MILLRACE_VECTORS(PortableVectors);
MILLRACE_VECTORS(Sse2Vectors);
MILLRACE_VECTORS(Avx2Vectors);
#undef MILLRACE_VECTORS

// A head of which a part was here before is not begun anew with each piece of it.
inline bool is_first_look(const HeadScan* scan) {
  return scan == nullptr || scan->bytes_seen == 0;
}

}  // namespace millrace::http
