// The algorithm of vector_head.h over blocks of 32 octets. Included by the files that define it for
// one kind of block each, inside the region in which the compiler may use that kind's instructions:
// so there it includes nothing, and everything in it is local to its includer.
//
// A Block offers, with a bit an octet, the lowest first:
//   Rows                       its constants, read once in front of a loop
//   load(from), store(to)      its 32 octets; zero() is a block of zeros
//   colons(rows), questions()  where they are
//   line_stops(rows)           octets below 0x20, or above 0x7e
//   target_stops()             octets below 0x21, or above 0x7e, or "#"
//   matches(text, rows)        equal to the 32 octets there, when 0x20 is set in the block's
//   is_token(line, bytes), has_underscore(line, bytes)
//                              of its first octets, which `line` points to as well
//   copy_host(text, to)        a host of at most 31 octets and nothing else, in lower case. Answers
//                              its length, or 0 where parse_authority() has to decide. 32 octets
//                              from the text on can be read, and written at `to`
//   first(bits)                the lowest set bit, block_octets or more if there is none
#pragma once

#if !defined(MILLRACE_VECTOR_REGION)
#include <cstddef>
#include <cstdint>

#include "dataplane/http/byte_rows.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/field_name_table.h"
#include "dataplane/http/start_line.h"
#include "dataplane/http/vector_head.h"
#endif

namespace millrace::http {
namespace {

constexpr size_t block_octets = 32;
constexpr uint16_t crlf_word = 0x0a0d;
constexpr uint16_t te_word = 't' | 'e' << 8;
constexpr size_t forwarded_prefix_bytes = sizeof("x-forwarded-") - 1;
constexpr uint32_t forwarded_prefix_bits = (1U << forwarded_prefix_bytes) - 1;

inline uint16_t load_word(const uint8_t* from) {
  uint16_t word;
  __builtin_memcpy(&word, from, sizeof word);
  return word;
}

inline size_t distance(const uint8_t* from, const uint8_t* to) {
  return static_cast<size_t>(to - from);
}

// A walk may read so many octets behind the last that it may take: two blocks.
constexpr size_t walk_reach = 2 * block_octets;

// The octets from the start of the line to its first stop, when the first two blocks have none; 0
// if there is none up to `safe`.
template <class Block>
[[gnu::always_inline]] inline size_t find_far_stop(const uint8_t* line, const uint8_t* safe,
                                                   const typename Block::Rows& rows) {
  for (const uint8_t* at = line + walk_reach; at < safe; at += block_octets) {
    const uint32_t stops = Block::load(at).line_stops(rows);
    if (stops != 0) return distance(line, at) + Block::first(stops);
  }
  return 0;
}

// A line's Field from name_bytes on (field_name_table.h), as a canonical line has it.
inline uint64_t with_end(uint64_t word, size_t line_bytes) {
  return word + (uint64_t{line_bytes} << 32);
}
inline void store_word(uint64_t word, Field* field) {
  __builtin_memcpy(reinterpret_cast<uint8_t*>(field) + offsetof(Field, name_bytes), &word,
                   sizeof word);
}

// The same with other white space around the value. Behind the value stands its CR and before it a
// colon, so white space ends there.
inline uint64_t with_trimmed_value(uint64_t word, const uint8_t* line, size_t name_bytes,
                                   size_t line_bytes) {
  size_t value = name_bytes + 1;
  while (line[value] == ' ') ++value;
  while (line_bytes > value && line[line_bytes - 1] == ' ') --line_bytes;
  const uint64_t without_value = word + ((name_bytes + 2) << 32) - ((name_bytes + 2) << 16) -
                                 (uint64_t{Field::is_canonical_flag} << 56);
  return without_value + (value << 16) + ((line_bytes - value) << 32);
}

// The word, without its end, of a name that is not listed; 0: it is no token.
template <class Block>
[[gnu::always_inline]] inline uint64_t word_of_unlisted_name(const Block& block,
                                                             const typename Block::Rows& rows,
                                                             const uint8_t* line,
                                                             size_t name_bytes) {
  if (!block.is_token(line, name_bytes)) return 0;
  // name_bytes, value_offset of two more, and as much less of value_bytes.
  constexpr uint64_t an_octet = 1 + (uint64_t{1} << 16) - (uint64_t{1} << 32);
  constexpr uint64_t two_octets = 2 * ((uint64_t{1} << 16) - (uint64_t{1} << 32));
  uint64_t word = name_bytes * an_octet + (two_octets + (uint64_t{Field::is_canonical_flag} << 56));
  if (block.has_underscore(line, name_bytes)) word += uint64_t{Field::has_underscore_flag} << 56;
  // What the table does not find: TE, and the rest of X-Forwarded-*.
  if (name_bytes == 2 && (load_word(line) | 0x2020) == te_word) {
    word += (static_cast<uint64_t>(FieldName::te) << 48) + (uint64_t{Field::is_judged_flag} << 56);
  } else if (name_bytes > forwarded_prefix_bytes &&
             (block.matches(byte_rows.forwarded_prefix, rows) & forwarded_prefix_bits) ==
                 forwarded_prefix_bits) {
    word += static_cast<uint64_t>(FieldName::x_forwarded_other) << 48;
  }
  return word;
}

struct WalkEnd {
  const uint8_t* line;
  Field* field;
  HeadError error;
};

// Takes the lines from `line` on that end up to `safe`; walk_reach octets behind it can be read.
template <class Block, class Judge>
[[gnu::always_inline]] inline WalkEnd walk_lines(const uint8_t* line, const uint8_t* const safe,
                                                 Field* field, Field* const limit, Judge& judge) {
  const typename Block::Rows rows;
  const NameTable* names = &name_table;
  asm("" : "+r"(names));  // in a register, instead of anew in each round
  while (field != limit) {
    const Block block = Block::load(line);
    const uint32_t stops = block.line_stops(rows);
    size_t line_bytes = Block::first(stops);
    if (stops == 0) {
      const uint32_t more_stops = Block::load(line + block_octets).line_stops(rows);
      line_bytes = more_stops != 0 ? block_octets + Block::first(more_stops)
                                   : find_far_stop<Block>(line, safe, rows);
    }
    const uint8_t* const next = line + line_bytes + 2;
    if (next > safe || load_word(line + line_bytes) != crlf_word || line_bytes == 0) break;
    const size_t name_bytes = Block::first(block.colons(rows));
    const NameEntry& entry = name_entry_of(names, line, name_bytes);
    uint64_t word = with_end(entry.field_word, line_bytes);
    const uint32_t differences =
        (block.matches(entry.text.data(), rows) ^ entry.match_bits) & entry.compared_bits;
    if (differences != 0 || line[line_bytes - 1] == ' ') {
      // A name ends within the block, and in front of the line's end.
      if (name_bytes - 1 >= block_octets - 1 || name_bytes >= line_bytes) break;
      word = entry.field_word;
      if ((differences & entry.match_bits >> 1) != 0) {
        word = word_of_unlisted_name(block, rows, line, name_bytes);
        if (word == 0) break;
      }
      const bool is_canonical =
          line[name_bytes + 1] == ' ' && line[name_bytes + 2] > ' ' && line[line_bytes - 1] > ' ';
      word = is_canonical ? with_end(word, line_bytes)
                          : with_trimmed_value(word, line, name_bytes, line_bytes);
    }
    store_word(word, field);
    field->line = reinterpret_cast<const char*>(line);
    if (static_cast<int64_t>(word) < 0) {
      size_t host_bytes = 0;
      if (field->known == FieldName::host && judge.host_text() != nullptr) {
        host_bytes = Block::copy_host(field->value(), judge.host_text());
      }
      if (host_bytes != 0) {
        judge.take_host(host_bytes);
      } else {
        const HeadError error = judge.judge(*field);
        if (error != HeadError::none) return {next, field + 1, error};
      }
    }
    line = next;
    ++field;
  }
  return {line, field, HeadError::none};
}

// The last octets of an input behind which nothing may be read, with room behind them, and the few
// in front of them that name_entry_of() looks back at.
struct Tail {
  static constexpr size_t front = 8;
  static constexpr size_t octets_max = 256;
  uint8_t octets[front + octets_max + walk_reach];
};

template <class Block, class Judge>
FieldRun take_lines_by_tail(const LineRange& range, Judge& judge) {
  WalkEnd walk{range.line, range.next, HeadError::none};
  if (distance(range.line, range.readable_end) > walk_reach) {
    walk = walk_lines<Block>(range.line, range.readable_end - walk_reach, range.next, range.limit,
                             judge);
  }
  const size_t left = distance(walk.line, range.end);
  const size_t taken = distance(range.line, walk.line);
  if (walk.error != HeadError::none || left > Tail::octets_max) {
    return {taken, walk.field, walk.error};
  }
  Tail tail;
  __builtin_memcpy(tail.octets, walk.line - Tail::front, Tail::front + left);
  const uint8_t* const copy = tail.octets + Tail::front;
  Block::zero().store(tail.octets + Tail::front + left);
  Block::zero().store(tail.octets + Tail::front + left + block_octets);
  const WalkEnd in_tail = walk_lines<Block>(copy, copy + left, walk.field, range.limit, judge);
  for (Field* field = walk.field; field != in_tail.field; ++field) {
    field->line = reinterpret_cast<const char*>(
        walk.line + distance(copy, reinterpret_cast<const uint8_t*>(field->line)));
  }
  return {taken + distance(copy, in_tail.line), in_tail.field, in_tail.error};
}

template <class Block, class Judge>
FieldRun take_lines(const LineRange& range, Judge& judge) {
  if (distance(range.end, range.readable_end) < walk_reach) {
    return take_lines_by_tail<Block>(range, judge);
  }
  const WalkEnd walk = walk_lines<Block>(range.line, range.end, range.next, range.limit, judge);
  return {distance(range.line, walk.line), walk.field, walk.error};
}

struct TargetEnd {
  const uint8_t* at;  // the first octet that is not part of a target; may lie behind the input
  const uint8_t* question;  // the first "?" before it, or nullptr
};

template <class Block>
inline TargetEnd find_target_end(const uint8_t* at, const uint8_t* readable_end) {
  const uint8_t* question = nullptr;
  for (; distance(at, readable_end) >= block_octets; at += block_octets) {
    const Block block = Block::load(at);
    const uint32_t stops = block.target_stops();
    const size_t stop = Block::first(stops);
    const size_t first_question = Block::first(block.questions());
    if (first_question < stop && question == nullptr) question = at + first_question;
    if (stops != 0) return {at + stop, question};
  }
  return {readable_end, question};  // not found in what may be looked at
}

// The field lines and the empty line of a plain head. Answers where it ends, or nullptr.
template <class Block, class Judge>
[[gnu::always_inline]] inline const uint8_t* take_plain_lines(const uint8_t* line,
                                                              const uint8_t* end, Readable readable,
                                                              Fields& fields, Judge& judge) {
  Field* const first = fields.lines.data();
  Field* const limit = first + fields_max;
  WalkEnd walk;
  if (__builtin_expect(readable.bytes_behind >= walk_reach, 1)) {
    walk = walk_lines<Block>(line, end, first, limit, judge);
  } else {
    const FieldRun run = take_lines_by_tail<Block>(
        LineRange{line, end, end + readable.bytes_behind, first, limit}, judge);
    walk = {line + run.octets, run.next, run.error};
  }
  if (walk.error != HeadError::none || end - walk.line < 2 || load_word(walk.line) != crlf_word) {
    return nullptr;
  }
  fields.count = static_cast<uint32_t>(walk.field - first);
  return judge.conclude() == HeadError::none ? walk.line + 2 : nullptr;
}

constexpr size_t plain_method_bytes_max = 16;
constexpr size_t plain_head_bytes_min = plain_method_bytes_max + 2;

template <class Block>
[[gnu::always_inline]] inline bool take_plain_request(ByteView input, Readable readable,
                                                      RequestHead& out, size_t& consumed) {
  if (input.size() < plain_head_bytes_min) return false;
  const uint8_t* const begin = input.data();
  const uint8_t* const end =
      begin + (input.size() < line_bytes_max ? input.size() : line_bytes_max);
  const uint8_t* at = begin;
  if (load<uint32_t>(at) == get_octets) {
    out.method = Method::get;
    at += 3;
  } else {
    while (at != begin + plain_method_bytes_max && !is_in_class(*at, not_token)) ++at;
    out.method = recognise_method(text_between(begin, at));
    if (*at != ' ' || at == begin || out.method == Method::connect || out.method == Method::trace) {
      return false;
    }
  }
  out.method_text = text_between(begin, at);
  ++at;
  const TargetEnd target = find_target_end<Block>(at, end + readable.bytes_behind);
  constexpr ptrdiff_t version_octets = sizeof(" HTTP/1.1\r\n") - 1;
  if (*at != '/' || end - target.at < version_octets || *target.at != ' ' ||
      distance(at, target.at) > target_bytes_max ||
      load<uint64_t>(target.at + 1) != http_1_1_octets || load_word(target.at + 9) != crlf_word) {
    return false;
  }
  out.version = Version::http_1_1;
  out.form = TargetForm::origin;
  out.has_query = target.question != nullptr;
  out.path = text_between(at, out.has_query ? target.question : target.at);
  out.query = out.has_query ? text_between(target.question + 1, target.at) : std::string_view{};
  out.host_bytes = 0;
  out.port = 0;
  out.error = HeadError::none;
  at = target.at + version_octets;
  out.canonical_line = text_between(begin, at);
  RequestJudge judge(out);
  at = take_plain_lines<Block>(at, end, readable, out.fields, judge);
  if (at == nullptr) return false;
  consumed = distance(begin, at);
  return true;
}

template <class Block>
[[gnu::always_inline]] inline bool take_plain_response(ByteView input, Readable readable,
                                                       Method request_method, ResponseHead& out,
                                                       size_t& consumed) {
  if (input.size() < plain_head_bytes_min) return false;
  const uint8_t* const begin = input.data();
  const uint8_t* const end =
      begin + (input.size() < line_bytes_max ? input.size() : line_bytes_max);
  constexpr size_t reason_at = sizeof("HTTP/1.1 200 ") - 1;
  if (distance(begin, end) + readable.bytes_behind < reason_at + block_octets + 1) return false;
  if (load<uint64_t>(begin) != http_1_1_octets || begin[8] != ' ' || begin[12] != ' ') return false;
  const unsigned hundreds = begin[9] - unsigned{'1'};
  const unsigned tens = begin[10] - unsigned{'0'};
  const unsigned ones = begin[11] - unsigned{'0'};
  if (hundreds > 8 || tens > 9 || ones > 9) return false;
  const uint8_t* const reason = begin + reason_at;
  const uint32_t stops = Block::load(reason).line_stops(typename Block::Rows());
  const uint8_t* const reason_end = reason + Block::first(stops);
  if (stops == 0 || reason_end + 2 > end || load_word(reason_end) != crlf_word) return false;
  out.version = Version::http_1_1;
  out.status = static_cast<uint16_t>((hundreds + 1) * 100 + tens * 10 + ones);
  out.reason = text_between(reason, reason_end);
  out.canonical_line = text_between(begin, reason_end + 2);
  out.error = HeadError::none;
  ResponseJudge judge(out, request_method);
  const uint8_t* const at =
      take_plain_lines<Block>(reason_end + 2, end, readable, out.fields, judge);
  if (at == nullptr) return false;
  consumed = distance(begin, at);
  return true;
}

}  // namespace
}  // namespace millrace::http
