#include "controlplane/model/delta.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace millrace::model {

namespace {

// Walks two sorted lists side by side and notes what is on one side only, or differs.
template <typename Change, typename Value, typename KeyOf>
std::vector<Change> compare(const std::vector<Value>& before, const std::vector<Value>& after,
                            KeyOf key_of) {
  std::vector<Change> changes;
  auto old_one = before.begin();
  auto new_one = after.begin();
  while (old_one != before.end() || new_one != after.end()) {
    const bool only_old =
        new_one == after.end() || (old_one != before.end() && key_of(*old_one) < key_of(*new_one));
    const bool only_new =
        old_one == before.end() || (new_one != after.end() && key_of(*new_one) < key_of(*old_one));
    if (only_old) {
      changes.push_back({key_of(*old_one), *old_one, std::nullopt});
      ++old_one;
    } else if (only_new) {
      changes.push_back({key_of(*new_one), std::nullopt, *new_one});
      ++new_one;
    } else {
      if (!(*old_one == *new_one)) changes.push_back({key_of(*old_one), *old_one, *new_one});
      ++old_one;
      ++new_one;
    }
  }
  return changes;
}

// Above so many values that come or go, one pass over all is less work than a shift for each.
constexpr size_t shifts_max = 8;

template <typename Change, typename Value, typename ChangeKey, typename KeyOf>
void merge_changes(const std::vector<Change>& changes, ChangeKey change_key, KeyOf key_of,
                   std::vector<Value>* values) {
  std::vector<Value> merged;
  merged.reserve(values->size() + changes.size());
  auto value = values->begin();
  for (const Change& change : changes) {
    while (value != values->end() && key_of(*value) < change_key(change)) {
      merged.push_back(std::move(*value++));
    }
    const bool is_there = value != values->end() && key_of(*value) == change_key(change);
    CHECK(is_there == change.before.has_value());
    if (is_there) ++value;
    if (change.after) merged.push_back(*change.after);
  }
  std::move(value, values->end(), std::back_inserter(merged));
  *values = std::move(merged);
}

// Few changes in a large model leave most of it where it lies.
template <typename Change, typename Value, typename ChangeKey, typename KeyOf>
void apply_changes(const std::vector<Change>& changes, ChangeKey change_key, KeyOf key_of,
                   std::vector<Value>* values) {
  const auto shifts = [](const Change& change) {
    return change.before.has_value() != change.after.has_value();
  };
  if (static_cast<size_t>(std::count_if(changes.begin(), changes.end(), shifts)) > shifts_max) {
    return merge_changes(changes, change_key, key_of, values);
  }
  for (const Change& change : changes) {
    const auto at =
        std::lower_bound(values->begin(), values->end(), change_key(change),
                         [&](const Value& value, const auto& key) { return key_of(value) < key; });
    const bool is_there = at != values->end() && key_of(*at) == change_key(change);
    CHECK(is_there == change.before.has_value());
    if (is_there && change.after) {
      *at = *change.after;
    } else if (is_there) {
      values->erase(at);
    } else if (change.after) {
      values->insert(at, *change.after);
    }
  }
}

const std::string& name_of(const Host& host) {
  return host.name;
}

const ServiceKey& service_key_of(const Service& service) {
  return service.key;
}

}  // namespace

ModelDelta difference(const Model& before, const Model& after) {
  ModelDelta delta;
  delta.hosts = compare<HostChange>(before.hosts, after.hosts, name_of);
  delta.services = compare<ServiceChange>(before.services, after.services, service_key_of);
  ClusterDefault old_default{before.cluster_default, before.shadowed_cluster_defaults};
  ClusterDefault new_default{after.cluster_default, after.shadowed_cluster_defaults};
  if (!(old_default == new_default)) {
    delta.cluster_default.emplace(std::move(old_default), std::move(new_default));
  }
  return delta;
}

ModelDelta reversed(ModelDelta delta) {
  for (HostChange& change : delta.hosts) std::swap(change.before, change.after);
  for (ServiceChange& change : delta.services) std::swap(change.before, change.after);
  if (delta.cluster_default) std::swap(delta.cluster_default->first, delta.cluster_default->second);
  return delta;
}

void apply(const ModelDelta& delta, Model* model) {
  apply_changes(
      delta.hosts, [](const HostChange& change) -> const std::string& { return change.name; },
      name_of, &model->hosts);
  apply_changes(
      delta.services, [](const ServiceChange& change) -> const ServiceKey& { return change.key; },
      service_key_of, &model->services);
  if (!delta.cluster_default) return;
  model->cluster_default = delta.cluster_default->second.route;
  model->shadowed_cluster_defaults = delta.cluster_default->second.shadowed;
}

}  // namespace millrace::model
