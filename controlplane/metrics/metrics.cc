#include "controlplane/metrics/metrics.h"

#include <prometheus/text_serializer.h>

#include <map>
#include <utility>

#include "controlplane/metrics/data_plane_metrics.h"

namespace millrace::metrics {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

double seconds(Duration span) {
  return static_cast<double>(span.count_ns()) / 1e9;
}

prometheus::Histogram::BucketBoundaries time_boundaries() {
  // Fine where changes are usually: a quantile between 0.2 ms and 0.1 s is known to a third or
  // less.
  return {0.0001,  0.0002, 0.00025, 0.0003, 0.0004, 0.0005, 0.0006, 0.0008, 0.001,
          0.00125, 0.0016, 0.002,   0.0025, 0.003,  0.004,  0.005,  0.006,  0.008,
          0.01,    0.0125, 0.016,   0.02,   0.025,  0.03,   0.04,   0.05,   0.06,
          0.08,    0.1,    0.2,     0.5,    1,      2,      5,      10};
}

void add_gauge(const char* name, const char* help, double value,
               std::vector<MetricFamily>* families) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = MetricType::Gauge;
  family.metric.emplace_back();
  family.metric.back().gauge.value = value;
  families->push_back(std::move(family));
}

void add_status(const answer::Status& status, bool ready, std::vector<MetricFamily>* families) {
  const struct {
    const char* name;
    const char* help;
    double value;
  } gauges[] = {
      {"millrace_controlplane_ready", "1 when /readyz answers 200", ready ? 1.0 : 0.0},
      {"millrace_controlplane_synced", "1 when the source has been read completely",
       status.source().synced() ? 1.0 : 0.0},
      {"millrace_controlplane_objects", "Objects known", 1.0 * status.source().objects()},
      {"millrace_table_version", "The version that is published", status.published().version()},
      {"millrace_table_hosts", "Hosts in it", 1.0 * status.published().hosts()},
      {"millrace_table_routes", "Routes in it", 1.0 * status.published().routes()},
      {"millrace_table_endpoints", "Endpoints in it", 1.0 * status.published().endpoints()},
      {"millrace_dataplane_connected", "1 while the data plane is connected",
       status.data_plane().connected() ? 1.0 : 0.0},
      {"millrace_dataplane_up_to_date", "1 while it has the published version",
       status.data_plane().up_to_date() ? 1.0 : 0.0},
      {"millrace_dataplane_version", "The version it says to have", status.data_plane().version()},
      {"millrace_dataplane_epoch", "Tables it has installed since its start, and one",
       status.data_plane().epoch()},
      {"millrace_pinned_version", "The version whose routes are pinned; 0: none",
       status.hold().pinned_version()},
      {"millrace_frozen", "1 while what is published is frozen",
       status.hold().frozen() ? 1.0 : 0.0},
      {"millrace_table_held_back", "1 while a table that shrank implausibly is held back",
       status.held_back().holding() ? 1.0 : 0.0},
      {"millrace_queued_objects", "Objects whose changes are not published",
       1.0 * status.waiting().objects()},
      {"millrace_history_versions", "Versions in the history", 1.0 * status.history().versions()},
      {"millrace_history_bytes", "Its size", status.history().bytes()},
      {"millrace_history_writing", "0 when the last write failed",
       status.history().writing() ? 1.0 : 0.0},
  };
  for (const auto& [name, help, value] : gauges) add_gauge(name, help, value, families);
  MetricFamily problems;
  problems.name = "millrace_problems";
  problems.help = "Problems with objects that are true now";
  problems.type = MetricType::Gauge;
  // Always there, so that there is a series before the first problem.
  std::map<std::pair<std::string, std::string>, uint32_t> counts = {
      {{"error", "Refused"}, 0}, {{"warning", "Overruled"}, 0}, {{"note", "Degraded"}, 0}};
  for (const auto& one : status.counts()) counts[{one.severity(), one.reason()}] = one.problems();
  for (const auto& [what, count] : counts) {
    ClientMetric& metric = problems.metric.emplace_back();
    metric.label = {{"severity", what.first}, {"reason", what.second}};
    metric.gauge.value = count;
  }
  families->push_back(std::move(problems));
}

void add_certificates(const std::vector<CertificateExpiry>& certificates,
                      std::vector<MetricFamily>* families) {
  if (certificates.empty()) return;
  MetricFamily family;
  family.name = "millrace_certificate_expiry_seconds";
  family.help = "Unix time at which the certificate of a TLS Secret ends that Ingresses name";
  family.type = MetricType::Gauge;
  for (const CertificateExpiry& one : certificates) {
    ClientMetric& metric = family.metric.emplace_back();
    metric.label = {{"namespace", one.name_space}, {"name", one.secret}};
    metric.gauge.value = static_cast<double>(one.not_after_s);
  }
  families->push_back(std::move(family));
}

}  // namespace

Metrics::Metrics() {
  build_seconds_ = &prometheus::BuildHistogram()
                        .Name("millrace_build_duration_seconds")
                        .Help("From objects to the table that they ask for")
                        .Register(registry_)
                        .Add({}, time_boundaries());
  applied_seconds_ = &prometheus::BuildHistogram()
                          .Name("millrace_apply_duration_seconds")
                          .Help("From seeing a change to the data plane having the table")
                          .Register(registry_)
                          .Add({}, time_boundaries());
  versions_ = &prometheus::BuildCounter()
                   .Name("millrace_versions_total")
                   .Help("Versions published")
                   .Register(registry_)
                   .Add({});
  refusals_ = &prometheus::BuildCounter()
                   .Name("millrace_refusals_total")
                   .Help("Tables that the data plane refused")
                   .Register(registry_)
                   .Add({});
}

void Metrics::note_build(Duration took) {
  build_seconds_->Observe(seconds(took));
}

void Metrics::note_version() {
  versions_->Increment();
}

void Metrics::note_applied(Duration took) {
  applied_seconds_->Observe(seconds(took));
}

void Metrics::note_refusal() {
  refusals_->Increment();
}

std::string Metrics::text(const Observed& observed) const {
  std::vector<MetricFamily> families = registry_.Collect();
  add_status(observed.status, observed.ready, &families);
  add_certificates(observed.certificates, &families);
  if (observed.stats != nullptr) add_stats(*observed.stats, &families);
  if (observed.traffic != nullptr) add_traffic(*observed.traffic, traffic_rows_max, &families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::metrics
