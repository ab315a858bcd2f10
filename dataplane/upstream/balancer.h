// Balancer: which endpoint of a service takes a request. Round robin per service slot, starting at
// a random place so that several workers (and restarts) do not all begin with the same endpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/random.h"
#include "shm/snapshot_format.h"

namespace millrace::upstream {

class Balancer {
 public:
  // service_slots: as many services keep a position of their own; further ones share (still round
  // robin, with company).
  explicit Balancer(uint64_t seed, uint32_t service_slots = 4'096);

  // The next endpoint that may take a request, or nullptr. Ready ones first; with none ready, those
  // that still serve while they terminate (EndpointSlice conditions, as kube-proxy does). avoid:
  // the id of one that has just failed; taken only if it is alone. Valid until the end of the turn.
  const shm::EndpointRecord* choose(uint32_t service_slot,
                                    std::span<const shm::EndpointRecord> endpoints, uint64_t avoid);

 private:
  std::unique_ptr<uint32_t[]> positions_;
  uint32_t mask_;
};

}  // namespace millrace::upstream
