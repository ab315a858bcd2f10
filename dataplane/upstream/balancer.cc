#include "dataplane/upstream/balancer.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/power_of_two.h"

namespace millrace::upstream {
namespace {

using Verdict = EndpointStates::Verdict;

bool is_ready(const shm::EndpointRecord& endpoint) {
  return (endpoint.flags & shm::endpoint_ready) != 0;
}
bool serves_while_terminating(const shm::EndpointRecord& endpoint) {
  constexpr uint16_t both = shm::endpoint_serving | shm::endpoint_terminating;
  return (endpoint.flags & both) == both;
}

// The best of what was passed by while something better was looked for, in this order.
struct SecondChoices {
  const shm::EndpointRecord* avoided = nullptr;
  const shm::EndpointRecord* terminating = nullptr;
  const shm::EndpointRecord* ejected = nullptr;
  const shm::EndpointRecord* avoided_and_ejected = nullptr;
  const shm::EndpointRecord* terminating_and_ejected = nullptr;

  const shm::EndpointRecord* best() const {
    for (const shm::EndpointRecord* endpoint :
         {avoided, terminating, ejected, avoided_and_ejected, terminating_and_ejected}) {
      if (endpoint != nullptr) return endpoint;
    }
    return nullptr;
  }
};

void note_first(const shm::EndpointRecord*& place, const shm::EndpointRecord& endpoint) {
  if (place == nullptr) place = &endpoint;
}

// The endpoint of that id, if it is there, and ready and free.
Balancer::Choice the_one(std::span<const shm::EndpointRecord> endpoints, uint64_t id,
                         uint64_t avoid, const EndpointStates& states, Instant now) {
  const auto found = std::lower_bound(
      endpoints.begin(), endpoints.end(), id,
      [](const shm::EndpointRecord& endpoint, uint64_t wanted) { return endpoint.id < wanted; });
  if (found == endpoints.end() || found->id != id || id == avoid || !is_ready(*found)) return {};
  const EndpointStates::Look look = states.look(id, now);
  return look.verdict == Verdict::free ? Balancer::Choice{&*found, look.record, false}
                                       : Balancer::Choice{};
}

// Of those that are ready and free the one with the highest hash. What is known of an endpoint is
// looked up only where it would be chosen: for few of many.
Balancer::Choice by_hash(std::span<const shm::EndpointRecord> endpoints, uint64_t hash,
                         uint64_t avoid, const EndpointStates& states, Instant now) {
  Balancer::Choice best;
  uint64_t best_score = 0;
  for (const shm::EndpointRecord& endpoint : endpoints) {
    const uint64_t score = hash_finish((endpoint.id ^ hash) * 0x9e3779b97f4a7c15U);
    if (score < best_score || !is_ready(endpoint) || endpoint.id == avoid) continue;
    const EndpointStates::Look look = states.look(endpoint.id, now);
    if (look.verdict != Verdict::free) continue;
    best = {&endpoint, look.record, false};
    best_score = score;
  }
  return best;
}

}  // namespace

Balancer::Balancer(Policy policy, uint64_t seed, uint32_t service_slots)
    : policy_(policy),
      random_(seed),
      positions_(std::make_unique<uint32_t[]>(power_of_two_at_least(service_slots))),
      mask_(power_of_two_at_least(service_slots) - 1) {
  for (uint32_t i = 0; i <= mask_; ++i) positions_[i] = static_cast<uint32_t>(random_.next());
}

// Of two different ones the one with fewer requests, if both may take one; none otherwise.
Balancer::Choice Balancer::draw_two(std::span<const shm::EndpointRecord> endpoints, uint64_t avoid,
                                    const EndpointStates& states, Instant now) {
  const uint64_t first = random_.below(endpoints.size());
  uint64_t second = random_.below(endpoints.size() - 1);
  if (second >= first) ++second;
  Choice fewer;
  uint32_t requests_min = UINT32_MAX;
  for (const uint64_t index : {first, second}) {
    const shm::EndpointRecord& endpoint = endpoints[index];
    if (!is_ready(endpoint) || endpoint.id == avoid) return {};
    const EndpointStates::Look look = states.look(endpoint.id, now);
    if (look.verdict != Verdict::free) return {};
    if (look.requests >= requests_min) continue;
    fewer = {&endpoint, look.record, false};
    requests_min = look.requests;
  }
  return fewer;
}

Balancer::Choice Balancer::choose(uint32_t service_slot,
                                  std::span<const shm::EndpointRecord> endpoints, uint64_t avoid,
                                  const Wish& wish, const EndpointStates& states, Instant now) {
  if (endpoints.empty()) return {};
  const auto count = static_cast<uint32_t>(endpoints.size());
  if (wish.stick_to != 0) {
    const Choice had = the_one(endpoints, wish.stick_to, avoid, states, now);
    if (had.endpoint != nullptr) return had;
  }
  if (wish.hash) {
    const Choice known = by_hash(endpoints, *wish.hash, avoid, states, now);
    if (known.endpoint != nullptr) return known;
  }
  if (wish.policy.value_or(policy_) == Policy::least_requests && count > 1) {
    const Choice drawn = draw_two(endpoints, avoid, states, now);
    if (drawn.endpoint != nullptr) return drawn;
  }
  uint32_t& position = positions_[service_slot & mask_];
  SecondChoices second;
  bool any_busy = false;
  for (uint32_t step = 0; step < count; ++step) {
    const shm::EndpointRecord& endpoint = endpoints[(position + step) % count];
    const bool ready = is_ready(endpoint);
    if (!ready && !serves_while_terminating(endpoint)) continue;
    const EndpointStates::Look look = states.look(endpoint.id, now);
    const Verdict verdict = look.verdict;
    if (verdict == Verdict::busy) {
      any_busy = true;
    } else if (!ready) {
      if (endpoint.id == avoid) continue;
      note_first(verdict == Verdict::free ? second.terminating : second.terminating_and_ejected,
                 endpoint);
    } else if (endpoint.id == avoid) {
      note_first(verdict == Verdict::free ? second.avoided : second.avoided_and_ejected, endpoint);
    } else if (verdict == Verdict::ejected) {
      note_first(second.ejected, endpoint);
    } else {
      position += step + 1;
      return {&endpoint, look.record, false};
    }
  }
  const shm::EndpointRecord* best = second.best();
  if (best == nullptr) return {nullptr, EndpointStates::none, any_busy};
  if (best != second.avoided) position = static_cast<uint32_t>(best - endpoints.data()) + 1;
  return {best, EndpointStates::none, false};
}

}  // namespace millrace::upstream
