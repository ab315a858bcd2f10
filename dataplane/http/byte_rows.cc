#include "dataplane/http/byte_rows.h"

#include "dataplane/http/char_class.h"

namespace millrace::http {
namespace {

constexpr void fill(uint8_t (&row)[32], uint8_t value) {
  for (uint8_t& octet : row) octet = value;
}

constexpr ByteRows make_rows() {
  ByteRows rows{};
  fill(rows.colon, ':');
  fill(rows.question, '?');
  fill(rows.hash, '#');
  fill(rows.underscore, '_');
  fill(rows.fold, 0x20);
  fill(rows.one, 1);
  fill(rows.low_half, 0x0f);
  fill(rows.line_floor, 0x20 + 1);
  fill(rows.target_floor, 0x21 + 1);
  for (unsigned c = 0; c < 128; ++c) {
    if (is_in_class(static_cast<uint8_t>(c), not_token)) continue;
    for (const unsigned half : {0U, 16U}) {
      const unsigned column = 1U << (c >> 4);
      rows.tchar_rows[half + (c & 15)] |= static_cast<uint8_t>(column);
      rows.tchar_columns[half + (c >> 4)] = static_cast<uint8_t>(column);
    }
  }
  return rows;
}

constexpr ByteRows made_rows = make_rows();

}  // namespace

const ByteRows byte_rows = made_rows;

}  // namespace millrace::http
