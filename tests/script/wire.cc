#include "tests/script/wire.h"

#include "tests/script/script.h"

namespace millrace::script {
namespace {

constexpr size_t ip_header_bytes = 20;
constexpr size_t tcp_header_bytes_min = 20;
constexpr uint8_t protocol_tcp = 6;

// RFC 1071, word by word: the sum of whole data with its checksum in it is all ones.
uint64_t sum_of(ByteView bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += uint64_t{bytes[i]} << (i % 2 == 0 ? 8 : 0);
  return sum;
}
bool is_all_ones(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

bool take_option(ByteView option, WireSegment& segment) {
  const uint8_t* at = option.data();
  switch (option[0]) {
    case 2:
      if (option.size() != 4) return false;
      segment.mss = load_be16(at + 2);
      return true;
    case 3:
      if (option.size() != 3) return false;
      segment.window_scale = at[2];
      return true;
    case 4:
      if (option.size() != 2) return false;
      segment.sack_permitted = true;
      return true;
    case 5:
      if (option.size() < 10 || option.size() % 8 != 2) return false;
      for (size_t i = 2; i < option.size(); i += 8)
        segment.sack.emplace_back(load_be32(at + i), load_be32(at + i + 4));
      return true;
    case 8:
      if (option.size() != 10) return false;
      segment.timestamps.emplace(load_be32(at + 2), load_be32(at + 6));
      return true;
    default: return false;  // the stack under test sends no other
  }
}

bool take_options(ByteView options, WireSegment& segment) {
  while (!options.empty() && options[0] != 0) {
    if (options[0] == 1) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return false;
    if (!take_option(options.first(options[1]), segment)) return false;
    options = options.subspan(options[1]);
  }
  return true;
}

std::string relative(uint32_t number, uint32_t base) {
  return std::to_string(static_cast<int32_t>(number - base));
}

}  // namespace

std::optional<WireSegment> parse_datagram(ByteView datagram) {
  if (datagram.size() < ip_header_bytes + tcp_header_bytes_min || datagram[0] != 0x45)
    return std::nullopt;
  if (load_be16(&datagram[2]) != datagram.size() || datagram[9] != protocol_tcp)
    return std::nullopt;
  WireSegment segment;
  segment.traffic_class = datagram[1];
  segment.ip_identification = load_be16(&datagram[4]);
  segment.source = Ipv4Address::load(&datagram[12]);
  segment.destination = Ipv4Address::load(&datagram[16]);
  const ByteView tcp = datagram.subspan(ip_header_bytes);
  const size_t header = size_t{tcp[12]} / 16 * 4;
  if (header < tcp_header_bytes_min || header > tcp.size()) return std::nullopt;
  segment.source_port = load_be16(&tcp[0]);
  segment.destination_port = load_be16(&tcp[2]);
  segment.seq = load_be32(&tcp[4]);
  segment.ack = load_be32(&tcp[8]);
  segment.flags = tcp[13];
  segment.window = load_be16(&tcp[14]);
  segment.urgent = load_be16(&tcp[18]);
  if (!take_options(tcp.subspan(tcp_header_bytes_min, header - tcp_header_bytes_min), segment))
    return std::nullopt;
  segment.text.assign(tcp.begin() + static_cast<ptrdiff_t>(header), tcp.end());
  const uint64_t pseudo_header = sum_of(datagram.subspan(12, 8)) + protocol_tcp + tcp.size();
  segment.checksums_hold = is_all_ones(sum_of(datagram.first(ip_header_bytes))) &&
                           is_all_ones(pseudo_header + sum_of(tcp));
  return segment;
}

std::string text_of(const WireSegment& segment, uint32_t iss, uint32_t irs) {
  std::string text = letters_of(segment.flags) + " seq " + relative(segment.seq, iss);
  if ((segment.flags & 0x10) != 0) text += " ack " + relative(segment.ack, irs);
  text += " win " + std::to_string(segment.window);
  if (segment.mss) text += " mss " + std::to_string(*segment.mss);
  if (segment.window_scale) text += " wscale " + std::to_string(*segment.window_scale);
  if (segment.sack_permitted) text += " sackok";
  if (segment.timestamps) {
    text += " ts " + std::to_string(segment.timestamps->first) + " " +
            std::to_string(segment.timestamps->second);
  }
  for (const auto& [begin, end] : segment.sack)
    text += " sack " + relative(begin, irs) + ":" + relative(end, irs);
  if (segment.traffic_class != 0) text += " ecn " + std::to_string(segment.traffic_class & 3);
  text += " len " + std::to_string(segment.text.size());
  return text;
}

}  // namespace millrace::script
