#include "dataplane/tcp/flow_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/random.h"

namespace millrace::tcp {
namespace {

constexpr uint32_t flow_count_max = 1U << 15;
constexpr uint32_t place_count = 2 * flow_count_max;

FlowKey flow_of(uint32_t address, uint16_t port) {
  return {{Ipv4Address::from_octets(10, 0, 0, 1), 80},
          {Ipv4Address::from_host_order(address), port}};
}

uint32_t place_of(const FlowTable& table, const FlowKey& flow) {
  return table.hash(flow) % place_count;
}

// How far a table is probed, at most and in sum, when these flows are looked up in it.
struct Probes {
  uint32_t most = 0;
  uint64_t sum = 0;
};
Probes probes_for(const FlowTable& table, const std::vector<FlowKey>& flows) {
  std::vector<bool> taken(place_count);
  Probes probes;
  for (const FlowKey& flow : flows) {
    uint32_t steps = 1;
    uint32_t place = place_of(table, flow);
    for (; taken[place]; place = (place + 1) % place_count) ++steps;
    taken[place] = true;
    probes.most = std::max(probes.most, steps);
    probes.sum += steps;
  }
  return probes;
}

// Somebody has learned the key of one process, or of a version of the program that had none, and
// collects tuples that fall together there. They do no harm to a process with another key.
TEST(FlowTable, T48_TuplesThatCollideUnderOneKeyDoNotUnderAnother) {
  const HashKey known{1, 2};
  const FlowTable target(flow_count_max, known);
  std::vector<FlowKey> colliding;
  for (uint32_t address = 0x0b00'0000; colliding.size() < 1'000; ++address) {
    for (uint32_t port = 1'024; port < 65'536; port += 8) {
      const FlowKey flow = flow_of(address, static_cast<uint16_t>(port));
      if (place_of(target, flow) < 16) colliding.push_back(flow);
    }
  }
  EXPECT_GE(probes_for(target, colliding).most, 900U);  // what it would be like

  Random random(48);
  for (int key = 0; key < 200; ++key) {
    const FlowTable table(flow_count_max, {random.next(), random.next()});
    const Probes probes = probes_for(table, colliding);
    ASSERT_LE(probes.most, 12U) << key;
    ASSERT_LE(probes.sum, colliding.size() * 11 / 10) << key;
  }
}

// One client's ports in a row, and one port of addresses in a row, are what tables really see.
TEST(FlowTable, T48_TuplesInARowDoNotPileUpUnderAnyKey) {
  Random random(49);
  for (int key = 0; key < 200; ++key) {
    const FlowTable table(flow_count_max, {random.next(), random.next()});
    std::vector<FlowKey> ports;
    std::vector<FlowKey> addresses;
    for (uint32_t i = 0; i < 20'000; ++i) {
      ports.push_back(flow_of(0x0b00'0001, static_cast<uint16_t>(1'024 + i)));
      addresses.push_back(flow_of(0x0b00'0000 + i, 40'000));
    }
    for (const std::vector<FlowKey>& flows : {ports, addresses}) {
      const Probes probes = probes_for(table, flows);
      ASSERT_LE(probes.most, 100U) << key;
      ASSERT_LE(probes.sum, flows.size() * 3 / 2) << key;
    }
  }
}

TEST(FlowTable, WhatWasPutInIsFoundUntilItIsTakenOut) {
  Random random(1);
  FlowTable table(1'000, {random.next(), random.next()});
  std::vector<FlowKey> flows;
  std::vector<bool> in(1'000);
  for (uint32_t i = 0; i < 1'000; ++i) {
    flows.push_back(flow_of(static_cast<uint32_t>(random.next()) | 0x0100'0000,
                            static_cast<uint16_t>(random.between(1, 65'535))));
  }
  const auto find = [&](uint32_t i) {
    return table.find(table.hash(flows[i]),
                      [&](uint32_t index) { return flows[index] == flows[i]; });
  };
  for (int step = 0; step < 50'000; ++step) {
    const auto i = static_cast<uint32_t>(random.below(flows.size()));
    ASSERT_EQ(find(i), in[i] ? i : FlowTable::none);
    if (in[i]) {
      table.erase(table.hash(flows[i]), i);
    } else {
      table.insert(table.hash(flows[i]), i);
    }
    in[i] = !in[i];
  }
  EXPECT_EQ(table.size(), static_cast<uint32_t>(std::count(in.begin(), in.end(), true)));
}

}  // namespace
}  // namespace millrace::tcp
