#include "tests/stack_api/millrace_stack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/net/arp.h"
#include "dataplane/net_stack.h"
#include "dataplane/packet/frame_memory.h"

namespace {

using namespace millrace;

const MacAddress stack_mac{{2, 0, 0, 0, 0, 1}};
const MacAddress peer_mac{{2, 0, 0, 0, 0, 2}};
constexpr size_t ethernet_bytes = 14;
constexpr size_t frame_bytes_max = packet::slot_bytes;
constexpr uint16_t ethertype_ipv4 = 0x0800;
constexpr uint16_t ethertype_arp = 0x0806;
constexpr size_t room_frames = 512;

}  // namespace

struct mr_stack {
  struct Socket {
    millrace::tcp::ConnId id;
    uint32_t events = 0;
    bool open = false;
  };

  mr_stack(const mr_config& config, millrace::packet::FrameMemory frame_memory)
      : memory(std::move(frame_memory)),
        arena(memory.data(), slots_of(config)),
        now(Instant::from_ns(config.start_ns)),
        stack(net_of(config), limits_of(config),
              tcp::Keys{{config.seed, 1}, {config.seed, 2}, config.seed ^ 3}, arena, counters,
              now) {
    stack.set_port(0, stack_mac, config.mtu_bytes == 0 ? 1500 : config.mtu_bytes,
                   packet::ChecksumMode::verify);
    address = Ipv4Address::from_host_order(config.address);
  }

  static uint32_t slots_of(const mr_config& config) {
    return config.packet_slots == 0 ? 2'048 : config.packet_slots;
  }
  static NetConfig net_of(const mr_config& config) {
    NetConfig net;
    const Ipv4Address own = Ipv4Address::from_host_order(config.address);
    net.addresses.push_back({0, {own, config.prefix_length}, {}});
    // Everybody else stands behind a gateway of the subnet.
    const Ipv4Prefix subnet{own, config.prefix_length};
    const uint32_t gateway = (config.address & subnet.mask()) + (config.address & 1) + 1;
    if (config.prefix_length > 0 && config.prefix_length < 31)
      net.routes.push_back({{Ipv4Address(), 0}, 0, Ipv4Address::from_host_order(gateway)});
    return net;
  }
  static tcp::Limits limits_of(const mr_config& config) {
    tcp::Limits limits;
    limits.connections = config.connections == 0 ? 64 : config.connections;
    limits.half_open = config.half_open == 0 ? 16 : config.half_open;
    limits.time_wait = config.time_wait == 0 ? 64 : config.time_wait;
    limits.fast_paths = config.no_fast_paths == 0;
    limits.features.selective_acknowledgments = config.no_sack == 0;
    limits.features.timestamps = config.no_timestamps == 0;
    limits.features.window_scaling = config.no_window_scaling == 0;
    if (config.new_reno != 0) limits.features.congestion_control = tcp::CongestionControl::new_reno;
    if (config.keepalive_idle_ms != 0)
      limits.keepalive.idle = Duration::milliseconds(config.keepalive_idle_ms);
    if (config.keepalive_interval_ms != 0)
      limits.keepalive.interval = Duration::milliseconds(config.keepalive_interval_ms);
    if (config.keepalive_probes != 0) limits.keepalive.probes_max = config.keepalive_probes;
    return limits;
  }

  Socket* find(mr_socket socket) {
    if (socket < 0 || static_cast<size_t>(socket) >= sockets.size()) return nullptr;
    Socket& found = sockets[static_cast<size_t>(socket)];
    return found.open ? &found : nullptr;
  }

  mr_socket make_socket(tcp::ConnId id) {
    sockets.push_back({id, 0, true});
    const auto number = static_cast<mr_socket>(sockets.size() - 1);
    // Counted from 1, because 0 is what a connection has before it is accepted.
    stack.tcp().set_owner(id, static_cast<uint32_t>(number) + 1);
    return number;
  }

  // Ends the turn that a call is: events are handed out, and what is to be sent is taken out.
  void settle() {
    stack.tcp().end_reading();
    // One round: what an application does about an event may make it ready again.
    for (uint32_t left = stack.tcp().ready_count(); left > 0; --left) {
      const auto ready = stack.tcp().next_ready();
      if (!ready) break;
      uint32_t owner = ready->owner;
      if ((ready->events & tcp::event_accepted) != 0) {
        const mr_socket number = make_socket(ready->id);
        waiting.push_back(number);
        owner = static_cast<uint32_t>(number) + 1;
      }
      if (owner > 0) sockets[owner - 1].events |= ready->events;
    }
    send_out();
  }

  void send_out() {
    do {
      stack.set_room(0, room_frames);
      stack.egress(0, now);
      take_frames();
    } while (stack.has_egress() && arena.free_count() > 0 && out.size() < 100'000);
  }

  void take_frames() {
    for (const packet::TransmitFrame& frame : stack.queued(0)) {
      const ByteView bytes = arena.frame_bytes(frame);
      const uint16_t type = load_be16(&bytes[12]);
      if (type == ethertype_ipv4) {
        out.emplace_back(bytes.begin() + ethernet_bytes, bytes.end());
      } else if (type == ethertype_arp) {
        arp_requests.emplace_back(bytes.begin(), bytes.end());
      }
      arena.mark_sent(frame.slot);
    }
    stack.clear(0);
    answer_arp();
  }

  // Whoever is asked for, it is the one peer at the other end of the device.
  void answer_arp() {
    while (!arp_requests.empty()) {
      std::vector<uint8_t> frame = std::move(arp_requests.front());
      arp_requests.pop_front();
      if (load_be16(&frame[ethernet_bytes + 6]) != 1) continue;  // only requests
      std::array<uint8_t, 4> asked;
      std::copy_n(&frame[ethernet_bytes + 24], 4, asked.begin());
      if (std::equal(asked.begin(), asked.end(), &frame[ethernet_bytes + 14])) continue;  // a probe
      std::copy_n(&frame[6], 6, &frame[0]);
      std::copy_n(peer_mac.octets.begin(), 6, &frame[6]);
      store_be16(&frame[ethernet_bytes + 6], 2);
      std::copy_n(&frame[ethernet_bytes + 8], 10, &frame[ethernet_bytes + 18]);
      std::copy_n(peer_mac.octets.begin(), 6, &frame[ethernet_bytes + 8]);
      std::copy(asked.begin(), asked.end(), &frame[ethernet_bytes + 14]);
      receive(frame);
      stack.set_room(0, room_frames);
      stack.egress(0, now);
      for (const packet::TransmitFrame& sent : stack.queued(0)) {
        const ByteView bytes = arena.frame_bytes(sent);
        if (load_be16(&bytes[12]) == ethertype_ipv4)
          out.emplace_back(bytes.begin() + ethernet_bytes, bytes.end());
        arena.mark_sent(sent.slot);
      }
      stack.clear(0);
    }
  }

  void receive(std::vector<uint8_t>& bytes) {
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<uint16_t>(bytes.size());
    stack.set_room(0, room_frames);
    stack.ingress(frame, now);
    stack.tcp().end_reading();
  }

  millrace::packet::FrameMemory memory;
  millrace::packet::Arena arena;
  millrace::Counters counters;
  millrace::Instant now;
  millrace::NetStack stack;
  millrace::Ipv4Address address;
  std::vector<Socket> sockets;
  std::deque<mr_socket> waiting;
  std::deque<std::vector<uint8_t>> out;
  std::deque<std::vector<uint8_t>> arp_requests;
};

extern "C" {

mr_stack* mr_create(const mr_config* config) {
  if (config->prefix_length == 0 || config->prefix_length > 32) return nullptr;
  if (!Ipv4Address::from_host_order(config->address).is_unicast()) return nullptr;
  if (config->mtu_bytes != 0 && (config->mtu_bytes < 576 || config->mtu_bytes > 1'900))
    return nullptr;
  auto memory = packet::FrameMemory::create(mr_stack::slots_of(*config));
  if (!memory) return nullptr;
  return new mr_stack(*config, std::move(memory).value());
}

void mr_destroy(mr_stack* stack) {
  delete stack;
}

uint64_t mr_now_ns(const mr_stack* stack) {
  return stack->now.since_origin_ns();
}

void mr_advance(mr_stack* stack, uint64_t at_ns) {
  const Instant until = Instant::from_ns(at_ns);
  while (stack->now < until) {
    const Instant next = stack->stack.next_deadline();
    stack->now = next > stack->now ? std::min(next, until)
                                   : std::min(stack->now + Duration::milliseconds(1), until);
    stack->stack.set_room(0, room_frames);
    stack->stack.advance(stack->now);
    stack->settle();
  }
}

uint64_t mr_next_deadline_ns(const mr_stack* stack) {
  return stack->stack.next_deadline().since_origin_ns();
}

void mr_device_in(mr_stack* stack, const uint8_t* datagram, size_t octets) {
  std::vector<uint8_t> frame(ethernet_bytes + std::min(octets, frame_bytes_max - ethernet_bytes));
  std::copy_n(stack_mac.octets.begin(), 6, frame.begin());
  std::copy_n(peer_mac.octets.begin(), 6, frame.begin() + 6);
  store_be16(&frame[12], ethertype_ipv4);
  std::copy_n(datagram, frame.size() - ethernet_bytes, frame.begin() + ethernet_bytes);
  stack->receive(frame);
  stack->settle();
}

size_t mr_device_out(mr_stack* stack, uint8_t* datagram, size_t capacity) {
  if (stack->out.empty()) return 0;
  const std::vector<uint8_t> bytes = std::move(stack->out.front());
  stack->out.pop_front();
  std::copy_n(bytes.begin(), std::min(capacity, bytes.size()), datagram);
  return bytes.size();
}

int mr_listen(mr_stack* stack, uint16_t port) {
  return stack->stack.tcp().listen({stack->address, port}) ? 0 : -1;
}

mr_socket mr_accept(mr_stack* stack) {
  if (stack->waiting.empty()) return -1;
  const mr_socket socket = stack->waiting.front();
  stack->waiting.pop_front();
  return socket;
}

mr_socket mr_connect(mr_stack* stack, uint32_t address, uint16_t port) {
  const tcp::ConnId id = stack->stack.tcp().connect(
      stack->address, {Ipv4Address::from_host_order(address), port}, 0, stack->now);
  if (!id) return -1;
  const mr_socket socket = stack->make_socket(id);
  stack->settle();
  return socket;
}

size_t mr_send(mr_stack* stack, mr_socket socket, const uint8_t* text, size_t octets) {
  const auto* found = stack->find(socket);
  if (found == nullptr) return 0;
  const size_t sent = stack->stack.tcp().write(found->id, {text, octets});
  stack->settle();
  return sent;
}

size_t mr_receive(mr_stack* stack, mr_socket socket, uint8_t* text, size_t capacity) {
  const auto* found = stack->find(socket);
  if (found == nullptr) return 0;
  size_t taken = 0;
  while (taken < capacity) {
    const ByteView run = stack->stack.tcp().readable(found->id);
    if (run.empty()) break;
    const size_t part = std::min(run.size(), capacity - taken);
    std::copy_n(run.begin(), part, text + taken);
    stack->stack.tcp().consume(found->id, part, stack->now);
    taken += part;
  }
  stack->settle();
  return taken;
}

int mr_shutdown(mr_stack* stack, mr_socket socket) {
  const auto* found = stack->find(socket);
  if (found == nullptr) return -1;
  stack->stack.tcp().shutdown(found->id, stack->now);
  stack->settle();
  return 0;
}

int mr_close(mr_stack* stack, mr_socket socket) {
  auto* found = stack->find(socket);
  if (found == nullptr) return -1;
  found->open = false;
  stack->stack.tcp().close(found->id, stack->now);
  stack->settle();
  return 0;
}

int mr_abort(mr_stack* stack, mr_socket socket) {
  auto* found = stack->find(socket);
  if (found == nullptr) return -1;
  found->open = false;
  stack->stack.tcp().abort(found->id, stack->now);
  stack->settle();
  return 0;
}

int mr_set_nagle(mr_stack* stack, mr_socket socket, int on) {
  const auto* found = stack->find(socket);
  if (found == nullptr) return -1;
  stack->stack.tcp().set_nagle(found->id, on != 0);
  return 0;
}

int mr_set_keepalive(mr_stack* stack, mr_socket socket, int on) {
  const auto* found = stack->find(socket);
  if (found == nullptr) return -1;
  stack->stack.tcp().set_keepalive(found->id, on != 0, stack->now);
  return 0;
}

uint32_t mr_events(mr_stack* stack, mr_socket socket) {
  auto* found = stack->find(socket);
  if (found == nullptr) return 0;
  const uint32_t events = found->events;
  found->events = 0;
  return events;
}

int mr_describe(mr_stack* stack, mr_socket socket, mr_info* info) {
  *info = {};
  info->state = "NONE";
  const auto* found = stack->find(socket);
  if (found == nullptr || stack->stack.tcp().find(found->id) == nullptr) return -1;
  const auto view = stack->stack.tcp().view_at(found->id.index);
  if (!view) return -1;
  info->state = tcp::state_name(view->state);
  info->local_address = view->local.address.host_order();
  info->remote_address = view->remote.address.host_order();
  info->local_port = view->local.port;
  info->remote_port = view->remote.port;
  info->sack = view->selective_acknowledgments ? 1 : 0;
  info->timestamps = view->timestamps ? 1 : 0;
  info->window_scaling = view->window_scaling ? 1 : 0;
  info->repairing = view->repairing ? 1 : 0;
  info->send_mss_bytes = view->send_mss_bytes;
  info->round_trip_us = view->round_trip_us;
  info->rto_ms = view->rto_ms;
  info->congestion_window = view->congestion_window;
  info->slow_start_threshold = view->threshold;
  info->peer_window = view->peer_window;
  info->in_flight = view->in_flight;
  info->send_queue = view->send_queue;
  info->receive_queue = view->receive_queue;
  info->out_of_order_ranges = view->out_of_order;
  info->retransmits = view->retransmits;
  return 0;
}

uint32_t mr_connection_count(const mr_stack* stack) {
  return stack->stack.tcp().connection_count();
}

int64_t mr_counter(const mr_stack* stack, const char* name) {
  for (size_t i = 0; i < counter_count; ++i) {
    if (std::string_view(counter_facts[i].name) == name)
      return static_cast<int64_t>(stack->counters.values[i]);
  }
  return -1;
}

int mr_is_empty(mr_stack* stack) {
  const tcp::Tcp& tcp = stack->stack.tcp();
  tcp.check_invariants();
  return tcp.connection_count() == 0 && tcp.armed_timer_count() == 0 && tcp.slots_held() == 0 ? 1
                                                                                              : 0;
}

}  // extern "C"
