#include "controlplane/control_loop.h"

#include <malloc.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>
#include <utility>

#include "controlplane/check/report.h"
#include "controlplane/tls_view.h"

namespace millrace {

namespace {

Instant now_of_clock() {
  return MonotonicClock().now();
}

PacedLine paced_line() {
  return {[](const std::string& line) { spdlog::info(line); },
          [](const std::string& line) { spdlog::debug(line); }};
}

publish::Moment moment() {
  const Instant now = now_of_clock();
  const uint64_t origin_ns = MonotonicClock().wall_ns_of_origin();
  return {now, (origin_ns + now.since_origin_ns()) / 1'000'000};
}

}  // namespace

ControlLoop::ControlLoop(const ControlPlaneConfig& config, std::unique_ptr<store::Source> source,
                         std::unique_ptr<store::Reporter> reporter,
                         std::unique_ptr<history::History> history, uint64_t seed)
    : config_(config),
      source_(std::move(source)),
      reporter_(std::move(reporter)),
      external_names_(config.model.serve_external_names
                          ? std::make_unique<names::ExternalNames>(config.dns)
                          : nullptr),
      live_(config.model),
      tls_(config.cluster.watch_secrets),
      publisher_(config.socket, {}, seed),
      rollout_(&publisher_, std::move(history), config.shrink,
               config.model.ownership.reads_labels()),
      api_({&rollout_, &publisher_, &store_, source_.get(), &config_.model, &problems_}),
      table_line_(paced_line()),
      taken_line_(paced_line()) {}

Status ControlLoop::serve_api(const std::string& socket) {
  auto server = serve::HttpServer::listen_unix(
      socket, {serve::plan_bytes_max},
      [this](const serve::HttpRequest& request) { return answer(request); });
  if (!server) return Error{server.error()};
  servers_.push_back(std::move(*server));
  return Ok{};
}

// For anybody who reaches the address: nothing that changes anything, and no body is read.
Status ControlLoop::serve_probes(const std::string& address) {
  auto server = serve::HttpServer::listen_tcp(
      address, {0}, [this](const serve::HttpRequest& request) { return answer_probe(request); });
  if (!server) return Error{server.error()};
  servers_.push_back(std::move(*server));
  return Ok{};
}

serve::HttpResponse ControlLoop::answer(const serve::HttpRequest& request) {
  if (request.method == "GET" && request.path == "/metrics") return scrape();
  return api_.answer(request, moment());
}

serve::HttpResponse ControlLoop::answer_probe(const serve::HttpRequest& request) {
  if (request.method == "GET" && request.path == "/metrics") return scrape();
  const auto probed = api_.probe(request);
  return probed
             ? *probed
             : serve::HttpResponse{404, "text/plain", "/metrics, /healthz and /readyz are here\n"};
}

serve::HttpResponse ControlLoop::scrape() const {
  metrics::Observed observed;
  observed.status = api_.status();
  for (const certificates::Expiry& one : tls_.expiries()) {
    observed.certificates.push_back({one.name_space, one.secret, one.not_after_s});
  }
  std::string why;
  observed.ready = api_.is_ready(&why);
  shm::StatsReading stats;
  std::vector<shm::TrafficReading> traffic;
  if (publisher_.stats_page_fd() >= 0) {
    const auto stats_page = shm::StatsReader::map(publisher_.stats_page_fd());
    if (stats_page) {
      stats = (*stats_page)->read();
      observed.stats = &stats;
    }
    const auto traffic_page = shm::TrafficReader::open(config_.beside_socket("traffic"));
    if (traffic_page) {
      traffic = (*traffic_page)->read();
      observed.traffic = &traffic;
    }
  }
  return {200, "text/plain; version=0.0.4", metrics_.text(observed)};
}

// What the metrics tell of versions: that there is one, and when the data plane has it.
void ControlLoop::note_progress(Instant now) {
  if (publisher_.wanted_version() != noted_version_) metrics_.note_version();
  noted_version_ = publisher_.wanted_version();
  for (const Duration time : apply_times_.taken(publisher_.taken_version(), now)) {
    metrics_.note_applied(time);
  }
}

void ControlLoop::run(int signal_fd) {
  std::vector<pollfd> ready;
  while (true) {
    const Instant before = now_of_clock();
    follow_guard();
    publisher_.turn(before);
    rollout_.follow_number();
    note_progress(before);
    say_events(before);
    ready.clear();
    ready.push_back({signal_fd, POLLIN, 0});
    ready.push_back({source_->fd(), POLLIN, 0});
    ready.push_back({publisher_.fd(),
                     static_cast<short>(publisher_.wants_write() ? POLLIN | POLLOUT : POLLIN), 0});
    if (external_names_ != nullptr) ready.push_back({external_names_->fd(), POLLIN, 0});
    for (const auto& server : servers_) ready.push_back({server->fd(), POLLIN, 0});
    if (poll(ready.data(), ready.size(), timeout_ms(before)) < 0 && errno != EINTR) {
      spdlog::error("poll: {}", std::strerror(errno));
      return;
    }
    const Instant now = now_of_clock();
    if (ready[0].revents != 0 && !take_signals(signal_fd)) return stop();
    if ((ready[2].revents & POLLOUT) != 0) publisher_.on_writable(now);
    if ((ready[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) publisher_.on_readable(now);
    note_progress(now);  // before what the next table takes
    if (ready[1].revents != 0 || now >= source_->due(now)) turn_source(now);
    turn_names(now);
    if (now >= std::min(rebuild_due_, tls_due(now))) rebuild(now);
    rollout_.turn(store_, moment());
    for (const auto& server : servers_) server->turn(now);
    follow_rollout();
    report(now);
    give_back_memory(now);
  }
}

void ControlLoop::follow_guard() {
  const publish::Moment at = moment();
  const auto act = guard_watch_.look(publisher_.stats_page_fd(), at.now);
  if (const auto refusal = guard_watch_.take_refusal()) {
    spdlog::warn("what the data plane's guard does is not seen, nor are its metrics: {}", *refusal);
  }
  if (!act) return;
  rollout_.guard_went_back(*act, store_, at);
  follow_rollout();
}

// An operator's word (by the API, by SIGHUP), a guard, what was put off: each may change what goes
// out and what is wrong with it.
void ControlLoop::follow_rollout() {
  if (rollout_.problems() != rollout_problems_) {
    rollout_problems_ = rollout_.problems();
    gather_problems();
  }
  if (publisher_.wanted_version() == reported_version_) return;
  reported_version_ = publisher_.wanted_version();
  if (reporter_ != nullptr && report_due_ == Instant::never()) {
    report_due_ = now_of_clock() + report_delay;
  }
}

// The reporter's requests are the source's descriptor's, so it is turned behind the source.
void ControlLoop::report(Instant now) {
  if (reporter_ == nullptr) return;
  if (now >= report_due_) {
    report_due_ = Instant::never();
    publish::ServedIngresses::Changes served = rollout_.take_served_changes();
    reporter_->tell(
        {std::move(served.began), std::move(served.ceased), std::exchange(changed_ingresses_, {}),
         problems_, std::exchange(nodes_or_services_changed_, false)},
        store_);
  }
  reporter_->turn(now, store_);
}

void ControlLoop::stop() {
  table_line_.flush();
  taken_line_.flush();
  if (reporter_ == nullptr) return;
  const Instant end = now_of_clock() + stop_time_max;
  reporter_->stop(now_of_clock());
  for (Instant now = now_of_clock(); now < end && !reporter_->done(); now = now_of_clock()) {
    source_->turn(now, &store_);
    reporter_->turn(now, store_);
    pollfd ready{source_->fd(), POLLIN, 0};
    poll(&ready, 1, 20);
  }
}

int ControlLoop::timeout_ms(Instant now) const {
  Instant due = std::min({publisher_.due(), source_->due(now), rebuild_due_, rollout_.due(),
                          report_due_, give_back_due_, guard_watch_.due(), table_line_.due(),
                          taken_line_.due(), tls_due(now)});
  if (external_names_ != nullptr) due = std::min(due, external_names_->due(now));
  if (reporter_ != nullptr) due = std::min(due, reporter_->due(now));
  for (const auto& server : servers_) due = std::min(due, server->due(now));
  if (due == Instant::never()) return -1;
  if (due <= now) return 0;
  constexpr int64_t timeout_ms_max = 60'000;
  return static_cast<int>(std::min((due - now).count_ms() + 1, timeout_ms_max));
}

void ControlLoop::turn_source(Instant now) {
  const bool had_synced = source_->has_synced();
  source_->turn(now, &store_);
  std::vector<k8s::Problem> problems = source_->problems();
  if (reporter_ != nullptr) {
    for (k8s::Problem& problem : reporter_->problems()) problems.push_back(std::move(problem));
  }
  source_has_news_ |= problems != source_problems_ || built_at_ == Instant();
  const bool is_news = store_.has_changes() || source_has_news_ ||
                       source_->has_synced() != had_synced ||
                       source_->secrets_news() != secrets_news_;
  source_problems_ = std::move(problems);
  if (!is_news) return;
  build_soon(now);
}

void ControlLoop::build_soon(Instant now) {
  // The first listing is no change that took so long.
  if (source_->has_synced()) apply_times_.changed(now);
  rebuild_due_ = std::min(rebuild_due_, std::max(now, built_at_ + hold_off));
}

// It costs a system call or two when there is nothing to do, so it is not asked whether there is.
void ControlLoop::turn_names(Instant now) {
  if (external_names_ == nullptr) return;
  if (external_names_->turn(now, &store_)) build_soon(now);
}

// False: the first table waits for the first answers of DNS, or for the end of its patience.
bool ControlLoop::follow_names(Instant now) {
  if (external_names_ == nullptr) return true;
  external_names_->follow(&store_);
  external_names_->turn(now, &store_);
  if (is_live_ || external_names_->is_settled()) return true;
  if (first_answers_end_ == Instant::never()) first_answers_end_ = now + first_answers_time_max;
  if (now >= first_answers_end_) return true;
  rebuild_due_ = first_answers_end_;
  return false;
}

void ControlLoop::rebuild(Instant now) {
  rebuild_due_ = Instant::never();
  built_at_ = now;
  bool has_news = std::exchange(source_has_news_, false);
  // Of half a view nothing is built; what was seen of it waits in the store.
  if (source_->has_synced() && follow_names(now)) {
    const uint64_t before = publisher_.wanted_version();
    has_news |= follow_store();
    metrics_.note_build(now_of_clock() - now);
    const bool is_new = publisher_.wanted_version() != before;
    // On its way before anything is said about it; sending may give it another number.
    publisher_.turn(now_of_clock());
    rollout_.follow_number();
    if (is_new) {
      apply_times_.published(publisher_.wanted_version());
      table_line_.say(now, "new table, version " + std::to_string(publisher_.wanted_version()) +
                               ": " + check::summary(live_.model(), live_.counts()));
    } else {
      apply_times_.dropped();  // nothing goes out
    }
    if (reporter_ != nullptr && report_due_ == Instant::never()) report_due_ = now + report_delay;
  }
  if (has_news) gather_problems();
}

// At 10,000 Ingresses it takes some ten milliseconds, so it waits until no change does.
void ControlLoop::give_back_memory(Instant now) {
  if (now < give_back_due_) return;
  const Instant quiet = std::min(built_at_ + give_back_delay, give_back_end_);
  if (now < quiet) {
    give_back_due_ = quiet;
    return;
  }
  give_back_due_ = Instant::never();
  malloc_trim(0);
}

// Brings model and table to what the store says. True when there are other problems than before.
bool ControlLoop::follow_store() {
  std::vector<store::Change> changes = store_.take_changes();
  model::ModelUpdate update;
  const bool was_live = std::exchange(is_live_, true);
  if (was_live) {
    update = live_.update(store_, changes);
  } else {
    live_.rebuild(store_);
  }
  if (!was_live || changes.size() >= large_change) {
    give_back_due_ = now_of_clock() + give_back_delay;
    give_back_end_ = now_of_clock() + give_back_delay_max;
  }
  const bool differ = !was_live || !update.problems.empty();
  if (differ) built_problems_ = live_.problems();
  const bool tls_differs = follow_tls(changes, !was_live);
  if (tls_differs) tls_problems_ = tls_.problems();
  if (reporter_ != nullptr) {
    for (const store::Change& change : changes) {
      nodes_or_services_changed_ |=
          change.key.kind == k8s::Kind::node || change.key.kind == k8s::Kind::service;
      if (change.key.kind != k8s::Kind::ingress) continue;
      changed_ingresses_.emplace(change.key.name_space, change.key.name);
    }
  }
  // No route is made of a Secret, so it is no cause of a version.
  std::erase_if(changes,
                [](const store::Change& one) { return one.key.kind == k8s::Kind::secret; });
  std::vector<k8s::Problem> of_rollout = rollout_.offer_live(
      live_.model(), was_live ? &update.delta : nullptr, changes, store_, moment());
  const bool rollout_differs = of_rollout != rollout_problems_;
  rollout_problems_ = std::move(of_rollout);
  return differ || rollout_differs || tls_differs;
}

// True when there is something else to say of spec.tls than before.
bool ControlLoop::follow_tls(const std::vector<store::Change>& changes, bool anew) {
  const certificates::View view = tls_view(store_, config_.model, *source_, live_);
  if (anew) tls_.rebuild(store_, view);
  bool differs = anew || tls_.update(store_, changes, view);
  if (config_.cluster.watch_secrets && tls_.secrets_version() != secrets_version_) {
    secrets_version_ = tls_.secrets_version();
    source_->watch_secrets(tls_.secrets(), &store_);
    differs |= tls_.update(store_, {}, view);  // some may have found no place
  }
  secrets_news_ = source_->secrets_news();
  return differs;
}

Instant ControlLoop::tls_due(Instant now) const {
  if (!is_live_ || tls_.due_s() == std::numeric_limits<int64_t>::max()) return Instant::never();
  const int64_t left_s = tls_.due_s() - wall_seconds();
  // The wall clock may be set meanwhile.
  constexpr int64_t look_s_max = 60;
  return now + Duration::seconds(std::clamp(left_s, int64_t{0}, look_s_max));
}

void ControlLoop::gather_problems() {
  auto all = std::make_shared<std::vector<k8s::Problem>>();
  all->reserve(source_problems_.size() + built_problems_.size() + rollout_problems_.size() +
               tls_problems_.size());
  for (const auto* some :
       {&source_problems_, &built_problems_, &rollout_problems_, &tls_problems_}) {
    all->insert(all->end(), some->begin(), some->end());
  }
  problems_ = std::move(all);
  problem_log_.say(problems_);
  if (reporter_ != nullptr && source_->has_synced() && report_due_ == Instant::never()) {
    report_due_ = now_of_clock() + report_delay;
  }
}

void ControlLoop::say_events(Instant now) {
  table_line_.turn(now);
  taken_line_.turn(now);
  for (const publish::Event& event : publisher_.take_events()) {
    if (event.kind == publish::EventKind::refused) metrics_.note_refusal();
    if (event.kind == publish::EventKind::accepted) {
      taken_line_.say(now, event.sentence);
    } else {
      log_line(event.severity, event.sentence);
    }
  }
  for (const publish::Event& event : rollout_.take_events()) {
    log_line(event.severity, event.sentence);
  }
}

// False when it is time to leave.
bool ControlLoop::take_signals(int signal_fd) {
  signalfd_siginfo signal;
  while (read(signal_fd, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
    if (signal.ssi_signo == SIGHUP) {
      spdlog::info("SIGHUP: {} is taken as it is, removals included", source_->name());
      source_->accept_removals();
      rollout_.accept(store_, moment());
      turn_source(now_of_clock());
      continue;
    }
    spdlog::info("ending on {}; the data plane goes on with the table it has",
                 signal.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    return false;
  }
  return true;
}

}  // namespace millrace
