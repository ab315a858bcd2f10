// TrafficRows: which row of the traffic page each route and each service of a snapshot has.
// Housekeeping's; a worker reads the maps it makes.
//
// A route keeps its row, and so its counts, from one table to the next, by what a person would call
// it: Ingress, host and path; a service by its name and port. Of a segment that the table before
// has as well the rows are taken as they are, without making a name. A row whose route is in no
// table that a worker may still read goes, the longest gone first, to a route that has none. Where
// all rows are taken, what comes later in the table is counted together, under the others.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "shm/snapshot.h"
#include "shm/traffic_page.h"

namespace millrace {

class TrafficRows {
 public:
  // page: outlives this. Half of its rows are for routes, half for services.
  explicit TrafficRows(shm::TrafficPage& page);
  TrafficRows(const TrafficRows&) = delete;
  TrafficRows& operator=(const TrafficRows&) = delete;

  // For a snapshot that is about to be installed. Rows that it shares with no earlier map stay its
  // own as long as it lives.
  std::shared_ptr<const shm::TrafficMap> map(const shm::SnapshotView& snapshot);

 private:
  // Rows of one kind, [first, first + count).
  struct Rows {
    struct Row {
      uint32_t generation = 0;
      std::string name;
    };
    // A row that nobody reads any more, as it was when they were looked for.
    struct Spare {
      uint64_t wanted_last;
      uint32_t row;
      // Which of two is taken later.
      bool operator<(const Spare& other) const {
        return wanted_last != other.wanted_last ? wanted_last > other.wanted_last : row < other.row;
      }
    };
    shm::TrafficKind kind;
    uint32_t first;
    std::vector<Row> rows;
    uint32_t fresh = 0;  // the first one that nobody ever had; they are given away before others
    std::vector<uint64_t> wanted_last;  // by row: the number of the last map with it
    std::unordered_map<std::string_view, uint32_t> by_name;  // views of the rows' names
    std::vector<Spare> spare;                                // a heap: the longest gone on top
    bool spare_is_found = false;
  };
  // The segments of one kind in the last map, by index.
  using Identities = std::vector<std::shared_ptr<const void>>;

  void find_spare(Rows& rows);
  std::optional<uint32_t> take_spare(Rows& rows);
  shm::TrafficRef row_for(Rows& rows, std::string_view name);
  void keep_rows(Rows& rows, const shm::TrafficRef* before, std::span<shm::TrafficRef> now);
  void keep_routes(const shm::SnapshotView& snapshot, const shm::TrafficMap& before,
                   shm::TrafficMap& map);
  void keep_services(const shm::SnapshotView& snapshot, const shm::TrafficMap& before,
                     shm::TrafficMap& map);
  void find_routes(const shm::SnapshotView& snapshot, shm::TrafficMap& map);
  void find_services(const shm::SnapshotView& snapshot, shm::TrafficMap& map);

  shm::TrafficPage& page_;
  Rows routes_;
  Rows services_;
  uint64_t number_ = 0;  // of the map that is being made
  Identities last_routes_;
  Identities last_services_;
  // With the number of each, as long as somebody may read it.
  std::vector<std::pair<uint64_t, std::weak_ptr<const shm::TrafficMap>>> live_;
};

}  // namespace millrace
