// Lays one routes segment: the hosts whose hash chose it, and their routes. Part of the writer
// (snapshot_writer.h).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shm/segment_bytes.h"
#include "shm/snapshot_format.h"
#include "shm/snapshot_input.h"
#include "shm/snapshot_writer.h"

namespace millrace::shm {

class RoutesSegmentBuilder {
 public:
  // Segment `index` of `count`; input outlives the builder.
  RoutesSegmentBuilder(const SnapshotInput& input, uint32_t index, uint32_t count)
      : input_(input), index_(index), count_(count) {}

  // The bytes; what finds no place in its bucket is appended to `rejected`. Error: a limit of the
  // format (snapshot_format.h).
  Result<BuiltSegment> build(std::vector<RejectedRoute>& rejected);

 private:
  // A path other than "/" as Prefix, on its way into its host's record or into the path table.
  struct PathPlan {
    uint64_t hash = 0;   // in the table; in a host's record its place
    uint32_t host = 0;   // index in hosts_
    uint32_t input = 0;  // into SnapshotInput::routes
    PathKey key = PathKey::exact;
    std::string_view text;  // canonical
  };

  void place_hosts();
  void plan_paths(std::vector<RejectedRoute>& rejected);
  void split_plans();
  void place_table_paths(std::vector<RejectedRoute>& rejected);
  void reject(uint32_t input, std::vector<RejectedRoute>& rejected);
  void fill_hosts();
  void fill_routes();
  void fill_shadowed();
  void fill_host_paths();
  void fill_table_paths();
  void fill_names();
  RouteTarget target_of(uint32_t input) const;
  RouteRecord record_of(const RouteInput& route, uint32_t host, StringRef path);
  Result<BuiltSegment> lay();
  bool is_mine(const RouteInput& route) const;
  uint32_t host_of(const RouteInput& route) const {
    return route.host == index_none ? index_none : placed_host_[route.host];
  }

  const SnapshotInput& input_;
  uint32_t index_;
  uint32_t count_;

  std::vector<uint32_t> placed_host_;                  // by input host: index in hosts_, or none
  std::vector<uint32_t> host_inputs_;                  // by index in hosts_: input host
  std::vector<bool> has_place_;                        // by input route
  std::vector<uint32_t> placed_route_;                 // by input route: index in routes_, or none
  std::vector<uint32_t> route_inputs_;                 // by index in routes_: input route
  std::vector<const ShadowedInput*> shadowed_inputs_;  // by index in shadowed_
  std::vector<PathPlan> host_plans_;                   // for the hosts' records
  std::vector<PathPlan> table_plans_;                  // for the path table
  uint32_t host_bucket_count_ = 1;
  uint32_t path_bucket_count_ = 1;
  uint32_t cluster_default_ = index_none;

  std::vector<HostRecord> hosts_;
  std::vector<PathRecord> paths_;
  std::vector<RouteRecord> routes_;
  std::vector<ShadowedRecord> shadowed_;
  StringPool strings_;
};

}  // namespace millrace::shm
