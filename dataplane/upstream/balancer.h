// Balancer: which endpoint of a service takes a request, of those that may take one at all. Round
// robin per service slot, starting at a random place so that several workers (and restarts) do not
// all begin with the same endpoint; or of two drawn at random the one with fewer requests, which is
// nearly as good as the least of all (Mitzenmacher, "The Power of Two Choices").
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/random.h"
#include "base/time.h"
#include "dataplane/upstream/endpoint_states.h"
#include "shm/snapshot_format.h"

namespace millrace::upstream {

enum class Policy : uint8_t { round_robin, least_requests };

class Balancer {
 public:
  // service_slots: as many services keep a position of their own; further ones share (still round
  // robin, with company).
  Balancer(Policy policy, uint64_t seed, uint32_t service_slots = 4'096);

  struct Choice {
    const shm::EndpointRecord* endpoint = nullptr;  // valid until the end of the turn
    uint32_t record = EndpointStates::none;         // of its state, if it is known
    bool all_busy = false;  // there is none because each has as many requests as it may
  };
  // Ready ones first; with none ready, those that still serve while they terminate (EndpointSlice
  // conditions, as kube-proxy does). One that is ejected only where no other is left: an endpoint
  // that may answer is better than none. avoid: the id of one that has just failed; taken only if
  // it is alone.
  Choice choose(uint32_t service_slot, std::span<const shm::EndpointRecord> endpoints,
                uint64_t avoid, const EndpointStates& states, Instant now);

 private:
  Choice draw_two(std::span<const shm::EndpointRecord> endpoints, uint64_t avoid,
                  const EndpointStates& states, Instant now);

  Policy policy_;
  Random random_;
  std::unique_ptr<uint32_t[]> positions_;
  uint32_t mask_;
};

}  // namespace millrace::upstream
