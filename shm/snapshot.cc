#include "shm/snapshot.h"

#include <utility>

#include "shm/snapshot_writer.h"

namespace millrace::shm {

Result<std::shared_ptr<const Snapshot>> Snapshot::create(
    MappedBytes root, std::vector<SegmentMemory> segments,
    std::span<const std::shared_ptr<const Snapshot>> known) {
  std::vector<ByteView> views;
  views.reserve(segments.size());
  for (const SegmentMemory& segment : segments) views.push_back(segment->view());
  std::vector<const SnapshotView*> known_views;
  known_views.reserve(known.size());
  for (const std::shared_ptr<const Snapshot>& one : known) known_views.push_back(&one->view());
  Result<SnapshotView> view = SnapshotView::validate(root.view(), views, known_views);
  if (!view.ok()) return Error{view.error()};
  return std::shared_ptr<const Snapshot>(
      new Snapshot(std::move(root), std::move(segments), std::move(*view)));
}

Result<std::shared_ptr<const Snapshot>> Snapshot::from_bytes(ByteView root,
                                                             std::span<const ByteView> segments) {
  Result<MappedBytes> root_memory = MappedBytes::copy_of(root);
  if (!root_memory.ok()) return Error{root_memory.error()};
  std::vector<SegmentMemory> memory;
  for (ByteView bytes : segments) {
    Result<MappedBytes> copy = MappedBytes::copy_of(bytes);
    if (!copy.ok()) return Error{copy.error()};
    memory.push_back(std::make_shared<const MappedBytes>(std::move(*copy)));
  }
  return create(std::move(*root_memory), std::move(memory));
}

std::shared_ptr<const Snapshot> Snapshot::built_in() {
  SnapshotBuilder builder;
  RouteSource nowhere;  // slot 0, which nobody fills
  CHECK(builder.set_cluster_default(nowhere).ok());
  Result<BuiltSnapshot> built = builder.build(0);
  CHECK(built.ok());
  std::vector<ByteView> segments;
  for (const BuiltSegment& segment : built->segments) segments.push_back(segment.bytes);
  Result<std::shared_ptr<const Snapshot>> snapshot = from_bytes(built->root, segments);
  CHECK(snapshot.ok());
  return std::move(*snapshot);
}

SegmentMemory Snapshot::find_segment(uint64_t segment_id) const {
  const std::span<const SegmentEntry> directory = view_.directory();
  for (size_t i = 0; i < directory.size(); ++i) {
    if (directory[i].segment_id == segment_id) return segments_[i];
  }
  return nullptr;
}

}  // namespace millrace::shm
