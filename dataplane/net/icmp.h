// ICMP (RFC 792, RFC 1122 section 3.2.2) as far as a host with TCP services needs it: echo replies,
// port unreachable for UDP, and errors about our own TCP segments, validated before TCP sees them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/ipv6_address.h"
#include "base/random.h"
#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/net/ipv4.h"

namespace millrace::net {

inline constexpr uint32_t icmp_header_bytes = 8;

inline constexpr uint8_t icmp_echo_reply = 0;
inline constexpr uint8_t icmp_unreachable = 3;
inline constexpr uint8_t icmp_echo_request = 8;
inline constexpr uint8_t icmp_time_exceeded = 11;
inline constexpr uint8_t icmp_parameter_problem = 12;

// Codes of icmp_unreachable.
inline constexpr uint8_t icmp_protocol_unreachable = 2;
inline constexpr uint8_t icmp_port_unreachable = 3;
inline constexpr uint8_t icmp_fragmentation_needed = 4;
inline constexpr uint8_t icmp_network_prohibited = 9;
inline constexpr uint8_t icmp_host_prohibited = 10;
inline constexpr uint8_t icmp_administratively_prohibited = 13;  // RFC 1812 section 5.2.7.1

// An error about a TCP segment that claims to have left `source`: addresses and ports are as that
// segment carried them, so source is ours and destination the peer. Whether such a segment is in
// flight is for TCP to say (RFC 5927 section 4).
struct IcmpError {
  uint8_t type = 0;
  uint8_t code = 0;
  uint16_t next_hop_mtu = 0;  // RFC 1191 section 4: with fragmentation needed; 0: not said
  uint8_t protocol = protocol_tcp;
  Ipv4Address source;
  Ipv4Address destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t tcp_sequence_number = 0;

  bool is_fragmentation_needed() const {
    return type == icmp_unreachable && code == icmp_fragmentation_needed;
  }
  // Says that trying again is useless: RFC 1122 section 4.2.3.9's hard errors without code 4, which
  // path MTU discovery took over, and with the refusals by policy that RFC 1812 added later.
  bool is_hard() const {
    return type == icmp_unreachable &&
           (code == icmp_protocol_unreachable || code == icmp_port_unreachable ||
            code == icmp_network_prohibited || code == icmp_host_prohibited ||
            code == icmp_administratively_prohibited);
  }
};

// packet: of protocol ICMP, whose checksum holds and whose type is an error. Nothing, with the
// reason in *drop, when what it quotes is not the first 8 octets of a TCP segment from the address
// that the error was sent to.
std::optional<IcmpError> parse_icmp_error(const Ipv4Packet& packet, Counter* drop);

// True for the error types that TCP hears of. Source quench is ignored (RFC 6633), redirects are
// ignored because our routes are configured.
constexpr bool is_icmp_error(uint8_t type) {
  return type == icmp_unreachable || type == icmp_time_exceeded || type == icmp_parameter_problem;
}

// Writes an echo reply to `request` (an ICMP message) into request.size() octets at `at`; every
// octet behind the checksum comes back as it was (RFC 1122 section 3.2.2.6).
void write_echo_reply(uint8_t* at, ByteView request);

// Writes an error that quotes the datagram's header and 8 octets behind it (RFC 792), so that an
// answer to a spoofed source is hardly longer than what asked for it. Returns the octets written.
inline constexpr uint32_t icmp_error_bytes_max = icmp_header_bytes + ipv4_header_bytes + 8;
uint32_t write_icmp_error(uint8_t* at, uint8_t type, uint8_t code, const Ipv4Packet& about);

// Limits answers per destination (T40). A single counter for all destinations can be read from
// outside: spend it with spoofed sources, then see whether an answer to yourself is missing. So
// each destination counts against one of many buckets chosen by a keyed hash. Key and budget are
// drawn anew every period; two addresses that share a bucket now do not in the next.
class IcmpLimiter {
 public:
  static constexpr size_t buckets = 256;
  static constexpr Duration period = Duration::seconds(1);

  // Each bucket allows between budget_min and 2 * budget_min answers a period.
  IcmpLimiter(uint32_t budget_min, uint64_t seed) : random_(seed), budget_min_(budget_min) {}

  bool allow(Ipv4Address destination, Instant now);
  // Counts whole addresses, although a stranger may have a /64 of them: hosts of one link share the
  // prefix and shall not see each other's answers. The sum over all buckets bounds what is sent.
  bool allow(const Ipv6Address& destination, Instant now);

 private:
  void begin_period(Instant now);
  bool take(uint64_t hash);

  Random random_;
  uint32_t budget_min_;
  HashKey key_;
  Instant period_end_;
  std::array<uint32_t, buckets> left_{};
};

}  // namespace millrace::net
