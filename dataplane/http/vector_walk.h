// The algorithm of vector_head.h over blocks of 32 octets. Included by the files that define it for
// one kind of block each, inside the region in which the compiler may use that kind's instructions:
// so this file includes nothing, and everything in it is local to its includer.
//
// A Block offers, with a bit an octet, the lowest first:
//   static Block load(from), void store(to)
//   colons(), questions()
//   line_stops()    below 0x20, or above 0x7e
//   target_stops()  below 0x21, above 0x7e, or "#"
//   matches(text)   equal to the 32 octets there, when 0x20 is set in the block's
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

// As integers, because the difference is one between two objects.
inline uintptr_t address(const uint8_t* at) {
  return reinterpret_cast<uintptr_t>(at);
}

// The last octets of the input where whole blocks may begin among them. In front of the last block
// one more, because name_entry_of() looks back.
struct alignas(block_octets) Tail {
  static constexpr size_t copied = 2 * block_octets;
  uint8_t octets[copied + block_octets];
};
static_assert(Tail::copied == vector_input_bytes_min);

// The octets from the start of the line to its first stop, when the first block has none; 0 if the
// stop and an octet behind it are not in the input.
template <class Block>
size_t find_line_stop(const uint8_t* line, const uint8_t* end) {
  const uint8_t* at = line + block_octets;
  while (static_cast<size_t>(end - at) > block_octets) {
    const uint32_t stops = Block::load(at).line_stops();
    if (stops != 0) return static_cast<size_t>(at - line) + Block::first(stops);
    at += block_octets;
  }
  const auto left = static_cast<size_t>(end - at);
  const uint32_t in_last = Block::load(end - block_octets).line_stops();
  const uint64_t stops = uint64_t{in_last} >> (block_octets - left);
  if (stops == 0) return 0;
  const size_t octets = static_cast<size_t>(at - line) + Block::first(static_cast<uint32_t>(stops));
  return octets + 2 <= static_cast<size_t>(end - line) ? octets : 0;
}

// A line whose name is not listed, or that is not canonical. False: the parser has to look at it.
template <class Block>
bool take_other_line(const Block& block, const uint8_t* line, size_t name_bytes, size_t line_bytes,
                     const NameEntry& entry, Field& field) {
  // A name ends within the block, and in front of the line's end.
  if (name_bytes == 0 || name_bytes == block_octets || name_bytes >= line_bytes) return false;
  uint8_t flags = 0;
  auto known = FieldName::other;
  const uint32_t name_bits = entry.match_bits >> 1;  // without the space
  if ((~block.matches(entry.text.data()) & name_bits) == 0) {
    known = static_cast<FieldName>(entry.field_word >> 56);
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
  field.name_bytes = static_cast<uint16_t>(name_bytes);
  field.value_offset = static_cast<uint16_t>(value);
  field.value_bytes = static_cast<uint16_t>(value_end - value);
  field.flags = flags;
  field.known = known;
  return true;
}

template <class Block>
inline const uint8_t* take_field_lines(const uint8_t* line, const uint8_t* end, FieldRun& run) {
  Tail tail;
  uintptr_t moved = 0;  // from where octets are read to where they stand in the input
  // A line that begins behind `last` has no whole block and one octet more before the end.
  const uint8_t* last = end - block_octets - 1;
  Field* field = run.next;
  while (field != run.limit) {
    if (line > last) {
      const auto left = static_cast<size_t>(end - line);
      if (moved != 0 || left == 0) break;
      Block::load(end - Tail::copied).store(tail.octets);
      Block::load(end - block_octets).store(tail.octets + block_octets);
      Block::zero().store(tail.octets + Tail::copied);
      const uint8_t* const there = tail.octets + Tail::copied - left;
      moved = address(line) - address(there);
      line = there;
      end = tail.octets + Tail::copied;
      last = end - 1;
    }
    const Block block = Block::load(line);
    const size_t name_bytes = Block::first(block.colons());
    const uint32_t stops = block.line_stops();
    size_t line_bytes = Block::first(stops);
    if (stops == 0) {
      line_bytes = find_line_stop<Block>(line, end);
      if (line_bytes == 0 || line_bytes > line_bytes_max - 2) break;
    }
    if (load_word(line + line_bytes) != crlf_word) break;
    const NameEntry& entry = name_entry_of(line, name_bytes);
    if ((~block.matches(entry.text.data()) & entry.match_bits) == 0 && line[name_bytes + 2] > ' ' &&
        line[line_bytes - 1] > ' ') {
      __builtin_memcpy(reinterpret_cast<uint8_t*>(field) + offsetof(Field, name_bytes),
                       &entry.field_word, sizeof entry.field_word);
      field->value_bytes = static_cast<uint16_t>(line_bytes - name_bytes - 2);
    } else if (!take_other_line(block, line, name_bytes, line_bytes, entry, *field)) {
      break;
    }
    field->line = reinterpret_cast<const char*>(address(line) + moved);
    if (is_parsed_field(field->known)) run.judged[run.judged_count++] = field;
    line += line_bytes + 2;
    ++field;
  }
  run.next = field;
  return reinterpret_cast<const uint8_t*>(address(line) + moved);
}

template <class Block>
inline TargetEnd find_target_end(const uint8_t* at, const uint8_t* end) {
  const uint8_t* question = nullptr;
  while (at != end) {
    const auto left = static_cast<size_t>(end - at);
    // The last block ends where the input does; what of it was seen already is shifted out.
    const bool is_last = left < block_octets;
    const unsigned seen = is_last ? static_cast<unsigned>(block_octets - left) : 0;
    const Block block = Block::load(at - seen);
    const uint32_t stops = block.target_stops() >> seen;
    const uint32_t questions = block.questions() >> seen;
    const unsigned stop = Block::first(stops);
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
