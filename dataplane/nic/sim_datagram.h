// What a simulated wire knows of the datagrams it carries, IPv4 and IPv6, and what a router at its
// begin says about them. Written without the rooms under test: a simulation that asked them what a
// checksum is would believe them whatever they said.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace millrace::nic {

// Every frame that is IP with a whole fixed header; lengths are what its header says.
bool is_ip(ByteView frame);
bool is_ipv6(ByteView frame);
// A whole TCP segment with its fixed header: no fragment, no extension header.
bool is_tcp(ByteView frame);
// frame: is_ip(). Octets of the datagram, its header included.
size_t datagram_bytes(ByteView frame);
// frame: is_ip(). What a link of mtu octets carries of this family: no IPv6 link carries less than
// 1,280 (RFC 8200 section 5).
uint16_t mtu_for(ByteView frame, uint16_t mtu);

// Flips one bit of a segment and puts the checksums right again. frame: is_tcp(). which: decides.
// flip_survivable(): such a bit as TCP survives (WireFaults::Mends::survivable).
void flip_survivable(ByteSpan frame, uint64_t which);
void flip_any(ByteSpan frame, uint64_t which);

// Room for every message of a router, with its Ethernet header.
inline constexpr size_t router_message_bytes_max = 14 + 1'280;
using RouterMessage = std::array<uint8_t, router_message_bytes_max>;

// "Fragmentation needed" (RFC 1191 section 4) or "packet too big" (RFC 4443 section 3.2) to the
// sender of `about`, which is_ip(), from a router whose address is the last but one of the
// sender's /24 or the 254th of its /64. Returns the octets written; 0 when nothing is to be said.
size_t write_too_long(RouterMessage* out, ByteView about, uint16_t mtu);

// The same from somebody who guesses, or from a broken router, so that nobody may believe it (RFC
// 5927 section 4, RFC 8201 section 4): with a wrong checksum, an MTU that no link has or that the
// datagram fits, a quote of what is not in flight, of another flow or another host, or cut before
// the sequence number ends. about: is_tcp(). which: decides.
size_t write_untrue_too_long(RouterMessage* out, ByteView about, uint64_t which);

}  // namespace millrace::nic
