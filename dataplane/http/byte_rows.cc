#include "dataplane/http/byte_rows.h"

#include <string_view>

#include "dataplane/http/char_class.h"

namespace millrace::http {
namespace {

constexpr void fill(uint8_t (&row)[32], uint8_t value) {
  for (uint8_t& octet : row) octet = value;
}

constexpr void mark(uint8_t (&rows)[32], uint8_t (&columns)[32], unsigned c) {
  const auto column = static_cast<uint8_t>(1U << (c >> 4));
  for (const unsigned half : {0U, 16U}) {
    rows[half + (c & 15)] |= column;
    columns[half + (c >> 4)] = column;
  }
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
  fill(rows.dot, '.');
  fill(rows.before_upper, 'A' - 1);
  fill(rows.behind_upper, 'Z' + 1);
  constexpr std::string_view prefix = "x-forwarded-";
  for (size_t i = 0; i < prefix.size(); ++i) {
    rows.forwarded_prefix[i] = static_cast<uint8_t>(prefix[i]);
  }
  for (unsigned c = 0; c < 128; ++c) {
    const auto octet = static_cast<uint8_t>(c);
    if (!is_in_class(octet, not_token)) mark(rows.tchar_rows, rows.tchar_columns, c);
    if (host_octets[octet] != 0) mark(rows.host_rows, rows.host_columns, c);
  }
  return rows;
}

constexpr ByteRows made_rows = make_rows();

}  // namespace

const ByteRows byte_rows = made_rows;

}  // namespace millrace::http
