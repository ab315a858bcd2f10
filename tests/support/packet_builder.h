// Frames for tests, written once and used on both sides: PacketBuilder makes what goes in, the
// checkers below say in the same words what must come out. Nothing here is shared with the rooms
// under test, checksums least of all.
//
//   const auto syn = PacketBuilder().ethernet(router, proxy).ipv4(client, vip)
//                        .tcp(40000, 80).seq(7).flags("S").mss(1460).build();
//   expect_frame(out, ethernet_to(router), ipv4_from(vip), ipv4_to(client),
//                tcp_ports(80, 40000), tcp_flags("SA"), tcp_ack(8));
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace millrace::testing {

using Bytes = std::vector<uint8_t>;

// The Internet checksum as RFC 1071 section 4.1 writes it: word by word, big-endian, slow and
// plain.
inline uint16_t reference_checksum(ByteView bytes, uint32_t initial = 0) {
  uint64_t sum = initial;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    const uint32_t low = i + 1 < bytes.size() ? bytes[i + 1] : 0U;
    sum += uint32_t{bytes[i]} << 8 | low;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

inline uint32_t reference_pseudo_header(Ipv4Address source, Ipv4Address destination,
                                        uint8_t protocol, size_t length) {
  const uint32_t from = source.host_order();
  const uint32_t to = destination.host_order();
  return (from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) + protocol +
         static_cast<uint32_t>(length);
}

// "S", "SA", "FA", "R", "PA": one letter a flag, in any order.
inline uint8_t tcp_flag_bits(std::string_view letters) {
  uint8_t bits = 0;
  for (const char letter : letters) {
    const size_t at = std::string_view("FSRPAUEC").find(letter);
    CHECK(at != std::string_view::npos);
    bits = static_cast<uint8_t>(bits | 1U << at);
  }
  return bits;
}
inline std::string tcp_flag_letters(uint8_t bits) {
  std::string letters;
  for (size_t i = 0; i < 8; ++i) {
    if ((bits >> i & 1) != 0) letters += "FSRPAUEC"[i];
  }
  return letters;
}

// Lengths and checksums are right unless a switch says otherwise.
class PacketBuilder {
 public:
  // --- Ethernet ---
  PacketBuilder& ethernet(const MacAddress& source, const MacAddress& destination) {
    source_mac_ = source;
    destination_mac_ = destination;
    return *this;
  }
  PacketBuilder& ethertype(uint16_t type) {
    ethertype_ = type;
    return *this;
  }
  PacketBuilder& vlan(uint16_t tag) {
    vlan_ = tag;
    return *this;
  }
  PacketBuilder& pad_to(size_t bytes) {  // a NIC pads short frames to 60
    pad_to_ = bytes;
    return *this;
  }

  // --- ARP (RFC 826) ---
  PacketBuilder& arp_request(const MacAddress& sender, Ipv4Address from, Ipv4Address target) {
    return arp(1, sender, from, MacAddress{}, target);
  }
  PacketBuilder& arp_reply(const MacAddress& sender, Ipv4Address from, const MacAddress& target_mac,
                           Ipv4Address target) {
    return arp(2, sender, from, target_mac, target);
  }
  PacketBuilder& arp(uint16_t operation, const MacAddress& sender, Ipv4Address from,
                     const MacAddress& target_mac, Ipv4Address target) {
    ethertype_ = 0x0806;
    body_.assign(28, 0);
    store_be16(&body_[0], 1);
    store_be16(&body_[2], 0x0800);
    body_[4] = 6;
    body_[5] = 4;
    store_be16(&body_[6], operation);
    std::memcpy(&body_[8], sender.octets.data(), 6);
    from.store(&body_[14]);
    std::memcpy(&body_[18], target_mac.octets.data(), 6);
    target.store(&body_[24]);
    return *this;
  }

  // --- IPv4 (RFC 791) ---
  PacketBuilder& ipv4(Ipv4Address source, Ipv4Address destination, uint8_t protocol = 255) {
    ethertype_ = 0x0800;
    has_ipv4_ = true;
    source_ = source;
    destination_ = destination;
    protocol_ = protocol;
    return *this;
  }
  PacketBuilder& ttl(uint8_t value) {
    ttl_ = value;
    return *this;
  }
  PacketBuilder& tos(uint8_t value) {
    tos_ = value;
    return *this;
  }
  PacketBuilder& identification(uint16_t value) {
    identification_ = value;
    return *this;
  }
  PacketBuilder& fragment(uint16_t offset_in_8_octets, bool more) {
    fragment_ = static_cast<uint16_t>(offset_in_8_octets | (more ? 0x2000 : 0));
    return *this;
  }
  PacketBuilder& ip_options(ByteView options) {  // padded with zeros to a word
    ip_options_.assign(options.begin(), options.end());
    ip_options_.resize((ip_options_.size() + 3) / 4 * 4);
    return *this;
  }
  PacketBuilder& ip_version(uint8_t version) {
    version_ = version;
    return *this;
  }
  PacketBuilder& ip_header_words(uint8_t words) {
    header_words_ = words;
    return *this;
  }
  PacketBuilder& ip_total_length(uint16_t length) {
    total_length_ = length;
    return *this;
  }
  PacketBuilder& bad_ip_checksum() {
    bad_ip_checksum_ = true;
    return *this;
  }

  // --- TCP (RFC 9293) ---
  PacketBuilder& tcp(uint16_t source_port, uint16_t destination_port) {
    protocol_ = 6;
    has_tcp_ = true;
    source_port_ = source_port;
    destination_port_ = destination_port;
    return *this;
  }
  PacketBuilder& seq(uint32_t value) {
    seq_ = value;
    return *this;
  }
  PacketBuilder& ack(uint32_t value) {
    ack_ = value;
    return *this;
  }
  PacketBuilder& flags(std::string_view letters) {
    flags_ = tcp_flag_bits(letters);
    return *this;
  }
  PacketBuilder& window(uint16_t value) {
    window_ = value;
    return *this;
  }
  PacketBuilder& urgent(uint16_t pointer) {
    urgent_ = pointer;
    return *this;
  }
  PacketBuilder& mss(uint16_t value) {
    return tcp_option({2, 4, static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)});
  }
  PacketBuilder& window_scale(uint8_t shift) { return tcp_option({1, 3, 3, shift}); }
  PacketBuilder& sack_permitted() { return tcp_option({1, 1, 4, 2}); }
  PacketBuilder& timestamps(uint32_t value, uint32_t echo) {
    Bytes option{1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0};
    store_be32(&option[4], value);
    store_be32(&option[8], echo);
    return tcp_option(option);
  }
  PacketBuilder& tcp_option(const Bytes& octets) {  // as they are; the whole is padded to a word
    tcp_options_.insert(tcp_options_.end(), octets.begin(), octets.end());
    return *this;
  }
  PacketBuilder& data_offset_words(uint8_t words) {
    data_offset_words_ = words;
    return *this;
  }

  // --- UDP (RFC 768) and ICMP (RFC 792) ---
  PacketBuilder& udp(uint16_t source_port, uint16_t destination_port) {
    protocol_ = 17;
    has_udp_ = true;
    source_port_ = source_port;
    destination_port_ = destination_port;
    return *this;
  }
  PacketBuilder& icmp(uint8_t type, uint8_t code, uint32_t rest_of_header = 0) {
    protocol_ = 1;
    has_icmp_ = true;
    icmp_type_ = type;
    icmp_code_ = code;
    icmp_rest_ = rest_of_header;
    return *this;
  }
  PacketBuilder& echo_request(uint16_t identifier, uint16_t sequence) {
    return icmp(8, 0, uint32_t{identifier} << 16 | sequence);
  }

  // --- what the innermost header carries, and how its checksum is wrong ---
  PacketBuilder& payload(ByteView bytes) {
    payload_.assign(bytes.begin(), bytes.end());
    return *this;
  }
  PacketBuilder& payload(std::string_view text) { return payload(as_bytes(text)); }
  PacketBuilder& bad_transport_checksum() {
    bad_transport_checksum_ = true;
    return *this;
  }
  // Only the pseudo-header's folded sum, as a kernel leaves it to a NIC (CHECKSUM_PARTIAL).
  PacketBuilder& partial_transport_checksum() {
    partial_checksum_ = true;
    return *this;
  }

  // The IPv4 datagram alone, as ICMP errors quote it.
  Bytes build_datagram() const {
    const Bytes transport = build_transport();
    const size_t header = 20 + ip_options_.size();
    Bytes out(header, 0);
    const size_t words = header_words_.value_or(static_cast<uint8_t>(header / 4));
    out[0] = static_cast<uint8_t>(version_ << 4 | words);
    out[1] = tos_;
    store_be16(&out[2], total_length_.value_or(static_cast<uint16_t>(header + transport.size())));
    store_be16(&out[4], identification_);
    store_be16(&out[6], fragment_);
    out[8] = ttl_;
    out[9] = protocol_;
    source_.store(&out[12]);
    destination_.store(&out[16]);
    if (!ip_options_.empty()) std::memcpy(&out[20], ip_options_.data(), ip_options_.size());
    const uint16_t checksum = reference_checksum(out);
    store_be16(&out[10], static_cast<uint16_t>(bad_ip_checksum_ ? checksum ^ 0x0100 : checksum));
    out.insert(out.end(), transport.begin(), transport.end());
    return out;
  }

  Bytes build() const {
    Bytes out(14, 0);
    std::memcpy(&out[0], destination_mac_.octets.data(), 6);
    std::memcpy(&out[6], source_mac_.octets.data(), 6);
    store_be16(&out[12], ethertype_);
    if (vlan_) {
      out.insert(out.begin() + 12,
                 {0x81, 0x00, static_cast<uint8_t>(*vlan_ >> 8), static_cast<uint8_t>(*vlan_)});
    }
    const Bytes body = has_ipv4_ ? build_datagram() : body_;
    out.insert(out.end(), body.begin(), body.end());
    // Not zeros: padding that is taken for payload shall be seen.
    if (out.size() < pad_to_) out.resize(pad_to_, 0xa5);
    return out;
  }

 private:
  Bytes build_transport() const {
    Bytes out;
    size_t checksum_at = 0;
    if (has_tcp_) {
      Bytes options = tcp_options_;
      options.resize((options.size() + 3) / 4 * 4);
      out.assign(20, 0);
      store_be16(&out[0], source_port_);
      store_be16(&out[2], destination_port_);
      store_be32(&out[4], seq_);
      store_be32(&out[8], ack_);
      const size_t words =
          data_offset_words_.value_or(static_cast<uint8_t>(5 + options.size() / 4));
      out[12] = static_cast<uint8_t>(words << 4);
      out[13] = flags_;
      store_be16(&out[14], window_);
      store_be16(&out[18], urgent_);
      out.insert(out.end(), options.begin(), options.end());
      checksum_at = 16;
    } else if (has_udp_) {
      out.assign(8, 0);
      store_be16(&out[0], source_port_);
      store_be16(&out[2], destination_port_);
      store_be16(&out[4], static_cast<uint16_t>(8 + payload_.size()));
      checksum_at = 6;
    } else if (has_icmp_) {
      out.assign(8, 0);
      out[0] = icmp_type_;
      out[1] = icmp_code_;
      store_be32(&out[4], icmp_rest_);
      checksum_at = 2;
    }
    out.insert(out.end(), payload_.begin(), payload_.end());
    if (checksum_at == 0) return out;

    const uint32_t pseudo =
        has_icmp_ ? 0 : reference_pseudo_header(source_, destination_, protocol_, out.size());
    uint16_t checksum = reference_checksum(out, pseudo);
    if (partial_checksum_) checksum = static_cast<uint16_t>(~reference_checksum({}, pseudo));
    if (bad_transport_checksum_) checksum ^= 0x0040;
    store_be16(&out[checksum_at], checksum);
    return out;
  }

  MacAddress source_mac_{{0x02, 0, 0, 0, 0, 0x01}};
  MacAddress destination_mac_{{0x02, 0, 0, 0, 0, 0x02}};
  uint16_t ethertype_ = 0x0800;
  std::optional<uint16_t> vlan_;
  size_t pad_to_ = 0;
  Bytes body_;

  bool has_ipv4_ = false;
  Ipv4Address source_;
  Ipv4Address destination_;
  uint8_t protocol_ = 255;
  uint8_t ttl_ = 64;
  uint8_t tos_ = 0;
  uint8_t version_ = 4;
  uint16_t identification_ = 0;
  uint16_t fragment_ = 0x4000;  // don't fragment
  Bytes ip_options_;
  std::optional<uint8_t> header_words_;
  std::optional<uint16_t> total_length_;
  bool bad_ip_checksum_ = false;

  bool has_tcp_ = false;
  bool has_udp_ = false;
  bool has_icmp_ = false;
  uint16_t source_port_ = 0;
  uint16_t destination_port_ = 0;
  uint32_t seq_ = 0;
  uint32_t ack_ = 0;
  uint8_t flags_ = 0;
  uint16_t window_ = 65'535;
  uint16_t urgent_ = 0;
  Bytes tcp_options_;
  std::optional<uint8_t> data_offset_words_;
  uint8_t icmp_type_ = 0;
  uint8_t icmp_code_ = 0;
  uint32_t icmp_rest_ = 0;
  Bytes payload_;
  bool bad_transport_checksum_ = false;
  bool partial_checksum_ = false;
};

// --- expectation ---

// A frame taken apart. Fields of a layer that is not there stay at their defaults; `layers` names
// what was found: "ethernet arp", "ethernet ipv4 tcp", ...
struct DecodedFrame {
  std::string layers;
  MacAddress source_mac;
  MacAddress destination_mac;
  uint16_t ethertype = 0;

  uint16_t arp_operation = 0;
  MacAddress arp_sender_mac;
  Ipv4Address arp_sender;
  MacAddress arp_target_mac;
  Ipv4Address arp_target;

  Ipv4Address source;
  Ipv4Address destination;
  uint8_t protocol = 0;
  uint8_t ttl = 0;
  uint16_t identification = 0;
  bool dont_fragment = false;
  uint16_t total_length = 0;
  bool ip_checksum_holds = false;
  bool transport_checksum_holds = false;

  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  std::optional<uint32_t> timestamp_value;
  std::optional<uint32_t> timestamp_echo;
  bool sack_permitted = false;

  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint32_t icmp_rest = 0;

  Bytes payload;  // of the innermost header found
};

namespace internal {

inline void decode_tcp_options(ByteView options, DecodedFrame* frame) {
  size_t at = 0;
  while (at < options.size() && options[at] != 0) {
    if (options[at] == 1) {
      ++at;
      continue;
    }
    const size_t length = at + 1 < options.size() ? options[at + 1] : 0U;
    if (length < 2 || at + length > options.size()) {
      ADD_FAILURE() << "TCP option of kind " << int{options[at]} << " has length " << length;
      return;
    }
    const uint8_t* value = &options[at] + 2;
    if (options[at] == 2 && length == 4) frame->mss = load_be16(value);
    if (options[at] == 3 && length == 3) frame->window_scale = *value;
    if (options[at] == 4 && length == 2) frame->sack_permitted = true;
    if (options[at] == 8 && length == 10) {
      frame->timestamp_value = load_be32(value);
      frame->timestamp_echo = load_be32(value + 4);
    }
    at += length;
  }
}

inline void decode_transport(ByteView body, DecodedFrame* frame) {
  const uint32_t pseudo = frame->protocol == 1
                              ? 0
                              : reference_pseudo_header(frame->source, frame->destination,
                                                        frame->protocol, body.size());
  frame->transport_checksum_holds = reference_checksum(body, pseudo) == 0;
  frame->payload.assign(body.begin(), body.end());
  if (frame->protocol == 6 && body.size() >= 20) {
    const size_t header = size_t{body[12]} / 16 * 4;
    if (header < 20 || header > body.size()) {
      ADD_FAILURE() << "TCP data offset of " << header << " octets in " << body.size();
      return;
    }
    frame->layers += " tcp";
    frame->source_port = load_be16(&body[0]);
    frame->destination_port = load_be16(&body[2]);
    frame->seq = load_be32(&body[4]);
    frame->ack = load_be32(&body[8]);
    frame->flags = body[13];
    frame->window = load_be16(&body[14]);
    decode_tcp_options(body.subspan(20, header - 20), frame);
    frame->payload.assign(body.begin() + static_cast<ptrdiff_t>(header), body.end());
  } else if (frame->protocol == 1 && body.size() >= 8) {
    frame->layers += " icmp";
    frame->icmp_type = body[0];
    frame->icmp_code = body[1];
    frame->icmp_rest = load_be32(&body[4]);
    frame->payload.assign(body.begin() + 8, body.end());
  } else if (frame->protocol == 17 && body.size() >= 8) {
    frame->layers += " udp";
    frame->source_port = load_be16(&body[0]);
    frame->destination_port = load_be16(&body[2]);
    frame->payload.assign(body.begin() + 8, body.end());
  }
}

}  // namespace internal

// Takes a frame of ours apart and fails the test where it is not well formed.
inline DecodedFrame decode(ByteView bytes) {
  DecodedFrame frame;
  if (bytes.size() < 14) {
    ADD_FAILURE() << "frame of " << bytes.size() << " octets";
    return frame;
  }
  frame.layers = "ethernet";
  std::memcpy(frame.destination_mac.octets.data(), &bytes[0], 6);
  std::memcpy(frame.source_mac.octets.data(), &bytes[6], 6);
  frame.ethertype = load_be16(&bytes[12]);
  const ByteView body = bytes.subspan(14);
  if (frame.ethertype == 0x0806 && body.size() >= 28) {
    frame.layers += " arp";
    frame.arp_operation = load_be16(&body[6]);
    std::memcpy(frame.arp_sender_mac.octets.data(), &body[8], 6);
    frame.arp_sender = Ipv4Address::load(&body[14]);
    std::memcpy(frame.arp_target_mac.octets.data(), &body[18], 6);
    frame.arp_target = Ipv4Address::load(&body[24]);
  } else if (frame.ethertype == 0x0800 && body.size() >= 20) {
    frame.layers += " ipv4";
    const size_t header = (body[0] & 0x0fU) * 4;
    frame.total_length = load_be16(&body[2]);
    if (header < 20 || frame.total_length < header || frame.total_length > body.size()) {
      ADD_FAILURE() << "IPv4 header of " << header << " octets, total length " << frame.total_length
                    << ", in " << body.size();
      return frame;
    }
    frame.identification = load_be16(&body[4]);
    frame.dont_fragment = (body[6] & 0x40) != 0;
    frame.ttl = body[8];
    frame.protocol = body[9];
    frame.source = Ipv4Address::load(&body[12]);
    frame.destination = Ipv4Address::load(&body[16]);
    frame.ip_checksum_holds = reference_checksum(body.first(header)) == 0;
    internal::decode_transport(body.subspan(header, frame.total_length - header), &frame);
  }
  return frame;
}

// Takes the frame apart, requires its checksums to hold, and applies every checker to it.
template <class... Checkers>
void expect_frame(ByteView bytes, const Checkers&... checkers) {
  const DecodedFrame frame = decode(bytes);
  if (frame.layers.find("ipv4") != std::string::npos) {
    EXPECT_TRUE(frame.ip_checksum_holds) << "IPv4 header checksum";
    EXPECT_TRUE(frame.transport_checksum_holds) << "transport checksum";
  }
  (checkers(frame), ...);
}

// Each checker is one sentence about a frame.
inline auto layers(std::string_view expected) {
  return [expected](const DecodedFrame& f) { EXPECT_EQ(f.layers, expected); };
}
inline auto ethernet_from(MacAddress mac) {
  return [mac](const DecodedFrame& f) { EXPECT_EQ(to_text(f.source_mac), to_text(mac)); };
}
inline auto ethernet_to(MacAddress mac) {
  return [mac](const DecodedFrame& f) { EXPECT_EQ(to_text(f.destination_mac), to_text(mac)); };
}
inline auto arp_request(Ipv4Address sender, Ipv4Address target) {
  return [sender, target](const DecodedFrame& f) {
    EXPECT_EQ(f.layers, "ethernet arp");
    EXPECT_EQ(f.arp_operation, 1);
    EXPECT_EQ(f.arp_sender.text(), sender.text());
    EXPECT_EQ(f.arp_target.text(), target.text());
    EXPECT_EQ(to_text(f.arp_sender_mac), to_text(f.source_mac));
  };
}
inline auto arp_reply(Ipv4Address sender, Ipv4Address target) {
  return [sender, target](const DecodedFrame& f) {
    EXPECT_EQ(f.layers, "ethernet arp");
    EXPECT_EQ(f.arp_operation, 2);
    EXPECT_EQ(f.arp_sender.text(), sender.text());
    EXPECT_EQ(f.arp_target.text(), target.text());
    EXPECT_EQ(to_text(f.arp_sender_mac), to_text(f.source_mac));
  };
}
inline auto ipv4_from(Ipv4Address address) {
  return [address](const DecodedFrame& f) { EXPECT_EQ(f.source.text(), address.text()); };
}
inline auto ipv4_to(Ipv4Address address) {
  return [address](const DecodedFrame& f) { EXPECT_EQ(f.destination.text(), address.text()); };
}
inline auto icmp_is(uint8_t type, uint8_t code) {
  return [type, code](const DecodedFrame& f) {
    EXPECT_EQ(f.layers, "ethernet ipv4 icmp");
    EXPECT_EQ(f.icmp_type, type);
    EXPECT_EQ(f.icmp_code, code);
  };
}
inline auto tcp_ports(uint16_t source, uint16_t destination) {
  return [source, destination](const DecodedFrame& f) {
    EXPECT_EQ(f.layers, "ethernet ipv4 tcp");
    EXPECT_EQ(f.source_port, source);
    EXPECT_EQ(f.destination_port, destination);
  };
}
inline auto tcp_flags(std::string_view letters) {
  return [bits = tcp_flag_bits(letters)](const DecodedFrame& f) {
    EXPECT_EQ(tcp_flag_letters(f.flags), tcp_flag_letters(bits));
  };
}
inline auto tcp_seq(uint32_t value) {
  return [value](const DecodedFrame& f) { EXPECT_EQ(f.seq, value); };
}
inline auto tcp_ack(uint32_t value) {
  return [value](const DecodedFrame& f) { EXPECT_EQ(f.ack, value); };
}
inline auto tcp_window(uint16_t value) {
  return [value](const DecodedFrame& f) { EXPECT_EQ(f.window, value); };
}
inline auto tcp_mss(uint16_t value) {
  return [value](const DecodedFrame& f) { EXPECT_EQ(f.mss, value); };
}
inline auto payload_is(std::string_view text) {
  return [expected = std::string(text)](const DecodedFrame& f) {
    EXPECT_EQ(std::string(as_text(f.payload)), expected);
  };
}
inline auto payload_bytes(size_t count) {
  return [count](const DecodedFrame& f) { EXPECT_EQ(f.payload.size(), count); };
}

}  // namespace millrace::testing
