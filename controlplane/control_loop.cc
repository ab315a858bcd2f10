#include "controlplane/control_loop.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "controlplane/model/dump.h"

namespace millrace {

namespace {

spdlog::level::level_enum level_of(k8s::Severity severity) {
  switch (severity) {
    case k8s::Severity::note: return spdlog::level::info;
    case k8s::Severity::warning: return spdlog::level::warn;
    case k8s::Severity::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

Instant now_of_clock() {
  return MonotonicClock().now();
}

std::string count_of(size_t count, const char* one, const char* many) {
  return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

std::string summary(const model::BuildResult& built) {
  const model::Model& model = built.model;
  std::string text = count_of(built.ingresses, "Ingress", "Ingresses");
  if (built.ingresses_ignored > 0) {
    text += " (and " + std::to_string(built.ingresses_ignored) + " of other classes)";
  }
  text += ", " + count_of(model.hosts.size(), "host", "hosts");
  text += ", " + count_of(model.route_count(), "route", "routes");
  if (model.shadowed_count() > 0) {
    text += " (and " + std::to_string(model.shadowed_count()) + " shadowed)";
  }
  text += ", " + count_of(model.services.size(), "service port", "service ports");
  return text + ", " + count_of(model.endpoint_count(), "endpoint", "endpoints");
}

}  // namespace

ControlLoop::ControlLoop(const ControlPlaneConfig& config, manifests::FolderWatch watch,
                         uint64_t seed)
    : config_(config),
      folder_(config.manifests),
      watch_(std::move(watch)),
      publisher_(config.socket, {}, seed),
      may_publish_(config.allow_empty) {}

Result<ControlLoop> ControlLoop::open(const ControlPlaneConfig& config, uint64_t seed) {
  auto watch = manifests::FolderWatch::create(config.manifests);
  if (!watch) return Error{watch.error()};
  ControlLoop loop(config, std::move(*watch), seed);
  // Watched first, listed then: what changes between is seen by one of the two.
  loop.watch_.rewatch({""}, now_of_clock());
  if (config.allow_empty) loop.folder_.accept_removals();
  const Status scanned = loop.folder_.scan({}, {});
  if (!scanned) return Error{"cannot read the manifests: " + scanned.error()};
  loop.watch_.rewatch(loop.folder_.directories(), now_of_clock());
  manifests::FolderView view = loop.folder_.view();
  loop.folder_problems_ = std::move(view.problems);
  loop.store_.replace(std::move(view.objects));
  return loop;
}

std::string ControlLoop::report(bool* is_clean) const {
  const model::BuildResult built = model::build(store_, config_.model);
  std::vector<k8s::Problem> problems = folder_problems_;
  problems.insert(problems.end(), built.problems.begin(), built.problems.end());
  auto compiled = compile::compile(built.model, compile::SlotTable(), 1);
  if (compiled) {
    problems.insert(problems.end(), compiled->problems.begin(), compiled->problems.end());
  } else {
    problems.push_back({k8s::Severity::error, {}, "", compiled.error()});
  }
  *is_clean = std::none_of(problems.begin(), problems.end(), [](const k8s::Problem& problem) {
    return problem.severity != k8s::Severity::note;
  });
  return model::dump(built.model) + model::dump(problems) + summary(built) + '\n';
}

void ControlLoop::run(int signal_fd) {
  rebuild();
  while (true) {
    const Instant before = now_of_clock();
    publisher_.turn(before);
    say_events();
    pollfd ready[3] = {
        {signal_fd, POLLIN, 0},
        {watch_.fd(), POLLIN, 0},
        {publisher_.fd(), static_cast<short>(publisher_.wants_write() ? POLLIN | POLLOUT : POLLIN),
         0}};
    if (poll(ready, 3, timeout_ms(before)) < 0 && errno != EINTR) {
      spdlog::error("poll: {}", std::strerror(errno));
      return;
    }
    const Instant now = now_of_clock();
    if (ready[0].revents != 0 && !take_signals(signal_fd)) return;
    if (ready[1].revents != 0) watch_.read_events(now);
    if ((ready[2].revents & POLLOUT) != 0) publisher_.on_writable(now);
    if ((ready[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) publisher_.on_readable(now);
    if (now >= watch_.due(now)) look(now);
  }
}

int ControlLoop::timeout_ms(Instant now) const {
  const Instant due = std::min(publisher_.due(), watch_.due(now));
  if (due == Instant::never()) return -1;
  if (due <= now) return 0;
  constexpr int64_t timeout_ms_max = 60'000;
  return static_cast<int>(std::min((due - now).count_ms() + 1, timeout_ms_max));
}

// Reads what changed. A folder that cannot be read changes nothing.
void ControlLoop::look(Instant now) {
  const manifests::FolderWatch::Changes changes = watch_.take_changes(now);
  watch_.rewatch({""}, now);
  const Status scanned = folder_.scan(changes.touched, changes.busy);
  if (!scanned) {
    if (!folder_is_lost_) {
      spdlog::error("{}; the table stays as it is until the folder is back", scanned.error());
    }
    folder_is_lost_ = true;
    watch_.look_again(changes.touched, now);
    return;
  }
  if (folder_is_lost_) spdlog::info("{} is back", folder_.directory());
  folder_is_lost_ = false;
  watch_.rewatch(folder_.directories(), now);
  manifests::FolderView view = folder_.view();
  folder_problems_ = std::move(view.problems);
  store_.replace(std::move(view.objects));
  rebuild();
}

void ControlLoop::rebuild() {
  const model::BuildResult built = model::build(store_, config_.model);
  std::vector<k8s::Problem> problems = folder_problems_;
  problems.insert(problems.end(), built.problems.begin(), built.problems.end());
  may_publish_ |= !store_.empty();
  if (may_publish_) {
    const uint64_t before = publisher_.wanted_version();
    auto refused = publisher_.want(built.model);
    if (refused) {
      problems.insert(problems.end(), refused->begin(), refused->end());
    } else {
      problems.push_back({k8s::Severity::error,
                          {},
                          "",
                          "the table cannot be built and stays as it is: " + refused.error()});
    }
    if (publisher_.wanted_version() != before) {
      spdlog::info("new table, version {}: {}", publisher_.wanted_version(), summary(built));
    }
  } else if (!std::exchange(said_empty_, true)) {
    spdlog::warn(
        "{} holds no objects; nothing is published before it does (to publish an empty table, use "
        "--allow-empty)",
        folder_.directory());
  }
  say_problems(problems);
}

// Each problem once, when it appears, and once more when it is solved.
void ControlLoop::say_problems(const std::vector<k8s::Problem>& problems) {
  std::map<std::string, std::string> present;
  for (const k8s::Problem& problem : problems) {
    // Without its line: a comment above an object moves it and solves nothing.
    const std::string identity = problem.place.file + ' ' + problem.object + ' ' + problem.sentence;
    if (!present.emplace(identity, problem.text()).second) continue;
    if (!said_.contains(identity)) {
      spdlog::log(level_of(problem.severity), "{}", problem.text());
    }
  }
  for (const auto& [identity, text] : said_) {
    if (!present.contains(identity)) spdlog::info("solved: {}", text);
  }
  said_ = std::move(present);
}

void ControlLoop::say_events() {
  for (const publish::Event& event : publisher_.take_events()) {
    spdlog::log(level_of(event.severity), "{}", event.sentence);
  }
}

// False when it is time to leave.
bool ControlLoop::take_signals(int signal_fd) {
  signalfd_siginfo signal;
  while (read(signal_fd, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
    if (signal.ssi_signo == SIGHUP) {
      spdlog::info("SIGHUP: the folder is taken as it is, removals included");
      folder_.accept_removals();
      may_publish_ = true;
      look(now_of_clock());
      continue;
    }
    spdlog::info("ending on {}; the data plane goes on with the table it has",
                 signal.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    return false;
  }
  return true;
}

}  // namespace millrace
