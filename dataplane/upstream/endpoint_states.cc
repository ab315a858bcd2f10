#include "dataplane/upstream/endpoint_states.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/power_of_two.h"

namespace millrace::upstream {
namespace {
constexpr uint16_t ejections_counted_max = 16;  // beyond, the longest ejection is reached anyway
}  // namespace

EndpointStates::EndpointStates(const EndpointLimits& limits, uint64_t seed)
    : limits_(limits),
      seed_(seed),
      records_(limits.endpoints),
      buckets_(std::make_unique<uint32_t[]>(power_of_two_at_least(limits.endpoints))),
      bucket_mask_(power_of_two_at_least(limits.endpoints) - 1) {
  std::fill_n(buckets_.get(), size_t{bucket_mask_} + 1, none);
}

uint32_t& EndpointStates::bucket_of(uint64_t endpoint_id) const {
  return buckets_[static_cast<uint32_t>(hash_finish(endpoint_id ^ seed_)) & bucket_mask_];
}

uint32_t EndpointStates::find(uint64_t endpoint_id) const {
  uint32_t record = bucket_of(endpoint_id);
  while (record != none && records_.at(record).endpoint_id != endpoint_id) {
    record = records_.at(record).bucket_next;
  }
  return record;
}

EndpointStates::Look EndpointStates::look(uint64_t endpoint_id, Instant now) const {
  const uint32_t record = find(endpoint_id);
  if (record == none) return {};
  const State& state = records_.at(record);
  Look look{Verdict::free, state.requests, record};
  if (limits_.requests_max != 0 && state.requests >= limits_.requests_max) {
    look.verdict = Verdict::busy;
  } else if (now < state.ejected_until) {
    look.verdict = Verdict::ejected;
  }
  return look;
}

uint32_t EndpointStates::add(uint64_t endpoint_id) {
  if (records_.full() && !forget_one()) return none;
  const auto id = records_.acquire();
  State& state = records_[id];
  uint32_t& bucket = bucket_of(endpoint_id);
  state.endpoint_id = endpoint_id;
  state.bucket_next = bucket;
  bucket = id.index;
  return id.index;
}

// One that is not at fault goes before one that is, if there is one near.
bool EndpointStates::forget_one() {
  uint32_t at_fault = none;
  const uint32_t looks = std::min(forget_looks_max, records_.capacity());
  for (uint32_t look = 0; look < looks; ++look) {
    hand_ = hand_ + 1 < records_.capacity() ? hand_ + 1 : 0;
    const State& state = records_.at(hand_);
    if (state.requests > 0) continue;
    if (state.failures == 0) {
      remove(hand_);
      return true;
    }
    if (at_fault == none) at_fault = hand_;
  }
  if (at_fault == none) return false;
  remove(at_fault);
  return true;
}

// Of one at rest.
void EndpointStates::remove(uint32_t record) {
  State& state = records_.at(record);
  CHECK(state.requests == 0);
  uint32_t* link = &bucket_of(state.endpoint_id);
  while (*link != record) link = &records_.at(*link).bucket_next;
  *link = state.bucket_next;
  records_.release(records_.id_at(record));
}

uint32_t EndpointStates::enter(uint64_t endpoint_id, uint32_t known) {
  uint32_t record = known == none ? find(endpoint_id) : known;
  if (record == none) record = add(endpoint_id);
  if (record != none) ++records_.at(record).requests;
  return record;
}

void EndpointStates::leave(uint32_t record) {
  if (record == none) return;
  State& state = records_.at(record);
  CHECK(state.requests > 0);
  --state.requests;
}

void EndpointStates::forgive(uint32_t record) {
  State& state = records_.at(record);
  state.failures = 0;
  state.ejections = 0;
  state.ejected_until = Instant();
}

bool EndpointStates::failed(uint32_t record, Instant now) {
  if (record == none || limits_.failures_max == 0) return false;
  State& state = records_.at(record);
  if (now < state.ejected_until) return false;  // of a request that was there before
  // One that comes back has one request to show that it lives.
  const bool was_ejected = state.ejections > 0;
  if (++state.failures < limits_.failures_max && !was_ejected) return false;
  Duration length = limits_.ejection;
  for (uint16_t i = 0; i < state.ejections && length < limits_.ejection_max; ++i) {
    length = length * 2;
  }
  state.ejected_until = now + std::min(length, limits_.ejection_max);
  if (state.ejections < ejections_counted_max) ++state.ejections;
  return true;
}

size_t EndpointStates::memory_bytes() const {
  return size_t{records_.capacity()} * Slab<State>::bytes_per_record() +
         (size_t{bucket_mask_} + 1) * sizeof(uint32_t);
}

}  // namespace millrace::upstream
