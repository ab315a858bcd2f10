// The data plane's pages as families of metrics.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "shm/stats_page.h"
#include "shm/traffic_page.h"

namespace millrace::metrics {

// Every cell of the stats page by its name, a series a worker; what is called gauge_ is a gauge,
// all else a counter.
void add_stats(const shm::StatsReading& stats, std::vector<prometheus::MetricFamily>* families);

// Of each kind the first rows_max rows in the page's order, so that a row keeps its series as long
// as it keeps its name; the rest is summed up under "(others)".
void add_traffic(const std::vector<shm::TrafficReading>& rows, size_t rows_max,
                 std::vector<prometheus::MetricFamily>* families);

}  // namespace millrace::metrics
