#include "controlplane/metrics/data_plane_metrics.h"

#include <array>
#include <limits>
#include <string>

#include "controlplane/k8s/object.h"

namespace millrace::metrics {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using shm::TrafficReading;

constexpr std::array<const char*, 6> code_names = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

MetricFamily make(std::string name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = help;
  family.type = type;
  return family;
}

// Only what a metric's name may hold; the page is not ours.
std::string metric_name(const std::string& text) {
  std::string name = "millrace_dataplane_";
  for (const char c : text) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += fits ? c : '_';
  }
  return name;
}

// Octaves of the page's quarters: 64 us, 128 us, ... 67 s, and what took longer.
void fill_times(const TrafficReading& row, ClientMetric* metric) {
  ClientMetric::Histogram& histogram = metric->histogram;
  uint64_t count = 0;
  for (uint32_t bucket = 0; bucket < shm::traffic_bucket_count; ++bucket) {
    count += row.times[bucket];
    const bool is_last = bucket + 1 == shm::traffic_bucket_count;
    if (bucket % 4 != 0 && !is_last) continue;
    const double end_us = static_cast<double>(shm::traffic_bucket_end_us(bucket));
    ClientMetric::Bucket one;
    one.cumulative_count = count;
    one.upper_bound = is_last ? std::numeric_limits<double>::infinity() : end_us / 1e6;
    histogram.bucket.push_back(one);
  }
  histogram.sample_count = count;
  histogram.sample_sum = static_cast<double>(row.time_us_sum) / 1e6;
}

void sum_up(const TrafficReading& row, TrafficReading* sum) {
  for (size_t i = 0; i < row.answers.size(); ++i) sum->answers[i] += row.answers[i];
  for (size_t i = 0; i < row.times.size(); ++i) sum->times[i] += row.times[i];
  sum->ours += row.ours;
  sum->broken_off += row.broken_off;
  sum->retries += row.retries;
  sum->request_octets += row.request_octets;
  sum->response_octets += row.response_octets;
  sum->time_us_sum += row.time_us_sum;
}

// The families of one kind: "route" or "service".
class KindFamilies {
 public:
  explicit KindFamilies(const std::string& kind)
      : kind_(kind),
        requests_(make("millrace_" + kind + "_requests_total",
                       "Exchanges that are over, by the class of their final status",
                       MetricType::Counter)),
        local_(make("millrace_" + kind + "_local_replies_total",
                    "Of the answers, those that no endpoint made", MetricType::Counter)),
        broken_(make("millrace_" + kind + "_broken_off_total",
                     "Answers that were begun and did not become whole", MetricType::Counter)),
        retries_(make("millrace_" + kind + "_retries_total", "Attempts beyond the first",
                      MetricType::Counter)),
        request_bytes_(make("millrace_" + kind + "_request_body_bytes_total",
                            "Octets of request bodies", MetricType::Counter)),
        response_bytes_(make("millrace_" + kind + "_response_body_bytes_total",
                             "Octets of response bodies", MetricType::Counter)),
        times_(make("millrace_" + kind + "_duration_seconds",
                    kind == "route" ? "From a head's first octet to the end of the exchange"
                                    : "From sending a request to the head of its answer",
                    MetricType::Histogram)) {}

  void add(const TrafficReading& row, const std::string& name) {
    const ClientMetric::Label label{kind_, name};
    for (size_t i = 0; i < code_names.size(); ++i) {
      ClientMetric& metric = requests_.metric.emplace_back();
      metric.label = {label, {"code", code_names[i]}};
      metric.counter.value = static_cast<double>(row.answers[i]);
    }
    for (const auto& [family, value] :
         {std::pair{&local_, row.ours}, std::pair{&broken_, row.broken_off},
          std::pair{&retries_, row.retries}, std::pair{&request_bytes_, row.request_octets},
          std::pair{&response_bytes_, row.response_octets}}) {
      ClientMetric& metric = family->metric.emplace_back();
      metric.label = {label};
      metric.counter.value = static_cast<double>(value);
    }
    ClientMetric& times = times_.metric.emplace_back();
    times.label = {label};
    fill_times(row, &times);
  }

  void move_to(std::vector<MetricFamily>* families) {
    for (MetricFamily* family :
         {&requests_, &local_, &broken_, &retries_, &request_bytes_, &response_bytes_, &times_}) {
      families->push_back(std::move(*family));
    }
  }

 private:
  std::string kind_;
  MetricFamily requests_, local_, broken_, retries_, request_bytes_, response_bytes_, times_;
};

void add_kind(const std::vector<TrafficReading>& rows, shm::TrafficKind kind, const char* name,
              size_t rows_max, std::vector<MetricFamily>* families) {
  KindFamilies made(name);
  TrafficReading others;
  size_t count = 0;
  for (const TrafficReading& row : rows) {
    if (row.kind != kind) continue;
    if (count++ < rows_max) {
      made.add(row, k8s::printable(row.name));
    } else {
      sum_up(row, &others);
    }
  }
  if (count > rows_max) made.add(others, "(others)");
  made.move_to(families);
}

}  // namespace

void add_stats(const shm::StatsReading& stats, std::vector<MetricFamily>* families) {
  MetricFamily start = make("millrace_dataplane_start_time_seconds",
                            "When the data plane began, in seconds since 1970", MetricType::Gauge);
  start.metric.emplace_back().gauge.value = static_cast<double>(stats.start_time_unix_ns) / 1e9;
  families->push_back(std::move(start));
  for (const shm::StatsReading::Counter& counter : stats.counters) {
    const bool is_gauge = counter.name.starts_with("gauge_");
    const std::string name =
        metric_name(is_gauge ? counter.name.substr(6) : counter.name) + (is_gauge ? "" : "_total");
    MetricFamily family = make(name, "See `millrace counters` and dataplane/counters.def",
                               is_gauge ? MetricType::Gauge : MetricType::Counter);
    for (size_t worker = 0; worker < counter.per_worker.size(); ++worker) {
      ClientMetric& metric = family.metric.emplace_back();
      metric.label.push_back({"worker", std::to_string(worker)});
      (is_gauge ? metric.gauge.value : metric.counter.value) =
          static_cast<double>(counter.per_worker[worker]);
    }
    families->push_back(std::move(family));
  }
}

void add_traffic(const std::vector<TrafficReading>& rows, size_t rows_max,
                 std::vector<MetricFamily>* families) {
  add_kind(rows, shm::TrafficKind::route, "route", rows_max, families);
  add_kind(rows, shm::TrafficKind::service, "service", rows_max, families);
  MetricFamily times =
      make("millrace_request_duration_seconds",
           "All routes together, by the class of the final status", MetricType::Histogram);
  for (const TrafficReading& row : rows) {
    if (row.kind != shm::TrafficKind::status_class) continue;
    ClientMetric& metric = times.metric.emplace_back();
    metric.label.push_back({"code", k8s::printable(row.name)});
    fill_times(row, &metric);
  }
  families->push_back(std::move(times));
}

}  // namespace millrace::metrics
