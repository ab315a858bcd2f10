#include "tests/support/proxy_world.h"

#include <algorithm>
#include <cstdlib>

#include "base/random.h"
#include "shm/snapshot_test_support.h"
#include "tests/support/fast_paths.h"

namespace millrace::proxy_world {
namespace {

constexpr Duration shortest_step = Duration::microseconds(20);  // a turn is not free
constexpr uint64_t steps_between_checks = 64;
// An orphan's two minutes, the idle pool's half minute, and some.
constexpr Duration settling_max = Duration::seconds(400);

nic::PortFacts facts_of(std::string name, uint8_t host) {
  nic::PortFacts facts;
  facts.name = std::move(name);
  facts.mac = MacAddress{{2, 0, 0, 0, 0, host}};
  return facts;
}

NetConfig net_of(Ipv4Address address, const std::vector<uint16_t>& ports) {
  NetConfig net;
  net.addresses.push_back({0, {address, 24}, {}});
  for (uint16_t port : ports) net.listeners.push_back({address, port});
  return net;
}

void add_ipv6(NetConfig* net, const Ipv6Address& address, const std::vector<uint16_t>& ports) {
  net->ipv6_addresses.push_back({0, {address, 64}, {}});
  for (uint16_t port : ports) net->ipv6_listeners.push_back({address, port});
}

tcp::Limits small_limits() {
  tcp::Limits limits;
  limits.connections = 512;
  limits.half_open = 256;
  limits.time_wait = 512;
  limits.fast_paths = testing::fast_paths_wanted();
  return limits;
}

// The size line and data of one chunk; false when more has to come.
bool take_chunk(std::string_view& rest, std::string* body, bool* last) {
  const size_t line = rest.find("\r\n");
  if (line == std::string_view::npos) return false;
  const size_t size = std::strtoull(std::string(rest.substr(0, line)).c_str(), nullptr, 16);
  if (rest.size() < line + 2 + size + 2) return false;
  if (rest.substr(line + 2 + size, 2) != "\r\n") return false;
  body->append(rest.substr(line + 2, size));
  rest.remove_prefix(line + 2 + size + 2);
  *last = size == 0;
  return true;
}

}  // namespace

Ipv4Address address_of_origin(uint32_t number) {
  return Ipv4Address::from_octets(10, 0, 0, static_cast<uint8_t>(11 + number));
}

std::string ok(std::string_view body, std::string_view more_fields) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more_fields) + "\r\n" + std::string(body);
}

std::string Message::field(std::string_view name) const {
  const std::string key = "\r\n" + std::string(name) + ": ";
  const size_t at = head.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

bool Message::has(std::string_view name) const {
  return head.find("\r\n" + std::string(name) + ":") != std::string::npos;
}

Message read_message(std::string_view stream, Kind kind, bool ended) {
  Message message;
  const size_t end = stream.find("\r\n\r\n");
  if (end == std::string_view::npos) return message;
  message.head = stream.substr(0, end + 4);
  std::string_view rest = stream.substr(end + 4);
  const int status = kind == Kind::request ? 0 : message.status();
  const bool bodiless = kind == Kind::response_to_head || status == 204 || status == 304 ||
                        (status >= 100 && status < 200);
  if (bodiless) {
    message.whole = true;
  } else if (message.field("Transfer-Encoding") == "chunked") {
    message.chunked = true;
    bool last = false;
    while (!last && take_chunk(rest, &message.body, &last)) {
    }
    message.whole = last;
  } else if (message.has("Content-Length")) {
    const size_t length = std::strtoull(message.field("Content-Length").c_str(), nullptr, 10);
    message.body = rest.substr(0, length);
    message.whole = rest.size() >= length;
    rest.remove_prefix(message.body.size());
  } else if (kind == Kind::request) {
    message.whole = true;
  } else {
    message.body = rest;
    message.whole = ended;
    rest = {};
  }
  message.bytes = stream.size() - rest.size();
  return message;
}

std::vector<Message> read_responses(std::string_view stream, bool ended) {
  std::vector<Message> messages;
  while (!stream.empty()) {
    messages.push_back(read_message(stream, Kind::response, ended));
    if (!messages.back().whole) break;
    stream.remove_prefix(messages.back().bytes);
  }
  return messages;
}

std::string chunked(std::string_view body, size_t chunk_bytes, std::string_view extension) {
  std::string text;
  while (!body.empty()) {
    const std::string_view chunk = body.substr(0, chunk_bytes);
    char size[24];
    std::snprintf(size, sizeof size, "%zX", chunk.size());
    text += size + std::string(extension) + "\r\n" + std::string(chunk) + "\r\n";
    body.remove_prefix(chunk.size());
  }
  return text + "0\r\n\r\n";
}

std::string pattern(size_t bytes, uint64_t seed) {
  Random random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random.next() >> 56);
  return text;
}

void ClientConnection::send(std::string_view text, const std::vector<size_t>& offsets) {
  size_t from = 0;
  for (size_t offset : offsets) {
    if (offset <= from || offset >= text.size()) continue;
    pieces.emplace_back(text.substr(from, offset - from));
    from = offset;
  }
  if (from < text.size()) pieces.emplace_back(text.substr(from));
}

// --- origins ---

Origin::Origin(uint32_t number, nic::SimPort& port, SimMemory& memory, const tcp::Limits& limits,
               Instant start)
    : host_(net_of(address_of_origin(number), {origin_port, origin_port + 1, origin_port + 2}),
            limits, 1'000 + number, memory.arena(), port, start) {
  on_request = [](const OriginRequest&) {
    return OriginReply{ok("hello\n"), {}, SIZE_MAX, {}, {}};
  };
}

void Origin::turn(Instant now) {
  host_.turn(now, [this, now] { run(now); });
}

uint32_t Origin::standing() const {
  return static_cast<uint32_t>(std::count_if(connections_.begin(), connections_.end(),
                                             [](const OriginConnection& c) { return c.live; }));
}

void Origin::say(uint32_t connection, std::string bytes, OriginReply::Then then) {
  connections_[connection].out.push_back({Instant(), std::move(bytes), then});
}

bool Origin::busy(Instant now) {
  if (host_.has_work()) return true;
  for (const OriginConnection& c : connections_) {
    if (!c.live || c.out.empty() || c.out.front().at > now) continue;
    if (!c.out.front().bytes.empty() && host_.tcp().writable(c.id) > 0) return true;
  }
  return false;
}

Instant Origin::next_event(Instant now) const {
  Instant next = host_.next_deadline();
  for (const OriginConnection& c : connections_) {
    // What is due already waits for the peer.
    if (c.live && !c.out.empty() && c.out.front().at > now) next = std::min(next, c.out.front().at);
  }
  return next;
}

void Origin::run(Instant now) {
  tcp::Tcp& tcp = host_.tcp();
  for (uint32_t left = tcp.ready_count(); left > 0; --left) {
    const auto ready = tcp.next_ready();
    if (!ready) break;
    if ((ready->events & tcp::event_accepted) != 0) {
      if (reset_on_accept) {
        tcp.abort(ready->id, now);
        continue;
      }
      OriginConnection c;
      c.id = ready->id;
      c.number = accepted();
      c.port = tcp.local(ready->id).port;
      tcp.set_owner(ready->id, c.number);
      connections_.push_back(std::move(c));
    }
    OriginConnection& c = (ready->events & tcp::event_accepted) != 0 ? connections_.back()
                                                                     : connections_[ready->owner];
    if ((ready->events & tcp::event_aborted) != 0) {
      c.broken = true;
      c.live = false;
      tcp.close(c.id, now);
    }
  }
  for (OriginConnection& c : connections_) {
    if (!c.live) continue;
    if (reading && c.reading) {
      for (ByteView run = tcp.readable(c.id); !run.empty(); run = tcp.readable(c.id)) {
        c.received += as_text(run);
        tcp.consume(c.id, run.size(), now);
      }
      take_requests(c, now);
    }
    speak(c, now);
    if (!c.live) continue;
    c.peer_ended = tcp.at_end(c.id);
    if (c.peer_ended && c.out.empty() && (ends_with_peer || !c.switched || c.shut)) {
      c.ended = true;
      c.live = false;
      tcp.close(c.id, now);
    }
  }
}

void Origin::take_requests(OriginConnection& c, Instant now) {
  while (!c.received.empty() && !c.switched) {
    OriginRequest request;
    request.connection = c.number;
    request.on_connection = c.requests;
    request.port = c.port;
    request.message = read_message(c.received, Kind::request);
    if (request.message.head.empty()) return;
    if (!request.message.whole) {
      if (!on_head || c.answered_at_head) return;
      request.raw = c.received;
      const auto reply = on_head(request);
      c.answered_at_head = true;
      if (reply) answer(c, *reply, now);
      return;
    }
    request.raw = c.received.substr(0, request.message.bytes);
    c.received.erase(0, request.message.bytes);
    ++c.requests;
    requests_.push_back(request);
    if (!c.answered_at_head) answer(c, on_request(request), now);
    c.answered_at_head = false;
  }
}

void Origin::answer(OriginConnection& c, const OriginReply& reply, Instant now) {
  const std::string text = reply.bytes.substr(0, reply.cut);
  c.switched = read_message(text, Kind::response).status() == 101;
  size_t from = 0;
  for (size_t offset : reply.offsets) {
    if (offset <= from || offset >= text.size()) continue;
    c.out.push_back({now + reply.delay, text.substr(from, offset - from), OriginReply::Then::keep});
    from = offset;
  }
  c.out.push_back({now + reply.delay, text.substr(from), reply.then});
}

// One segment a turn, so that what a script cuts stays cut.
void Origin::speak(OriginConnection& c, Instant now) {
  tcp::Tcp& tcp = host_.tcp();
  if (c.out.empty() || c.out.front().at > now) return;
  OriginConnection::Out& out = c.out.front();
  if (!out.bytes.empty()) {
    const size_t written = tcp.write(c.id, as_bytes(out.bytes));
    out.bytes.erase(0, written);
    if (!out.bytes.empty()) return;
  }
  switch (out.then) {
    case OriginReply::Then::keep: break;
    case OriginReply::Then::shutdown:
      c.shut = true;
      tcp.shutdown(c.id, now);
      break;
    case OriginReply::Then::end:
      c.live = false;
      c.ended = true;
      // A close with text unread would be a reset; an origin that means to end politely reads on.
      for (ByteView run = tcp.readable(c.id); !run.empty(); run = tcp.readable(c.id))
        tcp.consume(c.id, run.size(), now);
      tcp.close(c.id, now);
      break;
    case OriginReply::Then::reset:
      if (tcp.has_unacknowledged_text(c.id)) return;  // a reset would take it along
      c.live = false;
      c.broken = true;
      tcp.abort(c.id, now);
      break;
  }
  c.out.pop_front();
}

// --- all of it ---

Options::Options() {
  limits = client_limits = origin_limits = small_limits();
  proxy.sessions = 256;
  proxy.pool.connections = 256;
  proxy.pool.idle = 128;
  proxy.pool.idle_per_endpoint = 64;
  proxy.request_body_rate_min = 0;  // bodies may stand still up to their deadline
}

ProxyWorld::ProxyWorld(const Options& options)
    : options_(options),
      switch_(options.seed),
      now_(Instant::from_ns(1'000'000'000 + options.seed * 1'237)),
      worker_memory_(options.arena_slots),
      client_memory_(4'096),
      traffic_page_(
          std::move(*shm::TrafficPage::create(shm::traffic_rows_fixed + options.traffic_rows, 1))),
      traffic_rows_(*traffic_page_),
      cell_(1) {
  cell_.set_traffic_maps(
      [this](const shm::SnapshotView& snapshot) { return traffic_rows_.map(snapshot); });
  worker_port_ = &switch_.add_port(facts_of("worker", 2), worker_memory_.arena());
  client_port_ = &switch_.add_port(facts_of("clients", 1), client_memory_.arena());
  for (uint32_t i = 0; i < options.origins; ++i) {
    origin_memory_.push_back(std::make_unique<SimMemory>(4'096));
    origin_ports_.push_back(
        &switch_.add_port(facts_of("origin" + std::to_string(i), static_cast<uint8_t>(11 + i)),
                          origin_memory_.back()->arena()));
  }
  nic::WireFaults faults;
  faults.delay = options.delay;
  switch_.set_faults(faults);

  WorkerOptions worker;
  worker.net = net_of(address_of_proxy, {80});
  NetConfig clients = net_of(address_of_clients, {});
  if (options.ipv6) {
    add_ipv6(&worker.net, ipv6_front.address, {ipv6_front.port});
    add_ipv6(&clients, ipv6_address_of_clients, {});
  }
  worker.tcp = options.limits;
  worker.fast_paths = testing::fast_paths_wanted();
  worker.keys = tcp::Keys{{options.seed, 11}, {options.seed, 12}, options.seed ^ 13};
  worker.proxy = options.proxy;
  worker.proxy.seed = options.seed;
  worker.proxy.access_log = &journal_.ring();
  worker.proxy.traffic = traffic_page_->writer(0);
  worker_ = std::make_unique<Worker>(worker, std::vector<nic::Port*>{worker_port_},
                                     worker_memory_.arena(), cell_, now_);
  clients_ = std::make_unique<SimHost>(clients, options.client_limits, options.seed ^ 77,
                                       client_memory_.arena(), *client_port_, now_);
  for (uint32_t i = 0; i < options.origins; ++i) {
    origins_.push_back(std::make_unique<Origin>(i, *origin_ports_[i], *origin_memory_[i],
                                                options.origin_limits, now_));
  }
}

ProxyWorld::~ProxyWorld() {
  cell_.leave(0);
}

void ProxyWorld::install(const std::vector<Service>& services) {
  shm::SnapshotBuilder builder;
  uint32_t slot = 0;
  for (const Service& service : services) {
    shm::RouteSource source;
    source.service_slot = slot;
    source.ingress_namespace = "shop";
    source.ingress_name = service.host;
    CHECK(builder.add_route(service.host, service.path, shm::PathType::prefix, source).ok());
    shm::ServiceInput input;
    input.slot = slot++;
    input.service_namespace = "shop";
    input.service_name = service.host;
    input.port = "80";
    input.policy = service.policy;
    for (const Endpoint& endpoint : service.endpoints) {
      shm::EndpointInput given;
      // Stable: the same place keeps its id over all tables, as the compiler does it.
      given.id = (uint64_t{endpoint.origin} + 1) << 32 | uint64_t{input.slot} << 16 | endpoint.port;
      given.address = address_of_origin(endpoint.origin);
      given.port = endpoint.port;
      given.ready = endpoint.ready;
      given.serving = endpoint.ready;
      input.endpoints.push_back(given);
    }
    CHECK(builder.add_service(input).ok());
  }
  CHECK(cell_.install(shm::testing::open_builder(builder, ++version_)).ok());
}

ClientConnection& ProxyWorld::connect() {
  return connect(address_of_clients, front);
}

ClientConnection& ProxyWorld::connect_over_ipv6() {
  const Ipv4Address local = clients_->stack().alias_of(ipv6_address_of_clients);
  const Ipv4Address remote = clients_->stack().alias_of(ipv6_front.address);
  return connect(local, {remote, ipv6_front.port});
}

ClientConnection& ProxyWorld::connect(Ipv4Address local, const SocketAddress& remote) {
  ClientConnection& c = connections_.emplace_back();
  c.id =
      clients_->tcp().connect(local, remote, static_cast<uint32_t>(connections_.size() - 1), now_);
  CHECK(c.id);
  return c;
}

void ProxyWorld::close(ClientConnection& c) {
  if (!c.live) return;
  c.live = false;
  clients_->tcp().close(c.id, now_);
}

void ProxyWorld::abort(ClientConnection& c) {
  if (!c.live) return;
  c.live = false;
  clients_->tcp().abort(c.id, now_);
}

std::string ProxyWorld::fetch(std::string_view request) {
  ClientConnection& c = connect();
  c.send(request);
  run_until([&c] {
    if (c.broken || c.ended) return true;
    const auto responses = c.responses();
    return !responses.empty() && responses.back().whole && responses.back().status() >= 200;
  });
  close(c);
  return c.received;
}

void ProxyWorld::client_turn() {
  clients_->turn(now_, [this] {
    tcp::Tcp& tcp = clients_->tcp();
    for (uint32_t left = tcp.ready_count(); left > 0; --left) {
      const auto ready = tcp.next_ready();
      if (!ready) break;
      ClientConnection& c = connections_[ready->owner];
      if ((ready->events & tcp::event_connected) != 0) c.connected = true;
      if ((ready->events & tcp::event_aborted) != 0) {
        c.broken = true;
        c.live = false;
        c.ended_at = now_;
        tcp.close(c.id, now_);
      }
    }
    for (ClientConnection& c : connections_) {
      if (!c.live || !c.connected) continue;
      if (c.reading) {
        for (ByteView run = tcp.readable(c.id); !run.empty(); run = tcp.readable(c.id)) {
          c.received += as_text(run);
          tcp.consume(c.id, run.size(), now_);
        }
        if (!c.ended && tcp.at_end(c.id)) {
          c.ended = true;
          c.ended_at = now_;
        }
      }
      if (!c.pieces.empty()) {
        const size_t written = tcp.write(c.id, as_bytes(c.pieces.front()));
        c.pieces.front().erase(0, written);
        if (c.pieces.front().empty()) c.pieces.pop_front();
      }
      if (c.pieces.empty() && c.wants_end && !c.end_when_sent) {
        c.end_when_sent = true;
        tcp.shutdown(c.id, now());
      }
    }
  });
}

bool ProxyWorld::clients_busy() const {
  if (clients_->has_work()) return true;
  for (const ClientConnection& c : connections_) {
    if (!c.live || !c.connected) continue;
    if (!c.pieces.empty() && clients_->tcp().writable(c.id) > 0) return true;
    if (c.reading && !clients_->tcp().readable(c.id).empty()) return true;
  }
  return false;
}

void ProxyWorld::worker_turn() {
  worker_->turn(now_);
}

void ProxyWorld::step() {
  last_turn_ = now_;
  client_turn();
  for (auto& origin : origins_) origin->turn(now_);
  worker_turn();
  journal_.take(now_.since_origin_ns());
  if (++steps_ % steps_between_checks == 0) {
    worker_->tcp().check_invariants();
    CHECK(worker_->frames_conserved());
  }
  bool busy = clients_busy() || worker_->tcp().ready_count() > 0 || worker_->net().has_egress();
  Instant next =
      std::min({clients_->next_deadline(), worker_->next_deadline(), switch_.next_event()});
  for (auto& origin : origins_) {
    busy = busy || origin->busy(now_);
    next = std::min(next, origin->next_event(now_));
  }
  now_ = busy ? now_ + shortest_step : std::max(next, now_ + shortest_step);
}

void ProxyWorld::run_for(Duration span) {
  const Instant end = now_ + span;
  while (now_ < end) {
    const Instant before = now_;
    step();
    if (now_ > end) now_ = std::max(end, before + Duration::nanoseconds(1));
  }
}

bool ProxyWorld::run_until(const std::function<bool()>& condition, Duration limit) {
  const Instant end = now_ + limit;
  while (!condition()) {
    if (now_ >= end) return false;
    step();
  }
  return true;
}

std::string ProxyWorld::settle() {
  for (ClientConnection& c : connections_) close(c);
  for (auto& origin : origins_) origin->reading = true;
  const auto over = [this] {
    return worker_->tcp().connection_count() == 0 && worker_->proxy().session_count() == 0 &&
           worker_->proxy().pool().count() == 0 &&
           worker_->arena().free_count() == worker_->arena().capacity();
  };
  const bool ended = run_until(over, settling_max);
  worker_->tcp().check_invariants();
  CHECK(worker_->frames_conserved());
  CHECK(switch_.frames_conserved());
  if (ended && worker_->tcp().armed_timer_count() == 0) return journal_told();
  return "left behind: connections " + std::to_string(worker_->tcp().connection_count()) +
         ", sessions " + std::to_string(worker_->proxy().session_count()) + ", pooled " +
         std::to_string(worker_->proxy().pool().count()) + ", slots " +
         std::to_string(worker_->arena().capacity() - worker_->arena().free_count()) + ", timers " +
         std::to_string(worker_->tcp().armed_timer_count()) + counters_told();
}

// Whether every request has its line, and every line can be.
std::string ProxyWorld::journal_told() const {
  if (!journal_.impossible().empty()) return "access log: " + journal_.impossible();
  const uint64_t requests = count(Counter::proxy_requests);
  const uint64_t refused = count(Counter::proxy_requests_refused);
  if (journal_.requests() == requests && journal_.refused() == refused &&
      count(Counter::proxy_access_records_lost) == 0) {
    return traffic_told();
  }
  return "access log: " + std::to_string(journal_.requests()) + " of " + std::to_string(requests) +
         " requests, " + std::to_string(journal_.refused()) + " of " + std::to_string(refused) +
         " refused ones" + counters_told();
}

std::vector<shm::TrafficReading> ProxyWorld::traffic() const {
  const auto reader = shm::TrafficReader::map(traffic_page_->fd());
  CHECK(reader.ok());
  return (*reader)->read();
}

// Whether the routes' rows together, and those of the classes of status, say what the access log's
// records say together. A row that was given away since takes its counts along.
std::string ProxyWorld::traffic_told() const {
  const auto rows = traffic();
  const auto given_away = [](const shm::TrafficReading& row) {
    return row.row >= shm::traffic_rows_fixed && row.generation > 2;
  };
  std::string text = traffic_told(rows, shm::TrafficKind::status_class);
  if (text.empty() && std::none_of(rows.begin(), rows.end(), given_away)) {
    text = traffic_told(rows, shm::TrafficKind::route);
  }
  return text;
}

std::string ProxyWorld::traffic_told(const std::vector<shm::TrafficReading>& rows,
                                     shm::TrafficKind kind) const {
  millrace::testing::AccessJournal::Sums routes;
  uint64_t timed = 0;
  for (const shm::TrafficReading& row : rows) {
    if (row.kind != kind) continue;
    for (size_t i = 0; i < row.answers.size(); ++i) routes.answers[i] += row.answers[i];
    routes.ours += row.ours;
    routes.retries += row.retries;
    routes.request_octets += row.request_octets;
    routes.response_octets += row.response_octets;
    timed += row.times_count();
  }
  const auto& log = journal_.sums();
  if (routes.answers == log.answers && routes.ours == log.ours && routes.retries == log.retries &&
      routes.request_octets == log.request_octets &&
      routes.response_octets == log.response_octets && timed == journal_.total()) {
    return "";
  }
  std::string text = kind == shm::TrafficKind::route ? "traffic by route" : "traffic by status";
  text += ": not what the access log has:";
  for (size_t i = 0; i < log.answers.size(); ++i) {
    text += " " + std::to_string(routes.answers[i]) + "/" + std::to_string(log.answers[i]);
  }
  return text + ", ours " + std::to_string(routes.ours) + "/" + std::to_string(log.ours) +
         ", retries " + std::to_string(routes.retries) + "/" + std::to_string(log.retries) +
         ", octets " + std::to_string(routes.request_octets) + "/" +
         std::to_string(log.request_octets) + " and " + std::to_string(routes.response_octets) +
         "/" + std::to_string(log.response_octets) + ", times " + std::to_string(timed) + "/" +
         std::to_string(journal_.total());
}

std::string ProxyWorld::counters_told() const {
  std::string text;
  for (size_t i = 0; i < counter_count; ++i) {
    if (worker_->counters().values[i] == 0) continue;
    text += "\n  " + std::string(counter_facts[i].name) + " " +
            std::to_string(worker_->counters().values[i]);
  }
  return text;
}

}  // namespace millrace::proxy_world
