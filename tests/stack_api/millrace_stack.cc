#include "tests/stack_api/millrace_stack.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "dataplane/net/arp.h"
#include "dataplane/net/ethernet.h"
#include "dataplane/net_stack.h"
#include "tests/support/sim_host.h"

namespace {

using namespace millrace;

constexpr MacAddress our_mac{{0x02, 0, 0, 0, 0, 0x01}};
constexpr MacAddress peer_mac{{0x02, 0, 0, 0, 0, 0x02}};
constexpr size_t datagram_bytes_max = 65'000;
constexpr size_t datagrams_waiting_max = 65'536;
constexpr size_t readable_octets_max = 1 << 20;
// Frames that may lie in a turn before it is finished: two bursts of a port.
constexpr size_t frames_per_turn_max = 128;
// Rounds of egress and answers to ARP in one turn: far more than a full arena needs.
constexpr int rounds_per_turn_max = 4'096;
constexpr Duration shortest_step = Duration::microseconds(1);

std::optional<Ipv4Address> ipv4_of(const MillraceAddress& address) {
  if (address.family != 4) return std::nullopt;
  return Ipv4Address::load(address.octets);
}

MillraceAddress address_of(Ipv4Address address) {
  MillraceAddress out{};
  out.family = 4;
  address.store(out.octets);
  return out;
}

HashKey key_of(const uint64_t (&key)[2]) {
  return {key[0], key[1]};
}

// nullptr when the configuration makes a stack.
const char* fault_of(const MillraceStackConfig& config) {
  const auto address = ipv4_of(config.address);
  if (!address || !address->is_unicast()) return "the address is no IPv4 address of a host";
  if (config.prefix_length < 1 || config.prefix_length > 32) return "prefix_length is not 1 to 32";
  if (config.gateway.family != 0 && !ipv4_of(config.gateway))
    return "the gateway is no IPv4 address";
  if (config.mtu < 68 || config.mtu > 9'000) return "mtu is not 68 to 9000";
  if (config.listen_count > MILLRACE_STACK_LISTEN_MAX) return "listen_count is too large";
  if (config.connections_max == 0 || config.half_open_max == 0 || config.time_wait_max == 0)
    return "a table has no place";
  if (config.receive_slots_initial == 0 || config.receive_slots_max < config.receive_slots_initial)
    return "receive_slots_max is less than receive_slots_initial, or that is 0";
  if (config.receive_slots_max > UINT16_MAX) return "receive_slots_max is too large";
  if (config.send_slots_max == 0) return "send_slots_max is 0";
  if (config.memory_slots < 64) return "memory_slots is less than 64";
  return nullptr;
}

NetConfig net_of(const MillraceStackConfig& config) {
  NetConfig net;
  const Ipv4Address address = *ipv4_of(config.address);
  net.addresses.push_back({0, {address, config.prefix_length}, {}});
  if (const auto gateway = ipv4_of(config.gateway))
    net.routes.push_back({{Ipv4Address{}, 0}, 0, *gateway});
  for (uint32_t i = 0; i < config.listen_count; ++i)
    net.listeners.push_back({address, config.listen_ports[i]});
  return net;
}

tcp::Limits limits_of(const MillraceStackConfig& config) {
  tcp::Limits limits;
  limits.features.window_scaling = config.window_scaling != 0;
  limits.features.timestamps = config.timestamps != 0;
  limits.features.selective_acknowledgments = config.selective_acknowledgments != 0;
  limits.features.ecn_agreed_to = config.ecn_agreed_to != 0;
  limits.features.ecn_asked_for = config.ecn_asked_for != 0;
  limits.features.congestion_control =
      config.cubic != 0 ? tcp::CongestionControl::cubic : tcp::CongestionControl::new_reno;
  limits.fast_paths = config.fast_paths != 0;
  limits.connections = config.connections_max;
  limits.listeners = MILLRACE_STACK_LISTEN_MAX;
  limits.half_open = config.half_open_max;
  limits.time_wait = config.time_wait_max;
  limits.receive_slots_initial = config.receive_slots_initial;
  limits.receive_slots_max = config.receive_slots_max;
  limits.send_slots_max = config.send_slots_max;
  limits.keepalive.idle = Duration::nanoseconds(static_cast<int64_t>(config.keepalive_idle_ns));
  limits.keepalive.interval =
      Duration::nanoseconds(static_cast<int64_t>(config.keepalive_interval_ns));
  limits.keepalive.probes_max = config.keepalive_probes_max;
  return limits;
}

MillraceSocketState state_of(tcp::State state) {
  switch (state) {
    case tcp::State::closed: return MILLRACE_STATE_CLOSED;
    case tcp::State::syn_sent: return MILLRACE_STATE_SYN_SENT;
    case tcp::State::syn_received: return MILLRACE_STATE_SYN_RECEIVED;
    case tcp::State::established: return MILLRACE_STATE_ESTABLISHED;
    case tcp::State::fin_wait_1: return MILLRACE_STATE_FIN_WAIT_1;
    case tcp::State::fin_wait_2: return MILLRACE_STATE_FIN_WAIT_2;
    case tcp::State::close_wait: return MILLRACE_STATE_CLOSE_WAIT;
    case tcp::State::closing: return MILLRACE_STATE_CLOSING;
    case tcp::State::last_ack: return MILLRACE_STATE_LAST_ACK;
    case tcp::State::time_wait: return MILLRACE_STATE_TIME_WAIT;
  }
  return MILLRACE_STATE_CLOSED;
}

struct Socket {
  tcp::ConnId id;
  uint32_t iss = 0;
  bool connected = false;
  bool peer_ended = false;
  bool writable = true;
  bool aborted = false;
  bool shut = false;
};

struct Datagram {
  std::vector<uint8_t> bytes;
  Instant sent_at;
};

}  // namespace

// The calls of the interface, and the turn between them.
struct MillraceStack {
 public:
  explicit MillraceStack(const MillraceStackConfig& config)
      : now_(Instant::from_ns(config.start_ns)),
        address_(*ipv4_of(config.address)),
        memory_(config.memory_slots),
        stack_(net_of(config), limits_of(config),
               tcp::Keys{key_of(config.flow_key), key_of(config.isn_key), config.random_seed},
               memory_.arena(), counters_, now_),
        readable_(readable_octets_max) {
    stack_.set_port(0, our_mac, config.mtu, packet::ChecksumMode::verify);
  }

  // --- time ---
  Instant now() const { return now_; }
  Instant next_deadline() const {
    return turn_open_ ? now_ : std::max(now_, stack_.next_deadline());
  }
  void advance_to(Instant to) {
    finish_turn();
    for (Instant next = after_now(); next <= to; next = after_now()) {
      now_ = next;
      turn();
    }
    jump_to(to);
  }
  void jump_to(Instant to) {
    finish_turn();
    if (now_ == to) return;
    now_ = to;
    turn();
  }

  // --- the device ---
  void device_in(ByteView datagram) {
    if (frames_.size() == frames_per_turn_max) finish_turn();
    const bool version_6 = datagram[0] >> 4 == 6;
    take_frame(version_6 ? 0x86dd : net::ethertype_ipv4, datagram);
    turn_open_ = true;
  }
  const Datagram* next_datagram() {
    finish_turn();
    return out_.empty() ? nullptr : &out_.front();
  }
  void drop_datagram() { out_.pop_front(); }

  // --- sockets ---
  bool listen(uint16_t port) { return stack_.tcp().listen({address_, port}); }
  MillraceSocket accept(uint16_t port) {
    gather_events();
    const auto found = std::find_if(backlog_.begin(), backlog_.end(), [&](MillraceSocket socket) {
      return port == 0 || stack_.tcp().local(sockets_.at(socket).id).port == port;
    });
    if (found == backlog_.end()) return MILLRACE_STACK_WOULD_BLOCK;
    const MillraceSocket socket = *found;
    backlog_.erase(found);
    return socket;
  }
  MillraceSocket connect(SocketAddress remote) {
    const MillraceSocket number = next_socket_;
    const tcp::ConnId id =
        stack_.tcp().connect(address_, remote, static_cast<uint32_t>(number), now_);
    if (!id) return MILLRACE_STACK_FULL;
    add_socket(id);
    turn_open_ = true;
    return number;
  }
  // nullptr when there is none of that number.
  Socket* find(MillraceSocket socket) {
    gather_events();
    const auto found = sockets_.find(socket);
    return found == sockets_.end() ? nullptr : &found->second;
  }

  int32_t send(Socket& socket, ByteView text) {
    if (socket.aborted) return MILLRACE_STACK_ABORTED;
    if (socket.shut) return MILLRACE_STACK_ENDED;
    const size_t written = stack_.tcp().write(socket.id, text);
    socket.writable = written == text.size();
    turn_open_ = true;
    if (written == 0 && !text.empty()) return MILLRACE_STACK_WOULD_BLOCK;
    return static_cast<int32_t>(written);
  }
  int32_t recv(Socket& socket, uint8_t* text, size_t octets_max) {
    size_t read = 0;
    while (read < octets_max) {
      const ByteView run = stack_.tcp().readable(socket.id);
      if (run.empty()) break;
      const size_t part = std::min(run.size(), octets_max - read);
      std::memcpy(text + read, run.data(), part);
      stack_.tcp().consume(socket.id, part, now_);
      read += part;
    }
    turn_open_ = true;
    if (read > 0) return static_cast<int32_t>(read);
    if (stack_.tcp().at_end(socket.id)) return 0;
    return socket.aborted ? MILLRACE_STACK_ABORTED : MILLRACE_STACK_WOULD_BLOCK;
  }
  void shutdown(Socket& socket) {
    socket.shut = true;
    stack_.tcp().shutdown(socket.id, now_);
    turn_open_ = true;
  }
  void close(MillraceSocket number) {
    stack_.tcp().close(sockets_.at(number).id, now_);
    forget(number);
  }
  void abort(MillraceSocket number) {
    stack_.tcp().abort(sockets_.at(number).id, now_);
    forget(number);
  }
  void set_nagle(Socket& socket, bool on) { stack_.tcp().set_nagle(socket.id, on); }
  void set_keepalive(Socket& socket, bool on) { stack_.tcp().set_keepalive(socket.id, on, now_); }

  int32_t events_of(const Socket& socket) const {
    int32_t events = 0;
    if (socket.connected) events |= MILLRACE_SOCKET_CONNECTED;
    if (!stack_.tcp().readable(socket.id).empty()) events |= MILLRACE_SOCKET_READABLE;
    if (socket.peer_ended) events |= MILLRACE_SOCKET_PEER_ENDED;
    if (socket.connected && socket.writable && !socket.shut && !socket.aborted)
      events |= MILLRACE_SOCKET_WRITABLE;
    if (socket.aborted) events |= MILLRACE_SOCKET_ABORTED;
    return events;
  }
  MillraceSocketInfo info_of(const Socket& socket);

  // --- numbers ---
  std::optional<uint64_t> number(std::string_view name);
  int32_t check() {
    finish_turn();
    stack_.tcp().check_invariants();
    const packet::Arena& arena = memory_.arena();
    return static_cast<int32_t>(arena.capacity() - arena.free_count() - stack_.tcp().slots_held());
  }

 private:
  Instant after_now() const { return std::max(stack_.next_deadline(), now_ + shortest_step); }

  void take_frame(uint16_t ethertype, ByteView payload) {
    std::vector<uint8_t>& bytes = frames_.emplace_back(net::ethernet_header_bytes + payload.size());
    net::write_ethernet(bytes.data(), our_mac, peer_mac, ethertype);
    std::memcpy(bytes.data() + net::ethernet_header_bytes, payload.data(), payload.size());
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<uint16_t>(bytes.size());
    stack_.set_room(0, net::IpOutput::queue_frames_max);
    stack_.ingress(frame, now_);
  }

  void finish_turn() {
    if (turn_open_) turn();
  }
  // What a worker does between taking frames in and sleeping.
  void turn() {
    stack_.set_room(0, net::IpOutput::queue_frames_max);
    stack_.advance(now_);
    gather_events();
    stack_.tcp().end_reading();
    frames_.clear();
    for (int round = 0; round < rounds_per_turn_max; ++round) {
      stack_.egress(0, now_);
      if (!take_queued()) break;
      stack_.set_room(0, net::IpOutput::queue_frames_max);
    }
    turn_open_ = false;
  }
  // What is queued leaves; questions for the peer's MAC address are answered. False when nothing
  // was queued.
  bool take_queued() {
    std::vector<net::ArpPacket> questions;
    const auto queued = stack_.queued(0);
    const bool any = !queued.empty();
    for (const packet::TransmitFrame& frame : queued) {
      const ByteView bytes = memory_.arena().frame_bytes(frame);
      const auto parsed = net::parse_ethernet(bytes);
      CHECK(parsed.has_value());
      if (parsed->type == net::ethertype_arp) {
        const auto question = net::parse_arp(parsed->payload);
        if (question && question->operation == net::ArpOperation::request &&
            question->target_protocol != address_)
          questions.push_back(*question);
      } else {
        keep_datagram(parsed->payload);
      }
      memory_.arena().mark_sent(frame.slot);
    }
    stack_.clear(0);
    for (const net::ArpPacket& question : questions) answer(question);
    return any;
  }
  void answer(const net::ArpPacket& question) {
    net::ArpPacket reply;
    reply.operation = net::ArpOperation::reply;
    reply.sender_hardware = peer_mac;
    reply.sender_protocol = question.target_protocol;
    reply.target_hardware = question.sender_hardware;
    reply.target_protocol = question.sender_protocol;
    std::array<uint8_t, net::arp_packet_bytes> packet;
    net::write_arp(packet.data(), reply);
    take_frame(net::ethertype_arp, packet);
    frames_.clear();
  }
  void keep_datagram(ByteView datagram) {
    if (out_.size() == datagrams_waiting_max) {
      ++out_lost_;
      return;
    }
    out_.push_back({{datagram.begin(), datagram.end()}, now_});
  }

  MillraceSocket add_socket(tcp::ConnId id) {
    Socket socket;
    socket.id = id;
    if (const tcp::Transfer* transfer = stack_.tcp().find_transfer(id))
      socket.iss = transfer->iss.value();
    sockets_.emplace(next_socket_, socket);
    CHECK(next_socket_ < INT32_MAX);
    return next_socket_++;
  }
  void gather_events() {
    tcp::Tcp& tcp = stack_.tcp();
    for (uint32_t left = tcp.ready_count(); left > 0; --left) {
      const auto ready = tcp.next_ready();
      if (!ready) return;
      auto number = static_cast<MillraceSocket>(ready->owner);
      if ((ready->events & tcp::event_accepted) != 0) {
        number = add_socket(ready->id);
        tcp.set_owner(ready->id, static_cast<uint32_t>(number));
        backlog_.push_back(number);
      }
      note_events(sockets_.at(number), ready->events);
    }
  }
  static void note_events(Socket& socket, uint8_t events) {
    if ((events & (tcp::event_accepted | tcp::event_connected)) != 0) socket.connected = true;
    if ((events & tcp::event_peer_ended) != 0) socket.peer_ended = true;
    if ((events & tcp::event_writable) != 0) socket.writable = true;
    if ((events & tcp::event_aborted) != 0) socket.aborted = true;
  }
  void forget(MillraceSocket number) {
    sockets_.erase(number);
    std::erase(backlog_, number);
    turn_open_ = true;
  }

  Instant now_;
  Ipv4Address address_;
  SimMemory memory_;
  Counters counters_;
  NetStack stack_;
  // Frames of this turn stay where they are until end_reading(), as a port's do.
  std::deque<std::vector<uint8_t>> frames_;
  bool turn_open_ = false;
  std::deque<Datagram> out_;
  uint64_t out_lost_ = 0;
  std::map<MillraceSocket, Socket> sockets_;
  std::deque<MillraceSocket> backlog_;  // established, not accepted yet
  MillraceSocket next_socket_ = 1;      // a connection that nobody has seen has owner 0
  std::vector<uint8_t> readable_;       // to count what waits
};

MillraceSocketInfo MillraceStack::info_of(const Socket& socket) {
  finish_turn();
  const tcp::Connection& c = *stack_.tcp().find(socket.id);
  MillraceSocketInfo info{};
  info.state = state_of(c.state);
  info.local_port = c.flow.local.port;
  info.remote_address = address_of(c.flow.remote.address);
  info.remote_port = c.flow.remote.port;
  info.iss = socket.iss;
  info.snd_una = info.snd_nxt = info.snd_max = c.snd_una.value();
  info.snd_wnd = c.snd_wnd;
  info.rcv_nxt = c.rcv_nxt.value();
  if (c.receive_edge > c.rcv_nxt) info.rcv_wnd = tcp::octets_between(c.rcv_nxt, c.receive_edge);
  info.cwnd = c.congestion.window();
  info.ssthresh = c.congestion.threshold();
  info.mss = c.send_mss;
  info.srtt_us = static_cast<uint32_t>(c.round_trip.smoothed().count_us());
  info.window_scaling = c.window_scaling;
  info.timestamps = c.timestamps;
  info.selective_acknowledgments = c.selective_acknowledgments;
  info.send_shift = c.send_shift;
  info.receive_shift = c.receive_shift;
  if (const tcp::Transfer* t = stack_.tcp().find_transfer(socket.id)) {
    info.snd_nxt = t->snd_nxt.value();
    info.snd_max = t->snd_max.value();
    info.backoff = t->backoff;
    info.retransmits = t->retransmits;
  }
  info.rto_us = static_cast<uint32_t>(c.round_trip.timeout(info.backoff).count_us());
  info.unacknowledged_octets = info.snd_max - info.snd_una;
  info.readable_octets = static_cast<uint32_t>(stack_.tcp().peek(socket.id, readable_));
  return info;
}

std::optional<uint64_t> MillraceStack::number(std::string_view name) {
  finish_turn();
  for (size_t i = 0; i < counter_count; ++i) {
    if (counter_facts[i].name == name) return counters_.values[i];
  }
  const tcp::Tcp& tcp = stack_.tcp();
  if (name == "connections") return tcp.connection_count();
  if (name == "half_open") return tcp.half_open_count();
  if (name == "time_wait") return tcp.time_wait_count();
  if (name == "transfers") return tcp.transfer_count();
  if (name == "armed_timers") return tcp.armed_timer_count();
  if (name == "slots_held") return tcp.slots_held();
  if (name == "slots_free") return memory_.arena().free_count();
  if (name == "device_out_lost") return out_lost_;
  return std::nullopt;
}

// --- the interface ---

void millrace_stack_config_default(MillraceStackConfig* config) {
  CHECK(config != nullptr);
  const tcp::Limits limits;
  *config = {};
  config->address = address_of(Ipv4Address::from_octets(192, 0, 2, 1));
  config->prefix_length = 24;
  config->mtu = 1'500;
  config->start_ns = 1'000'000'000'000;
  config->flow_key[0] = 1;
  config->flow_key[1] = 2;
  config->isn_key[0] = 3;
  config->isn_key[1] = 4;
  config->random_seed = 5;
  config->window_scaling = limits.features.window_scaling;
  config->timestamps = limits.features.timestamps;
  config->selective_acknowledgments = limits.features.selective_acknowledgments;
  config->ecn_agreed_to = limits.features.ecn_agreed_to;
  config->ecn_asked_for = limits.features.ecn_asked_for;
  config->cubic = limits.features.congestion_control == tcp::CongestionControl::cubic;
  config->fast_paths = limits.fast_paths;
  config->connections_max = 64;
  config->half_open_max = 64;
  config->time_wait_max = 64;
  config->receive_slots_initial = limits.receive_slots_initial;
  config->receive_slots_max = limits.receive_slots_max;
  config->send_slots_max = limits.send_slots_max;
  config->memory_slots = 4'096;
  config->keepalive_idle_ns = static_cast<uint64_t>(limits.keepalive.idle.count_ns());
  config->keepalive_interval_ns = static_cast<uint64_t>(limits.keepalive.interval.count_ns());
  config->keepalive_probes_max = limits.keepalive.probes_max;
}

MillraceStack* millrace_stack_create(const MillraceStackConfig* config, const char** error) {
  const char* fault = config == nullptr ? "there is no configuration" : fault_of(*config);
  if (error != nullptr) *error = fault;
  return fault == nullptr ? new MillraceStack(*config) : nullptr;
}

void millrace_stack_destroy(MillraceStack* stack) {
  delete stack;
}

uint64_t millrace_stack_now(const MillraceStack* stack) {
  return stack->now().since_origin_ns();
}

uint64_t millrace_stack_next_deadline(const MillraceStack* stack) {
  return stack->next_deadline().since_origin_ns();
}

int millrace_stack_advance_to(MillraceStack* stack, uint64_t to_ns) {
  if (to_ns < millrace_stack_now(stack)) return MILLRACE_STACK_BAD_ARGUMENT;
  stack->advance_to(Instant::from_ns(to_ns));
  return 0;
}

void millrace_stack_jump_to(MillraceStack* stack, uint64_t to_ns) {
  stack->jump_to(Instant::from_ns(to_ns));
}

int millrace_stack_device_in(MillraceStack* stack, const void* datagram, size_t octets) {
  if (datagram == nullptr || octets == 0) return MILLRACE_STACK_BAD_ARGUMENT;
  if (octets > datagram_bytes_max) return MILLRACE_STACK_TOO_LONG;
  stack->device_in({static_cast<const uint8_t*>(datagram), octets});
  return 0;
}

int32_t millrace_stack_device_out(MillraceStack* stack, void* buffer, size_t octets_max,
                                  uint64_t* sent_at_ns) {
  const Datagram* datagram = stack->next_datagram();
  if (datagram == nullptr) return 0;
  const size_t octets = datagram->bytes.size();
  if (octets > octets_max) return MILLRACE_STACK_TOO_LONG;
  if (buffer == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  std::memcpy(buffer, datagram->bytes.data(), octets);
  if (sent_at_ns != nullptr) *sent_at_ns = datagram->sent_at.since_origin_ns();
  stack->drop_datagram();
  return static_cast<int32_t>(octets);
}

int millrace_stack_listen(MillraceStack* stack, uint16_t port) {
  if (port == 0) return MILLRACE_STACK_BAD_ARGUMENT;
  return stack->listen(port) ? 0 : MILLRACE_STACK_FULL;
}

MillraceSocket millrace_stack_accept(MillraceStack* stack, uint16_t port) {
  return stack->accept(port);
}

MillraceSocket millrace_stack_connect(MillraceStack* stack, const MillraceAddress* remote,
                                      uint16_t remote_port) {
  const auto address = remote == nullptr ? std::nullopt : ipv4_of(*remote);
  if (!address || remote_port == 0) return MILLRACE_STACK_BAD_ARGUMENT;
  return stack->connect({*address, remote_port});
}

int32_t millrace_stack_send(MillraceStack* stack, MillraceSocket socket, const void* text,
                            size_t octets) {
  Socket* found = stack->find(socket);
  if (found == nullptr || (text == nullptr && octets > 0) || octets > INT32_MAX)
    return MILLRACE_STACK_BAD_ARGUMENT;
  return stack->send(*found, {static_cast<const uint8_t*>(text), octets});
}

int32_t millrace_stack_recv(MillraceStack* stack, MillraceSocket socket, void* text,
                            size_t octets_max) {
  Socket* found = stack->find(socket);
  if (found == nullptr || text == nullptr || octets_max == 0) return MILLRACE_STACK_BAD_ARGUMENT;
  return stack->recv(*found, static_cast<uint8_t*>(text), std::min<size_t>(octets_max, INT32_MAX));
}

int millrace_stack_shutdown(MillraceStack* stack, MillraceSocket socket) {
  Socket* found = stack->find(socket);
  if (found == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  if (found->aborted) return MILLRACE_STACK_ABORTED;
  stack->shutdown(*found);
  return 0;
}

int millrace_stack_close(MillraceStack* stack, MillraceSocket socket) {
  if (stack->find(socket) == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  stack->close(socket);
  return 0;
}

int millrace_stack_abort(MillraceStack* stack, MillraceSocket socket) {
  if (stack->find(socket) == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  stack->abort(socket);
  return 0;
}

int millrace_stack_set_option(MillraceStack* stack, MillraceSocket socket,
                              MillraceSocketOption option, int on) {
  Socket* found = stack->find(socket);
  if (found == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  switch (option) {
    case MILLRACE_SOCKET_NAGLE: stack->set_nagle(*found, on != 0); return 0;
    case MILLRACE_SOCKET_KEEPALIVE: stack->set_keepalive(*found, on != 0); return 0;
  }
  return MILLRACE_STACK_BAD_ARGUMENT;
}

int32_t millrace_stack_poll(MillraceStack* stack, MillraceSocket socket) {
  const Socket* found = stack->find(socket);
  return found == nullptr ? MILLRACE_STACK_BAD_ARGUMENT : stack->events_of(*found);
}

int millrace_stack_info(MillraceStack* stack, MillraceSocket socket, MillraceSocketInfo* info) {
  const Socket* found = stack->find(socket);
  if (found == nullptr || info == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  *info = stack->info_of(*found);
  return 0;
}

int millrace_stack_counter(MillraceStack* stack, const char* name, uint64_t* value) {
  if (name == nullptr || value == nullptr) return MILLRACE_STACK_BAD_ARGUMENT;
  const auto number = stack->number(name);
  if (!number) return MILLRACE_STACK_BAD_ARGUMENT;
  *value = *number;
  return 0;
}

const char* millrace_stack_counter_name(size_t index) {
  // Names come from string literals, so they end with a zero.
  return index < counter_count ? counter_facts[index].name.data() : nullptr;
}

int32_t millrace_stack_check(MillraceStack* stack) {
  return stack->check();
}
