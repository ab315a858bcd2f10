#include "controlplane/once.h"

#include <poll.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "controlplane/check/report.h"
#include "controlplane/model/live_model.h"
#include "controlplane/tls_view.h"

namespace millrace {

namespace {

// How many of them are still being looked at for the first time.
size_t secrets_waiting(const store::Source& source, const certificates::TlsBook& tls) {
  return static_cast<size_t>(
      std::count_if(tls.secrets().begin(), tls.secrets().end(), [&](const auto& name) {
        const auto why = source.why_unknown(name.first, name.second);
        return why && why->empty();
      }));
}

// Model and book of a store that is still being filled, as the control loop has them.
class Following {
 public:
  explicit Following(const ControlPlaneConfig& config)
      : config_(config), live_(config.model), tls_(config.cluster.watch_secrets) {}

  void follow(store::Source* source, store::Store* objects) {
    const std::vector<store::Change> changes = objects->take_changes();
    const bool is_first = std::exchange(is_first_, false);
    if (is_first) {
      live_.rebuild(*objects);
    } else if (!changes.empty()) {
      live_.update(*objects, changes);
    }
    const certificates::View view = tls_view(*objects, config_.model, *source, live_);
    if (is_first) {
      tls_.rebuild(*objects, view);
    } else {
      tls_.update(*objects, changes, view);
    }
    if (tls_.secrets_version() == secrets_version_) return;
    secrets_version_ = tls_.secrets_version();
    source->watch_secrets(tls_.secrets(), objects);
    tls_.update(*objects, {}, view);  // some may have found no place
  }
  const certificates::TlsBook& tls() const { return tls_; }

 private:
  const ControlPlaneConfig& config_;
  model::LiveModel live_;
  certificates::TlsBook tls_;
  bool is_first_ = true;
  uint64_t secrets_version_ = 0;
};

}  // namespace

OnceReport report_once(const ControlPlaneConfig& config, store::Source* source, Duration time_max) {
  store::Store objects;
  Following following(config);
  const std::string in_time = " in " + std::to_string(time_max.count_ms() / 1'000) + " s";
  const Instant end = MonotonicClock().now() + time_max;
  for (Instant now = MonotonicClock().now();; now = MonotonicClock().now()) {
    source->turn(now, &objects);
    if (source->has_synced()) {
      following.follow(source, &objects);
      const size_t waiting = secrets_waiting(*source, following.tls());
      if (waiting == 0) break;
      if (now >= end) {
        return {2, source->name() + " has not told of " + std::to_string(waiting) +
                       (waiting == 1 ? " TLS Secret" : " TLS Secrets") + in_time};
      }
    } else if (now >= end) {
      std::string reasons;
      for (const k8s::Problem& problem : source->problems()) reasons += "; " + problem.text();
      return {2, source->name() + " has not told everything" + in_time + reasons};
    }
    pollfd ready{source->fd(), POLLIN, 0};
    poll(&ready, 1, 20);
  }
  bool is_clean = false;
  std::vector<k8s::Problem> problems = source->problems();
  for (k8s::Problem& problem : following.tls().problems()) problems.push_back(std::move(problem));
  const std::string text = check::report(objects, problems, config.model, &is_clean);
  return {is_clean ? 0 : 1, text};
}

}  // namespace millrace
