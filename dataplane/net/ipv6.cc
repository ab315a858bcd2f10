#include "dataplane/net/ipv6.h"

namespace millrace::net {
namespace {

// Next header values (IANA).
constexpr uint8_t hop_by_hop_options = 0;
constexpr uint8_t routing = 43;
constexpr uint8_t fragment = 44;
constexpr uint8_t no_next_header = 59;
constexpr uint8_t destination_options = 60;

constexpr uint8_t option_pad1 = 0;
constexpr uint8_t option_jumbo_payload = 0xc2;  // RFC 2675 section 2

// Walks the chain of headers behind the fixed one. Every step consumes at least 8 octets and the
// number of steps is bounded.
class HeaderWalk {
 public:
  HeaderWalk(uint8_t first, ByteView rest) : next_(first), rest_(rest) {}

  // True at the upper layer: next() and rest() are its number and octets, and the last header was
  // not one that ends the datagram.
  bool run() {
    for (int headers = 0;; ++headers) {
      switch (next_) {
        case hop_by_hop_options:
          // RFC 8200 section 4.1: immediately behind the fixed header only.
          if (headers != 0) return fail(Counter::net_ipv6_malformed);
          break;
        case routing:
        case fragment:
        case destination_options: break;
        case no_next_header: return fail(Counter::net_ipv6_unknown_protocol);
        default: return true;
      }
      if (headers == extension_headers_max) return fail(Counter::net_ipv6_extension_limit);
      if (!take_header()) return false;
    }
  }

  uint8_t next() const { return next_; }
  ByteView rest() const { return rest_; }
  bool has_fragment_header() const { return has_fragment_header_; }
  Counter reason() const { return reason_; }

 private:
  bool fail(Counter reason) {
    reason_ = reason;
    return false;
  }

  bool take_header() {
    if (rest_.size() < 8) return fail(Counter::net_ipv6_malformed);
    // The fragment header alone has no length of its own (RFC 8200 section 4.5).
    const size_t length = next_ == fragment ? 8 : (size_t{rest_[1]} + 1) * 8;
    if (rest_.size() < length) return fail(Counter::net_ipv6_malformed);
    const ByteView header = rest_.first(length);
    switch (next_) {
      case routing:
        if (!may_pass_routing(header)) return fail(Counter::net_ipv6_routing_header);
        break;
      case fragment:
        if (!is_atomic(header)) return fail(Counter::net_ipv6_fragment);
        // Twice is no sender's work: an atomic fragment is made once.
        if (has_fragment_header_) return fail(Counter::net_ipv6_malformed);
        has_fragment_header_ = true;
        break;
      default:
        if (!walk_options(header.subspan(2))) return false;
    }
    next_ = header[0];
    rest_ = rest_.subspan(length);
    return true;
  }

  // RFC 5095 section 3: type 0 is treated as unknown, and RFC 8200 section 4.4 lets an unknown type
  // pass when no segments are left; type 0 has no honest use in either case.
  static bool may_pass_routing(ByteView header) { return header[2] != 0 && header[3] == 0; }

  // Fragment offset (13 bits) and the M flag zero; the two reserved bits between are ignored.
  static bool is_atomic(ByteView header) { return (load_be16(&header[2]) & 0xfff9) == 0; }

  // RFC 8200 section 4.2. We know no option but padding.
  bool walk_options(ByteView options) {
    while (!options.empty()) {
      if (options[0] == option_pad1) {
        options = options.subspan(1);
        continue;
      }
      if (options.size() < 2 || options.size() < size_t{options[1]} + 2) {
        return fail(Counter::net_ipv6_malformed);
      }
      if (++options_ > options_max) return fail(Counter::net_ipv6_extension_limit);
      if (options[0] == option_jumbo_payload) return fail(Counter::net_ipv6_jumbogram);
      const bool may_be_skipped = options[0] >> 6 == 0;
      if (!may_be_skipped) return fail(Counter::net_ipv6_options);
      options = options.subspan(size_t{options[1]} + 2);
    }
    return true;
  }

  uint8_t next_;
  ByteView rest_;
  int options_ = 0;
  bool has_fragment_header_ = false;
  Counter reason_{};
};

// Multicast addresses are no source (RFC 4291 section 2.7), the loopback address comes from no wire
// (section 2.5.3), and the unspecified one only with messages of ICMPv6 (section 2.5.2).
bool may_be_source(const Ipv6Packet& packet) {
  return packet.source.is_unicast() ||
         (packet.source.is_unspecified() && packet.protocol == protocol_icmpv6);
}

bool may_be_destination(const Ipv6Packet& packet) {
  return packet.destination.is_unicast() ||
         (packet.destination.is_multicast() && packet.protocol == protocol_icmpv6);
}

}  // namespace

bool parse_ipv6_into(Ipv6Packet* packet, ByteView bytes, Counter* drop) {
  *drop = Counter::net_ipv6_malformed;
  if (bytes.size() < ipv6_header_bytes || bytes[0] >> 4 != 6) return false;
  const size_t payload_length = load_be16(&bytes[4]);
  if (payload_length > bytes.size() - ipv6_header_bytes) return false;
  // RFC 2675 section 3: length 0 with a hop-by-hop header is a jumbogram, or is malformed.
  if (payload_length == 0 && bytes[6] == hop_by_hop_options) {
    *drop = Counter::net_ipv6_jumbogram;
    return false;
  }
  HeaderWalk walk(bytes[6], bytes.subspan(ipv6_header_bytes, payload_length));
  if (!walk.run()) {
    *drop = walk.reason();
    return false;
  }
  packet->traffic_class = static_cast<uint8_t>(load_be16(&bytes[0]) >> 4);
  packet->hop_limit = bytes[7];
  packet->source = Ipv6Address::load(&bytes[8]);
  packet->destination = Ipv6Address::load(&bytes[24]);
  packet->protocol = walk.next();
  packet->has_fragment_header = walk.has_fragment_header();
  packet->datagram = bytes.first(ipv6_header_bytes + payload_length);
  packet->payload = walk.rest();
  if (!may_be_source(*packet)) {
    *drop = Counter::net_ipv6_bad_source;
    return false;
  }
  if (!may_be_destination(*packet)) {
    *drop = Counter::net_ipv6_not_ours;
    return false;
  }
  return true;
}

void write_ipv6(uint8_t* at, const Ipv6Address& source, const Ipv6Address& destination,
                uint8_t protocol, uint16_t payload_length, uint8_t hop_limit) {
  store_be32(at, uint32_t{6} << 28);
  store_be16(at + 4, payload_length);
  at[6] = protocol;
  at[7] = hop_limit;
  source.store(at + 8);
  destination.store(at + 24);
}

}  // namespace millrace::net
