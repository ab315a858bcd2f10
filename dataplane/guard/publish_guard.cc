#include "dataplane/guard/publish_guard.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <utility>

namespace millrace::guard {

namespace {

using shm::TrafficCount;
using shm::TrafficRef;

// How sure: the true share lies above the bound with a probability of 99.5 %.
constexpr double normal_quantile = 2.576;

// The lower end of Wilson's interval for a share.
double share_at_least(const TrafficCount& count) {
  const auto n = static_cast<double>(count.requests);
  if (n == 0) return 0;
  const double z2 = normal_quantile * normal_quantile;
  const double share = count.share();
  const double spread = normal_quantile * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
  return (share + z2 / (2 * n) - spread) / (1 + z2 / n);
}

bool is_counted(TrafficRef row) {
  return row.row >= shm::traffic_rows_fixed;  // not together with others
}

std::string percent(const TrafficCount& count) {
  char text[64];
  std::snprintf(text, sizeof text, "%.0f %% of %llu", 100 * count.share(),
                static_cast<unsigned long long>(count.requests));
  return text;
}

std::string sentence_of(const std::string& what, const TrafficCount& since,
                        const TrafficCount& past, const TrafficCount& others) {
  return what + ": " + percent(since) + " requests failed since, " + percent(past) +
         " before, and " + percent(others) + " of all other routes";
}

}  // namespace

PublishGuard::PublishGuard(const Limits& limits, const shm::TrafficCounts& counts)
    : limits_(limits), counts_(counts) {}

size_t PublishGuard::watched() const {
  size_t count = 0;
  for (const Trial& trial : trials_) count += trial.suspects.size();
  return count;
}

void PublishGuard::set_mark(Instant now) {
  if (newer_.at != Instant() && now - newer_.at < mark_interval) return;
  older_ = std::move(newer_);
  newer_ = {now, {}};
  newer_.rows.reserve(counts_.row_count());
  for (uint32_t row = 0; row < counts_.row_count(); ++row) {
    const uint32_t generation = counts_.generation(row);
    newer_.rows.emplace_back(generation, counts_.count({row, generation}));
  }
}

TrafficCount PublishGuard::past_of(TrafficRef row) const {
  if (!is_counted(row)) return {};
  const TrafficCount now = counts_.count(row);
  const Mark& mark = older_.rows.empty() ? newer_ : older_;
  if (row.row >= mark.rows.size() || mark.rows[row.row].first != row.generation) return now;
  return now - mark.rows[row.row].second;
}

void PublishGuard::installed(const Installed& before, const Installed& after, Instant now) {
  if (limits_.mode == Mode::off || before.snapshot == nullptr || before.rows == nullptr ||
      after.rows == nullptr || before.snapshot->version() == 0) {
    return;
  }
  // To go back from an earlier table would undo the operator's choice as well.
  if (after.is_deliberate) {
    for (Trial& trial : trials_) trial.is_to_act = false;
  }
  if (after.snapshot == before.snapshot) return;
  set_mark(now);
  Trial trial{before, after, now, counts_.total(), {}, {}, false};
  trial.is_to_act = limits_.mode == Mode::act && !after.is_deliberate;
  std::vector<RouteChange> changes =
      find_route_changes(before.snapshot->view(), after.snapshot->view());
  acquit_mended(changes, before, after);
  for (RouteChange& change : changes) {
    Suspect suspect;
    suspect.row = after.rows->route(change.after.segment, change.after.route);
    suspect.past = past_of(before.rows->route(change.before.segment, change.before.route));
    if (!is_counted(suspect.row) || suspect.past.requests < past_requests_min) continue;
    suspect.text = std::move(change.text);
    suspect.slot = change.slot;
    suspect.service_row = after.rows->service(change.slot);
    suspect.at_install = counts_.count(suspect.row);
    trial.suspects.push_back(std::move(suspect));
  }
  if (trial.suspects.empty()) return;
  for (const Suspect& suspect : trial.suspects) {
    trial.services_at_install.emplace_back(suspect.service_row, counts_.count(suspect.service_row));
  }
  if (trials_.size() == trials_max) trials_.pop_front();
  trials_.push_back(std::move(trial));
}

// Whose route leads elsewhere again, or is gone, is not judged any more: the mistake was mended.
void PublishGuard::acquit_mended(const std::vector<RouteChange>& changes, const Installed& before,
                                 const Installed& after) {
  if (trials_.empty()) return;
  std::set<uint32_t> moved;
  std::set<uint32_t> present;
  for (const RouteChange& change : changes) {
    moved.insert(after.rows->route(change.after.segment, change.after.route).row);
    moved.insert(before.rows->route(change.before.segment, change.before.route).row);
  }
  for (const TrafficRef& row : after.rows->routes) present.insert(row.row);
  for (Trial& trial : trials_) {
    std::erase_if(trial.suspects, [&](const Suspect& suspect) {
      return moved.contains(suspect.row.row) || !present.contains(suspect.row.row);
    });
  }
}

std::optional<Verdict> PublishGuard::turn(const Installed& current, Instant now) {
  if (limits_.mode == Mode::off) return std::nullopt;
  set_mark(now);
  while (!trials_.empty() && now - trials_.front().at > limits_.watch_max) trials_.pop_front();
  for (auto trial = trials_.begin(); trial != trials_.end(); ++trial) {
    const std::optional<std::string> sentence = judge(*trial, current);
    if (!sentence) continue;
    Verdict verdict{trial->after.snapshot->version(), trial->before.snapshot, *sentence,
                    trial->is_to_act};
    trials_.erase(trial, trial->is_to_act ? trials_.end() : trial + 1);
    return verdict;
  }
  acquitted_ += std::erase_if(trials_, [](const Trial& trial) { return trial.suspects.empty(); });
  return std::nullopt;
}

// What is to be blamed on this version; acquits what can be.
std::optional<std::string> PublishGuard::judge(Trial& trial, const Installed& current) {
  TrafficCount changed;
  for (const Suspect& suspect : trial.suspects) {
    changed += counts_.count(suspect.row) - suspect.at_install;
  }
  TrafficCount others = counts_.total() - trial.total_at_install;
  others.requests -= std::min(others.requests, changed.requests);
  others.failures -= std::min(others.failures, changed.failures);
  TrafficCount together_since, together_past;
  std::optional<std::string> blamed;
  std::vector<Suspect> left;  // all are looked at beside one another, so none goes meanwhile
  for (const Suspect& suspect : trial.suspects) {
    const TrafficCount now = counts_.count(suspect.row);
    // Its row has gone to another route: it is in no table any more.
    if (now.requests < suspect.at_install.requests) continue;
    const TrafficCount since = now - suspect.at_install;
    if (is_acquitted(trial, suspect, since, current)) continue;
    together_since += since;
    together_past += suspect.past;
    if (since.requests >= limits_.requests_min) {
      if (!is_jump(since, suspect.past, others)) continue;
      if (!blamed) blamed = sentence_of(suspect.text, since, suspect.past, others);
    }
    left.push_back(suspect);
  }
  trial.suspects = std::move(left);
  if (!blamed && together_since.requests >= limits_.requests_min && trial.suspects.size() > 1 &&
      is_jump(together_since, together_past, others)) {
    blamed = sentence_of(std::to_string(trial.suspects.size()) + " changed routes, among them " +
                             trial.suspects.front().text,
                         together_since, together_past, others);
  }
  return blamed;
}

bool PublishGuard::is_acquitted(const Trial& trial, const Suspect& suspect,
                                const TrafficCount& since, const Installed& current) const {
  const shm::SnapshotView& after = trial.after.snapshot->view();
  const shm::SnapshotView& present = current.snapshot->view();
  // The slot belongs to the service for as long as routes lead to it.
  if (current.snapshot != trial.after.snapshot &&
      (suspect.slot >= present.service_slot_count() ||
       !same_endpoints(after, suspect.slot, present, suspect.slot))) {
    return true;
  }
  if (since.requests < limits_.requests_min || !is_counted(suspect.service_row)) return false;
  // Everybody else who leads to the same service.
  TrafficCount same_service = counts_.count(suspect.service_row);
  for (const auto& [row, count] : trial.services_at_install) {
    if (row.row == suspect.service_row.row) {
      same_service = same_service - count;
      break;
    }
  }
  for (const Suspect& one : trial.suspects) {
    if (one.service_row.row != suspect.service_row.row) continue;
    const TrafficCount its = counts_.count(one.row) - one.at_install;
    same_service.requests -= std::min(same_service.requests, its.requests);
    same_service.failures -= std::min(same_service.failures, its.failures);
  }
  return same_service.requests >= past_requests_min && same_service.share() > since.share() / 2 &&
         same_service.share() >= limits_.jump_min;
}

bool PublishGuard::is_jump(const TrafficCount& since, const TrafficCount& past,
                           const TrafficCount& others) const {
  // A few other requests say nothing about everything else.
  const double elsewhere = others.requests >= limits_.requests_min ? others.share() : 0;
  const double usual = std::max(past.share(), elsewhere);
  return since.share() - usual >= limits_.jump_min &&
         share_at_least(since) >= usual + limits_.jump_min / 2;
}

}  // namespace millrace::guard
