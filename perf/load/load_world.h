// For tests: load stations, alone or around a real worker, on a simulated network under virtual
// time.
//
//   client station --- switch --- [ worker with one service ] --- switch --- backend station
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/nic/sim_port.h"
#include "perf/load/station.h"
#include "tests/support/sim_host.h"

namespace millrace::load {

inline const Ipv4Address client_address = Ipv4Address::from_octets(10, 1, 0, 1);
inline const Ipv4Address backend_address = Ipv4Address::from_octets(10, 2, 0, 1);
inline constexpr uint16_t backend_port = 8080;

inline nic::PortFacts sim_facts(const char* name, uint8_t number) {
  nic::PortFacts facts;
  facts.name = name;
  facts.mac = {{2, 0, 0, 0, 0, number}};
  return facts;
}

inline ClientOptions client_options(SocketAddress target) {
  ClientOptions options;
  options.first_address = client_address;
  options.target = target;
  options.seed = 1;
  return options;
}

inline StationOptions client_station(const ClientOptions& client, uint32_t response_bytes,
                                     const RequestOptions& request = {}) {
  StationOptions options;
  options.client = client;
  RequestOptions asked = request;
  asked.host_count = std::max(asked.host_count, client.host_count);
  auto made = RequestText::make(asked);
  CHECK(made.ok());
  options.request = std::move(*made);
  options.expectation = {response_bytes, "tag"};
  return options;
}

inline StationOptions backend_station(uint32_t response_bytes) {
  StationOptions options;
  options.backend = BackendOptions();
  options.backend->address = backend_address;
  options.backend->first_port = backend_port;
  options.backend->connections_max = 10'000;
  options.response = ResponseText("tag", response_bytes);
  return options;
}

// One station with its memory and its port on a switch.
class SimStation {
 public:
  SimStation(StationOptions options, nic::SimSwitch& network, const char* name, uint8_t number,
             Instant start)
      : memory_(4'096),
        port_(network.add_port(sim_facts(name, number), memory_.arena())),
        station_(std::move(options), port_, memory_.arena(), start) {}

  uint32_t turn(Instant now) { return station_.turn(now); }
  Station& station() { return station_; }
  Figures& figures() { return station_.figures(); }
  nic::SimPort& port() { return port_; }
  bool all_slots_free() {
    // A station may keep one slot at hand.
    return memory_.arena().free_count() + 1 >= memory_.arena().capacity();
  }

 private:
  SimMemory memory_;
  nic::SimPort& port_;
  Station station_;
};

}  // namespace millrace::load
