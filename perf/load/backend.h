// Backend: answers every request on its address and ports with the same response. A connection's
// place in the table follows from its two ends; only the addresses that ask are searched for, among
// at most backend_peers_max.
#pragma once

#include <array>
#include <cstdint>

#include "perf/load/figures.h"
#include "perf/load/index_queue.h"
#include "perf/load/messages.h"
#include "perf/load/record_table.h"
#include "perf/load/request_reader.h"
#include "perf/load/sender.h"

namespace millrace::load {

inline constexpr uint32_t backend_peers_max = 64;  // addresses that connections come from
inline constexpr uint32_t backend_ports_max = 64;

struct BackendOptions {
  Ipv4Address address;
  uint16_t first_port = 8080;
  uint32_t port_count = 1;               // at most backend_ports_max
  uint32_t connections_max = 1'100'000;  // more are not answered
  bool timestamps = true;
};

class Backend {
 public:
  Backend(const BackendOptions& options, ResponseText response, Output& output, uint16_t mss,
          Figures& figures);

  bool owns(uint32_t address, uint16_t port) const {
    return address == options_.address.host_order() &&
           uint32_t{port} - options_.first_port < options_.port_count;
  }
  // Of a segment to us; null when its sender's address has never sent a SYN.
  Connection* find(const Segment& segment, uint32_t* index);
  void begin_turn(Instant now);
  // c: what find() said. source: of the frame.
  void take(Connection* c, uint32_t index, Segment& segment, const MacAddress& source);
  void turn();
  // Resets every connection, as many a turn as there is room for: who keeps them open for later
  // must not find them with nobody behind.
  void stop() { stopping_ = true; }
  bool is_stopped() const { return stopping_ && stop_at_ == places_used(); }

  uint64_t connections_open() const { return open_; }
  Sender& sender() { return sender_; }
  Instant next_deadline(Instant now);

 private:
  struct Peer {
    uint32_t address = 0;
    MacAddress mac;
  };

  Connection* add_peer(const Segment& segment, const MacAddress& source, uint32_t* index);
  Flow flow_of(uint32_t index) const;
  void open(Connection& c, uint32_t index, const Segment& segment);
  void take_standing(Connection& c, uint32_t index, Segment& segment);
  void take_text(Connection& c, uint32_t index, Segment& segment);
  // How much of the text was taken; 0: it cannot be now. Resets the connection when it is no HTTP.
  uint32_t take_request(Connection& c, uint32_t index, ByteView text);
  void answer(Connection& c);
  uint16_t write_text(const Connection& c, uint8_t* to, uint32_t seq, uint32_t bytes) const;
  void pump(Connection& c, uint32_t index);
  void send_again(Connection& c, uint32_t index);
  void settle_closing(Connection& c);
  void closed(Connection& c);
  void watch(Connection& c, uint32_t index);
  void run_ready();
  void run_acks();
  void run_watch();
  void stop_some();
  uint64_t places_used() const;

  BackendOptions options_;
  ResponseText response_;
  Figures& figures_;
  Sender sender_;
  RequestReader reader_;
  std::array<Peer, backend_peers_max> peers_{};
  uint32_t peer_count_ = 0;
  uint32_t last_peer_ = 0;
  RecordTable records_;
  uint64_t open_ = 0;
  Instant now_;
  bool stopping_ = false;
  uint64_t stop_at_ = 0;
};

}  // namespace millrace::load
