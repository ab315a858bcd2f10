#include "controlplane/model/host_rules.h"

#include <algorithm>
#include <compare>
#include <tuple>
#include <utility>

#include "controlplane/model/ingress_reading.h"
#include "controlplane/model/object_fetch.h"
#include "shm/snapshot_hash.h"

namespace millrace::model {

namespace {

using k8s::Severity;

// What is looked up: the whole path, or a list of elements (shm/snapshot_hash.h).
struct RouteKey {
  std::string_view path;
  bool is_prefix = false;
  auto operator<=>(const RouteKey&) const = default;
};

RouteKey key_of(const Candidate& candidate) {
  if (candidate.type == PathType::exact) return {candidate.path, false};
  return {shm::canonical_prefix(candidate.path), true};
}

// By key, then the longest path as written, then Prefix, then age, then the order in the Ingress.
bool goes_before(const Candidate& left, const Candidate& right) {
  const auto keys = key_of(left) <=> key_of(right);
  if (keys != 0) return keys < 0;
  const auto rank = [](const Candidate& one) { return ~one.path.size(); };
  if (rank(left) != rank(right)) return rank(left) < rank(right);
  if (left.type != right.type) return left.type < right.type;
  if (left.owner != right.owner) return left.owner->age < right.owner->age;
  return std::tie(left.rule_index, left.path_index) < std::tie(right.rule_index, right.path_index);
}

// Into a route as it is made: a list of them is filled where it lies.
void fill(const Candidate& candidate, Route* route) {
  route->type = candidate.type;
  route->path = candidate.path;
  if (candidate.backend != nullptr) route->backend.emplace(*candidate.backend);
  const k8s::ObjectKey& key = candidate.owner->object.key;
  route->source.name_space = key.name_space;
  route->source.ingress = key.name;
  route->source.rule_index = candidate.rule_index;
  route->source.path_index = candidate.path_index;
}

Route route_of(const Candidate& candidate) {
  Route route;
  fill(candidate, &route);
  return route;
}

std::string place_in(const Candidate& candidate) {
  if (candidate.path.empty()) return "spec.defaultBackend";
  return place_in_ingress(candidate.rule_index, candidate.path_index);
}

std::string reason(const Candidate& loser, const Candidate& winner) {
  if (loser.path.size() != winner.path.size()) {
    return "whose path " + k8s::quote(winner.path) + " is longer and matches the same requests";
  }
  if (loser.type != winner.type) return "which is a Prefix";
  if (loser.owner == winner.owner) return "which comes first";
  const Age& loser_age = loser.owner->age;
  const Age& winner_age = winner.owner->age;
  if (loser_age.same_time(winner_age)) {
    return loser_age.has_no_time ? "whose name comes first (neither has a creationTimestamp)"
                                 : "which is as old and whose name comes first";
  }
  return loser_age.has_no_time ? "which has a creationTimestamp" : "which is older";
}

k8s::Problem shadowed_problem(const Candidate& loser, const Candidate& winner,
                              const std::string& what) {
  std::string sentence = place_in(loser) + ": ";
  if (loser.path.empty()) {
    sentence += what;
  } else {
    sentence += to_text(loser.type) + std::string(" ") + k8s::quote(loser.path) + " of " + what;
  }
  sentence += " is shadowed by ";
  sentence += loser.owner == winner.owner ? "its own" : winner.owner->object.key.text() + ",";
  sentence += ' ' + place_in(winner) + ", " + reason(loser, winner);
  const bool same_backend =
      loser.backend == winner.backend ||
      (loser.backend != nullptr && winner.backend != nullptr && *loser.backend == *winner.backend);
  return {same_backend ? Severity::note : Severity::warning, loser.owner->object.place,
          loser.owner->object.key.text(),
          sentence + (same_backend ? "; both lead to the same backend" : "; that one answers"),
          k8s::Reason::shadowed};
}

}  // namespace

void HostRules::remove(const RouteOwner* owner) {
  const auto is_his = [&](const Candidate& candidate) { return candidate.owner == owner; };
  const auto middle = paths_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  const auto kept = std::remove_if(paths_.begin(), middle, is_his);
  sorted_ = static_cast<size_t>(kept - paths_.begin());
  const auto kept_behind = std::remove_if(middle, paths_.end(), is_his);
  paths_.erase(std::move(middle, kept_behind, kept), paths_.end());
  std::erase_if(defaults_, is_his);
}

void HostRules::fetch(size_t step) const {
  constexpr size_t candidates_max = 8;
  const size_t count = std::min(paths_.size(), candidates_max);
  if (step == 0) return model::fetch(paths_.data(), count * sizeof(Candidate));
  for (size_t i = 0; i < count; ++i) {
    model::fetch(paths_[i].path.data());
    if (i > 0 && paths_[i].owner == paths_[i - 1].owner) continue;
    model::fetch(&paths_[i].owner->object.key, sizeof(k8s::ObjectKey));
    if (paths_[i].backend != nullptr) model::fetch(paths_[i].backend, sizeof(ServiceKey));
  }
}

// What came lately is merged in: a host of ten thousand Ingresses is not sorted for each of them.
void HostRules::sort() {
  const auto middle = paths_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  std::sort(middle, paths_.end(), goes_before);
  std::inplace_merge(paths_.begin(), middle, paths_.end(), goes_before);
  sorted_ = paths_.size();
}

Host HostRules::settle(const std::string& name, std::vector<k8s::Problem>* problems) {
  sort();
  Host host;
  host.name = name;
  size_t keys = 0;
  for (size_t i = 0; i < paths_.size(); ++i) {
    keys += i == 0 || key_of(paths_[i]) != key_of(paths_[i - 1]);
  }
  host.routes.reserve(keys);
  const Candidate* winner = nullptr;
  for (const Candidate& candidate : paths_) {
    if (winner == nullptr || key_of(candidate) != key_of(*winner)) {
      winner = &candidate;
      fill(candidate, &host.routes.emplace_back());
    } else {
      problems->push_back(shadowed_problem(candidate, *winner, host_text(name)));
      host.shadowed.push_back({route_of(candidate), host.routes.size() - 1});
    }
  }
  if (!defaults_.empty()) {
    settle_defaults("the rest of " + host_text(name), &host.default_route, &host.shadowed_defaults,
                    problems);
  }
  return host;
}

void HostRules::settle_defaults(const std::string& what, std::optional<Route>* winner,
                                std::vector<Route>* shadowed, std::vector<k8s::Problem>* problems) {
  winner->reset();
  shadowed->clear();
  if (defaults_.empty()) return;
  std::sort(defaults_.begin(), defaults_.end(), [](const Candidate& left, const Candidate& right) {
    return left.owner->age < right.owner->age;
  });
  *winner = route_of(defaults_[0]);
  for (size_t i = 1; i < defaults_.size(); ++i) {
    problems->push_back(shadowed_problem(defaults_[i], defaults_[0], what));
    shadowed->push_back(route_of(defaults_[i]));
  }
}

}  // namespace millrace::model
