// The listed field names as the recognisers read them: this room's own, see field_names.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/http/message.h"

namespace millrace::http {

// One name, laid out so that a line that begins with it is recognised by one compare of 32 octets
// and its Field filled by one store.
struct alignas(64) NameEntry {
  std::array<uint8_t, 32> text;  // name in lower case, colon and two spaces, zeros behind
  // Field from name_bytes on, of a canonical line without an end: its octets up to the CR, shifted
  // to value_bytes, have to be added.
  uint64_t field_word;
  // Which octets of text a canonical line must match, and which it must match or not match: one
  // more, because a second space would be no part of the value.
  uint32_t match_bits;
  uint32_t compared_bits;
  FieldName known;
};

inline constexpr size_t listed_name_bytes_max = 29;  // text holds the colon and the spaces as well

// A perfect hash over a name's length and the four octets in front of its last one, which for names
// of three and four letters reach into the line end before them.
inline constexpr unsigned name_slot_bits = 8;
// Found by trying; with other names take the next odd number for which field_names.cc compiles.
inline constexpr uint32_t name_slot_multiplier = 0x808a11b9U;

constexpr size_t name_slot(uint32_t octets, size_t name_bytes) {
  const uint32_t letters = octets | 0x20202020U;  // case folded
  return (letters + static_cast<uint32_t>(name_bytes) * 8) * name_slot_multiplier >>
         (32 - name_slot_bits);
}

struct NameTable {
  std::array<NameEntry, field_name_count> entries;  // by FieldName; that of `other` matches nothing
  std::array<uint16_t, size_t{1} << name_slot_bits> slots;  // octets from the table's start
};
static_assert(offsetof(NameTable, entries) == 0 && sizeof(NameEntry) * field_name_count < 65536);

extern const NameTable name_table;

// The only entry whose name a line's first `name_bytes` octets can be. The five octets before the
// end of the name are read, so a shorter name needs a line before it.
inline const NameEntry& name_entry_of(const NameTable* names, const uint8_t* line,
                                      size_t name_bytes) {
  uint32_t octets;
  std::memcpy(&octets, line + name_bytes - 5, sizeof octets);
  const auto* base = reinterpret_cast<const uint8_t*>(names);
  return *reinterpret_cast<const NameEntry*>(base + names->slots[name_slot(octets, name_bytes)]);
}

}  // namespace millrace::http
