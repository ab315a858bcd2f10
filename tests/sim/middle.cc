#include "tests/sim/middle.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "dataplane/net/checksum.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/ipv4.h"

namespace millrace::sim {
namespace {

constexpr size_t ethernet_bytes = 14;
constexpr uint16_t ethertype_ipv4 = 0x0800;
const Ipv4Address router = Ipv4Address::from_octets(10, 0, 0, 254);

}  // namespace

bool Middle::pass(size_t from, ByteView bytes, Instant now) {
  Taken taken;
  if (!take(bytes, &taken)) return true;
  if (prints_) print(from, taken, "", now);
  if (faults.mtu_bytes != 0 && bytes.size() > ethernet_bytes + faults.mtu_bytes) {
    ++swallowed_;
    if (faults.tells_mtu) tell_mtu(from, bytes, now);
    return false;
  }
  if (random_.chance(faults.echo)) repeat(from, now);
  // Not while a connection begins: a SYN that meets SYN-SENT is a simultaneous open to everybody.
  const bool begins = taken.segment.has(tcp::flag_syn);
  if (random_.chance(faults.forgery) && !begins) forge(from, taken, now);
  if (past_.size() < past_frames_max) past_.emplace_back();
  past_[past_next_ % past_.size()] = {from, std::vector<uint8_t>(bytes.begin(), bytes.end())};
  ++past_next_;
  const ByteView text = taken.segment.text;
  if (!change(taken)) return true;
  if (prints_) print(from, taken, " changed", now);
  link_.say(from, build(taken, text), now);
  return false;
}

bool Middle::take(ByteView bytes, Taken* taken) {
  if (bytes.size() < ethernet_bytes + net::ipv4_header_bytes + tcp::header_bytes_min) return false;
  if (load_be16(&bytes[12]) != ethertype_ipv4) return false;
  net::Ipv4Packet packet;
  Counter drop{};
  if (!net::parse_ipv4_into(&packet, bytes.subspan(ethernet_bytes), &drop)) return false;
  if (packet.protocol != net::protocol_tcp) return false;
  tcp::SegmentError error{};
  if (!tcp::parse_segment_into(&taken->segment, packet.payload, &error)) return false;
  std::copy_n(bytes.begin(), ethernet_bytes, taken->ethernet.begin());
  taken->source = packet.source;
  taken->destination = packet.destination;
  const tcp::Segment& segment = taken->segment;
  taken->fields = {segment.source_port, segment.destination_port, segment.seq,    segment.ack,
                   segment.flags,       segment.window,           segment.options};
  return true;
}

std::vector<uint8_t> Middle::build(const Taken& taken, ByteView text) {
  const uint32_t header = tcp::header_bytes(taken.fields.options);
  std::vector<uint8_t> frame(ethernet_bytes + net::ipv4_header_bytes + header + text.size());
  std::copy(taken.ethernet.begin(), taken.ethernet.end(), frame.begin());
  const auto octets = static_cast<uint16_t>(header + text.size());
  net::write_ipv4(&frame[ethernet_bytes], taken.source, taken.destination, net::protocol_tcp,
                  octets);
  uint8_t* at = &frame[ethernet_bytes + net::ipv4_header_bytes];
  tcp::write_header(at, taken.fields);
  std::copy(text.begin(), text.end(), at + header);
  net::store_transport_checksum(at + tcp::checksum_offset, taken.source, taken.destination,
                                net::protocol_tcp, {at, octets});
  return frame;
}

// True when taken is another segment now.
bool Middle::change(Taken& taken) {
  const bool syn = taken.segment.has(tcp::flag_syn);
  if (syn && (faults.strips_sack || faults.strips_timestamps || faults.strips_scaling)) {
    strip(taken);
    return true;
  }
  if (syn || !taken.segment.has(tcp::flag_ack)) return false;
  const uint64_t lies_before = lies_;
  lie(taken);
  if (random_.chance(faults.header_corruption)) {
    ++lies_;
    const uint64_t bit = random_.below(80);
    if (bit < 32) {
      taken.fields.seq = tcp::Seq(taken.fields.seq.value() ^ 1U << bit);
    } else if (bit < 64) {
      taken.fields.ack = tcp::Seq(taken.fields.ack.value() ^ 1U << (bit - 32));
    } else {
      taken.fields.flags = static_cast<uint8_t>(taken.fields.flags ^ 1U << (bit - 64) % 6);
    }
  }
  return lies_ != lies_before;
}

void Middle::strip(Taken& taken) const {
  tcp::Options& options = taken.fields.options;
  if (faults.strips_sack) options.sack_permitted = false;
  if (faults.strips_timestamps) options.has_timestamps = false;
  if (faults.strips_scaling) options.has_window_scale = false;
}

void Middle::lie(Taken& taken) {
  tcp::Options& options = taken.fields.options;
  if (random_.chance(faults.sack_lie) && taken.segment.text.empty()) {
    ++lies_;
    const size_t room = options.has_timestamps ? 3 : 4;
    options.sack_count = static_cast<uint8_t>(random_.between(1, room));
    for (size_t i = 0; i < options.sack_count; ++i) {
      // Mostly just beyond the acknowledgment, where text may be in flight; sometimes anywhere.
      const tcp::Seq begin = random_.chance(0.9)
                                 ? taken.fields.ack + static_cast<uint32_t>(random_.below(20'000))
                                 : tcp::Seq(static_cast<uint32_t>(random_.next()));
      options.sack[i] = {begin, begin + static_cast<uint32_t>(random_.below(10'000))};
    }
  }
  if (random_.chance(faults.window_lie)) {
    ++lies_;
    taken.fields.window = static_cast<uint16_t>(
        random_.chance(0.3) ? 0 : random_.below(uint64_t{taken.fields.window} + 1));
  }
  if (random_.chance(faults.optimism)) {
    ++lies_;
    taken.fields.ack += static_cast<uint32_t>(random_.below(30'000));
  }
}

// RFC 792, from a router that neither side knows.
void Middle::tell_mtu(size_t to, ByteView bytes, Instant now) {
  const ByteView datagram = bytes.subspan(ethernet_bytes);
  net::Ipv4Packet packet;
  Counter drop{};
  if (!net::parse_ipv4_into(&packet, datagram, &drop)) return;
  std::vector<uint8_t> frame(ethernet_bytes + net::ipv4_header_bytes + net::icmp_error_bytes_max);
  std::copy_n(bytes.begin() + 6, 6, frame.begin());
  std::copy_n(bytes.begin(), 6, frame.begin() + 6);
  store_be16(&frame[12], ethertype_ipv4);
  uint8_t* icmp = &frame[ethernet_bytes + net::ipv4_header_bytes];
  const uint32_t octets =
      net::write_icmp_error(icmp, net::icmp_unreachable, net::icmp_fragmentation_needed, packet);
  store_be16(icmp + 6, faults.mtu_bytes);
  store_be16(icmp + 2, 0);
  net::store_checksum(icmp + 2, net::sum_of({icmp, octets}));
  net::write_ipv4(&frame[ethernet_bytes], router, packet.source, net::protocol_icmp,
                  static_cast<uint16_t>(octets));
  frame.resize(ethernet_bytes + net::ipv4_header_bytes + octets);
  link_.say(1 - to, frame, now);
}

// Blind: the addresses and ports are right, and one number may be, but not what makes a segment
// believable.
void Middle::forge(size_t from, const Taken& seen, Instant now) {
  Taken forged = seen;
  std::vector<uint8_t> text;
  tcp::HeaderFields& fields = forged.fields;
  // What the receiver of `seen` expects next is near seen's end.
  const tcp::Seq expected = seen.segment.seq + seen.segment.sequence_length();
  const auto anywhere = [&] { return tcp::Seq(static_cast<uint32_t>(random_.next())); };
  const auto beyond = [&] {
    return expected + static_cast<uint32_t>(random_.between(1U << 22, 1U << 30));
  };
  fields.options.sack_count = 0;
  fields.options.sack_permitted = false;
  fields.options.has_mss = false;
  fields.options.has_window_scale = false;
  switch (random_.below(5)) {
    case 0:  // a reset in the window, but not at its edge (T3)
      fields.flags = tcp::flag_rst;
      fields.seq = expected + static_cast<uint32_t>(random_.between(30'000, 60'000));
      break;
    case 1:
      fields.flags = tcp::flag_rst | tcp::flag_ack;
      fields.seq = beyond();
      break;
    case 2:  // a SYN anywhere (T4)
      fields.flags = tcp::flag_syn;
      fields.seq = anywhere();
      break;
    case 3:  // text, or an end, that no window holds (T2)
      fields.flags = tcp::flag_ack | (random_.chance(0.5) ? tcp::flag_fin : 0);
      fields.seq = beyond();
      text.assign(random_.below(1'000), 0x58);
      break;
    default:  // text in the window, with an acknowledgment of what was never sent (T5)
      fields.flags = tcp::flag_ack;
      fields.seq = expected;
      fields.ack = fields.ack + static_cast<uint32_t>(random_.between(1U << 22, 1U << 30));
      text.assign(random_.between(1, 1'000), 0x58);
  }
  ++forged_;
  if (prints_) print(from, forged, " forged", now);
  link_.say(from, build(forged, text), now);
}

// A frame of the past. Only of a connection that still is: an old SYN opens a new one, which is
// what TIME-WAIT is about, and another story.
void Middle::repeat(size_t from, Instant now) {
  if (past_.empty()) return;
  const Past& past = past_[random_.below(past_.size())];
  Taken taken;
  if (past.from != from || !take(past.bytes, &taken) || taken.segment.has(tcp::flag_syn)) return;
  ++forged_;
  if (prints_) print(from, taken, " again", now);
  link_.say(from, past.bytes, now);
}

void Middle::print(size_t from, const Taken& taken, const char* what, Instant now) const {
  const tcp::HeaderFields& fields = taken.fields;
  std::string flags;
  for (const auto& [flag, letter] : {std::pair{tcp::flag_syn, 'S'},
                                     {tcp::flag_fin, 'F'},
                                     {tcp::flag_rst, 'R'},
                                     {tcp::flag_psh, 'P'},
                                     {tcp::flag_ack, '.'},
                                     {tcp::flag_urg, 'U'}}) {
    if ((fields.flags & flag) != 0) flags += letter;
  }
  std::printf("%11.6f %s %5u > %-5u %-4s seq %10u ack %10u text %4zu window %5u",
              static_cast<double>((now - begin_).count_us()) / 1e6, from == 0 ? "-->" : "<--",
              fields.source_port, fields.destination_port, flags.c_str(), fields.seq.value(),
              fields.ack.value(), taken.segment.text.size(), fields.window);
  for (size_t i = 0; i < fields.options.sack_count; ++i)
    std::printf(" sack %u-%u", fields.options.sack[i].begin.value(),
                fields.options.sack[i].end.value());
  if (fields.options.has_timestamps)
    std::printf(" time %u %u", fields.options.timestamp_value, fields.options.timestamp_echo);
  std::printf("%s\n", what);
}

}  // namespace millrace::sim
