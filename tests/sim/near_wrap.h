// Keys under which a connection begins close to the end of a number's range. Initial sequence
// numbers and timestamp offsets are keyed hashes of the flow (T8, T13), so a simulation that wants
// to see them wrap looks for a key.
#pragma once

#include <cstdint>
#include <optional>

#include "base/random.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::sim {

// So far from its end a sequence number begins at most, in octets, and a timestamp, in ms.
inline constexpr uint32_t near_wrap_octets = 200'000;
inline constexpr uint32_t near_wrap_ms = 30'000;

// A key for the host whose end of the flow is flow.local.
HashKey key_with_sequence_near_wrap(Random& random, const tcp::FlowKey& flow, Instant now);
HashKey key_with_timestamps_near_wrap(Random& random, const tcp::FlowKey& flow, Instant now);

}  // namespace millrace::sim
