// The clients and the origins of a replay. Clients ask what a recording says and check every octet
// of the answer; origins check every octet of the request, and that it came to the backend that the
// table names, and answer. By default acknowledgments ride on the next text, as between kernels
// that answer within the delayed-ACK time, and every second segment is acknowledged at once
// (RFC 1122 section 4.2.3.2).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "perf/replay/exchange.h"
#include "perf/replay/memory_port.h"
#include "perf/replay/wire.h"

namespace millrace::perf {

struct Addresses {
  MacAddress proxy_mac;
  MacAddress peer_mac;  // of every peer: the wire is a cable, clients are behind a gateway
  SocketAddress listener;
  Ipv4Address client_first;     // clients have consecutive addresses, and many ports each
  SocketAddress backend_first;  // backend b is at this address and port + b
  uint32_t backend_count = 1;
};

// How long a client's connection lives.
enum class Lifetime : uint8_t {
  kept,              // for all its requests
  closed_by_client,  // one request; the client's FIN comes first
  closed_by_proxy,   // one request that says so; the proxy's FIN comes first
};

struct PeerHabits {
  Lifetime lifetime = Lifetime::kept;
  bool client_acknowledges_at_once = false;  // an answer, instead of with the next request
  bool origin_acknowledges_at_once = false;  // a request, instead of with the answer
  Duration client_thinks;                    // after an answer, before the next request
  Duration origin_thinks;                    // before it answers
};

class ScriptedPeers {
 public:
  ScriptedPeers(const Addresses& addresses, const PeerHabits& habits, const Recording& recording,
                MemoryPort& port);

  // Memory for that many connections and requests, taken now, so that what a process grows by later
  // is the worker's.
  void reserve(uint32_t connections, uint32_t requests);
  // One more client connection; it stands when it is idle.
  uint32_t open();
  // Sends a request for that tenant's host, which `backend` must get. A connection that has ended
  // is opened again first; its request follows the handshake.
  void ask(uint32_t connection, const std::string& host, uint32_t backend);
  // Whether the connection may ask: idle or ended, and done thinking.
  bool may_ask(uint32_t connection) const;
  bool is_idle(uint32_t connection) const { return clients_[connection].state == State::idle; }
  bool all_are_quiet() const;  // nobody asks and nobody closes

  // Acknowledges what every client has received; otherwise the next request does.
  void acknowledge();

  // Reads what the proxy sent and answers it; origins that have thought long enough answer.
  void take(Instant now);
  // The earliest instant at which somebody has thought long enough; never() when nobody thinks.
  Instant next_due() const;

  uint64_t answers() const { return answers_; }
  // Octets of messages that reached their end, both ways.
  uint64_t octets() const { return octets_; }
  // Segments without text that the proxy sent: acknowledgments that found nothing to ride on.
  uint64_t bare_segments() const { return bare_segments_; }
  size_t origin_connections() const { return origins_.size(); }
  // Over every octet of every frame that the proxy sent, and their order.
  uint64_t wire_hash() const { return wire_hash_; }

 private:
  enum class State : uint8_t { opening, idle, asking, closing, closed };

  struct Client {
    PeerEnd end;
    State state = State::closed;
    bool asks_when_open = false;
    Exchange exchange;
    std::string id;
    uint32_t backend = 0;
    size_t received = 0;  // octets of the answer
    Instant may_ask_at;
  };
  struct Origin {
    PeerEnd end;
    std::string head;     // until it is whole
    uint32_t client = 0;  // whose request is under way
    bool knows_client = false;
    size_t received = 0;  // octets of the request
  };
  struct Due {
    Instant at;
    uint64_t origin;
  };

  void connect(Client& client, uint32_t index);
  uint32_t client_at(SocketAddress local) const;
  void on_client(SocketAddress local, const tcp::Segment& segment);
  void on_answer_end(Client& client);
  void on_proxy_end(Client& client);
  void on_origin(uint64_t key, const Wire::Received& received);
  void take_request(Origin& origin, ByteView text);
  void on_request_end(uint64_t key, Origin& origin);
  void answer(Origin& origin);
  void acknowledge_in_time(PeerEnd& end);

  Addresses addresses_;
  PeerHabits habits_;
  const Recording& recording_;
  MemoryPort& port_;
  Wire wire_;
  Instant now_;
  std::vector<Client> clients_;
  std::vector<uint32_t> connection_of_;           // by the number of its opening
  std::unordered_map<uint64_t, Origin> origins_;  // by both ports
  std::deque<Due> due_;                           // origins that think
  uint64_t asked_ = 0;
  uint64_t answers_ = 0;
  uint64_t octets_ = 0;
  uint64_t bare_segments_ = 0;
  uint64_t wire_hash_ = 0;
};

}  // namespace millrace::perf
