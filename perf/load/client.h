// Client: opens connections to one target and asks on them, up to a million at a time, by the
// schedule. A connection's place in the table is its source address and port, so a segment finds
// its record without a search.
//
// Places:   0 ... connections-1 | idle | slow | pool of those that live for one request
//           (kept alive)                        (Lifetime::request; each place is used again last)
#pragma once

#include <cstdint>
#include <memory>

#include "base/random.h"
#include "base/time.h"
#include "perf/load/figures.h"
#include "perf/load/index_queue.h"
#include "perf/load/messages.h"
#include "perf/load/record_table.h"
#include "perf/load/response_check.h"
#include "perf/load/schedule.h"
#include "perf/load/sender.h"

namespace millrace::load {

inline constexpr uint16_t client_port_first = 1024;
inline constexpr uint32_t ports_per_address = 65'536 - client_port_first;
inline constexpr uint32_t connections_max = 1'100'000;  // of all kinds
// Places for connections of one request each: so many that a place is used again only after most
// others.
inline constexpr uint32_t request_places = ports_per_address;

enum class Lifetime : uint8_t {
  keepalive,
  request,  // SYN, one request, FIN
};

struct ClientOptions {
  Ipv4Address first_address;
  uint32_t address_count = 1;
  SocketAddress target;
  uint32_t connections = 1;
  uint32_t idle_connections = 0;
  uint32_t slow_clients = 0;
  Lifetime lifetime = Lifetime::keepalive;
  Pace pace = Pace::closed;
  double rate_per_second = 1;
  uint32_t host_count = 1;
  uint32_t connects_per_second_max = 50'000;
  uint32_t response_timeout_ms = 10'000;
  bool timestamps = true;
  uint64_t seed = 0;

  // Places in the table; at most address_count * ports_per_address.
  uint32_t places() const {
    const uint32_t pool =
        lifetime == Lifetime::request ? std::max(connections, request_places) : connections;
    return pool + idle_connections + slow_clients;
  }
};

class Client {
 public:
  // mss: of what we receive.
  Client(const ClientOptions& options, RequestText request, Expectation expectation, Output& output,
         uint16_t mss, Figures& figures, Instant start);

  // --- what the station calls, in this order, each turn ---
  // The record of a segment to one of our addresses; null when no place is there.
  Connection* find(uint32_t address, uint16_t port, uint32_t* index) {
    const uint32_t nth = address - options_.first_address.host_order();
    if (nth >= options_.address_count || port < client_port_first) return nullptr;
    *index = nth * ports_per_address + (port - client_port_first);
    return *index < places_ ? &records_[*index] : nullptr;
  }
  bool owns(uint32_t address) const {
    return address - options_.first_address.host_order() < options_.address_count;
  }
  void begin_turn(Instant now);
  void take(Connection& c, uint32_t index, Segment& segment);
  // Timers, new connections, requests that are due.
  void turn();

  // Who answers for the target: frames go to this address. Nothing is sent before it is known.
  void set_next_hop(const MacAddress& mac) {
    next_hop_ = mac;
    knows_next_hop_ = true;
  }
  bool knows_next_hop() const { return knows_next_hop_; }

  // --- what main calls ---
  // All connections that are to stand do.
  bool is_ready() const { return ready_; }
  void set_rate(double rate_per_second) { schedule_.set_rate(rate_per_second, now_); }
  double rate_per_second() const { return schedule_.is_open() ? schedule_.rate_per_second() : 0; }
  // No more requests; connections end with a FIN when they have their answer, and with a reset if
  // that takes long.
  void stop();
  bool is_stopped() const { return stopping_ && stop_at_ == places_ && standing_ == 0; }
  uint64_t connections_open() const { return open_; }
  uint64_t outstanding() const { return outstanding_; }
  // Requests that are due and wait for a connection.
  uint64_t unsent() const;
  // When there is something to do although no frame comes.
  Instant next_deadline();
  bool timestamps() const { return options_.timestamps; }
  Sender& sender() { return sender_; }

 private:
  enum class Kind : uint8_t { worker, idle, slow };

  Kind kind_of(uint32_t index) const;
  Flow flow_of(uint32_t index) const;

  // Opening.
  void open_due();
  bool open_credit();
  void open(uint32_t index, Instant since);
  void open_later(Connection& c, uint32_t index);
  void take_syn_sent(Connection& c, uint32_t index, const Segment& segment);
  void established(Connection& c, uint32_t index);
  // Asking.
  void send_due();
  bool send_on_some_connection(Instant due);
  void ask(Connection& c, uint32_t index, Instant due);
  void make_idle(Connection& c, uint32_t index);
  void pump(Connection& c, uint32_t index);
  void send_again(Connection& c, uint32_t index);
  // Receiving.
  void take_standing(Connection& c, uint32_t index, Segment& segment);
  void take_text(Connection& c, uint32_t index, Segment& segment);
  void take_fin(Connection& c, uint32_t index);
  void answered(Connection& c, uint32_t index);
  // Ending.
  void finish(Connection& c, uint32_t index);
  void fail(Connection& c, uint32_t index, LoadError error, bool reset);
  void abandon(Connection& c, uint32_t index, bool reset);
  void closed(Connection& c, uint32_t index);
  void settle_closing(Connection& c, uint32_t index);
  void stop_some();
  // Queues.
  void run_ready();
  void run_acks();
  void run_watch();
  void watch(Connection& c, uint32_t index);
  void check_ready();

  ClientOptions options_;
  RequestText request_;
  Figures& figures_;
  Sender sender_;
  ResponseCheck check_;
  Schedule schedule_;
  Random random_;
  uint32_t places_;
  RecordTable records_;
  IndexQueue idle_;    // stand and may be asked on
  IndexQueue unused_;  // places to open, in this order
  DelayQueue pause_;   // places to open after a failure
  Instant now_;
  MacAddress next_hop_;
  bool knows_next_hop_ = false;
  bool ready_ = false;
  bool stopping_ = false;
  bool stop_by_reset_ = false;
  uint32_t stop_at_ = 0;  // places below have been told to end
  Instant stop_deadline_ = Instant::never();
  uint32_t busy_ = 0;      // Lifetime::request: connections up to their response
  uint64_t open_ = 0;      // established and not closing
  uint64_t standing_ = 0;  // any state but closed
  uint64_t handshakes_ = 0;
  uint64_t outstanding_ = 0;  // requests under way
  double credit_ = 0;         // connections that may be opened now
  Instant credit_at_;
};

}  // namespace millrace::load
