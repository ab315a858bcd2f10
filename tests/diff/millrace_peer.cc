#include "tests/diff/millrace_peer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "tests/support/fast_paths.h"

namespace millrace::diff {
namespace {

constexpr uint32_t arena_slots = 1'024;
constexpr uint16_t mtu = 1'500;
constexpr size_t ethernet_octets = 14;
constexpr size_t room_frames = 512;
constexpr int turns_max = 1'000;
constexpr MacAddress mac_of_stack{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress mac_of_tester{{2, 0, 0, 0, 0, 2}};

// A delayed acknowledgment leaves after 40 ms, and a challenge may be limited for 200 ms.
constexpr Duration behind_delayed_acknowledgment = Duration::milliseconds(41);
constexpr Duration behind_challenge = Duration::milliseconds(170);
// What a timer needs to be surely not reached.
constexpr Duration before_timer = Duration::milliseconds(2);
// A SYN-ACK is repeated after a second; before that a connection has no name to ask for its timers.
constexpr Duration before_syn_ack_again = Duration::milliseconds(900);

NetConfig config_of(bool listens) {
  NetConfig config;
  config.addresses.push_back({0, {stack_address.address, 16}, {}});
  if (listens) config.listeners.push_back(stack_address);
  return config;
}

tcp::Limits small_limits() {
  tcp::Limits limits;
  limits.connections = 16;
  limits.half_open = 8;
  limits.time_wait = 16;
  limits.fast_paths = testing::fast_paths_wanted();
  return limits;
}

Octets frame_of(const Octets& body, uint16_t ethertype) {
  Octets frame(ethernet_octets);
  std::memcpy(frame.data(), mac_of_stack.octets.data(), 6);
  std::memcpy(frame.data() + 6, mac_of_tester.octets.data(), 6);
  store_be16(frame.data() + 12, ethertype);
  frame.insert(frame.end(), body.begin(), body.end());
  return frame;
}

}  // namespace

MillracePeer::MillracePeer(uint64_t seed)
    : memory_(size_t{arena_slots} * packet::slot_bytes + 64), seed_(seed) {}

MillracePeer::~MillracePeer() = default;

void MillracePeer::begin(SocketAddress remote, bool listens) {
  remote_ = remote;
  id_ = watched_ = {};
  passed_unwatched_ = Duration();
  broken_ = false;
  sent_.clear();
  counters_ = Counters{};
  ++seed_;
  const auto address = reinterpret_cast<uintptr_t>(memory_.data());
  arena_ = std::make_unique<packet::Arena>(memory_.data() + (64 - address % 64) % 64, arena_slots);
  now_ = Instant::from_ns(3'600'000'000'000 + seed_ * 1'000'000);
  stack_ = std::make_unique<NetStack>(config_of(listens), small_limits(),
                                      tcp::Keys{{seed_, 1}, {seed_, 2}, seed_}, *arena_, counters_,
                                      now_);
  stack_->set_port(0, mac_of_stack, mtu, packet::ChecksumMode::verify);
  if (!listens) {
    id_ = tcp().connect(stack_address.address, remote, 1, now_);
    CHECK(id_);
    watched_ = id_;
  }
  turn();
}

void MillracePeer::end() {
  stack_->tcp().check_invariants();
  stack_.reset();
  arena_.reset();
  id_ = {};
}

void MillracePeer::deliver_frame(const Octets& frame) {
  frames_.push_back(frame);
  packet::Frame lent;
  lent.data = frames_.back().data();
  lent.length = static_cast<uint16_t>(frames_.back().size());
  stack_->set_room(0, room_frames);
  stack_->ingress(lent, now_);
}

void MillracePeer::deliver(const Octets& datagram) {
  pass(behind_challenge);
  deliver_frame(frame_of(datagram, 0x0800));
  turn();
}

// Turns until there is nothing to do without a frame or the clock.
void MillracePeer::turn() {
  for (int turns = 0;; ++turns) {
    CHECK(turns < turns_max);
    stack_->set_room(0, room_frames);
    stack_->advance(now_);
    look_at_events();
    tcp().end_reading();
    frames_.clear();
    stack_->egress(0, now_);
    take_frames();
    if (!stack_->has_egress() && tcp().ready_count() == 0 && frames_.empty()) break;
  }
  tcp().check_invariants();
}

void MillracePeer::look_at_events() {
  while (const auto ready = tcp().next_ready()) {
    if ((ready->events & tcp::event_accepted) != 0) {
      CHECK(!id_);
      id_ = watched_ = ready->id;
      broken_ = false;
    }
    if ((ready->events & tcp::event_aborted) != 0) broken_ = true;
  }
}

void MillracePeer::take_frames() {
  std::vector<Octets> questions;
  for (const packet::TransmitFrame& frame : stack_->queued(0)) {
    const ByteView bytes = arena_->frame_bytes(frame);
    const ByteView body = bytes.subspan(ethernet_octets);
    const uint16_t ethertype = load_be16(bytes.data() + 12);
    if (ethertype == 0x0806) {
      questions.emplace_back(body.begin(), body.end());
    } else {
      auto segment = read_datagram(body);
      CHECK(segment);  // whatever we send is well formed
      if (segment->to == remote_) sent_.push_back(std::move(*segment));
    }
    arena_->mark_sent(frame.slot);
  }
  stack_->clear(0);
  for (const Octets& question : questions) answer_arp(question);
}

// Every address on the wire is the tester's (RFC 826).
void MillracePeer::answer_arp(ByteView question) {
  if (question.size() < 28 || load_be16(question.data() + 6) != 1) return;
  Octets answer(question.begin(), question.begin() + 28);
  store_be16(answer.data() + 6, 2);
  std::memcpy(answer.data() + 8, mac_of_tester.octets.data(), 6);
  std::memcpy(answer.data() + 14, question.data() + 24, 4);
  std::memcpy(answer.data() + 18, question.data() + 8, 10);
  deliver_frame(frame_of(answer, 0x0806));
}

// How far the clock may go without a retransmission.
Duration MillracePeer::until_timer() const {
  const tcp::Connection* c = watched_ ? stack_->tcp().find(watched_) : nullptr;
  if (c == nullptr) return before_syn_ack_again - passed_unwatched_;
  if (c->retransmit_deadline.is_never()) return Duration::seconds(1);
  return Tick::at_or_before(now_).until(c->retransmit_deadline) - before_timer;
}

// Moves the clock, but never so far that a retransmission timer expires: those are not compared.
void MillracePeer::pass(Duration span) {
  const Instant wanted = now_ + span;
  while (now_ < wanted) {
    const Duration allowed = until_timer();
    if (allowed <= Duration()) return;
    const Instant deadline = std::max(stack_->next_deadline(), now_ + Duration::milliseconds(1));
    const Instant next = std::min({wanted, deadline, now_ + allowed});
    if (!watched_ || stack_->tcp().find(watched_) == nullptr)
      passed_unwatched_ = passed_unwatched_ + (next - now_);
    now_ = next;
    turn();
  }
}

void MillracePeer::settle() {
  pass(behind_delayed_acknowledgment);
}

std::optional<uint32_t> MillracePeer::owed_acknowledgment() const {
  const tcp::Connection* c = watched_ ? stack_->tcp().find(watched_) : nullptr;
  if (c == nullptr || c->ack_deadline.is_never()) return std::nullopt;
  return c->rcv_nxt.value();
}

Reading MillracePeer::read() {
  Reading reading;
  if (!id_) return reading;
  reading.broken = broken_;
  if (broken_) return reading;
  for (ByteView run = tcp().readable(id_); !run.empty(); run = tcp().readable(id_)) {
    reading.octets.insert(reading.octets.end(), run.begin(), run.end());
    tcp().consume(id_, run.size(), now_);
  }
  reading.ended = tcp().at_end(id_);
  turn();
  return reading;
}

void MillracePeer::write(ByteView octets) {
  if (!id_ || broken_) return;
  tcp().write(id_, octets);
  turn();
}

void MillracePeer::shutdown() {
  if (!id_ || broken_) return;
  tcp().shutdown(id_, now_);
  turn();
}

void MillracePeer::close() {
  if (!id_) return;
  tcp().close(id_, now_);
  id_ = {};
  turn();
}

void MillracePeer::abort() {
  if (!id_) return;
  stack_->set_room(0, room_frames);
  tcp().abort(id_, now_);
  id_ = {};
  turn();
}

std::string MillracePeer::state() const {
  const tcp::Connection* c = watched_ ? stack_->tcp().find(watched_) : nullptr;
  return c == nullptr ? "none" : tcp::state_name(c->state);
}

std::vector<WireSegment> MillracePeer::take_sent() {
  return std::exchange(sent_, {});
}

}  // namespace millrace::diff
