#include "controlplane/compile/table_shape.h"

#include <algorithm>
#include <bit>

#include "shm/snapshot_format.h"

namespace millrace::compile {

shm::SnapshotShape table_shape(size_t routes, uint32_t slot_end) {
  shm::SnapshotShape shape;
  const size_t wanted = (routes + segment_routes - 1) / segment_routes;
  shape.routes_segment_count = static_cast<uint32_t>(
      std::bit_ceil(std::clamp<size_t>(wanted, 1, shm::segments_per_kind_max)));
  const uint32_t about = std::bit_ceil(std::max(slot_end, segment_slots_min));
  const uint32_t per_segment = std::max(segment_slots_min, about / endpoints_segments);
  shape.service_slot_shift = static_cast<uint32_t>(std::countr_zero(per_segment));
  const uint32_t step = std::max(segment_slots_min, about / 8);
  // A table of less than one segment has no room to spare: it is all one segment anyway.
  shape.service_slot_count = slot_end <= segment_slots_min
                                 ? slot_end
                                 : std::min((slot_end + step - 1) / step * step, about);
  return shape;
}

}  // namespace millrace::compile
