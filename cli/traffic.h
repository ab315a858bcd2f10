// millrace traffic: what each route and each service has been asked, how it was answered, and how
// long that took; the same by the class of the answer's status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shm/traffic_page.h"

namespace millrace::cli {

enum class TrafficSort : uint8_t { requests, errors, p99 };

struct TrafficOptions {
  std::string folder;         // of the data plane's sockets
  uint32_t over_seconds = 0;  // what comes in so long; 0: since the data plane's start
  TrafficSort sort = TrafficSort::requests;  // the greatest first
  uint64_t limit = UINT64_MAX;               // rows of each kind
  bool routes = true;
  bool services = true;
  bool statuses = true;
  bool all = false;  // also rows without a request
  bool json = false;
};

// The exit status: 0, 2 when there is nobody to ask.
int run_traffic(const TrafficOptions& options);

// What has come between two readings of a page, row by row; rows that were given to another name
// meanwhile count from there on.
std::vector<shm::TrafficReading> traffic_between(const std::vector<shm::TrafficReading>& before,
                                                 std::vector<shm::TrafficReading> after);

// The rows that are wanted, in the order that is wanted, as a table or as one JSON object.
std::string traffic_text(std::vector<shm::TrafficReading> rows, const TrafficOptions& options);

}  // namespace millrace::cli
