#include "controlplane/compile/live_table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "controlplane/compile/table_part.h"
#include "controlplane/compile/table_shape.h"
#include "shm/snapshot_hash.h"

namespace millrace::compile {

namespace {

uint32_t segment_of_host(const std::string& name, uint32_t segment_count) {
  return shm::segment_of(shm::host_hash(name), segment_count);
}

size_t routes_of(const model::Host& host) {
  return host.routes.size() + host.shadowed.size() + (host.default_route ? 1 : 0) +
         host.shadowed_defaults.size();
}

size_t routes_of(const model::ClusterDefault& rest) {
  return (rest.route ? 1 : 0) + rest.shadowed.size();
}

const model::Host& host_of(const model::Model& model, const std::string& name) {
  const auto at = std::lower_bound(
      model.hosts.begin(), model.hosts.end(), name,
      [](const model::Host& host, const std::string& wanted) { return host.name < wanted; });
  CHECK(at != model.hosts.end() && at->name == name);
  return *at;
}

const model::Service& service_of(const model::Model& model, const model::ServiceKey& key) {
  const auto at =
      std::lower_bound(model.services.begin(), model.services.end(), key,
                       [](const model::Service& service, const model::ServiceKey& wanted) {
                         return service.key < wanted;
                       });
  CHECK(at != model.services.end() && at->key == key);
  return *at;
}

// Hosts of one segment lie anywhere: the next one's routes are fetched while one is added.
void add_hosts(const std::vector<const model::Host*>& hosts, TablePart* part) {
  constexpr size_t line_bytes = 64;
  constexpr size_t lines_max = 32;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (i + 2 < hosts.size()) __builtin_prefetch(hosts[i + 2]);
    if (i + 1 < hosts.size()) {
      const std::vector<model::Route>& routes = hosts[i + 1]->routes;
      const size_t lines = std::min(lines_max, routes.size() * sizeof(model::Route) / line_bytes);
      const char* const first = reinterpret_cast<const char*>(routes.data());
      for (size_t line = 0; line < lines; ++line) __builtin_prefetch(first + line * line_bytes);
    }
    part->add_host(*hosts[i]);
  }
}

// A segment takes a tenth of a millisecond and more, a thread's start less.
constexpr size_t segments_a_thread = 8;

struct MadeSegment {
  Result<shm::BuiltSegment> segment = Error{"not made"};
  std::vector<k8s::Problem> problems;
};

bool same_segments(const std::vector<shm::BuiltSegment>& left,
                   const std::vector<shm::BuiltSegment>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const shm::BuiltSegment& one, const shm::BuiltSegment& other) {
                      return one.id == other.id && one.bytes == other.bytes;
                    });
}

// Those of before a step that gave up `removed` and gave slots to `added`.
SlotTable slots_before(const SlotTable& after, const std::map<model::ServiceKey, uint32_t>& removed,
                       const std::vector<model::ServiceKey>& added) {
  std::map<model::ServiceKey, uint32_t> slots = removed;
  for (uint32_t slot = 0; slot < after.slot_end(); ++slot) {
    if (const model::ServiceKey* key = after.key_of(slot)) slots.emplace(*key, slot);
  }
  for (const model::ServiceKey& key : added) slots.erase(key);
  std::optional<SlotTable> before = SlotTable::from(slots);
  CHECK(before.has_value());
  return std::move(*before);
}

}  // namespace

Result<bool> LiveTable::reset(const model::Model& model) {
  std::vector<uint32_t> slots;
  SlotTable before = slots_.next(model.services, &slots);
  std::swap(before, slots_);
  routes_ = model.route_count() + model.shadowed_count();
  Work work;
  work.shape = table_shape(routes_, slots_.slot_end());
  Result<bool> made = make_all(model, slots, std::move(work));
  if (!made) slots_ = std::move(before);
  return made;
}

Result<bool> LiveTable::update(const model::Model& model, const model::ModelDelta& delta) {
  if (is_behind_) return reset(model);
  std::vector<model::ServiceKey> removed;
  std::vector<model::ServiceKey> added;
  std::map<model::ServiceKey, uint32_t> given_up;
  Work work;
  const auto touch_slot = [&](uint32_t slot) {
    work.endpoints.insert(slot >> shape_.service_slot_shift);
  };
  for (const model::ServiceChange& change : delta.services) {
    if (!change.after) {
      const uint32_t slot = slots_.slot_of(change.key);
      touch_slot(slot);
      removed.push_back(change.key);
      given_up.emplace(change.key, slot);
    } else if (!change.before) {
      added.push_back(change.key);
    }
  }
  // The table stays as it was, so the next one begins with its slots.
  const auto or_undo = [&](Result<bool> made) {
    if (!made) slots_ = slots_before(slots_, given_up, added);
    return made;
  };
  const size_t services_before = slots_.size();
  slots_.step(removed, added);
  count(delta);
  work.shape = table_shape(routes_, slots_.slot_end());
  if (work.shape != shape_) {
    std::vector<uint32_t> slots;
    slots.reserve(model.services.size());
    for (const model::Service& service : model.services) {
      slots.push_back(slots_.slot_of(service.key));
    }
    return or_undo(make_all(model, slots, std::move(work)));
  }
  for (const model::ServiceChange& change : delta.services) {
    if (change.after) touch_slot(slots_.slot_of(change.key));
  }
  for (const model::HostChange& change : delta.hosts) {
    if (change.before.has_value() != change.after.has_value()) {
      place_host(change.name, change.after.has_value());
    }
    work.routes.insert(segment_of_host(change.name, shape_.routes_segment_count));
  }
  if (delta.cluster_default) work.routes.insert(segment_of_host("", shape_.routes_segment_count));
  const bool was_full = services_before >= services_max_ || slots_.size() >= services_max_;
  if (was_full && (!removed.empty() || !added.empty())) {
    for (uint32_t i = 0; i < shape_.routes_segment_count; ++i) work.routes.insert(i);
  }
  return or_undo(make(model, std::move(work)));
}

// Every segment. Another count of segments or slots of one kind is in every segment of the kind.
// slots: of the model's services.
Result<bool> LiveTable::make_all(const model::Model& model, const std::vector<uint32_t>& slots,
                                 Work work) {
  for (uint32_t i = 0; i < work.shape.routes_segment_count; ++i) work.routes.insert(i);
  work.endpoints.clear();
  const uint32_t endpoints = endpoints_segment_count(work.shape, work.shape.service_slot_count);
  for (uint32_t i = 0; i < endpoints; ++i) work.endpoints.insert(i);
  WholeModel& whole = work.whole.emplace();
  place_all_hosts(model, work.shape, &whole.hosts);
  whole.services.resize(work.shape.service_slot_count, nullptr);
  for (size_t i = 0; i < slots.size(); ++i) whole.services[slots[i]] = &model.services[i];
  return make(model, std::move(work));
}

Result<bool> LiveTable::make(const model::Model& model, Work work) {
  const uint32_t endpoints = endpoints_segment_count(work.shape, work.shape.service_slot_count);
  is_behind_ = true;
  if (endpoints > shm::segments_per_kind_max) return Error{"too many endpoints segments"};
  const uint32_t routes = work.shape.routes_segment_count;
  work.segments.resize(routes + endpoints);
  if (work.shape == shape_ && !segments_.empty()) {
    work.segments = segments_;
    work.problems = problems_;
  }
  std::vector<uint32_t> places(work.routes.begin(), work.routes.end());
  for (const uint32_t index : work.endpoints) places.push_back(routes + index);
  std::vector<MadeSegment> made(places.size());
  for_ranges(places.size(), segments_a_thread, threads_, [&](size_t first, size_t end) {
    for (size_t i = first; i < end; ++i) {
      made[i].segment = make_segment(model, work, places[i], &made[i].problems);
    }
  });
  for (size_t i = 0; i < places.size(); ++i) {
    if (!made[i].segment) return Error{made[i].segment.error()};
    work.segments[places[i]] = std::move(*made[i].segment);
    work.problems.erase(places[i]);
    if (!made[i].problems.empty()) work.problems[places[i]] = std::move(made[i].problems);
  }
  is_behind_ = false;
  const bool changed = work.shape != shape_ || !same_segments(work.segments, segments_);
  shape_ = work.shape;
  segments_ = std::move(work.segments);
  problems_ = std::move(work.problems);
  return changed;
}

Result<shm::BuiltSegment> LiveTable::make_segment(const model::Model& model, const Work& work,
                                                  uint32_t place,
                                                  std::vector<k8s::Problem>* problems) const {
  const uint32_t routes = work.shape.routes_segment_count;
  return place < routes ? make_routes(model, work, place, problems)
                        : make_endpoints(model, work, place - routes, problems);
}

Result<shm::BuiltSegment> LiveTable::make_routes(const model::Model& model, const Work& work,
                                                 uint32_t index,
                                                 std::vector<k8s::Problem>* problems) const {
  TablePart part(slots_, work.shape);
  if (work.whole) {
    add_hosts(work.whole->hosts[index], &part);
  } else {
    for (const std::string& name : hosts_[index]) part.add_host(host_of(model, name));
  }
  const model::ClusterDefault rest{model.cluster_default, model.shadowed_cluster_defaults};
  if (index == segment_of_host("", work.shape.routes_segment_count)) part.add_cluster_default(rest);
  std::vector<shm::RejectedRoute> rejected;
  auto segment = part.builder().build_routes_segment(index, &rejected);
  *problems = part.take_problems(rejected);
  return segment;
}

Result<shm::BuiltSegment> LiveTable::make_endpoints(const model::Model& model, const Work& work,
                                                    uint32_t index,
                                                    std::vector<k8s::Problem>* problems) const {
  TablePart part(slots_, work.shape);
  const uint32_t first = index << work.shape.service_slot_shift;
  const uint32_t end =
      std::min(work.shape.service_slot_count, first + (1U << work.shape.service_slot_shift));
  for (uint32_t slot = first; slot < end; ++slot) {
    if (work.whole) {
      const model::Service* const service = work.whole->services[slot];
      if (service != nullptr) part.add_service(*service, slot);
      continue;
    }
    const model::ServiceKey* const key = slots_.key_of(slot);
    if (key != nullptr) part.add_service(service_of(model, *key));
  }
  auto segment = part.builder().build_endpoints_segment(index, segment_endpoints_max_);
  *problems = part.take_problems({});
  return segment;
}

void LiveTable::place_host(const std::string& name, bool is_there) {
  std::vector<std::string>& names = hosts_[segment_of_host(name, shape_.routes_segment_count)];
  const auto at = std::lower_bound(names.begin(), names.end(), name);
  if (is_there) {
    names.insert(at, name);
  } else {
    CHECK(at != names.end() && *at == name);
    names.erase(at);
  }
}

void LiveTable::place_all_hosts(const model::Model& model, const shm::SnapshotShape& shape,
                                std::vector<std::vector<const model::Host*>>* placed) {
  const uint32_t segments = shape.routes_segment_count;
  hosts_.assign(segments, {});
  placed->assign(segments, {});
  for (uint32_t i = 0; i < segments; ++i) {
    hosts_[i].reserve(model.hosts.size() / segments + 16);
    (*placed)[i].reserve(model.hosts.size() / segments + 16);
  }
  for (const model::Host& host : model.hosts) {
    const uint32_t segment = segment_of_host(host.name, segments);
    hosts_[segment].push_back(host.name);
    (*placed)[segment].push_back(&host);
  }
}

void LiveTable::count(const model::ModelDelta& delta) {
  for (const model::HostChange& change : delta.hosts) {
    if (change.after) routes_ += routes_of(*change.after);
    if (change.before) routes_ -= routes_of(*change.before);
  }
  if (!delta.cluster_default) return;
  routes_ += routes_of(delta.cluster_default->second);
  routes_ -= routes_of(delta.cluster_default->first);
}

shm::BuiltSnapshot LiveTable::snapshot(uint64_t version) const {
  if (segments_.empty()) {
    LiveTable empty;
    CHECK(empty.reset({}).ok());
    return empty.snapshot(version);
  }
  return shm::assemble_snapshot(version, shape_, segments_);
}

std::vector<k8s::Problem> LiveTable::problems() const {
  k8s::ProblemList list;
  for (const auto& [place, problems] : problems_) {
    for (const k8s::Problem& problem : problems) list.add(problem);
  }
  return list.take();
}

}  // namespace millrace::compile
