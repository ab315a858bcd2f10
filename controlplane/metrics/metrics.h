// /metrics, in the format that Prometheus reads: what the control plane counts itself, its state as
// the API has it, and the data plane's stats and traffic pages, read at each scrape.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "controlplane/answers/answers.pb.h"
#include "shm/stats_page.h"
#include "shm/traffic_page.h"

namespace millrace::metrics {

// Routes, and Services, that have series of their own; all others together are one, "(others)".
constexpr size_t traffic_rows_max = 500;

// Of a TLS Secret that Ingresses name.
struct CertificateExpiry {
  std::string name_space;
  std::string secret;
  int64_t not_after_s = 0;  // Unix time
};

// What is looked at when somebody asks.
struct Observed {
  answer::Status status;
  bool ready = false;
  std::vector<CertificateExpiry> certificates;
  const shm::StatsReading* stats = nullptr;                   // nullptr: there is no data plane
  const std::vector<shm::TrafficReading>* traffic = nullptr;  // likewise
};

class Metrics {
 public:
  Metrics();

  // From objects to a model, and what it was compared with.
  void note_build(Duration took);
  // A version went into the history.
  void note_version();
  // From the change being seen to the data plane saying that it has the table.
  void note_applied(Duration took);
  void note_refusal();

  std::string text(const Observed& observed) const;

 private:
  prometheus::Registry registry_;
  prometheus::Histogram* build_seconds_;
  prometheus::Histogram* applied_seconds_;
  prometheus::Counter* versions_;
  prometheus::Counter* refusals_;
};

}  // namespace millrace::metrics
