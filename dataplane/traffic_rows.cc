#include "dataplane/traffic_rows.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace millrace {
namespace {

using shm::RouteKind;
using shm::TrafficKind;
using shm::TrafficRef;

// Into `name`, which keeps its memory from one to the next.
std::string_view route_name(const shm::RoutesSegment& segment, const shm::RouteRecord& route,
                            std::string& name) {
  name.assign(segment.text(route.ingress_namespace))
      .append("/")
      .append(segment.text(route.ingress_name));
  const auto kind = static_cast<RouteKind>(route.kind);
  if (kind != RouteKind::cluster_default) {
    const std::string_view host = segment.name(segment.hosts[route.host]);
    name.append(" ").append(host.empty() ? "*" : host);
  }
  if (kind == RouteKind::cluster_default || kind == RouteKind::host_default) {
    return name.append(" (default)");
  }
  name.append(segment.text(route.path));
  return kind == RouteKind::exact ? name.append(" (Exact)") : name;
}

std::string_view service_name(const shm::EndpointsSegment& segment, const shm::ServiceNames& names,
                              std::string& name) {
  name.assign(segment.text(names.service_namespace))
      .append("/")
      .append(segment.text(names.service_name));
  return name.append(":").append(segment.text(names.port));
}

TrafficRef others(TrafficKind kind) {
  return {
      kind == TrafficKind::route ? shm::traffic_row_other_routes : shm::traffic_row_other_services,
      0};
}

// Of one segment, as far as the map goes.
std::span<TrafficRef> routes_of(shm::TrafficMap& map, const shm::SnapshotView& snapshot,
                                uint32_t number) {
  const std::span<TrafficRef> rest = std::span(map.routes).subspan(map.routes_before[number]);
  return rest.first(std::min<size_t>(snapshot.routes_segment(number).route_count, rest.size()));
}
std::span<TrafficRef> services_of(shm::TrafficMap& map, const shm::SnapshotView& snapshot,
                                  uint32_t number) {
  const shm::EndpointsSegment& segment = snapshot.endpoints_segment(number);
  const std::span<TrafficRef> all(map.services);
  const std::span<TrafficRef> rest = all.subspan(std::min<size_t>(segment.first_slot, all.size()));
  return rest.first(std::min<size_t>(segment.slot_count, rest.size()));
}

}  // namespace

TrafficRows::TrafficRows(shm::TrafficPage& page) : page_(page) {
  const uint32_t own = page.row_count() - shm::traffic_rows_fixed;
  routes_.kind = TrafficKind::route;
  routes_.first = shm::traffic_rows_fixed;
  routes_.rows.resize(own / 2);
  routes_.wanted_last.resize(own / 2);
  services_.kind = TrafficKind::service;
  services_.first = routes_.first + own / 2;
  services_.rows.resize(own - own / 2);
  services_.wanted_last.resize(own - own / 2);
  routes_.by_name.reserve(routes_.rows.size());
  services_.by_name.reserve(services_.rows.size());
}

// Rows of maps that are gone. Looked for when the first one is needed.
void TrafficRows::find_spare(Rows& rows) {
  uint64_t oldest_live = number_;
  for (const auto& [number, map] : live_) oldest_live = std::min(oldest_live, number);
  rows.spare.clear();
  for (uint32_t i = 0; i < rows.fresh; ++i) {
    if (rows.wanted_last[i] < oldest_live) rows.spare.push_back({rows.wanted_last[i], i});
  }
  std::make_heap(rows.spare.begin(), rows.spare.end());
  rows.spare_is_found = true;
}

TrafficRef TrafficRows::row_for(Rows& rows, std::string_view name) {
  if (const auto known = rows.by_name.find(name); known != rows.by_name.end()) {
    rows.wanted_last[known->second] = number_;
    return {rows.first + known->second, rows.rows[known->second].generation};
  }
  const std::optional<uint32_t> index = take_spare(rows);
  if (!index) return others(rows.kind);
  Rows::Row& row = rows.rows[*index];
  row.generation = page_.name_row(rows.first + *index, rows.kind, name);
  row.name = name;
  rows.wanted_last[*index] = number_;
  rows.by_name.emplace(row.name, *index);
  return {rows.first + *index, row.generation};
}

std::optional<uint32_t> TrafficRows::take_spare(Rows& rows) {
  if (rows.fresh < rows.rows.size()) return rows.fresh++;
  if (!rows.spare_is_found) find_spare(rows);
  while (!rows.spare.empty()) {
    std::pop_heap(rows.spare.begin(), rows.spare.end());
    const uint32_t index = rows.spare.back().row;
    rows.spare.pop_back();
    // It may have been asked for since they were looked for.
    if (rows.wanted_last[index] == number_) continue;
    rows.by_name.erase(rows.rows[index].name);
    return index;
  }
  return std::nullopt;
}

// Rows are given away in map() alone, and none that its own map has: what the last map says of a
// segment still holds.
void TrafficRows::keep_rows(Rows& rows, const TrafficRef* before, std::span<TrafficRef> now) {
  for (TrafficRef& ref : now) {
    ref = *before++;
    if (ref.row >= rows.first) rows.wanted_last[ref.row - rows.first] = number_;
  }
}

void TrafficRows::keep_routes(const shm::SnapshotView& snapshot, const shm::TrafficMap& before,
                              shm::TrafficMap& map) {
  for (uint32_t number = 0; number < snapshot.routes_segment_count(); ++number) {
    if (number >= last_routes_.size()) return;
    if (snapshot.segment_identity(number) != last_routes_[number]) continue;
    const std::span<TrafficRef> now = routes_of(map, snapshot, number);
    const size_t first_before = before.routes_before[number];
    // The map before may have ended within the segment.
    if (first_before + now.size() > before.routes.size()) continue;
    keep_rows(routes_, before.routes.data() + first_before, now);
  }
}

void TrafficRows::keep_services(const shm::SnapshotView& snapshot, const shm::TrafficMap& before,
                                shm::TrafficMap& map) {
  for (uint32_t number = 0; number < snapshot.endpoints_segment_count(); ++number) {
    if (number >= last_services_.size()) return;
    const uint32_t place = snapshot.routes_segment_count() + number;
    if (snapshot.segment_identity(place) != last_services_[number]) continue;
    // The same segment, so the same slots.
    const std::span<TrafficRef> now = services_of(map, snapshot, number);
    const size_t first_slot = snapshot.endpoints_segment(number).first_slot;
    if (now.empty() || first_slot + now.size() > before.services.size()) continue;
    keep_rows(services_, before.services.data() + first_slot, now);
  }
}

// What has no row of its own yet: routes of other segments, and those for which no row was spare.
void TrafficRows::find_routes(const shm::SnapshotView& snapshot, shm::TrafficMap& map) {
  std::string name;
  for (uint32_t number = 0; number < snapshot.routes_segment_count(); ++number) {
    const shm::RoutesSegment& segment = snapshot.routes_segment(number);
    const std::span<TrafficRef> refs = routes_of(map, snapshot, number);
    for (size_t i = 0; i < refs.size(); ++i) {
      if (refs[i].row >= routes_.first) continue;
      refs[i] = row_for(routes_, route_name(segment, segment.routes[i], name));
    }
  }
}

void TrafficRows::find_services(const shm::SnapshotView& snapshot, shm::TrafficMap& map) {
  std::string name;
  for (uint32_t number = 0; number < snapshot.endpoints_segment_count(); ++number) {
    const shm::EndpointsSegment& segment = snapshot.endpoints_segment(number);
    const std::span<TrafficRef> refs = services_of(map, snapshot, number);
    for (size_t i = 0; i < refs.size(); ++i) {
      if (refs[i].row >= services_.first) continue;
      if ((segment.names[i].flags & shm::slot_in_use) == 0) continue;
      refs[i] = row_for(services_, service_name(segment, segment.names[i], name));
    }
  }
}

std::shared_ptr<const shm::TrafficMap> TrafficRows::map(const shm::SnapshotView& snapshot) {
  const std::shared_ptr<const shm::TrafficMap> before =
      live_.empty() ? nullptr : live_.back().second.lock();
  ++number_;
  std::erase_if(live_, [](const auto& live) { return live.second.expired(); });
  routes_.spare_is_found = services_.spare_is_found = false;
  auto map = std::make_shared<shm::TrafficMap>();
  size_t routes = 0;
  for (uint32_t number = 0; number < snapshot.routes_segment_count(); ++number) {
    map->routes_before.push_back(static_cast<uint32_t>(routes));
    routes += snapshot.routes_segment(number).route_count;
    routes = std::min(routes, routes_.rows.size());
  }
  map->routes.resize(routes, others(TrafficKind::route));
  map->services.resize(std::min<size_t>(snapshot.service_slot_count(), services_.rows.size()),
                       others(TrafficKind::service));
  // First whatever has its row, so that nobody else is given it.
  if (before != nullptr) {
    keep_routes(snapshot, *before, *map);
    keep_services(snapshot, *before, *map);
  }
  find_routes(snapshot, *map);
  find_services(snapshot, *map);
  last_routes_.clear();
  last_services_.clear();
  for (uint32_t place = 0; place < snapshot.directory().size(); ++place) {
    const bool is_routes = place < snapshot.routes_segment_count();
    (is_routes ? last_routes_ : last_services_).push_back(snapshot.segment_identity(place));
  }
  live_.emplace_back(number_, map);
  return map;
}

}  // namespace millrace
