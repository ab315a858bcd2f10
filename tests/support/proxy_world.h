// ProxyWorld: a whole worker on a simulated switch between scripted clients and scripted origins,
// all of them real stacks under one virtual clock. A test says which octets a client sends and what
// an origin answers; nothing between them normalises anything.
//
//   clients (one host, any number of connections) --- switch --- worker --- switch --- origins
//
// The test's own readers of HTTP share no code with the rooms under test.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/nic/sim_port.h"
#include "dataplane/traffic_rows.h"
#include "dataplane/worker.h"
#include "shm/snapshot_writer.h"
#include "tests/support/access_journal.h"
#include "tests/support/sim_host.h"

namespace millrace::proxy_world {

inline const Ipv4Address address_of_clients = Ipv4Address::from_octets(10, 0, 0, 1);
inline const Ipv4Address address_of_proxy = Ipv4Address::from_octets(10, 0, 0, 2);
inline const SocketAddress front{address_of_proxy, 80};
// With Options::ipv6 clients and worker have these too; origins are IPv4 (endpoints of a snapshot).
inline const Ipv6Address ipv6_address_of_clients =
    Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 1});
inline const Ipv6SocketAddress ipv6_front{
    Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 2}), 80};
// Origins are 10.0.0.11, 10.0.0.12, ... and listen on these ports; others refuse with a reset.
inline constexpr uint16_t origin_port = 8080;
Ipv4Address address_of_origin(uint32_t number);

// --- reading HTTP, for judging ---

struct Message {
  std::string head;  // with its empty line
  std::string body;  // without its framing
  bool chunked = false;
  bool whole = false;
  size_t bytes = 0;  // on the wire
  std::string first_line() const { return head.substr(0, head.find("\r\n")); }
  int status() const { return head.size() < 12 ? 0 : std::atoi(head.c_str() + 9); }
  std::string field(std::string_view name) const;  // "" when absent; exact spelling
  bool has(std::string_view name) const;
};
enum class Kind : uint8_t { request, response, response_to_head };
// The first message of the stream; whole only when all of it is there. ended: the peer's FIN came.
Message read_message(std::string_view stream, Kind kind, bool ended = false);
// All of them, interim ones too; the last may be incomplete.
std::vector<Message> read_responses(std::string_view stream, bool ended);

std::string chunked(std::string_view body, size_t chunk_bytes, std::string_view extension = "");
// Octets that differ at every place, so that a shift or a swap shows.
std::string pattern(size_t bytes, uint64_t seed);

// --- clients ---

struct ClientConnection {
  tcp::ConnId id;
  bool live = true;  // the id is ours
  bool reading = true;
  bool connected = false;
  bool ended = false;              // the proxy's FIN
  bool broken = false;             // reset, refused, given up
  std::deque<std::string> pieces;  // each leaves as a segment of its own
  bool end_when_sent = false;
  bool wants_end = false;
  std::string received;
  Instant ended_at;

  // Queues text; offsets (increasing) cut it into segments.
  void send(std::string_view text, const std::vector<size_t>& offsets = {});
  // A FIN behind what is queued; go on reading.
  void shutdown() { wants_end = true; }
  std::vector<Message> responses() const { return read_responses(received, ended); }
};

// --- origins ---

struct OriginRequest {
  uint32_t connection = 0;  // in the order of accepting, over all ports of this origin
  uint32_t on_connection = 0;
  uint16_t port = 0;
  std::string raw;
  Message message;
};

struct OriginReply {
  enum class Then : uint8_t { keep, end, reset, shutdown };  // shutdown: a FIN, and reading on
  std::string bytes;
  Duration delay;
  size_t cut = SIZE_MAX;        // only so many octets go out; then `then`
  Then then = Then::keep;       // after the (cut) bytes have been acknowledged
  std::vector<size_t> offsets;  // segments
};

struct OriginConnection {
  tcp::ConnId id;
  bool live = true;
  bool ended = false;
  bool broken = false;
  bool reading = true;
  uint16_t port = 0;
  uint32_t number = 0;
  uint32_t requests = 0;
  bool answered_at_head = false;
  bool switched = false;  // by a 101 of ours: what is received is no request
  bool shut = false;      // our FIN
  bool peer_ended = false;
  std::string received;
  struct Out {
    Instant at;
    std::string bytes;
    OriginReply::Then then = OriginReply::Then::keep;
  };
  std::deque<Out> out;
};

class Origin {
 public:
  Origin(uint32_t number, nic::SimPort& port, SimMemory& memory, const tcp::Limits& limits,
         Instant start);

  // Answers a request that is whole.
  std::function<OriginReply(const OriginRequest&)> on_request;
  // Asked as soon as a head is there, before its body; nothing: wait for the body.
  std::function<std::optional<OriginReply>(const OriginRequest&)> on_head;
  bool reset_on_accept = false;
  bool ends_with_peer = true;  // off: a switched connection lives on until it is told to end
  bool reading = true;

  void turn(Instant now);
  bool busy(Instant now);  // something to do without a frame arriving, now
  Instant next_event(Instant now) const;

  // Unasked text on a connection, at the next turn.
  void say(uint32_t connection, std::string bytes,
           OriginReply::Then then = OriginReply::Then::keep);

  SimHost& host() { return host_; }
  const std::vector<OriginRequest>& requests() const { return requests_; }
  std::deque<OriginConnection>& connections() { return connections_; }
  uint32_t accepted() const { return static_cast<uint32_t>(connections_.size()); }
  uint32_t standing() const;
  const OriginRequest& last() const { return requests_.back(); }
  void forget() { requests_.clear(); }

 private:
  void run(Instant now);
  void take_requests(OriginConnection& c, Instant now);
  void answer(OriginConnection& c, const OriginReply& reply, Instant now);
  void speak(OriginConnection& c, Instant now);

  SimHost host_;
  std::deque<OriginConnection> connections_;
  std::vector<OriginRequest> requests_;
};

// --- all of it ---

struct Options {
  uint64_t seed = 1;
  uint32_t arena_slots = 4'096;
  uint32_t origins = 2;
  proxy::Options proxy;
  uint32_t traffic_rows = 64;  // for routes and services, half each
  tcp::Limits limits;          // of the worker
  tcp::Limits client_limits;   // of the client host
  tcp::Limits origin_limits;
  Duration delay = Duration::microseconds(50);  // of every wire
  bool ipv6 = false;
  Options();
};

struct Endpoint {
  uint32_t origin = 0;
  uint16_t port = origin_port;
  bool ready = true;
};
struct Service {
  std::string host;
  std::vector<Endpoint> endpoints;
  std::string path = "/";  // prefix
  shm::ServicePolicyInput policy{};
};

class ProxyWorld {
 public:
  explicit ProxyWorld(const Options& options = Options());
  ~ProxyWorld();

  // Installs a table; the worker sees it in its next turn.
  void install(const std::vector<Service>& services);

  ClientConnection& connect();
  ClientConnection& connect_over_ipv6();  // Options::ipv6
  void close(ClientConnection& c);
  void abort(ClientConnection& c);
  // Connects, sends, and runs until what came back is whole, or the connection ended.
  std::string fetch(std::string_view request);

  // One step of virtual time.
  void step();
  void run_for(Duration span);
  // Until condition() or the limit; false at the limit.
  bool run_until(const std::function<bool()>& condition, Duration limit = Duration::seconds(20));

  // Every exchange that has ended.
  const millrace::testing::AccessJournal& journal() const { return journal_; }

  // What was counted by route and by service.
  std::vector<shm::TrafficReading> traffic() const;

  // Closes every client, lets everything end, and looks for what is left, for exchanges that the
  // access log does not know or knows wrongly, and for those that were not counted like them. ""
  // when there is nothing.
  std::string settle();

  Worker& worker() { return *worker_; }
  uint64_t count(Counter counter) const { return worker_->counters()[counter]; }
  Origin& origin(uint32_t number = 0) { return *origins_[number]; }
  SimHost& clients() { return *clients_; }
  nic::SimSwitch& network() { return switch_; }
  nic::SimPort& worker_port() { return *worker_port_; }
  nic::SimPort& client_port() { return *client_port_; }
  nic::SimPort& port_of_origin(uint32_t number) { return *origin_ports_[number]; }
  // The instant of the next turn, and that of the last one.
  Instant now() const { return now_; }
  Instant last_turn() const { return last_turn_; }
  uint64_t steps() const { return steps_; }
  std::string counters_told() const;

 private:
  ClientConnection& connect(Ipv4Address local, const SocketAddress& remote);
  // With names of their own, so that what each side costs can be counted.
  [[gnu::noinline]] void client_turn();
  [[gnu::noinline]] void worker_turn();
  bool clients_busy() const;
  std::string journal_told() const;
  std::string traffic_told() const;
  std::string traffic_told(const std::vector<shm::TrafficReading>& rows,
                           shm::TrafficKind kind) const;

  Options options_;
  nic::SimSwitch switch_;
  Instant now_;
  Instant last_turn_;
  SimMemory worker_memory_;
  SimMemory client_memory_;
  std::vector<std::unique_ptr<SimMemory>> origin_memory_;
  nic::SimPort* worker_port_ = nullptr;
  nic::SimPort* client_port_ = nullptr;
  std::vector<nic::SimPort*> origin_ports_;
  std::unique_ptr<shm::TrafficPage> traffic_page_;
  TrafficRows traffic_rows_;
  shm::SnapshotCell cell_;
  uint64_t version_ = 0;
  millrace::testing::AccessJournal journal_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<SimHost> clients_;
  std::vector<std::unique_ptr<Origin>> origins_;
  std::deque<ClientConnection> connections_;
  uint64_t steps_ = 0;
};

// "HTTP/1.1 200 OK" with that body and its length.
std::string ok(std::string_view body, std::string_view more_fields = "");

}  // namespace millrace::proxy_world
