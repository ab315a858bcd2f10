// Into how many segments a table is cut. A change costs the segments that it touches, and each
// segment a little by itself (a memory file, a mapping, a line in the directory), so both their
// size and their number stay small. A rule of the table's size alone: the same table has the same
// shape, whatever it was before.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shm/snapshot_writer.h"

namespace millrace::compile {

constexpr size_t segment_routes = 256;        // about so many lie in a routes segment
constexpr uint32_t segment_slots_min = 64;    // slots of an endpoints segment
constexpr uint32_t endpoints_segments = 128;  // from this many on they grow instead

// `routes`: winners and losers. `slot_end`: one behind the highest slot in use. Slots are given
// room for an eighth more, because their number is a part of every endpoints segment.
shm::SnapshotShape table_shape(size_t routes, uint32_t slot_end);

}  // namespace millrace::compile
