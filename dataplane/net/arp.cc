#include "dataplane/net/arp.h"

#include <cstring>

#include "dataplane/net/ethernet.h"

namespace millrace::net {
namespace {

constexpr uint16_t hardware_ethernet = 1;

bool may_be_sender(const ArpPacket& packet) {
  if (packet.sender_hardware.is_multicast() || packet.sender_hardware.is_zero()) return false;
  const Ipv4Address address = packet.sender_protocol;
  return address.is_zero() || (address.is_unicast() && !address.is_loopback());
}

}  // namespace

std::optional<ArpPacket> parse_arp(ByteView bytes) {
  if (bytes.size() < arp_packet_bytes) return std::nullopt;
  const uint8_t* at = bytes.data();
  if (load_be16(at) != hardware_ethernet || load_be16(at + 2) != ethertype_ipv4) {
    return std::nullopt;
  }
  if (at[4] != 6 || at[5] != 4) return std::nullopt;
  const uint16_t operation = load_be16(at + 6);
  if (operation != uint16_t{1} && operation != uint16_t{2}) return std::nullopt;

  ArpPacket packet;
  packet.operation = static_cast<ArpOperation>(operation);
  std::memcpy(packet.sender_hardware.octets.data(), at + 8, 6);
  packet.sender_protocol = Ipv4Address::load(at + 14);
  std::memcpy(packet.target_hardware.octets.data(), at + 18, 6);
  packet.target_protocol = Ipv4Address::load(at + 24);
  if (!may_be_sender(packet)) return std::nullopt;
  return packet;
}

void write_arp(uint8_t* at, const ArpPacket& packet) {
  store_be16(at, hardware_ethernet);
  store_be16(at + 2, ethertype_ipv4);
  at[4] = 6;
  at[5] = 4;
  store_be16(at + 6, static_cast<uint16_t>(packet.operation));
  std::memcpy(at + 8, packet.sender_hardware.octets.data(), 6);
  packet.sender_protocol.store(at + 14);
  std::memcpy(at + 18, packet.target_hardware.octets.data(), 6);
  packet.target_protocol.store(at + 24);
}

}  // namespace millrace::net
