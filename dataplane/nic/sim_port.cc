#include "dataplane/nic/sim_port.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "dataplane/nic/sim_datagram.h"

namespace millrace::nic {
namespace {

// Seeds of the wires of one medium must differ, or all would lose the same frames.
uint64_t seed_of(uint64_t seed, size_t index) {
  return Random(seed + index).next();
}

uint64_t mixed(uint64_t hash, uint64_t word) {
  return hash_finish((hash ^ word) * 0x9e3779b97f4a7c15U);
}
// Four words at a time, in lanes that do not wait for each other: a simulation hashes every frame
// three times.
uint64_t mixed(uint64_t hash, ByteView bytes) {
  constexpr size_t lanes = 4;
  std::array<uint64_t, lanes> lane{hash, hash + 1, hash + 2, hash + 3};
  std::array<uint64_t, lanes> words{};
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), sizeof words);
    if (count < sizeof words) words = {};
    std::memcpy(words.data(), bytes.data(), count);
    for (size_t i = 0; i < lanes; ++i) {
      lane[i] = (lane[i] ^ words[i]) * 0x9e3779b97f4a7c15U;
      lane[i] ^= lane[i] >> 32;
    }
    bytes = bytes.subspan(count);
  }
  for (const uint64_t value : lane) hash = mixed(hash, value);
  return hash;
}

// A router between the two: it also says what it does not carry, and what is not true.
void carry_between(SimPort& from, SimPort& to, ByteView bytes, Instant now) {
  RouterMessage told;
  size_t length = 0;
  if (to.wire().tells_too_long(bytes))
    length = write_too_long(&told, bytes, to.wire().faults.datagram_bytes_max);
  if (length > 0) from.wire().carry({told.data(), length}, now);
  if (const auto which = to.wire().draw_untrue_too_long(bytes)) {
    length = write_untrue_too_long(&told, bytes, *which);
    from.wire().carry({told.data(), length}, now);
  }
  to.wire().carry(bytes, now);
}

}  // namespace

// --- TraceHash ---

void TraceHash::add(Instant at, size_t wire, ByteView bytes) {
  value_ = mixed(value_, at.since_origin_ns());
  value_ = mixed(value_, wire << 32 | bytes.size());
  value_ = mixed(value_, bytes);
}

// --- SimWire ---

void SimWire::carry(ByteView bytes, Instant now) {
  CHECK(bytes.size() <= sim_frame_bytes_max);
  ++counters_.carried;
  if (listener_ != nullptr) listener_->on_frame(index_, SimListener::Step::enters, now, bytes);
  const Instant departed = departure(bytes.size(), now);
  // Every draw is made for every frame, so that one setting does not shift the chances of another.
  const bool lost = random_.chance(faults.loss);
  const bool duplicated = random_.chance(faults.duplication);
  const bool corrupted = random_.chance(faults.corruption);
  const bool reordered = random_.chance(faults.reordering);
  const uint64_t bit = random_.next();
  const Duration jitter = Duration::nanoseconds(
      static_cast<int64_t>(random_.between(0, static_cast<uint64_t>(faults.jitter.count_ns()))));
  const RareFate fate = draw_rare_fate();
  if (is_dropped(bytes, lost, fate)) return;
  Buffer changed;
  const bool flipped = corrupted && !bytes.empty();
  const bool mended = fate.mended && is_tcp(bytes);
  if (flipped || mended) {
    std::memcpy(changed.data(), bytes.data(), bytes.size());
    bytes = {changed.data(), bytes.size()};
  }
  if (mended) {
    ++counters_.mended;
    const ByteSpan frame{changed.data(), bytes.size()};
    if (faults.mends == WireFaults::Mends::any) {
      flip_any(frame, fate.bit);
    } else {
      flip_survivable(frame, fate.bit);
    }
  }
  if (flipped) {
    ++counters_.corrupted;
    const size_t at = bit % (bytes.size() * 8);
    changed[at / 8] = static_cast<uint8_t>(changed[at / 8] ^ 1U << at % 8);
  }
  if (fate.truncated && bytes.size() > 1) {
    ++counters_.truncated;
    bytes = bytes.first(1 + fate.cut % (bytes.size() - 1));
  }
  Instant at = departed + faults.delay + jitter;
  if (reordered) {
    ++counters_.reordered;
    at = at + faults.reordering_delay;
  } else {
    at = std::max(at, last_in_order_);
    last_in_order_ = at;
  }
  schedule(bytes, at);
  if (duplicated) {
    ++counters_.duplicated;
    schedule(bytes, at);
  }
}

SimWire::RareFate SimWire::draw_rare_fate() {
  RareFate fate;
  if (in_burst_) {
    in_burst_ = !rare_.chance(faults.burst_end);
  } else {
    in_burst_ = rare_.chance(faults.burst_begin);
  }
  fate.lost_in_burst = rare_.chance(faults.burst_loss) && in_burst_;
  fate.truncated = rare_.chance(faults.truncation);
  fate.mended = rare_.chance(faults.mended_corruption);
  fate.cut = rare_.next();
  fate.bit = rare_.next();
  return fate;
}

bool SimWire::is_too_long(ByteView bytes) const {
  return is_ip(bytes) && datagram_bytes(bytes) > mtu_for(bytes, faults.datagram_bytes_max);
}

bool SimWire::tells_too_long(ByteView bytes) const {
  return faults.tells_datagram_bytes_max && !faults.down && is_too_long(bytes);
}

std::optional<uint64_t> SimWire::draw_untrue_too_long(ByteView bytes) {
  if (faults.untrue_too_long == 0) return {};
  const bool tells = untrue_.chance(faults.untrue_too_long);
  const uint64_t which = untrue_.next();
  if (!tells || !is_tcp(bytes)) return {};
  ++counters_.untrue;
  return which;
}

bool SimWire::is_dropped(ByteView bytes, bool lost, const RareFate& fate) {
  if (faults.down) {
    ++counters_.lost_while_down;
  } else if (is_too_long(bytes)) {
    ++counters_.too_long;
  } else if (lost) {
    ++counters_.lost;
  } else if (fate.lost_in_burst) {
    ++counters_.lost_in_bursts;
  } else {
    return false;
  }
  return true;
}

void SimWire::insert(ByteView bytes, Instant at) {
  CHECK(bytes.size() <= sim_frame_bytes_max);
  ++counters_.inserted;
  schedule(bytes, at);
}

Instant SimWire::departure(size_t bytes, Instant now) {
  if (faults.bits_per_second == 0) return now;
  const uint64_t span = bytes * 8 * 1'000'000'000U / faults.bits_per_second;
  free_at_ = std::max(free_at_, now) + Duration::nanoseconds(static_cast<int64_t>(span));
  return free_at_;
}

void SimWire::schedule(ByteView bytes, Instant at) {
  if (in_flight_.size() >= faults.in_flight_frames_max) {
    ++counters_.overflowed;
    return;
  }
  if (free_buffers_.empty()) {
    free_buffers_.push_back(static_cast<uint32_t>(buffers_.size()));
    buffers_.push_back(std::make_unique<Buffer>());
  }
  const uint32_t buffer = free_buffers_.back();
  free_buffers_.pop_back();
  std::memcpy(buffers_[buffer]->data(), bytes.data(), bytes.size());
  in_flight_.push_back({at, order_++, buffer, static_cast<uint32_t>(bytes.size())});
  std::push_heap(in_flight_.begin(), in_flight_.end(), Later{});
}

bool SimWire::deliver(Instant now, ByteView* bytes) {
  if (delivered_ != no_buffer_held) free_buffers_.push_back(delivered_);
  delivered_ = no_buffer_held;
  if (in_flight_.empty() || in_flight_.front().at > now) return false;
  std::pop_heap(in_flight_.begin(), in_flight_.end(), Later{});
  const InFlight frame = in_flight_.back();
  in_flight_.pop_back();
  delivered_ = frame.buffer;
  *bytes = {buffers_[frame.buffer]->data(), frame.length};
  trace_.add(frame.at, index_, *bytes);
  if (listener_ != nullptr) listener_->on_frame(index_, SimListener::Step::arrives, now, *bytes);
  ++counters_.delivered;
  return true;
}

bool SimWire::frames_conserved() const {
  const WireCounters& c = counters_;
  const uint64_t dropped =
      c.lost + c.lost_in_bursts + c.lost_while_down + c.too_long + c.overflowed;
  return c.carried + c.duplicated + c.inserted == dropped + c.delivered + in_flight_.size();
}

// --- SimPort ---

SimPort::SimPort(PortFacts facts, packet::Arena& arena, SimMedium& medium, size_t index,
                 uint64_t seed, TraceHash& trace)
    : facts_(std::move(facts)),
      arena_(arena),
      medium_(medium),
      index_(index),
      wire_(index, seed_of(seed, index), trace),
      buffers_(std::make_unique_for_overwrite<uint8_t[]>(receive_buffers * sim_frame_bytes_max)),
      lent_(receive_buffers, false) {
  for (uint32_t i = receive_buffers; i-- > 0;) free_buffers_.push_back(i);
}

Instant SimPort::next_event() const {
  const Instant completion = in_transmit_.empty() ? Instant::never() : in_transmit_.front().done_at;
  return std::min(wire_.next_event(), completion);
}

size_t SimPort::receive(std::span<packet::Frame> frames, Instant now) {
  now_ = std::max(now_, now);
  size_t count = 0;
  ByteView bytes;
  while (count < frames.size() && wire_.deliver(now, &bytes)) {
    if (free_buffers_.empty()) {
      wire_.count_no_buffer();
      ++counters_.receive_dropped_frames;
      continue;
    }
    const uint32_t buffer = free_buffers_.back();
    free_buffers_.pop_back();
    lent_[buffer] = true;
    ++lent_count_;
    packet::Frame& frame = frames[count++];
    frame = packet::Frame{};
    frame.data = buffers_.get() + buffer * sim_frame_bytes_max;
    frame.octets_behind = static_cast<uint16_t>(sim_frame_bytes_max - bytes.size());
    frame.length = static_cast<uint16_t>(bytes.size());
    frame.token = buffer;
    std::memcpy(frame.data, bytes.data(), bytes.size());
    ++counters_.received_frames;
    counters_.received_bytes += bytes.size();
  }
  return count;
}

void SimPort::release(std::span<const packet::Frame> frames) {
  for (const packet::Frame& frame : frames) {
    const auto buffer = static_cast<uint32_t>(frame.token);
    CHECK(buffer < receive_buffers && lent_[buffer]);
    lent_[buffer] = false;
    --lent_count_;
    free_buffers_.push_back(buffer);
    // Whoever still reads it reads nonsense, as on a real NIC that has the buffer again.
    std::memset(buffers_.get() + buffer * sim_frame_bytes_max, 0xdb, frame.length);
  }
}

void SimPort::transmit(std::span<const packet::TransmitFrame> frames, Instant now) {
  CHECK(frames.size() <= transmit_room());
  now_ = std::max(now_, now);
  for (const packet::TransmitFrame& frame : frames) {
    CHECK(arena_.in_port(frame.slot));
    const ByteView bytes = arena_.frame_bytes(frame);
    in_transmit_.push_back({frame, now + completion_delay_, mixed(0, bytes)});
    ++counters_.transmitted_frames;
    counters_.transmitted_bytes += bytes.size();
    medium_.carry(index_, bytes, now);
  }
}

size_t SimPort::reclaim(std::span<packet::SlotIndex> slots) {
  size_t count = 0;
  while (count < slots.size() && !in_transmit_.empty() && in_transmit_.front().done_at <= now_) {
    const InTransmit& done = in_transmit_.front();
    // A NIC may read a frame at any time until it says it is done.
    CHECK(done.content == mixed(0, arena_.frame_bytes(done.frame)));
    slots[count++] = done.frame.slot;
    in_transmit_.pop_front();
  }
  return count;
}

bool SimPort::frames_conserved() const {
  return lent_count_ + free_buffers_.size() == receive_buffers && wire_.frames_conserved();
}

// --- SimLink ---

SimLink::SimLink(PortFacts a, packet::Arena& arena_a, PortFacts b, packet::Arena& arena_b,
                 uint64_t seed)
    : a_(std::move(a), arena_a, *this, 0, seed, trace_),
      b_(std::move(b), arena_b, *this, 1, seed, trace_) {}

void SimLink::set_faults(const WireFaults& faults) {
  a_.wire().faults = faults;
  b_.wire().faults = faults;
}

Instant SimLink::next_event() const {
  return std::min(a_.next_event(), b_.next_event());
}

void SimLink::carry(size_t from, ByteView bytes, Instant now) {
  if (middle_ != nullptr) {
    middle_->on_frame(from, bytes, now);
  } else {
    pass(from, bytes, now);
  }
}

void SimLink::pass(size_t from, ByteView bytes, Instant now) {
  carry_between(from == 0 ? a_ : b_, from == 0 ? b_ : a_, bytes, now);
}

// --- SimSwitch ---

SimPort& SimSwitch::add_port(PortFacts facts, packet::Arena& arena) {
  ports_.push_back(
      std::make_unique<SimPort>(std::move(facts), arena, *this, ports_.size(), seed_, trace_));
  return *ports_.back();
}

void SimSwitch::set_faults(const WireFaults& faults) {
  for (const auto& port : ports_) port->wire().faults = faults;
}

Instant SimSwitch::next_event() const {
  Instant next = Instant::never();
  for (const auto& port : ports_) next = std::min(next, port->next_event());
  return next;
}

bool SimSwitch::frames_conserved() const {
  return std::all_of(ports_.begin(), ports_.end(),
                     [](const auto& port) { return port->frames_conserved(); });
}

void SimSwitch::carry(size_t from, ByteView bytes, Instant now) {
  MacAddress destination;
  if (bytes.size() < destination.octets.size()) return;
  std::memcpy(destination.octets.data(), bytes.data(), destination.octets.size());
  bool carried = destination.is_multicast();
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (i == from) continue;
    if (!destination.is_multicast() && ports_[i]->facts().mac != destination) continue;
    carry_between(*ports_[from], *ports_[i], bytes, now);
    carried = true;
  }
  if (!carried) ++unknown_destination_;
}

}  // namespace millrace::nic
