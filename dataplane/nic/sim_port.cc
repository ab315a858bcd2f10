#include "dataplane/nic/sim_port.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/hash.h"

namespace millrace::nic {
namespace {

// Seeds of the wires of one medium must differ, or all would lose the same frames.
uint64_t seed_of(uint64_t seed, size_t index) {
  return Random(seed + index).next();
}

uint64_t mixed(uint64_t hash, uint64_t word) {
  return hash_finish((hash ^ word) * 0x9e3779b97f4a7c15U);
}
// A word at a time: a simulation hashes every frame twice.
uint64_t mixed(uint64_t hash, ByteView bytes) {
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t count = std::min(bytes.size(), sizeof word);
    std::memcpy(&word, bytes.data(), count);
    hash = mixed(hash, word);
    bytes = bytes.subspan(count);
  }
  return hash;
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
  const Instant departed = departure(bytes.size(), now);
  // Every draw is made for every frame, so that one setting does not shift the chances of another.
  bool lost = random_.chance(faults.loss);
  if (in_burst_ && now - burst_began_ > Duration::seconds(1)) in_burst_ = false;
  if (random_.chance(in_burst_ ? faults.burst_end : faults.burst_begin)) {
    in_burst_ = !in_burst_;
    burst_began_ = now;
  }
  lost |= in_burst_;
  const bool duplicated = random_.chance(faults.duplication);
  const bool corrupted = random_.chance(faults.corruption);
  const bool truncated = random_.chance(faults.truncation);
  const bool reordered = random_.chance(faults.reordering);
  const uint64_t bit = random_.next();
  const Duration jitter = Duration::nanoseconds(
      static_cast<int64_t>(random_.between(0, static_cast<uint64_t>(faults.jitter.count_ns()))));
  if (lost) {
    ++counters_.lost;
    return;
  }
  std::vector<uint8_t> changed;
  if (corrupted && !bytes.empty()) {
    ++counters_.corrupted;
    changed.assign(bytes.begin(), bytes.end());
    const size_t at = bit % (changed.size() * 8);
    changed[at / 8] = static_cast<uint8_t>(changed[at / 8] ^ 1U << at % 8);
    bytes = changed;
  }
  if (truncated && !bytes.empty()) {
    ++counters_.truncated;
    bytes = bytes.first(bit % bytes.size());
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
  in_flight_.push({at, order_++, std::vector<uint8_t>(bytes.begin(), bytes.end())});
}

bool SimWire::deliver(Instant now, ByteView* bytes) {
  if (in_flight_.empty() || in_flight_.top().at > now) return false;
  delivered_ = in_flight_.top().bytes;
  trace_.add(in_flight_.top().at, index_, delivered_);
  in_flight_.pop();
  ++counters_.delivered;
  *bytes = delivered_;
  return true;
}

bool SimWire::frames_conserved() const {
  return counters_.carried + counters_.duplicated ==
         counters_.lost + counters_.overflowed + counters_.delivered + in_flight_.size();
}

// --- SimPort ---

SimPort::SimPort(PortFacts facts, packet::Arena& arena, SimMedium& medium, size_t index,
                 uint64_t seed, TraceHash& trace)
    : facts_(std::move(facts)),
      arena_(arena),
      medium_(medium),
      index_(index),
      wire_(index, seed_of(seed, index), trace),
      buffers_(receive_buffers * sim_frame_bytes_max),
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
    packet::Frame& frame = frames[count++];
    frame = packet::Frame{};
    frame.data = buffers_.data() + buffer * sim_frame_bytes_max;
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
    free_buffers_.push_back(buffer);
    // Whoever still reads it reads nonsense, as on a real NIC that has the buffer again.
    std::memset(buffers_.data() + buffer * sim_frame_bytes_max, 0xdb, frame.length);
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
  const auto lent = static_cast<size_t>(std::count(lent_.begin(), lent_.end(), true));
  return lent + free_buffers_.size() == receive_buffers && wire_.frames_conserved();
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
  if (middle_ == nullptr || middle_->pass(from, bytes, now)) say(from, bytes, now);
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
    ports_[i]->wire().carry(bytes, now);
    carried = true;
  }
  if (!carried) ++unknown_destination_;
}

}  // namespace millrace::nic
