#include "tests/sim/near_wrap.h"

#include "base/check.h"
#include "base/hash.h"

namespace millrace::sim {
namespace {

// One key in 21,000 is right for a sequence number, one in 143,000 for timestamps.
constexpr uint32_t tries_max = 5'000'000;

template <class Number>
HashKey key_with(Random& random, uint32_t distance_max, Number&& number) {
  for (uint32_t left = tries_max; left > 0; --left) {
    const HashKey key{random.next(), random.next()};
    const uint32_t value = number(key);
    if (value != 0 && -value <= distance_max) return key;
  }
  CHECK(false);
}

uint64_t addresses_of(const tcp::FlowKey& flow) {
  return uint64_t{flow.local.address.host_order()} << 32 | flow.remote.address.host_order();
}
uint64_t ports_of(const tcp::FlowKey& flow) {
  return uint64_t{flow.local.port} << 16 | flow.remote.port;
}

}  // namespace

HashKey key_with_sequence_near_wrap(Random& random, const tcp::FlowKey& flow, Instant now) {
  const uint64_t clock_4us = now.since_origin_ns() / 4'000;
  return key_with(random, near_wrap_octets, [&](const HashKey& key) {
    return static_cast<uint32_t>(clock_4us + siphash24(key, addresses_of(flow), ports_of(flow)));
  });
}

HashKey key_with_timestamps_near_wrap(Random& random, const tcp::FlowKey& flow, Instant now) {
  const uint64_t clock_ms = now.since_origin_ns() / 1'000'000;
  return key_with(random, near_wrap_ms, [&](const HashKey& key) {
    return static_cast<uint32_t>(clock_ms + siphash13(key, addresses_of(flow), ports_of(flow)));
  });
}

}  // namespace millrace::sim
