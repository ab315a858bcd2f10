#include "tests/diff/wire.h"

#include <algorithm>
#include <string_view>

#include "base/check.h"

namespace millrace::diff {
namespace {

constexpr size_t ip_header_octets = 20;
constexpr size_t tcp_header_octets_min = 20;
constexpr size_t options_octets_max = 40;
constexpr uint8_t protocol_tcp = 6;

enum OptionKind : uint8_t {
  option_end = 0,
  option_nop = 1,
  option_mss = 2,
  option_window_scale = 3,
  option_sack_permitted = 4,
  option_sack = 5,
  option_timestamps = 8,
};

// RFC 1071 section 4.1, word by word; 0 over octets that hold their own checksum.
uint16_t checksum_of(ByteView octets, uint64_t sum) {
  for (size_t at = 0; at < octets.size(); at += 2) {
    const uint32_t low = at + 1 < octets.size() ? octets[at + 1] : 0U;
    sum += uint32_t{octets[at]} << 8 | low;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

uint64_t pseudo_header_sum(Ipv4Address from, Ipv4Address to, size_t octets) {
  const uint64_t a = from.host_order();
  const uint64_t b = to.host_order();
  return (a >> 16) + (a & 0xffff) + (b >> 16) + (b & 0xffff) + protocol_tcp + octets;
}

void put_be32(Octets& out, uint32_t value) {
  out.resize(out.size() + 4);
  store_be32(&out[out.size() - 4], value);
}

Octets write_options(const WireSegment& segment) {
  Octets out;
  const auto put = [&out](std::initializer_list<uint8_t> octets) { out.insert(out.end(), octets); };
  if (segment.mss) {
    put({option_mss, 4, static_cast<uint8_t>(*segment.mss >> 8),
         static_cast<uint8_t>(*segment.mss)});
  }
  if (segment.sack_permitted) put({option_sack_permitted, 2});
  if (segment.window_scale) put({option_window_scale, 3, *segment.window_scale});
  if (segment.timestamps) {
    put({option_timestamps, 10});
    put_be32(out, (*segment.timestamps)[0]);
    put_be32(out, (*segment.timestamps)[1]);
  }
  size_t blocks = segment.sack.size();
  const size_t taken = out.size() + segment.odd_options.size();
  while (blocks > 0 && taken + 2 + 8 * blocks > options_octets_max) --blocks;
  if (blocks > 0) {
    put({option_sack, static_cast<uint8_t>(2 + 8 * blocks)});
    for (size_t i = 0; i < blocks; ++i) {
      put_be32(out, segment.sack[i].begin);
      put_be32(out, segment.sack[i].end);
    }
  }
  out.insert(out.end(), segment.odd_options.begin(), segment.odd_options.end());
  while (out.size() % 4 != 0) out.push_back(option_nop);
  CHECK(out.size() <= options_octets_max);
  return out;
}

void read_option(uint8_t kind, ByteView value, WireSegment* segment) {
  if (kind == option_mss && value.size() == 2) segment->mss = load_be16(value.data());
  if (kind == option_window_scale && value.size() == 1) segment->window_scale = value[0];
  if (kind == option_sack_permitted && value.empty()) segment->sack_permitted = true;
  if (kind == option_timestamps && value.size() == 8) {
    segment->timestamps = {load_be32(value.data()), load_be32(value.data() + 4)};
  }
  if (kind == option_sack) {
    for (size_t at = 0; at + 8 <= value.size(); at += 8) {
      segment->sack.push_back({load_be32(value.data() + at), load_be32(value.data() + at + 4)});
    }
  }
}

bool read_options(ByteView options, WireSegment* segment) {
  size_t at = 0;
  while (at < options.size() && options[at] != option_end) {
    if (options[at] == option_nop) {
      ++at;
      continue;
    }
    const size_t length = at + 1 < options.size() ? options[at + 1] : 0U;
    if (length < 2 || at + length > options.size()) return false;
    read_option(options[at], options.subspan(at + 2, length - 2), segment);
    at += length;
  }
  return true;
}

}  // namespace

Octets write_datagram(const WireSegment& segment) {
  const Octets options = write_options(segment);
  const size_t header = tcp_header_octets_min + options.size();
  Octets out(ip_header_octets + header, 0);
  uint8_t* ip = out.data();
  ip[0] = 0x45;
  store_be16(ip + 2, static_cast<uint16_t>(out.size() + segment.text.size()));
  ip[6] = 0x40;  // don't fragment
  ip[8] = 64;
  ip[9] = protocol_tcp;
  segment.from.address.store(ip + 12);
  segment.to.address.store(ip + 16);
  store_be16(ip + 10, checksum_of({ip, ip_header_octets}, 0));
  uint8_t* tcp = ip + ip_header_octets;
  store_be16(tcp, segment.from.port);
  store_be16(tcp + 2, segment.to.port);
  store_be32(tcp + 4, segment.seq);
  store_be32(tcp + 8, segment.ack);
  tcp[12] = static_cast<uint8_t>(header / 4 << 4);
  tcp[13] = segment.flags;
  store_be16(tcp + 14, segment.window);
  store_be16(tcp + 18, segment.urgent);
  std::copy(options.begin(), options.end(), tcp + tcp_header_octets_min);
  out.insert(out.end(), segment.text.begin(), segment.text.end());
  const ByteView whole = ByteView(out).subspan(ip_header_octets);
  const uint16_t checksum =
      checksum_of(whole, pseudo_header_sum(segment.from.address, segment.to.address, whole.size()));
  store_be16(out.data() + ip_header_octets + 16, checksum);
  return out;
}

std::optional<WireSegment> read_datagram(ByteView datagram) {
  if (datagram.size() < ip_header_octets + tcp_header_octets_min) return std::nullopt;
  if (datagram[0] != 0x45 || datagram[9] != protocol_tcp) return std::nullopt;
  const size_t total = load_be16(datagram.data() + 2);
  if (total > datagram.size() || checksum_of(datagram.first(ip_header_octets), 0) != 0)
    return std::nullopt;
  WireSegment segment;
  segment.from.address = Ipv4Address::load(datagram.data() + 12);
  segment.to.address = Ipv4Address::load(datagram.data() + 16);
  const ByteView tcp = datagram.subspan(ip_header_octets, total - ip_header_octets);
  const uint64_t pseudo = pseudo_header_sum(segment.from.address, segment.to.address, tcp.size());
  const size_t header = size_t{tcp[12]} / 16 * 4;
  if (header < tcp_header_octets_min || header > tcp.size() || checksum_of(tcp, pseudo) != 0)
    return std::nullopt;
  segment.from.port = load_be16(tcp.data());
  segment.to.port = load_be16(tcp.data() + 2);
  segment.seq = load_be32(tcp.data() + 4);
  segment.ack = load_be32(tcp.data() + 8);
  segment.flags = tcp[13];
  segment.window = load_be16(tcp.data() + 14);
  segment.urgent = load_be16(tcp.data() + 18);
  const ByteView options = tcp.subspan(tcp_header_octets_min, header - tcp_header_octets_min);
  if (!read_options(options, &segment)) return std::nullopt;
  segment.text.assign(tcp.begin() + static_cast<ptrdiff_t>(header), tcp.end());
  return segment;
}

std::string flag_letters(uint8_t flags) {
  std::string letters;
  for (size_t bit = 0; bit < 8; ++bit) {
    if ((flags >> bit & 1) != 0) letters += "FSRPAUEC"[bit];
  }
  return letters.empty() ? "none" : letters;
}

}  // namespace millrace::diff
