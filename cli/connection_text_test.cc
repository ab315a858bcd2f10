#include "cli/connection_text.h"

#include <gtest/gtest.h>

#include "base/ipv6_address.h"

namespace millrace::cli {
namespace {

shm::ConnectionRecord example() {
  shm::ConnectionRecord record;
  record.local_address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 20, 0, 100};
  record.local_port = 80;
  record.remote_address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 20, 0, 50};
  record.remote_port = 40'001;
  record.state = static_cast<uint8_t>(shm::ConnectionState::established);
  record.flags = shm::connection_passive | shm::connection_sack | shm::connection_timestamps;
  record.quiet_ms = 1'250;
  record.round_trip_us = 312;
  record.rto_ms = 200;
  record.congestion_window = 14'480;
  record.threshold = UINT32_MAX;
  record.in_flight = 100;
  record.send_queue = 300;
  record.retransmits = 2;
  return record;
}

TEST(ConnectionText, ARowHasAllColumnsInTheOrderOfTheHead) {
  EXPECT_EQ(table_row(example()),
            "ESTABLISHED  client   10.20.0.100:80        10.20.0.50:40001           1.2     0.312"
            "    200     14480         -      100      300        0    0     2 sack,ts\n");
  EXPECT_EQ(table_head().find("OPTIONS"), table_row(example()).find("sack"));
}

TEST(ConnectionText, WhatIsNotKnownIsADash) {
  shm::ConnectionRecord record = example();
  record.flags = 0;
  record.quiet_ms = shm::listing_quiet_unknown;
  record.round_trip_us = 0;
  const std::string row = table_row(record);
  EXPECT_NE(row.find("endpoint"), std::string::npos);
  EXPECT_EQ(row.substr(row.size() - 3), " -\n");
  EXPECT_NE(json_row(record).find("\"quiet_ms\": null, \"rtt_us\": null"), std::string::npos);
  EXPECT_NE(json_row(record).find("\"ssthresh\": null"), std::string::npos);
}

TEST(ConnectionText, AnIpv6EndStandsInBrackets) {
  EXPECT_EQ(end_text(Ipv6Address::parse("2001:db8::1")->octets(), 443), "[2001:db8::1]:443");
}

TEST(ConnectionText, TheLongestRowIsWhole) {
  shm::ConnectionRecord record;
  record.local_address.fill(0xfd);
  record.remote_address.fill(0xfd);
  record.local_port = record.remote_port = UINT16_MAX;
  record.flags = UINT16_MAX;
  record.state = static_cast<uint8_t>(shm::ConnectionState::syn_received);
  record.quiet_ms = record.round_trip_us = record.rto_ms = record.congestion_window =
      UINT32_MAX - 1;
  record.threshold = record.peer_window = record.in_flight = record.send_queue =
      record.receive_queue = record.out_of_order_ranges = record.retransmits = UINT32_MAX - 1;
  EXPECT_EQ(table_row(record).back(), '\n');
  EXPECT_EQ(json_row(record).back(), '}');
}

TEST(ConnectionText, TheSummaryCountsByState) {
  ListingSummary summary;
  summary.listed = 12;
  EXPECT_EQ(table_summary(summary), "0 of 12 connections: none; beside them 0 in TIME-WAIT\n");
  summary.matched = 10;
  summary.by_state[static_cast<size_t>(shm::ConnectionState::established)] = 9;
  summary.by_state[static_cast<size_t>(shm::ConnectionState::close_wait)] = 1;
  summary.time_wait = 4;
  summary.is_complete = false;
  EXPECT_EQ(table_summary(summary),
            "10 of 12 connections: ESTABLISHED 9, CLOSE-WAIT 1; beside them 4 in TIME-WAIT; "
            "the listing broke off\n");
  EXPECT_EQ(json_summary(summary),
            "\n], \"summary\": {\"complete\": false, \"listed\": 12, \"matched\": 10, "
            "\"time_wait\": 4, \"by_state\": {\"ESTABLISHED\": 9, \"CLOSE-WAIT\": 1}}}\n");
}

}  // namespace
}  // namespace millrace::cli
