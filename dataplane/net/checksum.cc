#include "dataplane/net/checksum.h"

#include "dataplane/net/checksum_run.h"

namespace millrace::net {
namespace {

// Chosen once, before main: the best loop this processor can run.
const SumLoop loop = sum_loops().back();

// What is the same for both families, once the pseudo-header is summed. For every segment that
// arrives, so each family has it to itself.
[[gnu::always_inline]] inline bool holds(packet::ChecksumMode mode, PartialSum pseudo,
                                         ByteView segment, size_t field_offset) {
  if (is_intact(pseudo + sum_of(segment))) return true;
  if (mode != packet::ChecksumMode::verify_or_partial) return false;
  // A sender that leaves the rest to its NIC stores the pseudo-header's folded sum, not
  // complemented, for the NIC to start from.
  uint16_t stored;
  std::memcpy(&stored, segment.data() + field_offset, sizeof stored);
  return stored == fold(pseudo);
}

}  // namespace

PartialSum sum_of(ByteView bytes) {
  return {loop.sum(bytes.data(), bytes.size())};
}

PartialSum copy_and_sum(uint8_t* to, const uint8_t* from, size_t count) {
  return {loop.copy_and_sum(to, from, count)};
}

PartialSum at_offset(PartialSum sum, size_t octets_before) {
  if (octets_before % 2 == 0) return sum;
  return {__builtin_bswap16(fold(sum))};
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
  return holds(mode, pseudo_header_sum(source, destination, protocol, segment.size()), segment,
               field_offset);
}

bool transport_checksum_holds(packet::ChecksumMode mode, const Ipv6Address& source,
                              const Ipv6Address& destination, uint8_t protocol, ByteView segment,
                              size_t field_offset) {
  if (mode == packet::ChecksumMode::trust) return true;
  return holds(mode, pseudo_header_sum(source, destination, protocol, segment.size()), segment,
               field_offset);
}

void store_transport_checksum(uint8_t* field, const Ipv6Address& source,
                              const Ipv6Address& destination, uint8_t protocol, ByteView segment) {
  store_be16(field, 0);
  store_checksum(
      field, pseudo_header_sum(source, destination, protocol, segment.size()) + sum_of(segment));
}

void store_transport_checksum(uint8_t* field, const Ipv6Address& source,
                              const Ipv6Address& destination, uint8_t protocol, ByteView header,
                              PartialSum text, size_t text_length) {
  store_be16(field, 0);
  store_checksum(field,
                 pseudo_header_sum(source, destination, protocol, header.size() + text_length) +
                     sum_of(header) + text);
}

}  // namespace millrace::net
