#include "perf/replay/scripted_peers.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "base/hash.h"
#include "shm/content_hash.h"

namespace millrace::perf {
namespace {

constexpr uint16_t client_port_first = 20'000;
constexpr uint32_t ports_per_client_address = 32'768;
constexpr uint32_t segments_per_acknowledgment = 2;

// What the proxy sends must be what was recorded; when it is not, both are shown: either the proxy
// is wrong, or it now writes heads in another way and the recording has to follow.
void check_text(const Text& recorded, size_t from, ByteView octets, const char* section) {
  if (recorded.holds(from, octets)) return;
  std::fprintf(stderr, "replay: not what was recorded under \"%s\", from octet %zu:\n%.*s\n",
               section, from, static_cast<int>(octets.size()), as_text(octets).data());
  std::fprintf(stderr, "-- recorded head:\n%s\n", recorded.head.c_str());
  std::exit(1);
}

std::string id_of(uint32_t connection, uint64_t request) {
  char text[Recording::id_bytes + 1];
  std::snprintf(text, sizeof text, "%08u-%08u", connection % 100'000'000U,
                static_cast<uint32_t>(request % 100'000'000U));
  return text;
}

}  // namespace

ScriptedPeers::ScriptedPeers(const Addresses& addresses, const PeerHabits& habits,
                             const Recording& recording, MemoryPort& port)
    : addresses_(addresses),
      habits_(habits),
      recording_(recording),
      port_(port),
      wire_(addresses.proxy_mac, addresses.peer_mac, port) {}

void ScriptedPeers::reserve(uint32_t connections, uint32_t requests) {
  const size_t openings =
      connections + (habits_.lifetime == Lifetime::kept ? size_t{0} : size_t{requests});
  clients_.resize(connections);
  clients_.clear();
  connection_of_.resize(openings);
  connection_of_.clear();
}

uint32_t ScriptedPeers::open() {
  CHECK(clients_.size() < clients_.capacity());  // texts under way must not move
  const auto index = static_cast<uint32_t>(clients_.size());
  connect(clients_.emplace_back(), index);
  return index;
}

// From an address and port that nobody had before.
void ScriptedPeers::connect(Client& client, uint32_t index) {
  const size_t number = connection_of_.size();
  connection_of_.push_back(index);
  client.end = PeerEnd{};
  client.end.local = {
      Ipv4Address::from_host_order(addresses_.client_first.host_order() +
                                   static_cast<uint32_t>(number / ports_per_client_address)),
      static_cast<uint16_t>(client_port_first + number % ports_per_client_address)};
  client.end.remote = addresses_.listener;
  client.state = State::opening;
  wire_.send(client.end, tcp::flag_syn);
}

void ScriptedPeers::ask(uint32_t connection, const std::string& host, uint32_t backend) {
  Client& client = clients_[connection];
  CHECK(may_ask(connection));
  const bool stands = client.state == State::idle;
  if (!stands) connect(client, connection);
  client.id = id_of(connection, asked_++);
  client.exchange = recording_.with({host, client.end.local.address.text(), client.id});
  client.backend = backend;
  client.received = 0;
  client.end.outgoing = &client.exchange.client_sends;
  client.end.outgoing_at = 0;
  if (!stands) {
    client.asks_when_open = true;
    return;
  }
  client.state = State::asking;
  wire_.send_outgoing(client.end);
}

uint32_t ScriptedPeers::client_at(SocketAddress local) const {
  const size_t number = size_t{local.address.host_order() - addresses_.client_first.host_order()} *
                            ports_per_client_address +
                        local.port - client_port_first;
  CHECK(number < connection_of_.size());
  return connection_of_[number];
}

bool ScriptedPeers::may_ask(uint32_t connection) const {
  const Client& client = clients_[connection];
  return (client.state == State::idle || client.state == State::closed) &&
         now_ >= client.may_ask_at;
}

bool ScriptedPeers::all_are_quiet() const {
  return std::all_of(clients_.begin(), clients_.end(), [](const Client& client) {
    return client.state == State::idle || client.state == State::closed;
  });
}

void ScriptedPeers::acknowledge() {
  for (Client& client : clients_) {
    if (client.end.text_segments > 0) wire_.send(client.end, tcp::flag_ack);
  }
}

Instant ScriptedPeers::next_due() const {
  Instant due = due_.empty() ? Instant::never() : due_.front().at;
  if (habits_.client_thinks == Duration{}) return due;
  for (const Client& client : clients_) {
    if (client.may_ask_at > now_) due = std::min(due, client.may_ask_at);
  }
  return due;
}

void ScriptedPeers::take(Instant now) {
  now_ = now;
  wire_.set_now(now);
  for (const packet::TransmitFrame& sent : port_.sent()) {
    const ByteView bytes = port_.bytes(sent);
    wire_hash_ = hash_finish(wire_hash_ ^ shm::content_hash(bytes));
    const auto received = wire_.take(bytes, addresses_.listener.address);
    if (!received) continue;
    const tcp::Segment& segment = received->segment;
    if (segment.sequence_length() == 0) ++bare_segments_;
    if (received->destination == addresses_.backend_first.address) {
      on_origin(uint64_t{segment.source_port} << 16 | segment.destination_port, *received);
    } else {
      on_client({received->destination, segment.destination_port}, segment);
    }
  }
  port_.take_sent();
  while (!due_.empty() && due_.front().at <= now) {
    answer(origins_.at(due_.front().origin));
    due_.pop_front();
  }
}

// ---- clients -----------------------------------------------------------------------------------

void ScriptedPeers::on_client(SocketAddress local, const tcp::Segment& segment) {
  const uint32_t index = client_at(local);
  Client& client = clients_[index];
  if (client.end.local != local) {
    // The acknowledgment of our FIN, for a connection that has ended and asks from another port.
    CHECK(segment.sequence_length() == 0);
    return;
  }
  Wire::note(client.end, segment);
  if (segment.has(tcp::flag_syn)) {
    CHECK(client.state == State::opening);
    wire_.send(client.end, tcp::flag_ack);
    client.state = State::idle;
    if (!client.asks_when_open) return;
    client.asks_when_open = false;
    client.state = State::asking;
  }
  if (client.end.outgoing != nullptr) wire_.send_outgoing(client.end);
  if (!segment.text.empty()) {
    CHECK(client.state == State::asking);
    check_text(client.exchange.client_receives, client.received, segment.text, "client receives");
    client.received += segment.text.size();
    if (client.received == client.exchange.client_receives.size()) on_answer_end(client);
  }
  if (segment.has(tcp::flag_fin)) on_proxy_end(client);
  acknowledge_in_time(client.end);
}

void ScriptedPeers::on_answer_end(Client& client) {
  CHECK(client.end.outgoing == nullptr);  // or the answer came before the request was whole
  ++answers_;
  octets_ += client.received;
  client.may_ask_at = now_ + habits_.client_thinks;
  switch (habits_.lifetime) {
    case Lifetime::kept: client.state = State::idle; break;
    case Lifetime::closed_by_proxy: client.state = State::closing; break;
    case Lifetime::closed_by_client:
      client.state = State::closing;
      wire_.send(client.end, tcp::flag_fin | tcp::flag_ack);
      break;
  }
  if (habits_.client_acknowledges_at_once && client.end.text_segments > 0) {
    wire_.send(client.end, tcp::flag_ack);
  }
}

void ScriptedPeers::on_proxy_end(Client& client) {
  CHECK(client.state == State::closing);  // it may not end what we want to keep
  const bool ours_was_first = habits_.lifetime == Lifetime::closed_by_client;
  wire_.send(client.end, ours_was_first ? tcp::flag_ack : tcp::flag_fin | tcp::flag_ack);
  client.state = State::closed;
}

// ---- origins -----------------------------------------------------------------------------------

void ScriptedPeers::on_origin(uint64_t key, const Wire::Received& received) {
  const tcp::Segment& segment = received.segment;
  Origin& origin = origins_[key];
  CHECK(!segment.has(tcp::flag_fin));
  Wire::note(origin.end, segment);
  if (segment.has(tcp::flag_syn)) {
    origin.end.local = {received.destination, segment.destination_port};
    origin.end.remote = {received.source, segment.source_port};
    wire_.send(origin.end, tcp::flag_syn | tcp::flag_ack);
    return;
  }
  if (origin.end.outgoing != nullptr) wire_.send_outgoing(origin.end);
  if (!segment.text.empty()) {
    take_request(origin, segment.text);
    if (origin.knows_client &&
        origin.received == clients_[origin.client].exchange.origin_receives.size()) {
      on_request_end(key, origin);
    }
  }
  acknowledge_in_time(origin.end);
}

void ScriptedPeers::take_request(Origin& origin, ByteView text) {
  if (!origin.knows_client) {
    // The id stands in the head: until it is whole, nobody knows what to compare with.
    origin.head.append(as_text(text));
    if (origin.head.find("\r\n\r\n") == std::string::npos) return;
    const std::string_view id = exchange_id(origin.head);
    CHECK(id.size() == Recording::id_bytes);
    const auto client = parse_decimal(id.substr(0, 8), clients_.size() - 1);
    CHECK(client.has_value() && clients_[*client].id == id);
    origin.client = static_cast<uint32_t>(*client);
    origin.knows_client = true;
    const uint32_t backend = clients_[origin.client].backend;
    CHECK(origin.end.local.port == addresses_.backend_first.port + backend);
    text = as_bytes(origin.head);
  }
  check_text(clients_[origin.client].exchange.origin_receives, origin.received, text,
             "origin receives");
  origin.received += text.size();
}

void ScriptedPeers::on_request_end(uint64_t key, Origin& origin) {
  octets_ += origin.received;
  if (habits_.origin_acknowledges_at_once) wire_.send(origin.end, tcp::flag_ack);
  if (habits_.origin_thinks == Duration{}) {
    answer(origin);
  } else {
    due_.push_back({now_ + habits_.origin_thinks, key});
  }
}

void ScriptedPeers::answer(Origin& origin) {
  CHECK(origin.end.outgoing == nullptr);
  origin.end.outgoing = &clients_[origin.client].exchange.origin_sends;
  origin.end.outgoing_at = 0;
  origin.head.clear();
  origin.knows_client = false;
  origin.received = 0;
  wire_.send_outgoing(origin.end);
}

void ScriptedPeers::acknowledge_in_time(PeerEnd& end) {
  if (end.text_segments >= segments_per_acknowledgment) wire_.send(end, tcp::flag_ack);
}

}  // namespace millrace::perf
