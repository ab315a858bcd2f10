#include "dataplane/upstream/balancer.h"

namespace millrace::upstream {
namespace {

uint32_t power_of_two_at_least(uint32_t value) {
  uint32_t power = 1;
  while (power < value) power *= 2;
  return power;
}

bool is_ready(const shm::EndpointRecord& endpoint) {
  return (endpoint.flags & shm::endpoint_ready) != 0;
}
bool serves_while_terminating(const shm::EndpointRecord& endpoint) {
  constexpr uint16_t both = shm::endpoint_serving | shm::endpoint_terminating;
  return (endpoint.flags & both) == both;
}

}  // namespace

Balancer::Balancer(uint64_t seed, uint32_t service_slots)
    : positions_(std::make_unique<uint32_t[]>(power_of_two_at_least(service_slots))),
      mask_(power_of_two_at_least(service_slots) - 1) {
  Random random(seed);
  for (uint32_t i = 0; i <= mask_; ++i) positions_[i] = static_cast<uint32_t>(random.next());
}

const shm::EndpointRecord* Balancer::choose(uint32_t service_slot,
                                            std::span<const shm::EndpointRecord> endpoints,
                                            uint64_t avoid) {
  if (endpoints.empty()) return nullptr;
  const auto count = static_cast<uint32_t>(endpoints.size());
  uint32_t& position = positions_[service_slot & mask_];
  const shm::EndpointRecord* terminating = nullptr;
  const shm::EndpointRecord* avoided = nullptr;
  for (uint32_t step = 0; step < count; ++step) {
    const shm::EndpointRecord& endpoint = endpoints[(position + step) % count];
    if (endpoint.id == avoid) {
      if (is_ready(endpoint)) avoided = &endpoint;
      continue;
    }
    if (is_ready(endpoint)) {
      position += step + 1;
      return &endpoint;
    }
    if (terminating == nullptr && serves_while_terminating(endpoint)) terminating = &endpoint;
  }
  if (avoided != nullptr) return avoided;
  if (terminating != nullptr) {
    position = static_cast<uint32_t>(terminating - endpoints.data()) + 1;
  }
  return terminating;
}

}  // namespace millrace::upstream
