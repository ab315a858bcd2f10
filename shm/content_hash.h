// The hashes that name and guard a snapshot's parts: XXH3 (xxHash 0.8, stable since then), 64 bits.
// They find accidents, not attackers; against those the validator stands alone.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace millrace::shm {

uint64_t content_hash(ByteView bytes);

// Of a root with its checksum field taken as zero. `root` holds at least a RootHeader.
uint64_t root_checksum(ByteView root);

}  // namespace millrace::shm
