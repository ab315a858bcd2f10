#include "dataplane/net/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "dataplane/net/checksum_run.h"
#include "tests/support/guard_page.h"
#include "tests/support/packet_builder.h"

namespace millrace::net {
namespace {

using packet::ChecksumMode;
using testing::GuardPage;
using testing::reference_checksum;
using testing::reference_pseudo_header;

constexpr Ipv4Address from = Ipv4Address::from_octets(192, 0, 2, 1);
constexpr Ipv4Address to = Ipv4Address::from_octets(198, 51, 100, 200);

// The checksum as a number in wire order.
uint16_t checksum_of(PartialSum sum) {
  uint8_t field[2];
  store_checksum(field, sum);
  return load_be16(field);
}

std::vector<uint8_t> random_bytes(Random& random, size_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& octet : bytes) octet = static_cast<uint8_t>(random.next());
  return bytes;
}

TEST(Checksum, T47_EqualsTheReferenceAtEveryLengthAndAlignment) {
  Random random(1);
  const std::vector<uint8_t> pool = random_bytes(random, 4096);
  std::vector<uint8_t> copy(4096);
  for (int i = 0; i < 100'000; ++i) {
    const size_t offset = random.below(64);
    const size_t length = i < 2'000 ? static_cast<size_t>(i) : random.below(1'600);
    const ByteView bytes(pool.data() + offset + random.below(2'000), length);
    const uint16_t expected = reference_checksum(bytes);
    ASSERT_EQ(checksum_of(sum_of(bytes)), expected) << length;

    const size_t at = random.below(64);
    ASSERT_EQ(checksum_of(copy_and_sum(copy.data() + at, bytes.data(), length)), expected);
    ASSERT_EQ(std::memcmp(copy.data() + at, bytes.data(), length), 0);
  }
}

// Folding keeps the sum modulo 65,535, and tells a sum of zeros from any other (as 0 and 0xffff).
TEST(Checksum, T47_FoldingIsEndAround) {
  const auto check = [](uint64_t sum) {
    const uint64_t rest = sum % 65'535;
    ASSERT_EQ(fold({sum}), sum != 0 && rest == 0 ? 0xffff : rest) << std::hex << sum;
  };
  Random random(3);
  for (int i = 0; i < 100'000; ++i) check(random.next() >> (i % 64));
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t near : {0ULL, 1ULL, 2ULL}) {
      check((uint64_t{1} << bit) - near);
      check((uint64_t{1} << bit) + near);
      check(~((uint64_t{1} << bit) - near));
    }
  }
}

// Every loop that this machine can run, against the reference.
TEST(Checksum, T47_AllLoopsAgree) {
  Random random(11);
  const std::vector<uint8_t> pool = random_bytes(random, 70'000);
  std::vector<uint8_t> copy(70'000);
  for (const SumLoop& loop : sum_loops()) {
    for (int i = 0; i < 20'000; ++i) {
      const size_t length =
          i < 300 ? static_cast<size_t>(i) : random.below(i % 50 == 0 ? 65'536 : 1'600);
      const ByteView bytes(pool.data() + random.below(64), length);
      const uint16_t expected = reference_checksum(bytes);
      ASSERT_EQ(checksum_of({loop.sum(bytes.data(), length)}), expected) << loop.name << length;
      ASSERT_EQ(checksum_of({loop.copy_and_sum(copy.data() + 1, bytes.data(), length)}), expected);
      ASSERT_EQ(std::memcmp(copy.data() + 1, bytes.data(), length), 0);
    }
    for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
      const std::vector<uint8_t> same(65'535, static_cast<uint8_t>(fill));
      EXPECT_EQ(checksum_of({loop.sum(same.data(), same.size())}), reference_checksum(same));
    }
    GuardPage guard(4096);
    for (size_t length = 0; length < 200; ++length) {
      const auto bytes = random_bytes(random, length);
      EXPECT_EQ(checksum_of({loop.sum(guard.place(bytes).data(), length)}),
                reference_checksum(bytes));
    }
  }
}

TEST(Checksum, T47_LongRunsOfOnesLoseNoCarry) {
  const std::vector<uint8_t> ones(65'535, 0xff);
  for (const size_t length : {1U, 2U, 63U, 64U, 65U, 1'448U, 65'534U, 65'535U}) {
    const ByteView bytes(ones.data(), length);
    EXPECT_EQ(checksum_of(sum_of(bytes)), reference_checksum(bytes)) << length;
  }
}

TEST(Checksum, ReadsAndWritesNothingBeyondTheEnd) {
  GuardPage input(4096);
  GuardPage output(4096);
  Random random(2);
  for (size_t length = 0; length < 200; ++length) {
    const auto bytes = random_bytes(random, length);
    const ByteView placed = input.place(bytes);
    const ByteSpan room = output.reserve(length);
    EXPECT_EQ(checksum_of(sum_of(placed)), reference_checksum(bytes));
    EXPECT_EQ(checksum_of(copy_and_sum(room.data(), placed.data(), length)),
              reference_checksum(bytes));
  }
}

TEST(Checksum, PiecesAtOddOffsetsAddUp) {
  Random random(3);
  for (int i = 0; i < 10'000; ++i) {
    const auto bytes = random_bytes(random, random.between(2, 300));
    const ByteView whole(bytes);
    const size_t first = random.below(bytes.size());
    const size_t second = random.between(first, bytes.size());
    const PartialSum sum = sum_of(whole.first(first)) +
                           at_offset(sum_of(whole.subspan(first, second - first)), first) +
                           at_offset(sum_of(whole.subspan(second)), second);
    ASSERT_EQ(checksum_of(sum), reference_checksum(whole));
  }
}

TEST(Checksum, T47_TransportChecksumsOfOddAndEvenSegments) {
  Random random(4);
  for (size_t length = 20; length < 200; ++length) {
    auto segment = random_bytes(random, length);
    auto in_pieces = segment;
    store_transport_checksum(&segment[16], from, to, 6, segment);
    const uint16_t stored = load_be16(&segment[16]);
    store_be16(&segment[16], 0);
    EXPECT_EQ(stored, reference_checksum(segment, reference_pseudo_header(from, to, 6, length)));

    const ByteView all(in_pieces);
    store_transport_checksum(&in_pieces[16], from, to, 6, all.first(20), sum_of(all.subspan(20)),
                             length - 20);
    EXPECT_EQ(load_be16(&in_pieces[16]), stored);
  }
}

TEST(Checksum, T47_VerifyAcceptsOnlyTheCompleteSum) {
  Random random(5);
  auto segment = random_bytes(random, 41);
  store_transport_checksum(&segment[16], from, to, 6, segment);
  EXPECT_TRUE(transport_checksum_holds(ChecksumMode::verify, from, to, 6, segment, 16));
  for (size_t bit = 0; bit < segment.size() * 8; ++bit) {
    segment[bit / 8] = static_cast<uint8_t>(segment[bit / 8] ^ 1U << bit % 8);
    EXPECT_FALSE(transport_checksum_holds(ChecksumMode::verify, from, to, 6, segment, 16));
    EXPECT_FALSE(
        transport_checksum_holds(ChecksumMode::verify_or_partial, from, to, 6, segment, 16));
    EXPECT_TRUE(transport_checksum_holds(ChecksumMode::trust, from, to, 6, segment, 16));
    segment[bit / 8] = static_cast<uint8_t>(segment[bit / 8] ^ 1U << bit % 8);
  }
  // The addresses and the protocol are part of it.
  EXPECT_FALSE(transport_checksum_holds(ChecksumMode::verify, from, from, 6, segment, 16));
  EXPECT_FALSE(transport_checksum_holds(ChecksumMode::verify, from, to, 17, segment, 16));
}

TEST(Checksum, T47_PartialSumsPassOnlyWhereKernelPeersAre) {
  Random random(6);
  auto segment = random_bytes(random, 57);
  const uint16_t partial = static_cast<uint16_t>(
      ~reference_checksum({}, reference_pseudo_header(from, to, 6, segment.size())));
  store_be16(&segment[16], partial);
  EXPECT_TRUE(transport_checksum_holds(ChecksumMode::verify_or_partial, from, to, 6, segment, 16));
  EXPECT_FALSE(transport_checksum_holds(ChecksumMode::verify, from, to, 6, segment, 16));
  store_be16(&segment[16], static_cast<uint16_t>(~partial));
  EXPECT_FALSE(transport_checksum_holds(ChecksumMode::verify_or_partial, from, to, 6, segment, 16));
}

// Ones' complement has two zeros. A receiver must take either, a sender computes the one that falls
// out: only UDP gives 0x0000 a meaning of its own.
TEST(Checksum, T47_BothZerosAreRight) {
  std::vector<uint8_t> segment(22, 0);
  const uint32_t pseudo = reference_pseudo_header(from, to, 6, segment.size());
  const uint16_t missing = reference_checksum({}, pseudo);
  store_be16(&segment[20], missing);  // now the rest sums to 0xffff, so the checksum is 0x0000
  store_transport_checksum(&segment[16], from, to, 6, segment);
  EXPECT_EQ(load_be16(&segment[16]), 0x0000);
  for (const auto mode : {ChecksumMode::verify, ChecksumMode::verify_or_partial}) {
    store_be16(&segment[16], 0x0000);
    EXPECT_TRUE(transport_checksum_holds(mode, from, to, 6, segment, 16));
    store_be16(&segment[16], 0xffff);
    EXPECT_TRUE(transport_checksum_holds(mode, from, to, 6, segment, 16));
    store_be16(&segment[16], 0x0001);
    EXPECT_FALSE(transport_checksum_holds(mode, from, to, 6, segment, 16));
  }
}

TEST(Checksum, T47_IncrementalUpdateEqualsRecomputing) {
  // RFC 1624 section 4's example, which the older formula gets wrong.
  EXPECT_EQ(updated_checksum(0xdd2f, 0x5555, 0x3285), 0x0000);
  Random random(7);
  for (int i = 0; i < 10'000; ++i) {
    auto bytes = random_bytes(random, 20);
    store_be16(&bytes[10], 0);
    store_be16(&bytes[10], reference_checksum(bytes));
    const auto word = static_cast<uint16_t>(random.next());
    const uint16_t updated = updated_checksum(load_be16(&bytes[10]), load_be16(&bytes[8]), word);
    store_be16(&bytes[8], word);
    store_be16(&bytes[10], 0);
    ASSERT_EQ(updated, reference_checksum(bytes));
  }
}

}  // namespace
}  // namespace millrace::net
