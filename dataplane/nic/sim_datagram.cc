#include "dataplane/nic/sim_datagram.h"

#include <algorithm>
#include <cstring>

namespace millrace::nic {
namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t ipv4_bytes_min = 20;
constexpr size_t ipv6_bytes = 40;
constexpr size_t tcp_bytes_min = 20;
constexpr size_t icmp_bytes = 8;
constexpr size_t sequence_number_to = 8;  // of a TCP header: ports and the sequence number
constexpr uint16_t ipv6_mtu_min = 1'280;
constexpr uint8_t protocol_icmp = 1;
constexpr uint8_t protocol_tcp = 6;
constexpr uint8_t protocol_icmpv6 = 58;

bool is_ipv4(ByteView frame) {
  return frame.size() >= ethernet_bytes + ipv4_bytes_min && load_be16(&frame[12]) == 0x0800 &&
         frame[ethernet_bytes] >> 4 == 4;
}
size_t ip_header_bytes(ByteView frame) {
  return is_ipv6(frame) ? ipv6_bytes : size_t{frame[ethernet_bytes] & 0xfU} * 4;
}

// RFC 1071, plainly, of an even number of octets, behind what was summed before.
uint32_t sum_of(ByteView bytes, uint32_t sum = 0) {
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load_be16(&bytes[i]);
  return sum;
}
uint16_t checksum_of(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// Changes a word and the checksum over it (RFC 1624 equation 3).
void change_word(uint8_t* word, uint16_t flipped, uint8_t* checksum) {
  const uint16_t before = load_be16(word);
  const auto after = static_cast<uint16_t>(before ^ flipped);
  store_be16(word, after);
  uint32_t sum = static_cast<uint16_t>(~load_be16(checksum));
  sum += static_cast<uint16_t>(~before);
  sum += after;
  store_be16(checksum, checksum_of(sum));
}

// Bits of a header that may change without harm to the connection. No ports: a segment that went
// astray draws a reset, which the same flip brings home.
struct SurvivableWord {
  bool in_ip;
  uint8_t offset;
  uint16_t bits;
};
constexpr size_t survivable_words = 7;
constexpr std::array<SurvivableWord, survivable_words> survivable_over_ipv4 = {{
    {true, 0, 0x00ff},    // type of service
    {true, 4, 0xffff},    // identification
    {true, 6, 0xffff},    // flags and fragment offset: at worst the datagram is thrown away
    {true, 8, 0xff00},    // TTL
    {false, 12, 0x0ff8},  // reserved bits, CWR, ECE, URG, ACK, PSH
    {false, 14, 0xffff},  // window
    {false, 18, 0xffff},  // urgent pointer
}};
constexpr std::array<SurvivableWord, survivable_words> survivable_over_ipv6 = {{
    {true, 0, 0x0ff0},    // traffic class
    {true, 0, 0x000f},    // flow label
    {true, 2, 0xffff},    // flow label
    {true, 6, 0x00ff},    // hop limit
    {false, 12, 0x0ff8},  // as above
    {false, 14, 0xffff},
    {false, 18, 0xffff},
}};

// One of the set bits.
uint16_t pick_bit(uint16_t bits, uint64_t which) {
  for (auto left = which % static_cast<uint64_t>(__builtin_popcount(bits)); left > 0; --left)
    bits = static_cast<uint16_t>(bits & (bits - 1));
  return static_cast<uint16_t>(bits & -bits);
}

// --- what a router says ---

// One message: where its parts lie.
struct Message {
  uint8_t* icmp;
  uint8_t* quote;
  size_t quoted;
  bool over_ipv6;

  size_t length() const { return static_cast<size_t>(quote - icmp) + quoted; }
};

void write_ethernet(uint8_t* at, ByteView about) {
  constexpr std::array<uint8_t, 6> router{2, 0, 0, 0, 0xff, 0xfe};
  std::memcpy(at, &about[6], 6);
  std::memcpy(at + 6, router.data(), router.size());
  std::memcpy(at + 12, &about[12], 2);
}

// To the source of `about`; RFC 792 quotes the header and 8 octets.
Message begin_over_ipv4(RouterMessage* out, ByteView about) {
  write_ethernet(out->data(), about);
  uint8_t* const ipv4 = out->data() + ethernet_bytes;
  ipv4[0] = 0x45;
  ipv4[8] = 64;
  ipv4[9] = protocol_icmp;
  std::memcpy(ipv4 + 12, &about[ethernet_bytes + 12], 3);
  ipv4[15] = 254;
  std::memcpy(ipv4 + 16, &about[ethernet_bytes + 12], 4);
  uint8_t* const icmp = ipv4 + ipv4_bytes_min;
  icmp[0] = 3;  // destination unreachable: fragmentation needed
  icmp[1] = 4;
  const Message message{icmp, icmp + icmp_bytes, ipv4_bytes_min + sequence_number_to, false};
  std::memcpy(message.quote, &about[ethernet_bytes], message.quoted);
  return message;
}

// RFC 4443 section 3.2 quotes as much as fits 1,280 octets.
Message begin_over_ipv6(RouterMessage* out, ByteView about) {
  write_ethernet(out->data(), about);
  uint8_t* const ipv6 = out->data() + ethernet_bytes;
  ipv6[0] = 0x60;
  ipv6[6] = protocol_icmpv6;
  ipv6[7] = 64;
  std::memcpy(ipv6 + 8, &about[ethernet_bytes + 8], 8);
  ipv6[23] = 254;
  std::memcpy(ipv6 + 24, &about[ethernet_bytes + 8], 16);
  uint8_t* const icmp = ipv6 + ipv6_bytes;
  icmp[0] = 2;  // packet too big
  constexpr size_t quoted_max = ipv6_mtu_min - ipv6_bytes - icmp_bytes;
  const size_t quoted = std::min(about.size() - ethernet_bytes, quoted_max);
  const Message message{icmp, icmp + icmp_bytes, quoted, true};
  std::memcpy(message.quote, &about[ethernet_bytes], message.quoted);
  return message;
}

Message begin_message(RouterMessage* out, ByteView about) {
  out->fill(0);
  return is_ipv6(about) ? begin_over_ipv6(out, about) : begin_over_ipv4(out, about);
}

// mtu: of 16 bits over IPv4 (RFC 1191 section 4), of 32 over IPv6.
void set_mtu(const Message& message, uint32_t mtu) {
  if (message.over_ipv6) {
    store_be32(message.icmp + 4, mtu);
  } else {
    store_be16(message.icmp + 6, static_cast<uint16_t>(mtu));
  }
}

// Lengths and checksums. Returns the octets of the frame.
size_t finish(RouterMessage* out, const Message& message) {
  uint8_t* const ip = out->data() + ethernet_bytes;
  // The octet behind the end is zero, so that an odd length is summed as well (RFC 1071).
  const ByteView summed{message.icmp, message.length() + message.length() % 2};
  if (!message.over_ipv6) {
    store_be16(ip + 2, static_cast<uint16_t>(ipv4_bytes_min + message.length()));
    store_be16(ip + 10, checksum_of(sum_of({ip, ipv4_bytes_min})));
    store_be16(message.icmp + 2, checksum_of(sum_of(summed)));
    return ethernet_bytes + ipv4_bytes_min + message.length();
  }
  store_be16(ip + 4, static_cast<uint16_t>(message.length()));
  constexpr size_t addresses_at = 8;
  const uint32_t pseudo_header =
      sum_of({ip + addresses_at, 32}, static_cast<uint32_t>(message.length()) + protocol_icmpv6);
  store_be16(message.icmp + 2, checksum_of(sum_of(summed, pseudo_header)));
  return ethernet_bytes + ipv6_bytes + message.length();
}

uint8_t* quoted_tcp(const Message& message) {
  return message.quote + (message.over_ipv6 ? ipv6_bytes : ipv4_bytes_min);
}

// What is wrong with a message.
enum class Untruth : uint8_t {
  checksum,
  mtu_below_minimum,  // RFC 8201 section 4. Over IPv4 a small one is believed in part: see below
  mtu_as_before,      // what was sent fits
  mtu_of_17_bits,     // whose lower 16 are small; over IPv4 there is no room for it
  sequence_number,    // RFC 5927 section 4.1
  port,
  source,  // not whom the message is for
  cut_quote,
};
constexpr uint64_t untruths = 8;

// Over IPv4, where they could be true, the two that are about IPv6 are as the third.
Untruth draw_untruth(uint64_t which, bool over_ipv6) {
  const auto untruth = static_cast<Untruth>(which % untruths);
  const bool of_ipv6 = untruth == Untruth::mtu_below_minimum || untruth == Untruth::mtu_of_17_bits;
  return of_ipv6 && !over_ipv6 ? Untruth::mtu_as_before : untruth;
}

}  // namespace

bool is_ipv6(ByteView frame) {
  return frame.size() >= ethernet_bytes + ipv6_bytes && load_be16(&frame[12]) == 0x86dd &&
         frame[ethernet_bytes] >> 4 == 6;
}
bool is_ip(ByteView frame) {
  return is_ipv4(frame) || is_ipv6(frame);
}
size_t datagram_bytes(ByteView frame) {
  const uint8_t* const ip = &frame[ethernet_bytes];
  return is_ipv6(frame) ? ipv6_bytes + load_be16(ip + 4) : load_be16(ip + 2);
}
uint16_t mtu_for(ByteView frame, uint16_t mtu) {
  return is_ipv6(frame) ? std::max(mtu, ipv6_mtu_min) : mtu;
}

bool is_tcp(ByteView frame) {
  if (!is_ip(frame)) return false;
  const uint8_t* const ip = &frame[ethernet_bytes];
  const bool is_whole = is_ipv6(frame) || (load_be16(ip + 6) & 0x3fff) == 0;
  return is_whole && ip[is_ipv6(frame) ? 6 : 9] == protocol_tcp &&
         ip_header_bytes(frame) >= ipv4_bytes_min &&
         datagram_bytes(frame) >= ip_header_bytes(frame) + tcp_bytes_min &&
         frame.size() >= ethernet_bytes + datagram_bytes(frame);
}

void flip_survivable(ByteSpan frame, uint64_t which) {
  uint8_t* const ip = &frame[ethernet_bytes];
  uint8_t* const tcp = ip + ip_header_bytes(frame);
  const auto& words = is_ipv6(frame) ? survivable_over_ipv6 : survivable_over_ipv4;
  const SurvivableWord& word = words[which % words.size()];
  const uint16_t bit = pick_bit(word.bits, which >> 32);
  if (!word.in_ip) {
    change_word(tcp + word.offset, bit, tcp + 16);
  } else if (is_ipv6(frame)) {  // which has no checksum, and TCP's does not cover these
    store_be16(ip + word.offset, static_cast<uint16_t>(load_be16(ip + word.offset) ^ bit));
  } else {
    change_word(ip + word.offset, bit, ip + 10);
  }
}

void flip_any(ByteSpan frame, uint64_t which) {
  uint8_t* const tcp = &frame[ethernet_bytes + ip_header_bytes(frame)];
  const size_t words = (datagram_bytes(frame) - ip_header_bytes(frame)) / 2;
  const size_t at = which % words * 2;
  if (at != 16) change_word(tcp + at, static_cast<uint16_t>(1U << (which >> 32) % 16), tcp + 16);
}

size_t write_too_long(RouterMessage* out, ByteView about, uint16_t mtu) {
  if (!is_ipv6(about)) {
    const bool may_not_be_cut = (about[ethernet_bytes + 6] & 0x40) != 0;
    const bool is_quotable = ip_header_bytes(about) == ipv4_bytes_min &&
                             about.size() >= ethernet_bytes + ipv4_bytes_min + sequence_number_to;
    if (!may_not_be_cut || !is_quotable) return 0;
  }
  const Message message = begin_message(out, about);
  set_mtu(message, mtu_for(about, mtu));
  return finish(out, message);
}

size_t write_untrue_too_long(RouterMessage* out, ByteView about, uint64_t which) {
  Message message = begin_message(out, about);
  const uint64_t drawn = which / untruths;
  const Untruth untruth = draw_untruth(which, message.over_ipv6);
  const uint16_t least = message.over_ipv6 ? ipv6_mtu_min : 600;
  set_mtu(message, least + static_cast<uint32_t>(drawn % 100));  // whoever believes it shrinks
  uint8_t* const tcp = quoted_tcp(message);
  switch (untruth) {
    case Untruth::checksum: break;
    case Untruth::mtu_below_minimum:
      set_mtu(message, static_cast<uint32_t>(drawn % ipv6_mtu_min));
      break;
    case Untruth::mtu_as_before:
      set_mtu(message, 1'500 + static_cast<uint32_t>(drawn % 8'000));
      break;
    case Untruth::mtu_of_17_bits: set_mtu(message, 1U << 16 | least); break;
    case Untruth::sequence_number:
      store_be32(tcp + 4, load_be32(tcp + 4) + (1U << 31) + static_cast<uint32_t>(drawn % 1'000));
      break;
    case Untruth::port: store_be16(tcp, load_be16(tcp) ^ 0x5555); break;
    case Untruth::source: message.quote[message.over_ipv6 ? 23 : 15] ^= 0x40; break;
    case Untruth::cut_quote:
      message.quoted = static_cast<size_t>(tcp - message.quote) + drawn % sequence_number_to;
      std::fill(message.quote + message.quoted, out->data() + out->size(), uint8_t{0});
      break;
  }
  const size_t length = finish(out, message);
  // Far from right, so that no single bit that a wire flips later makes it so.
  if (untruth == Untruth::checksum)
    store_be16(message.icmp + 2, load_be16(message.icmp + 2) ^ 0x5a5a);
  return length;
}

}  // namespace millrace::nic
