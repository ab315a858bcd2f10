// The Internet checksum (RFC 1071): the ones' complement of the ones' complement sum of 16-bit
// words. Sums are kept unfolded and in the host's byte order, which RFC 1071 section 2 (B) allows:
// the folded result, stored as it lies in memory, is right on either kind of host.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ipv6_address.h"
#include "dataplane/packet/checksum_mode.h"

namespace millrace::net {

// An unfolded sum. Each one that a function here returns is below 2^36, so a few may be added
// without care.
struct PartialSum {
  uint64_t value = 0;
  constexpr PartialSum operator+(PartialSum other) const { return {value + other.value}; }
};

// Sum of bytes as if they began at an even offset; an odd last octet is padded with zero. At most
// 65,535 octets.
PartialSum sum_of(ByteView bytes);

// The same while copying count octets, because payload is copied exactly once and is in registers
// then. The ranges do not overlap.
PartialSum copy_and_sum(uint8_t* to, const uint8_t* from, size_t count);

// The sum that a run contributes when octets_before octets of the checksummed range stand in front
// of it (RFC 1071 section 2 (A), (B): an odd start swaps the octets).
PartialSum at_offset(PartialSum sum, size_t octets_before);

// Folded to 16 bits with end-around carry; 0 only if every summed word was 0. Never complemented.
constexpr uint16_t fold(PartialSum sum) {
  // Added to itself with its halves changed, the upper half is the sum of both, with the carry that
  // the lower one gave: end-around.
  const uint64_t twice = sum.value + std::rotl(sum.value, 32);
  const auto word = static_cast<uint32_t>(twice >> 32);
  return static_cast<uint16_t>((word + std::rotl(word, 16)) >> 16);
}

// The pseudo-header of TCP and UDP over IPv4 (RFC 9293 section 3.1); length: octets of segment.
inline PartialSum pseudo_header_sum(Ipv4Address source, Ipv4Address destination, uint8_t protocol,
                                    size_t length) {
  // 32-bit words in wire order, read as the host reads memory.
  const uint64_t protocol_and_length =
      __builtin_bswap32(uint32_t{protocol} << 16 | static_cast<uint16_t>(length));
  return {uint64_t{__builtin_bswap32(source.host_order())} +
          __builtin_bswap32(destination.host_order()) + protocol_and_length};
}

// The pseudo-header of TCP, UDP and ICMPv6 over IPv6 (RFC 8200 section 8.1). protocol: the upper
// layer's own number, whatever extension headers stand between; length: octets of segment, without
// them.
inline PartialSum pseudo_header_sum(const Ipv6Address& source, const Ipv6Address& destination,
                                    uint8_t protocol, size_t length) {
  uint64_t sum = uint64_t{__builtin_bswap32(static_cast<uint32_t>(length))} +
                 __builtin_bswap32(uint32_t{protocol});
  for (const Ipv6Address* address : {&source, &destination}) {
    for (size_t at = 0; at < Ipv6Address::bytes; at += 4) {
      uint32_t word;
      std::memcpy(&word, address->octets().data() + at, sizeof word);
      sum += word;
    }
  }
  return {sum};
}

// A sum of 16-bit words, or of 32-bit words, taken as numbers instead of as they lie in memory: RFC
// 1071 section 2 (B), the octets of the folded sum change places.
constexpr PartialSum from_wire_order(uint64_t sum_of_numbers) {
  return {__builtin_bswap16(fold({sum_of_numbers}))};
}

// A header of fixed size, a multiple of four octets, without a loop.
template <size_t octets>
PartialSum sum_of_header(const uint8_t* header) {
  static_assert(octets % 4 == 0 && octets <= 64);
  uint64_t sum = 0;
  for (size_t at = 0; at < octets; at += 4) {
    uint32_t word;
    std::memcpy(&word, header + at, sizeof word);
    sum += word;
  }
  return {sum};
}

// Writes the checksum of everything summed; the field itself was summed as zero.
inline void store_checksum(uint8_t* field, PartialSum sum) {
  const auto checksum = static_cast<uint16_t>(~fold(sum));
  std::memcpy(field, &checksum, sizeof checksum);
}

// Computes and writes the checksum of segment, in which field lies at an even offset. A computed
// 0x0000 is sent as it is: only UDP gives it another meaning (T47).
void store_transport_checksum(uint8_t* field, Ipv4Address source, Ipv4Address destination,
                              uint8_t protocol, ByteView segment);
void store_transport_checksum(uint8_t* field, const Ipv6Address& source,
                              const Ipv6Address& destination, uint8_t protocol, ByteView segment);
// The same where the text's sum is known already (copy_and_sum); header: an even number of octets
// with the field in it, text_length octets follow.
void store_transport_checksum(uint8_t* field, Ipv4Address source, Ipv4Address destination,
                              uint8_t protocol, ByteView header, PartialSum text,
                              size_t text_length);
void store_transport_checksum(uint8_t* field, const Ipv6Address& source,
                              const Ipv6Address& destination, uint8_t protocol, ByteView header,
                              PartialSum text, size_t text_length);

// True when the sum over a range that includes its checksum field says the range is intact.
inline bool is_intact(PartialSum sum) {
  return fold(sum) == 0xffff;
}

// Whether a received segment is to be believed under the port's mode. field_offset: of the checksum
// in segment; the caller has made sure that field_offset + 2 octets are there.
bool transport_checksum_holds(packet::ChecksumMode mode, Ipv4Address source,
                              Ipv4Address destination, uint8_t protocol, ByteView segment,
                              size_t field_offset);
bool transport_checksum_holds(packet::ChecksumMode mode, const Ipv6Address& source,
                              const Ipv6Address& destination, uint8_t protocol, ByteView segment,
                              size_t field_offset);

// Checksum after one 16-bit word of the range has changed (RFC 1624 equation 3). All three as
// numbers loaded big-endian from the wire.
constexpr uint16_t updated_checksum(uint16_t checksum, uint16_t old_word, uint16_t new_word) {
  const uint32_t sum = static_cast<uint16_t>(~checksum) +
                       uint32_t{static_cast<uint16_t>(~old_word)} + uint32_t{new_word};
  return static_cast<uint16_t>(~fold({sum}));
}

}  // namespace millrace::net
