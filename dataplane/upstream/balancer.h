// Balancer: which endpoint of a service takes a request, of those that may take one at all. Round
// robin per service slot, starting at a random place so that several workers (and restarts) do not
// all begin with the same endpoint; or of two drawn at random the one with fewer requests, which is
// nearly as good as the least of all (Mitzenmacher, "The Power of Two Choices"); or the one that
// has the highest hash with what the request is known by (rendezvous hashing, Thaler and
// Ravishankar 1998): the same for the same request on every worker and after every restart, and an
// endpoint that comes or goes moves no other request than its own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
  // What a request asks for beside an endpoint that may take it.
  struct Wish {
    std::optional<Policy> policy;  // none: the balancer's own
    // What the request is known by: then the policy counts only where no endpoint is free.
    std::optional<uint64_t> hash;
    uint64_t stick_to = 0;  // the id of the endpoint that it had; taken if it may take a request
  };
  // Ready ones first; with none ready, those that still serve while they terminate (EndpointSlice
  // conditions, as kube-proxy does). One that is ejected only where no other is left: an endpoint
  // that may answer is better than none. avoid: the id of one that has just failed; taken only if
  // it is alone.
  Choice choose(uint32_t service_slot, std::span<const shm::EndpointRecord> endpoints,
                uint64_t avoid, const EndpointStates& states, Instant now) {
    return choose(service_slot, endpoints, avoid, Wish{}, states, now);
  }
  Choice choose(uint32_t service_slot, std::span<const shm::EndpointRecord> endpoints,
                uint64_t avoid, const Wish& wish, const EndpointStates& states, Instant now);

 private:
  Choice draw_two(std::span<const shm::EndpointRecord> endpoints, uint64_t avoid,
                  const EndpointStates& states, Instant now);

  Policy policy_;
  Random random_;
  std::unique_ptr<uint32_t[]> positions_;
  uint32_t mask_;
};

}  // namespace millrace::upstream
