// SnapshotView: a validated snapshot, to be read without further checks; and Snapshot: the mappings
// that it looks into.
//
// validate() reads every byte once and checks every offset, length, index, enum, order, bucket and
// name (one pass, time linear in the size). It does not lean on the checksum: bytes whose checksums
// were mended by a hostile writer are still either refused or safe to read completely. What is
// internal to a segment depends on its bytes alone, so a segment that is still in the memory in
// which an earlier view has validated it is not read a second time; what reaches across segments is
// checked for every snapshot, from facts that are kept with the validated segment.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "shm/sealed_memory.h"
#include "shm/snapshot_format.h"

namespace millrace::shm {

// One routes segment, resolved to typed arrays.
struct RoutesSegment {
  const HostRecord* hosts = nullptr;
  const uint32_t* host_buckets = nullptr;
  const uint32_t* path_buckets = nullptr;
  const PathRecord* paths = nullptr;
  const RouteRecord* routes = nullptr;
  const ShadowedRecord* shadowed = nullptr;
  const char* strings = nullptr;
  uint32_t host_bucket_count = 1;
  uint32_t path_bucket_count = 1;
  uint32_t host_count = 0;
  uint32_t path_count = 0;
  uint32_t route_count = 0;
  uint32_t shadowed_count = 0;
  uint32_t cluster_default_route = index_none;
  uint32_t empty_host = index_none;  // index of the empty host's record
  bool has_wildcards = false;

  std::string_view text(StringRef ref) const { return {strings + ref.offset, ref.length}; }
  std::string_view name(const HostRecord& host) const {
    return {strings + host.name_offset, host.name_length};
  }
  std::string_view text(const PathRecord& path) const {
    return {strings + path.text_offset, path.text_length};
  }
  // The canonical path of hosts[..].paths[number].
  static std::string_view text(const HostRecord& host, uint32_t number) {
    return {host.text + host_path_offset(host, number), host.paths[number].length};
  }
};

struct EndpointsSegment {
  const ServiceSlot* slots = nullptr;
  const EndpointRecord* endpoints = nullptr;
  const ServiceNames* names = nullptr;
  const char* strings = nullptr;
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;
  uint32_t endpoint_count = 0;  // in the array

  std::span<const EndpointRecord> endpoints_of(const ServiceSlot& slot) const {
    const bool few = slot.endpoint_count <= slot_endpoints_max;
    return {few ? slot.few : endpoints + slot.first_endpoint, slot.endpoint_count};
  }
  std::string_view text(StringRef ref) const { return {strings + ref.offset, ref.length}; }
};

// Names a route inside one snapshot; never kept across a turn.
struct RouteRef {
  uint32_t segment = 0;
  uint32_t route = index_none;
  bool operator==(const RouteRef&) const = default;
};

class SnapshotView {
 public:
  // `segments` in the directory's order, each 8-byte aligned, as `root` is; the bytes must stay as
  // they are while the view is used. Error: one sentence naming the record and the field.
  //
  // `known`: earlier views. Their memory must be there and must not have changed since they were
  // validated, so that a segment at the same address holds the same bytes. They change neither the
  // verdict nor the sentence, only how long it takes.
  static Result<SnapshotView> validate(ByteView root, std::span<const ByteView> segments,
                                       std::span<const SnapshotView* const> known = {});

  uint64_t version() const { return root_->version; }
  const RootHeader& root() const { return *root_; }
  std::span<const SegmentEntry> directory() const {
    return {reinterpret_cast<const SegmentEntry*>(root_ + 1), root_->segment_count};
  }

  // ---- unchecked accessors: indices come from this snapshot ----
  uint32_t service_slot_count() const { return root_->service_slot_count; }
  uint32_t routes_segment_count() const { return root_->routes_segment_count; }
  const RoutesSegment& routes_segment(uint32_t index) const { return routes_[index]; }
  uint32_t endpoints_segment_count() const { return root_->endpoints_segment_count; }
  const EndpointsSegment& endpoints_segment(uint32_t index) const { return endpoints_[index]; }

  // Of the segment at this place of the directory: the same one in two views exactly when it was
  // read once for both. As long as somebody holds it, no other segment gets it.
  const std::shared_ptr<const void>& segment_identity(uint32_t place) const {
    return facts_[place].identity;
  }

  const RouteRecord& route(RouteRef ref) const { return routes_[ref.segment].routes[ref.route]; }
  std::string_view text(RouteRef ref, StringRef string) const {
    return routes_[ref.segment].text(string);
  }

  const ServiceSlot& slot_record(uint32_t slot) const {
    return segment_of_slot(slot).slots[slot & slot_mask_];
  }
  const ServiceNames& service(uint32_t slot) const {
    return segment_of_slot(slot).names[slot & slot_mask_];
  }
  // Sorted by id; empty for an unused slot and for a service without endpoints.
  std::span<const EndpointRecord> endpoints(uint32_t slot) const {
    const EndpointsSegment& segment = segment_of_slot(slot);
    return segment.endpoints_of(segment.slots[slot & slot_mask_]);
  }
  std::string_view service_namespace(uint32_t slot) const {
    return segment_of_slot(slot).text(service(slot).service_namespace);
  }
  std::string_view service_name(uint32_t slot) const {
    return segment_of_slot(slot).text(service(slot).service_name);
  }
  std::string_view service_port(uint32_t slot) const {
    return segment_of_slot(slot).text(service(slot).port);
  }

  const ServicePolicy& policy(uint32_t slot) const { return slot_record(slot).policy; }
  std::string_view policy_name(uint32_t slot) const {
    const ServicePolicy& policy = slot_record(slot).policy;
    return segment_of_slot(slot).text({policy.name_offset, policy.name_length});
  }

  // Where a request without any matching host or path ends; `route` is index_none without one.
  RouteRef cluster_default() const { return cluster_default_; }
  // The segment and index of the empty host's record; `route` here is the host's index.
  RouteRef empty_host() const { return empty_host_; }
  bool has_wildcards() const { return has_wildcards_; }

 private:
  friend class SnapshotValidator;
  // What the next snapshot with this segment must know of it, to be checked against its own root.
  struct SegmentFacts {
    std::shared_ptr<const void> identity;
    uint64_t endpoint_count = 0;    // in slots and array together
    uint32_t service_slot_end = 0;  // one behind the highest that a route or loser names
    bool has_policies = false;
  };
  SnapshotView() = default;
  const EndpointsSegment& segment_of_slot(uint32_t slot) const {
    return endpoints_[slot >> root_->service_slot_shift];
  }

  const RootHeader* root_ = nullptr;
  std::vector<RoutesSegment> routes_;
  std::vector<EndpointsSegment> endpoints_;
  RouteRef cluster_default_;
  RouteRef empty_host_;
  uint32_t slot_mask_ = 0;
  bool has_wildcards_ = false;
  std::vector<SegmentFacts> facts_;  // by place in the directory; the data path never reads it
};

// The memory of one segment, shared by all the snapshots that name it.
using SegmentMemory = std::shared_ptr<const MappedBytes>;

// A validated snapshot together with its memory. Immutable; made by housekeeping, and dropped by it
// or by whoever it gave it to for saving.
class Snapshot {
 public:
  // `known`: snapshots of which it may share segments; those are not read again.
  static Result<std::shared_ptr<const Snapshot>> create(
      MappedBytes root, std::vector<SegmentMemory> segments,
      std::span<const std::shared_ptr<const Snapshot>> known = {});
  // Copies what the builder made; for tests, tools and the built-in snapshot.
  static Result<std::shared_ptr<const Snapshot>> from_bytes(ByteView root,
                                                            std::span<const ByteView> segments);
  // What serves before the first publish: no rules, and a default whose service has no endpoint, so
  // every request is answered 503. Version 0.
  static std::shared_ptr<const Snapshot> built_in();

  const SnapshotView& view() const { return view_; }
  uint64_t version() const { return view_.version(); }
  ByteView root_bytes() const { return root_.view(); }
  const std::vector<SegmentMemory>& segments() const { return segments_; }  // directory's order
  // nullptr when this snapshot does not hold it.
  SegmentMemory find_segment(uint64_t segment_id) const;

 private:
  Snapshot(MappedBytes root, std::vector<SegmentMemory> segments, SnapshotView view)
      : root_(std::move(root)), segments_(std::move(segments)), view_(std::move(view)) {}

  MappedBytes root_;
  std::vector<SegmentMemory> segments_;
  SnapshotView view_;
};

}  // namespace millrace::shm
