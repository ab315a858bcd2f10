#include "dataplane/connection_batch.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "dataplane/tcp/tcp_harness.h"

namespace millrace::tcp {
namespace {

using shm::ConnectionRecord;

class ConnectionBatchTest : public TcpHarness {
 protected:
  ConnectionBatchTest() : TcpHarness(limits(), 8'192) {}

  static Limits limits() {
    Limits limits = small_limits();
    limits.connections = 4'096;
    limits.half_open = 64;
    return limits;
  }

  // Active opens, which stay in SYN-SENT as long as nobody lets time pass.
  std::vector<ConnId> connect(uint32_t count, uint16_t port) {
    std::vector<ConnId> ids;
    for (uint32_t i = 0; i < count; ++i) {
      ids.push_back(tcp_.connect(local_.address, {remote_.address, port}, 0, now_));
      EXPECT_TRUE(ids.back());
    }
    return ids;
  }

  // How many turns the batch that is asked for takes.
  uint32_t turns() {
    uint32_t count = 0;
    while (!batch_.is_answered() && count < 10'000) {
      batch_.turn(tcp_, now_);
      ++count;
    }
    return count;
  }

  std::vector<ConnectionRecord> list() {
    std::vector<ConnectionRecord> all;
    for (uint32_t place = 0; place < tcp_.connection_capacity();) {
      batch_.ask(place);
      turns();
      const shm::ListingMessage& message = batch_.message();
      batch_sizes_.push_back(message.header.count);
      all.insert(all.end(), message.records.begin(),
                 message.records.begin() + message.header.count);
      place = message.header.next;
      batch_.take_back();
    }
    return all;
  }

  // A client's connection from this port with so much text that nobody reads.
  void establish_from(uint16_t port, uint32_t segments) {
    const SocketAddress from{remote_.address, port};
    Fields syn{.seq = 1'000, .flags = flag_syn};
    syn.options.has_mss = true;
    syn.options.mss = peer_mss;
    inject(syn, from, local_);
    const auto answer = finish_turn();
    ASSERT_EQ(answer.size(), 1U);
    const uint32_t ack = answer[0].segment.seq.value() + 1;
    for (uint32_t i = 0; i < segments; ++i) {
      inject({.seq = 1'001 + 1'000 * i, .ack = ack, .text = std::string(1'000, 'x')}, from, local_);
    }
    finish_turn();
  }

  ConnectionBatch batch_{3};
  std::vector<uint32_t> batch_sizes_;
};

TEST_F(ConnectionBatchTest, ATurnInWhichNobodyAsksDoesNothing) {
  connect(10, 80);
  batch_.turn(tcp_, now_);
  EXPECT_TRUE(batch_.is_idle());
}

TEST_F(ConnectionBatchTest, ATurnCopies64RecordsAtMost) {
  connect(600, 80);
  batch_.ask(0);
  EXPECT_EQ(turns(), shm::listing_records_max / 64);
  EXPECT_EQ(batch_.message().header.count, shm::listing_records_max);
}

TEST_F(ConnectionBatchTest, ATurnLooksAt256FreePlacesAtMost) {
  batch_.ask(0);
  EXPECT_EQ(turns(), 4'096U / 256);
  EXPECT_EQ(batch_.message().header.count, 0U);
  EXPECT_EQ(batch_.message().header.next, 4'096U);
}

TEST_F(ConnectionBatchTest, ATurnWalksTheReceiveQueuesOfFewConnections) {
  for (uint16_t i = 0; i < 40; ++i) establish_from(static_cast<uint16_t>(5'000 + i), 30);
  const auto view = tcp_.view_at(0);
  ASSERT_TRUE(view && view->receive_slots >= 15) << view->receive_slots;
  batch_.ask(0);
  // Without that bound one turn would do for the 40, and sixteen for the places.
  EXPECT_GT(turns(), 4'096U / ConnectionBatch::places_per_turn_max);
  EXPECT_EQ(batch_.message().header.count, 40U);
}

TEST_F(ConnectionBatchTest, WhatDoesNotFitInOneBatchIsInTheNext) {
  connect(1'200, 80);
  const auto records = list();
  EXPECT_EQ(batch_sizes_, (std::vector<uint32_t>{512, 512, 176}));
  std::set<uint16_t> ports;
  for (const ConnectionRecord& record : records) ports.insert(record.local_port);
  EXPECT_EQ(ports.size(), 1'200U);
}

// A listing is not one instant: what it promises is this.
TEST_F(ConnectionBatchTest, AConnectionThatLivesThroughoutIsListedOnceWhateverComesAndGoes) {
  const auto stay = connect(600, 80);
  auto leave = connect(600, 81);
  std::map<uint16_t, uint32_t> seen;  // by our port
  for (uint32_t place = 0; place < tcp_.connection_capacity();) {
    batch_.ask(place);
    while (!batch_.is_answered()) {
      batch_.turn(tcp_, now_);
      if (!leave.empty()) {
        tcp_.abort(leave.back(), now_);
        leave.pop_back();
        connect(1, 82);
      }
    }
    const shm::ListingMessage& message = batch_.message();
    for (uint32_t i = 0; i < message.header.count; ++i) {
      if (message.records[i].remote_port == 80) ++seen[message.records[i].local_port];
    }
    place = message.header.next;
    batch_.take_back();
  }
  ASSERT_LT(leave.size(), 600U);
  for (const ConnId id : stay) EXPECT_EQ(seen[tcp_.local(id).port], 1U);
}

TEST_F(ConnectionBatchTest, ARecordSaysWhatIsUnderWay) {
  establish_from(5'000, 3);
  const auto ready = tcp_.next_ready();
  ASSERT_TRUE(ready.has_value());
  const ConnId id = ready->id;
  ASSERT_EQ(tcp_.write(id, ByteView(std::vector<uint8_t>(700, 'y'))), 700U);
  finish_turn();
  wait(Duration::milliseconds(120));

  const auto records = list();
  ASSERT_EQ(records.size(), 1U);
  const ConnectionRecord& record = records[0];
  EXPECT_EQ(record.state, static_cast<uint8_t>(shm::ConnectionState::established));
  EXPECT_EQ(record.local_address, address_octets(tcp_, local_.address));
  EXPECT_EQ(record.local_port, local_.port);
  EXPECT_EQ(record.remote_address, address_octets(tcp_, remote_.address));
  EXPECT_EQ(record.remote_port, 5'000U);
  EXPECT_EQ(record.worker, 3U);
  EXPECT_EQ(record.flags, shm::connection_passive);
  EXPECT_EQ(record.in_flight, 700U);
  EXPECT_EQ(record.send_queue, 700U);
  EXPECT_EQ(record.receive_queue, 3'000U);
  EXPECT_EQ(record.threshold, UINT32_MAX);
  EXPECT_GT(record.congestion_window, 0U);
  EXPECT_GE(record.quiet_ms, 50U);
  EXPECT_LE(record.quiet_ms, 121U);
  EXPECT_EQ(record.retransmits, 0U);
  EXPECT_EQ(record.send_mss_bytes, peer_mss);
}

TEST_F(ConnectionBatchTest, AnIpv4AddressIsSixteenOctets) {
  const auto octets = address_octets(tcp_, Ipv4Address::from_octets(10, 1, 2, 3));
  EXPECT_EQ(octets,
            (ConnectionRecord::Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3}));
}

}  // namespace
}  // namespace millrace::tcp
