// The algorithm of vector_head.h over blocks of 32 octets. Included by the files that define it for
// one kind of block each, inside the region in which the compiler may use that kind's instructions:
// so this file includes nothing, and everything in it is local to its includer.
//
// A Block offers, with a bit an octet, the lowest first:
//   Rows                        its constants, read once in front of a loop
//   static load(from), zero(), store(to)
//   colons(rows), questions()
//   line_stops(rows)            below 0x20, or above 0x7e
//   target_stops()              below 0x21, above 0x7e, or "#"
//   matches(text, rows)         equal to the 32 octets there, when 0x20 is set in the block's
//   name_classes(line, bytes)   CharClass bits of the block's first octets, which are also at
//   `line` static first(bits)          the lowest set bit, 32 if there is none

namespace millrace::http {
namespace {

constexpr size_t block_octets = 32;
constexpr uint16_t crlf_word = 0x0a0d;

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
size_t find_far_stop(const uint8_t* line, const uint8_t* safe, const typename Block::Rows& rows) {
  for (const uint8_t* at = line + walk_reach; at < safe; at += block_octets) {
    const uint32_t stops = Block::load(at).line_stops(rows);
    if (stops != 0) return distance(line, at) + Block::first(stops);
  }
  return 0;
}

// A line whose name is not listed, or that is not canonical. False: the parser has to look at it.
template <class Block>
bool take_other_line(const Block& block, const typename Block::Rows& rows, const uint8_t* line,
                     size_t name_bytes, size_t line_bytes, const NameEntry& entry, Field& field) {
  // A name ends within the block, and in front of the line's end.
  if (name_bytes == 0 || name_bytes >= block_octets || name_bytes >= line_bytes) return false;
  unsigned flags = 0;
  auto known = FieldName::other;
  const uint32_t name_bits = entry.match_bits >> 1;  // without the space
  if ((block.matches(entry.text.data(), rows) & name_bits) == name_bits) {
    known = entry.known;
  } else {
    const uint8_t classes = block.name_classes(line, name_bytes);
    if ((classes & not_token) != 0) return false;
    if ((classes & underscore) != 0) flags = Field::has_underscore_flag;
    // Of the names that are not found by the table: TE, and the rest of X-Forwarded-*.
    if (name_bytes == 2 || ((line[0] | 0x20) == 'x' && (line[2] | 0x20) == 'f')) {
      known = recognise_field_name(line, name_bytes);
    }
  }
  // Behind the value stands its CR and before it a colon, so white space ends there.
  size_t value = name_bytes + 1;
  size_t value_end = line_bytes;
  if (line[value] == ' ' && line[value + 1] > ' ' && line[value_end - 1] > ' ') {
    ++value;
    flags |= Field::is_canonical_flag;
  } else {
    while (line[value] == ' ') ++value;
    while (value_end > value && line[value_end - 1] == ' ') --value_end;
  }
  if (is_parsed_field(known)) flags |= Field::is_judged_flag;
  field.name_bytes = static_cast<uint16_t>(name_bytes);
  field.value_offset = static_cast<uint16_t>(value);
  field.value_bytes = static_cast<uint16_t>(value_end - value);
  field.known = known;
  field.flags = static_cast<uint8_t>(flags);
  return true;
}

struct WalkEnd {
  const uint8_t* line;
  Field* field;
};

// Takes the lines from `line` on that end up to `safe`; walk_reach octets behind it can be read.
template <class Block>
inline WalkEnd walk_lines(const uint8_t* line, const uint8_t* const safe, Field* field,
                          FieldRun& run) {
  const typename Block::Rows rows;
  Field* const limit = run.limit;
  while (field != limit) {
    const Block block = Block::load(line);
    const uint32_t stops = block.line_stops(rows);
    size_t line_bytes = Block::first(stops);
    if (stops == 0) {
      const uint32_t more_stops = Block::load(line + block_octets).line_stops(rows);
      line_bytes = block_octets + Block::first(more_stops);
      if (more_stops == 0) line_bytes = find_far_stop<Block>(line, safe, rows);
    }
    const uint8_t* const next = line + line_bytes + 2;
    if (next > safe || load_word(line + line_bytes) != crlf_word) break;
    const size_t name_bytes = Block::first(block.colons(rows));
    const NameEntry& entry = name_entry_of(line, name_bytes);
    uint64_t word;
    if ((~block.matches(entry.text.data(), rows) & entry.match_bits) == 0 &&
        line[name_bytes + 2] > ' ' && line[line_bytes - 1] > ' ') {
      word = entry.field_word + (uint64_t{line_bytes} << 32);
      __builtin_memcpy(reinterpret_cast<uint8_t*>(field) + offsetof(Field, name_bytes), &word,
                       sizeof word);
    } else if (take_other_line(block, rows, line, name_bytes, line_bytes, entry, *field)) {
      word = uint64_t{field->flags} << 56;
    } else {
      break;
    }
    field->line = reinterpret_cast<const char*>(line);
    if (static_cast<int64_t>(word) < 0) run.judged[run.judged_count++] = field;
    line = next;
    ++field;
  }
  return {line, field};
}

// The last octets of an input behind which nothing may be read, with room behind them, and the few
// in front of them that name_entry_of() looks back at.
struct Tail {
  static constexpr size_t front = 8;
  static constexpr size_t octets_max = 256;
  uint8_t octets[front + octets_max + walk_reach];
};

template <class Block>
inline size_t take_field_lines_by_tail(const uint8_t* line, const uint8_t* end,
                                       const uint8_t* readable_end, FieldRun& run) {
  const size_t offered = distance(line, end);
  if (distance(line, readable_end) > walk_reach) {
    const WalkEnd in_place = walk_lines<Block>(line, readable_end - walk_reach, run.next, run);
    line = in_place.line;
    run.next = in_place.field;
  }
  const size_t left = distance(line, end);
  // A walk that ended on its own would end there again.
  if (left > Tail::octets_max || left == 0) return offered - left;
  Tail tail;
  __builtin_memcpy(tail.octets, line - Tail::front, Tail::front + left);
  const uint8_t* const copy = tail.octets + Tail::front;
  Block::zero().store(tail.octets + Tail::front + left);
  Block::zero().store(tail.octets + Tail::front + left + block_octets);
  const WalkEnd in_tail = walk_lines<Block>(copy, copy + left, run.next, run);
  for (Field* field = run.next; field != in_tail.field; ++field) {
    field->line = reinterpret_cast<const char*>(
        line + distance(copy, reinterpret_cast<const uint8_t*>(field->line)));
  }
  run.next = in_tail.field;
  return offered - left + distance(copy, in_tail.line);
}

template <class Block>
inline size_t take_field_lines(const uint8_t* line, const uint8_t* end, const uint8_t* readable_end,
                               FieldRun& run) {
  if (distance(end, readable_end) < walk_reach) {
    return take_field_lines_by_tail<Block>(line, end, readable_end, run);
  }
  const WalkEnd walk = walk_lines<Block>(line, end, run.next, run);
  run.next = walk.field;
  return distance(line, walk.line);
}

template <class Block>
inline TargetEnd find_target_end(const uint8_t* at, const uint8_t* end) {
  const uint8_t* question = nullptr;
  while (at != end) {
    const size_t left = distance(at, end);
    // The last block ends where the input does; what of it was seen already is shifted out.
    const auto seen = static_cast<unsigned>(left < block_octets ? block_octets - left : 0);
    const Block block = Block::load(at - seen);
    const uint32_t stops = block.target_stops() >> seen;
    const uint32_t questions = block.questions() >> seen;
    const size_t stop = Block::first(stops);
    if (question == nullptr && Block::first(questions) < stop) {
      question = at + Block::first(questions);
    }
    if (stops != 0) return {at + stop, question};
    at += block_octets - seen;
  }
  return {at, question};
}

}  // namespace
}  // namespace millrace::http
