#include "dataplane/net/checksum.h"

namespace millrace::net {
namespace {

// Two 64-bit lanes in the compiler's vector notation: SSE2 on x86-64 and NEON on arm64 from one
// source, both part of the base architecture, so there is nothing to choose at run time.
using Lanes = uint64_t __attribute__((vector_size(16)));

inline Lanes load(const uint8_t* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
inline void store(uint8_t* to, const Lanes& lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

template <bool copying, class Word>
inline Word take(uint8_t*& to, const uint8_t*& from, size_t& count) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  if constexpr (copying) {
    std::memcpy(to, &word, sizeof word);
    to += sizeof word;
  }
  from += sizeof word;
  count -= sizeof word;
  return word;
}

// Sums 32-bit words in 64-bit lanes: no carry can be lost below 2^32 words.
template <bool copying>
PartialSum sum_run(uint8_t* to, const uint8_t* from, size_t count) {
  constexpr Lanes low_half = {0xffffffffU, 0xffffffffU};
  Lanes low{};
  Lanes high{};
  while (count >= 64) {
    // Four names, not an array: so they stay in registers while copying.
    const Lanes a = load(from);
    const Lanes b = load(from + 16);
    const Lanes c = load(from + 32);
    const Lanes d = load(from + 48);
    if constexpr (copying) {
      store(to, a);
      store(to + 16, b);
      store(to + 32, c);
      store(to + 48, d);
      to += 64;
    }
    low += (a & low_half) + (b & low_half) + (c & low_half) + (d & low_half);
    high += (a >> 32) + (b >> 32) + (c >> 32) + (d >> 32);
    from += 64;
    count -= 64;
  }
  uint64_t sum = low[0] + low[1] + high[0] + high[1];

  while (count >= 8) {
    const auto word = take<copying, uint64_t>(to, from, count);
    sum += (word & 0xffffffffU) + (word >> 32);
  }
  if (count >= 4) sum += take<copying, uint32_t>(to, from, count);
  if (count >= 2) sum += take<copying, uint16_t>(to, from, count);
  if (count == 1)
    sum += take<copying, uint8_t>(to, from, count);  // padded: the low octet in memory
  return {(sum & 0xffffffffU) + (sum >> 32)};
}

}  // namespace

PartialSum sum_of(ByteView bytes) {
  return sum_run<false>(nullptr, bytes.data(), bytes.size());
}

PartialSum copy_and_sum(uint8_t* to, const uint8_t* from, size_t count) {
  return sum_run<true>(to, from, count);
}

PartialSum at_offset(PartialSum sum, size_t octets_before) {
  if (octets_before % 2 == 0) return sum;
  return {__builtin_bswap16(fold(sum))};
}

PartialSum pseudo_header_sum(Ipv4Address source, Ipv4Address destination, uint8_t protocol,
                             size_t length) {
  // 32-bit words in wire order, read as the host reads memory.
  const uint64_t protocol_and_length =
      __builtin_bswap32(uint32_t{protocol} << 16 | static_cast<uint16_t>(length));
  return {uint64_t{__builtin_bswap32(source.host_order())} +
          __builtin_bswap32(destination.host_order()) + protocol_and_length};
}

void store_transport_checksum(uint8_t* field, Ipv4Address source, Ipv4Address destination,
                              uint8_t protocol, ByteView segment) {
  store_be16(field, 0);
  store_checksum(
      field, pseudo_header_sum(source, destination, protocol, segment.size()) + sum_of(segment));
}

void store_transport_checksum(uint8_t* field, Ipv4Address source, Ipv4Address destination,
                              uint8_t protocol, ByteView header, PartialSum text,
                              size_t text_length) {
  store_be16(field, 0);
  store_checksum(field,
                 pseudo_header_sum(source, destination, protocol, header.size() + text_length) +
                     sum_of(header) + text);
}

bool transport_checksum_holds(packet::ChecksumMode mode, Ipv4Address source,
                              Ipv4Address destination, uint8_t protocol, ByteView segment,
                              size_t field_offset) {
  if (mode == packet::ChecksumMode::trust) return true;
  const PartialSum pseudo = pseudo_header_sum(source, destination, protocol, segment.size());
  if (is_intact(pseudo + sum_of(segment))) return true;
  if (mode != packet::ChecksumMode::verify_or_partial) return false;
  // A sender that leaves the rest to its NIC stores the pseudo-header's folded sum, not
  // complemented, for the NIC to start from.
  uint16_t stored;
  std::memcpy(&stored, segment.data() + field_offset, sizeof stored);
  return stored == fold(pseudo);
}

}  // namespace millrace::net
