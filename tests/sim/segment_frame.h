// Frames with one TCP segment, taken apart and put together: what somebody in the middle of a
// simulated link does to what passes, and with what he forges.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ipv6_address.h"
#include "dataplane/tcp/segment.h"

namespace millrace::sim {

struct SegmentFrame {
  MacAddress source_mac;
  MacAddress destination_mac;
  Ipv4Address source;
  Ipv4Address destination;
  struct Ipv6Ends {
    Ipv6Address source;
    Ipv6Address destination;
  };
  std::optional<Ipv6Ends> ipv6;  // over IPv6; then source and destination mean nothing
  tcp::Segment segment;          // text points into what was parsed
};

// Nothing for frames that are no whole, unfragmented TCP segment over IPv4 without options or over
// IPv6 without extension headers.
std::optional<SegmentFrame> parse_segment_frame(ByteView frame);

// The frame, with right lengths and checksums; options as in frame.segment.options.
void build_segment_frame(const SegmentFrame& frame, std::vector<uint8_t>* out);

// One line about any frame, for people.
std::string told_frame(ByteView frame);

}  // namespace millrace::sim
