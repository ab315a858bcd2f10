// The net room put together on two ports, without any port behind: tests hand frames in and look at
// what is queued.
//
//   port 0 "uplink": 10.20.0.100/24 owned, 10.20.0.1/24 borrowed with TCP 8080, gateway 10.20.0.254
//   port 1 "kernel": 10.20.9.2/30 owned, 10.244.0.0/16 by way of 10.20.9.1
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "dataplane/net/ingress.h"
#include "tests/support/packet_builder.h"

namespace millrace::net {

using testing::Bytes;
using testing::decode;
using testing::DecodedFrame;
using testing::expect_frame;
using testing::PacketBuilder;

inline constexpr MacAddress uplink_mac{{0x02, 0, 0, 0, 0x10, 0}};
inline constexpr MacAddress kernel_mac{{0x02, 0, 0, 0, 0x10, 1}};
inline constexpr MacAddress client_mac{{0x02, 0, 0, 0, 0x20, 1}};
inline constexpr MacAddress other_mac{{0x02, 0, 0, 0, 0x66, 6}};
inline constexpr Ipv4Address owned = Ipv4Address::from_octets(10, 20, 0, 100);
inline constexpr Ipv4Address borrowed = Ipv4Address::from_octets(10, 20, 0, 1);
inline constexpr Ipv4Address kernel_owned = Ipv4Address::from_octets(10, 20, 9, 2);
inline constexpr Ipv4Address kernel_gateway = Ipv4Address::from_octets(10, 20, 9, 1);
inline constexpr Ipv4Address gateway = Ipv4Address::from_octets(10, 20, 0, 254);
inline constexpr Ipv4Address client = Ipv4Address::from_octets(10, 20, 0, 7);
inline constexpr Ipv4Address far_client = Ipv4Address::from_octets(198, 51, 100, 7);
inline constexpr Ipv4Address pod = Ipv4Address::from_octets(10, 244, 3, 4);

class NetFixture : public ::testing::Test {
 protected:
  static constexpr uint32_t slot_count = 512;
  static constexpr size_t room = 256;

  NetFixture()
      : memory_(new (std::align_val_t{64}) uint8_t[size_t{slot_count} * packet::slot_bytes]),
        arena_(memory_.get(), slot_count) {
    EXPECT_TRUE(steering_.add_owned(0, {owned, 24}));
    const std::vector<uint16_t> ports{8080};
    EXPECT_TRUE(steering_.add_borrowed(0, {borrowed, 24}, ports));
    EXPECT_TRUE(steering_.add_owned(1, {kernel_owned, 30}));
    EXPECT_TRUE(routes_.add({{owned, 24}, 0, {}}));
    EXPECT_TRUE(routes_.add({{Ipv4Address{}, 0}, 0, gateway}));
    EXPECT_TRUE(routes_.add({{kernel_owned, 30}, 1, {}}));
    EXPECT_TRUE(routes_.add({{pod, 16}, 1, kernel_gateway}));
    output_.set_port(0, uplink_mac, 1500);
    output_.set_port(1, kernel_mac, 1500);
    set_room(room);
  }
  ~NetFixture() override {
    EXPECT_TRUE(neighbors_.check_invariants());
    EXPECT_TRUE(ipv6_.aliases.check_invariants());
    // Every slot is free, queued for a port or waiting for a neighbor.
    size_t queued = 0;
    for (uint8_t port = 0; port < 2; ++port) queued += output_.queued(port).size();
    EXPECT_EQ(arena_.free_count() + queued + neighbors_.waiting_count() + held_by_test_,
              arena_.capacity());
  }

  void set_room(size_t frames) {
    output_.set_room(0, frames);
    output_.set_room(1, frames);
  }

  // Hands a frame in; its bytes live until the next call.
  Ingress::Delivery receive(const Bytes& bytes, uint8_t port = 0) {
    received_ = bytes;
    packet::Frame frame;
    frame.data = received_.data();
    frame.length = static_cast<uint16_t>(received_.size());
    frame.port = port;
    Ingress::Delivery delivery;
    ingress_.receive(frame, now_, &delivery);
    return delivery;
  }

  // What is queued for a port, copied, and taken away as a port would.
  std::vector<Bytes> take_queued(uint8_t port = 0) {
    std::vector<Bytes> frames;
    for (const packet::TransmitFrame& frame : output_.queued(port)) {
      const ByteView bytes = arena_.frame_bytes(frame);
      frames.emplace_back(bytes.begin(), bytes.end());
      arena_.mark_sent(frame.slot);
    }
    output_.clear(port);
    output_.set_room(port, room);
    return frames;
  }

  // A segment of our own towards destination, with `text` where TCP would stand.
  void send(const Path& path, Ipv4Address source, Ipv4Address destination,
            std::string_view text = "segment") {
    const packet::SlotIndex slot = arena_.acquire();
    ASSERT_NE(slot, packet::slot_none);
    std::memcpy(arena_.payload(slot), text.data(), text.size());
    output_.send(path, source, destination, 253,
                 {slot, packet::headroom_bytes, static_cast<uint16_t>(text.size())}, now_);
    arena_.drop(slot);
  }
  void send_to(Ipv4Address destination, std::string_view text = "segment") {
    const auto path = output_.path_to(destination, now_);
    ASSERT_TRUE(path.has_value());
    send(*path, owned, destination, text);
  }

  // Time goes by, ticks included.
  void pass(Duration span) {
    const Instant end = now_ + span;
    while (now_ < end) {
      now_ = std::min(end, now_ + Duration::milliseconds(100));
      ingress_.tick(now_);
    }
  }
  // The announcements of the start are over and taken away.
  void settle() {
    pass(Duration::seconds(4));
    take_queued(0);
    take_queued(1);
  }

  Bytes reply_from(const MacAddress& mac, Ipv4Address address) {
    return PacketBuilder()
        .ethernet(mac, uplink_mac)
        .arp_reply(mac, address, uplink_mac, owned)
        .build();
  }
  Bytes request_from(const MacAddress& mac, Ipv4Address address) {
    return PacketBuilder()
        .ethernet(mac, MacAddress::broadcast())
        .arp_request(mac, address, owned)
        .build();
  }
  PacketBuilder from_client() {
    return PacketBuilder().ethernet(client_mac, uplink_mac).ipv4(client, owned);
  }

  struct AlignedDelete {
    void operator()(uint8_t* at) const { ::operator delete[](at, std::align_val_t{64}); }
  };
  std::unique_ptr<uint8_t[], AlignedDelete> memory_;
  packet::Arena arena_;
  Steering steering_;
  IpRoutes routes_;
  Counters counters_;
  Ipv6Network ipv6_{NeighborTable::entries_max, HashKey{5, 6}};
  NeighborTable neighbors_{arena_, steering_, counters_, HashKey{1, 2}, &ipv6_};
  IpOutput output_{arena_, routes_, neighbors_, counters_, &ipv6_};
  Ingress ingress_{arena_, steering_, neighbors_, output_, counters_, 42};
  Instant now_ = Instant::from_ns(1'000'000'000);
  Bytes received_;
  size_t held_by_test_ = 0;
};

}  // namespace millrace::net
