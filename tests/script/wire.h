// Segments as the peer of a script sees them on the wire: taken apart here without any code of the
// stack, and told in the script's own words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace millrace::script {

struct WireSegment {
  Ipv4Address source;
  Ipv4Address destination;
  uint8_t traffic_class = 0;
  uint16_t ip_identification = 0;
  bool checksums_hold = false;

  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  uint16_t urgent = 0;
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<std::pair<uint32_t, uint32_t>> timestamps;  // TSval, TSecr
  std::vector<std::pair<uint32_t, uint32_t>> sack;
  std::vector<uint8_t> text;
};

// nullopt when it is not one whole IPv4 datagram with a TCP segment and options that can be read.
std::optional<WireSegment> parse_datagram(ByteView datagram);

// In the words of a script; sequence numbers count from iss and irs.
std::string text_of(const WireSegment& segment, uint32_t iss, uint32_t irs);

}  // namespace millrace::script
