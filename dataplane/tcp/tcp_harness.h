// For unit tests: one Tcp between a script and the wire. The script injects segments, moves the
// virtual clock and looks at every segment that comes out, parsed.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/checksum.h"
#include "dataplane/packet/frame_memory.h"
#include "dataplane/tcp/tcp.h"
#include "tests/support/fast_paths.h"

namespace millrace::tcp {

struct Seen {
  Segment segment;
  std::vector<uint8_t> bytes;  // owns what segment.text points into
  std::string text() const { return std::string(as_text(segment.text)); }
};

class TcpHarness : public ::testing::Test {
 protected:
  static constexpr uint16_t peer_mss = 1460;

  explicit TcpHarness(Limits limits = small_limits(), uint32_t slots = 1024)
      : memory_(std::move(packet::FrameMemory::create(slots)).value()),
        arena_(memory_.data(), slots),
        neighbors_(arena_, steering_, counters_, HashKey{1, 2}),
        output_(arena_, routes_, neighbors_, counters_),
        tcp_(limits, Keys{{3, 4}, {5, 6}, 7}, arena_, output_, counters_, now_) {
    output_.set_port(0, MacAddress{{2, 0, 0, 0, 0, 1}}, 1500);
    steering_.add_owned(0, {local_.address, 24});
    routes_.add({{local_.address, 24}, 0, {}});
    tcp_.listen(local_);
  }

  static Limits small_limits() {
    Limits limits;
    limits.connections = 32;
    limits.half_open = 8;
    limits.time_wait = 8;
    limits.fast_paths = testing::fast_paths_wanted();
    return limits;
  }

  // --- the peer's side ---
  struct Fields {
    uint32_t seq = 0;
    uint32_t ack = 0;
    uint8_t flags = flag_ack;
    uint16_t window = 65'535;
    std::string text = {};
    Options options = {};
  };

  void inject(const Fields& fields) { inject(fields, remote_, local_); }

  void inject(const Fields& fields, SocketAddress from, SocketAddress to) {
    HeaderFields header;
    header.source_port = from.port;
    header.destination_port = to.port;
    header.seq = Seq(fields.seq);
    header.ack = Seq(fields.ack);
    header.flags = fields.flags;
    header.window = fields.window;
    header.options = fields.options;
    // Frames of a turn stay where they are until end_reading(), as a port's would.
    frames_.emplace_back(header_bytes(header.options) + fields.text.size());
    std::vector<uint8_t>& bytes = frames_.back();
    write_header(bytes.data(), header);
    std::copy(fields.text.begin(), fields.text.end(), bytes.begin() + header_bytes(header.options));
    net::Ipv4Packet packet;
    packet.source = from.address;
    packet.destination = to.address;
    packet.protocol = net::protocol_tcp;
    packet.payload = bytes;
    output_.set_room(0, 512);
    tcp_.ingress(packet, back_, now_);
  }

  // A router on the way could not pass on the segment that began `offset` octets into the text.
  void too_big(uint16_t next_hop_mtu, uint32_t offset = 0) {
    net::IcmpError error;
    error.type = net::icmp_unreachable;
    error.code = net::icmp_fragmentation_needed;
    error.next_hop_mtu = next_hop_mtu;
    error.source = local_.address;
    error.destination = remote_.address;
    error.source_port = local_.port;
    error.destination_port = remote_.port;
    error.tcp_sequence_number = our_seq_ + offset;
    tcp_.icmp_error(error, now_);
  }

  // --- the turn ---
  // Ends the turn and returns what was sent.
  std::vector<Seen> finish_turn() {
    tcp_.end_reading();
    frames_.clear();
    output_.set_room(0, 512);
    tcp_.advance(now_);
    tcp_.egress(0, now_);
    std::vector<Seen> sent;
    for (const packet::TransmitFrame& frame : output_.queued(0)) {
      const ByteView bytes = arena_.frame_bytes(frame);
      if (load_be16(&bytes[12]) == 0x0800) {
        Seen seen;
        seen.bytes.assign(bytes.begin() + 34, bytes.end());
        SegmentError error{};
        const auto segment = parse_segment(seen.bytes, &error);
        EXPECT_TRUE(segment.has_value());
        seen.segment = *segment;
        EXPECT_TRUE(net::transport_checksum_holds(
            packet::ChecksumMode::verify, Ipv4Address::load(&bytes[26]),
            Ipv4Address::load(&bytes[30]), net::protocol_tcp, seen.bytes, checksum_offset));
        sent.push_back(std::move(seen));
        sent.back().segment.text = ByteView(sent.back().bytes).last(segment->text.size());
      }
      arena_.mark_sent(frame.slot);
    }
    output_.clear(0);
    tcp_.check_invariants();
    return sent;
  }

  // Injects one segment and returns the answers of that turn.
  std::vector<Seen> exchange(const Fields& fields) {
    inject(fields);
    return finish_turn();
  }
  // Moves time on in steps of 1 ms and returns everything sent meanwhile.
  std::vector<Seen> wait(Duration span) {
    std::vector<Seen> sent;
    for (int64_t ms = 0; ms < span.count_ms(); ++ms) {
      now_ = now_ + Duration::milliseconds(1);
      for (Seen& seen : finish_turn()) sent.push_back(std::move(seen));
    }
    return sent;
  }

  // --- often used beginnings ---
  // A client's handshake without timestamps; afterwards peer_seq_ and our_seq_ are next to be sent.
  void establish(uint16_t window = 65'535, std::optional<uint8_t> window_scale = 0) {
    Options options;
    options.has_mss = true;
    options.mss = peer_mss;
    options.has_window_scale = window_scale.has_value();
    options.window_scale = window_scale.value_or(0);
    establish_with(options, window);
  }
  // The same of a peer that understands selective acknowledgments.
  void establish_with_sack() {
    Options options;
    options.has_mss = true;
    options.mss = peer_mss;
    options.has_window_scale = true;
    options.window_scale = 7;
    options.sack_permitted = true;
    establish_with(options, 65'535);
  }
  // The SYN is said twice, so that the handshake measures no round trip (Karn's rule).
  void establish_with(const Options& options, uint16_t window) {
    exchange({.seq = peer_seq_, .flags = flag_syn, .window = window, .options = options});
    const auto syn_ack =
        exchange({.seq = peer_seq_, .flags = flag_syn, .window = window, .options = options});
    ASSERT_EQ(syn_ack.size(), 1U);
    ASSERT_EQ(syn_ack[0].segment.flags, flag_syn | flag_ack);
    ASSERT_EQ(syn_ack[0].segment.ack.value(), peer_seq_ + 1);
    our_seq_ = syn_ack[0].segment.seq.value() + 1;
    peer_seq_ += 1;
    exchange({.seq = peer_seq_, .ack = our_seq_, .window = window});
    const auto ready = tcp_.next_ready();
    ASSERT_TRUE(ready && (ready->events & event_accepted) != 0);
    id_ = ready->id;
  }

  std::string read_all() {
    std::string read;
    for (ByteView run = tcp_.readable(id_); !run.empty(); run = tcp_.readable(id_)) {
      read.append(as_text(run));
      tcp_.consume(id_, run.size(), now_);
    }
    return read;
  }
  uint8_t events() {
    uint8_t events = 0;
    while (const auto ready = tcp_.next_ready()) events |= ready->events;
    return events;
  }
  State state() const { return tcp_.find(id_)->state; }
  static std::string pattern(size_t length, size_t from = 0) {
    std::string text(length, ' ');
    for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>('a' + (from + i) % 23);
    return text;
  }
  // Every connection closed, every slot free: nothing leaks.
  void expect_all_free() {
    EXPECT_EQ(tcp_.connection_count(), 0U);
    EXPECT_EQ(tcp_.slots_held(), 0U);
    EXPECT_EQ(arena_.free_count(), arena_.capacity());
    EXPECT_EQ(tcp_.armed_timer_count(), 0U);
    EXPECT_EQ(tcp_.half_open_count(), 0U);
  }

  Instant now_ = Instant::from_ns(1'000'000'000'000);
  packet::FrameMemory memory_;
  packet::Arena arena_;
  Counters counters_;
  net::Steering steering_;
  net::IpRoutes routes_;
  net::NeighborTable neighbors_;
  net::IpOutput output_;
  Tcp tcp_;
  std::deque<std::vector<uint8_t>> frames_;

  SocketAddress local_{Ipv4Address::from_octets(10, 0, 0, 1), 80};
  SocketAddress remote_{Ipv4Address::from_octets(10, 0, 0, 2), 40'000};
  std::optional<net::Path> back_ = net::IpOutput::path_back(0, MacAddress{{2, 0, 0, 0, 0, 2}});
  uint32_t peer_seq_ = 1'000;
  uint32_t our_seq_ = 0;
  ConnId id_;
};

}  // namespace millrace::tcp
