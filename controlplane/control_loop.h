// The control plane's one thread: source -> store -> model -> publisher, driven by poll. Knows no
// source by its kind.
//
// Hold-off: a change is built and published at once when the last table is at least hold_off old,
// otherwise when it is; so the first change after quiet waits for nothing, and no storm of changes
// makes more than twenty tables a second.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "base/paced_line.h"
#include "base/time.h"
#include "controlplane/apply_times.h"
#include "controlplane/certificates/tls_book.h"
#include "controlplane/config.h"
#include "controlplane/metrics/metrics.h"
#include "controlplane/model/live_model.h"
#include "controlplane/names/external_names.h"
#include "controlplane/problem_log.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/publish/rollout.h"
#include "controlplane/serve/api.h"
#include "controlplane/serve/http_server.h"
#include "controlplane/store/reporter.h"
#include "controlplane/store/source.h"
#include "controlplane/store/store.h"

namespace millrace {

constexpr Duration hold_off = Duration::milliseconds(50);
// Status and Events may lag behind a storm of changes.
constexpr Duration report_delay = Duration::seconds(1);
// What a change of so many objects left free in the heap is given back to the kernel, once it is
// quiet: malloc keeps holes between what stays, a quarter of the process after a first table.
constexpr size_t large_change = 1'000;
constexpr Duration give_back_delay = Duration::seconds(2);
constexpr Duration give_back_delay_max = Duration::seconds(30);  // whether it is quiet or not
// The first table waits so long for DNS, so that a start takes no address away that is known again
// in a moment.
constexpr Duration first_answers_time_max = Duration::seconds(5);
// What an orderly end waits for others to be told.
constexpr Duration stop_time_max = Duration::seconds(2);

class ControlLoop {
 public:
  // `reporter`: null when nobody is told.
  ControlLoop(const ControlPlaneConfig& config, std::unique_ptr<store::Source> source,
              std::unique_ptr<store::Reporter> reporter, std::unique_ptr<history::History> history,
              uint64_t seed);
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;

  // Answers there from now on, while run() runs.
  Status serve_api(const std::string& socket);
  Status serve_probes(const std::string& address);

  // Runs until SIGTERM or SIGINT, read from `signal_fd` (a signalfd). SIGHUP accepts the removals
  // that the source's guard holds back.
  void run(int signal_fd);

 private:
  void turn_source(Instant now);
  void rebuild(Instant now);
  void build_soon(Instant now);
  void turn_names(Instant now);
  bool follow_names(Instant now);
  bool follow_store();
  bool follow_tls(const std::vector<store::Change>& changes, bool anew);
  Instant tls_due(Instant now) const;
  void gather_problems();
  serve::HttpResponse answer(const serve::HttpRequest& request);
  serve::HttpResponse answer_probe(const serve::HttpRequest& request);
  void report(Instant now);
  void follow_guard();
  void follow_rollout();
  void stop();
  serve::HttpResponse scrape() const;
  void note_progress(Instant now);
  void give_back_memory(Instant now);
  void say_events(Instant now);
  bool take_signals(int signal_fd);
  int timeout_ms(Instant now) const;

  ControlPlaneConfig config_;
  std::unique_ptr<store::Source> source_;
  std::unique_ptr<store::Reporter> reporter_;
  store::Store store_;
  std::unique_ptr<names::ExternalNames> external_names_;  // null: none is asked for
  Instant first_answers_end_ = Instant::never();          // of waiting for them
  model::LiveModel live_;                                 // of store_, once the source has synced
  bool is_live_ = false;
  certificates::TlsBook tls_;
  uint64_t secrets_version_ = 0;  // of those that the source was asked for
  uint64_t secrets_news_ = 0;     // of the source, as far as tls_ has been told
  publish::Publisher publisher_;
  publish::Rollout rollout_;
  publish::GuardWatch guard_watch_;
  std::vector<k8s::Problem> source_problems_;
  bool source_has_news_ = false;  // of problems that are not gathered yet
  std::vector<k8s::Problem> built_problems_;
  std::vector<k8s::Problem> rollout_problems_;
  std::vector<k8s::Problem> tls_problems_;
  // All of these, made anew when some are others.
  k8s::SharedProblems problems_ = std::make_shared<const std::vector<k8s::Problem>>();
  std::set<store::IngressName> changed_ingresses_;  // since the last report; for the reporter
  bool nodes_or_services_changed_ = false;          // since then, too
  serve::Api api_;
  metrics::Metrics metrics_;
  uint64_t noted_version_ = 0;  // by the metrics
  ApplyTimes apply_times_;
  std::vector<std::unique_ptr<serve::HttpServer>> servers_;
  ProblemLog problem_log_;
  PacedLine table_line_;  // what was made
  PacedLine taken_line_;  // what the data plane took
  Instant rebuild_due_ = Instant::never();
  Instant built_at_;  // when the newest table was made
  Instant report_due_ = Instant::never();
  Instant give_back_due_ = Instant::never();
  Instant give_back_end_;          // of waiting for quiet
  uint64_t reported_version_ = 0;  // of the table that was reported last
};

}  // namespace millrace
