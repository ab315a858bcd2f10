// Station: what the load program is on a link: a client, a backend, both, or a reflector, over one
// nic::Port. turn() is the whole program in one screen; like the data plane's worker it reads no
// clock, so that simulated links run the same code.
//
//   receive a burst     (no more than there is room to answer)
//   pass 1              ask for every frame's headers
//   pass 2              read the headers, ask for every connection's record
//   pass 3              take every segment, answer
//   timers, due requests, what found no room before
//   transmit
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/time.h"
#include "dataplane/nic/port.h"
#include "dataplane/packet/arena.h"
#include "perf/load/backend.h"
#include "perf/load/client.h"
#include "perf/load/figures.h"
#include "perf/load/output.h"

namespace millrace::load {

struct StationOptions {
  std::optional<ClientOptions> client;
  std::optional<RequestText> request;     // the client's
  Expectation expectation;                // the client's
  std::optional<Ipv4Address> gateway;     // next hop; else the target itself
  std::optional<MacAddress> gateway_mac;  // known already: nobody is asked

  std::optional<BackendOptions> backend;
  std::optional<ResponseText> response;  // the backend's

  bool reflect = false;  // every unicast frame goes back to where it came from
  std::optional<Ipv4Address> reflect_address;

  bool verify_checksums = true;
};

class Station {
 public:
  // start: the clock's now.
  Station(StationOptions options, nic::Port& port, packet::Arena& arena, Instant start);

  // Returns how many frames were received or sent.
  uint32_t turn(Instant now);
  // The earliest instant at which there is something to do without a frame arriving; not later
  // than now when it cannot say.
  Instant next_deadline();

  Client* client() { return client_ ? &*client_ : nullptr; }
  const Client* client() const { return client_ ? &*client_ : nullptr; }
  Backend* backend() { return backend_ ? &*backend_ : nullptr; }
  Figures& figures() { return figures_; }
  const Figures& figures() const { return figures_; }
  // First the client ends what it has open, then the backend resets what is still kept open to it.
  void stop();
  bool is_stopped() const;

  // Figures begin anew from here.
  void begin_window(Instant now, const nic::PortCounters& port);
  std::string window_json(Instant now, const nic::PortCounters& port);
  uint64_t connections_open() const;

 private:
  enum class Kind : uint8_t { ignored, client, backend };
  struct Arrival {
    Kind kind = Kind::ignored;
    Connection* connection = nullptr;
    uint32_t index = 0;
    Segment segment;
  };

  void classify(const packet::Frame& frame, Arrival* arrival);
  void take_arp(const packet::Frame& frame);
  void reflect(const packet::Frame& frame);
  void ask_for_next_hop();
  bool owns(Ipv4Address address) const;
  Gauges gauges(Instant now, const nic::PortCounters& port);
  void collect_sender_counters();

  StationOptions options_;
  nic::Port& port_;
  Output output_;
  Figures figures_;
  Gauges window_begin_;
  std::optional<Client> client_;
  std::optional<Backend> backend_;
  Ipv4Address next_hop_;
  Instant next_arp_;
  Instant now_;
  bool stopping_ = false;
  std::array<packet::Frame, nic::burst_frames_max> frames_;
  std::array<Arrival, nic::burst_frames_max> arrivals_;
};

}  // namespace millrace::load
