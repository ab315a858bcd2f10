#include "base/bytes.h"

#include <gtest/gtest.h>

#include <array>

namespace millrace {
namespace {

TEST(Bytes, BigEndianRoundTrip) {
  std::array<uint8_t, 6> buffer{};
  store_be16(buffer.data(), 0x1234);
  store_be32(buffer.data() + 2, 0x56789abc);
  EXPECT_EQ(buffer, (std::array<uint8_t, 6>{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}));
  EXPECT_EQ(load_be16(buffer.data()), 0x1234);
  EXPECT_EQ(load_be32(buffer.data() + 2), 0x56789abcU);
}

TEST(ByteReader, NeverReadsBeyondTheEndAndStaysFailed) {
  const std::array<uint8_t, 3> bytes{1, 2, 3};
  ByteReader reader{ByteView(bytes)};
  EXPECT_EQ(reader.read_be16(), 0x0102);
  EXPECT_EQ(reader.read_be16(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.read_u8(), 0) << "one byte is left, but the reader has failed";
}

}  // namespace
}  // namespace millrace
