// Segments that known views have validated. What is internal to a segment depends on its bytes and
// on what its header says of itself: kind, index, count, ABI. All else that the check of a segment
// takes from the root is asked again here: the bound of the service slots, the range of slots, the
// feature that policies are. The root's sums are made of all segments, whether known or not.
#include "shm/snapshot_validator.h"

namespace millrace::shm {

// In the same memory as in a view whose memory is there and unchanged, and with the same line in
// the directory: then its id is the hash of its bytes, and its header says what the line does.
bool SnapshotValidator::is_of_view(uint32_t place, const SnapshotView& known, uint32_t known_place,
                                   const void* first_section, size_t header_bytes) const {
  const SegmentEntry& entry = directory_[place];
  const SegmentEntry& before = known.directory()[known_place];
  return static_cast<const uint8_t*>(first_section) ==
             segment_bytes_[place].data() + header_bytes &&
         entry.total_bytes == before.total_bytes && entry.segment_id == before.segment_id &&
         entry.kind == before.kind && entry.index == before.index && entry.count == before.count &&
         root_->abi == known.root().abi;
}

bool SnapshotValidator::take_known_routes_segment(uint32_t index) {
  if (segment_bytes_[index].size() < sizeof(RoutesHeader)) return false;
  for (const SnapshotView* known : known_) {
    if (index >= known->routes_segment_count()) continue;
    const RoutesSegment& segment = known->routes_segment(index);
    if (!is_of_view(index, *known, index, segment.hosts, sizeof(RoutesHeader))) continue;
    const SnapshotView::SegmentFacts& facts = known->facts_[index];
    if (facts.service_slot_end > root_->service_slot_count) return false;
    view_.facts_[index] = facts;
    add_routes_segment(index, segment);
    return true;
  }
  return false;
}

bool SnapshotValidator::take_known_endpoints_segment(uint32_t index) {
  const uint32_t place = root_->routes_segment_count + index;
  if (segment_bytes_[place].size() < sizeof(EndpointsHeader)) return false;
  for (const SnapshotView* known : known_) {
    if (index >= known->endpoints_segment_count()) continue;
    const uint32_t known_place = known->routes_segment_count() + index;
    const EndpointsSegment& segment = known->endpoints_segment(index);
    if (!is_of_view(place, *known, known_place, segment.slots, sizeof(EndpointsHeader))) continue;
    const SnapshotView::SegmentFacts& facts = known->facts_[known_place];
    const bool knows_policies = (root_->features_required & feature_policies) != 0;
    if (segment.first_slot != first_slot_of_range(index) ||
        segment.slot_count != slots_of_range(index) || (facts.has_policies && !knows_policies)) {
      return false;
    }
    endpoint_sum_ += facts.endpoint_count;
    view_.facts_[place] = facts;
    view_.endpoints_[index] = segment;
    return true;
  }
  return false;
}

}  // namespace millrace::shm
