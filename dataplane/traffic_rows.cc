#include "dataplane/traffic_rows.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace millrace {
namespace {

using shm::RouteKind;
using shm::TrafficKind;
using shm::TrafficRef;

std::string route_name(const shm::RoutesSegment& segment, const shm::RouteRecord& route) {
  std::string name(segment.text(route.ingress_namespace));
  name.append("/").append(segment.text(route.ingress_name));
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

std::string service_name(const shm::SnapshotView& snapshot, uint32_t slot) {
  std::string name(snapshot.service_namespace(slot));
  name.append("/").append(snapshot.service_name(slot));
  return name.append(":").append(snapshot.service_port(slot));
}

}  // namespace

TrafficRows::TrafficRows(shm::TrafficPage& page) : page_(page) {
  const uint32_t own = page.row_count() - shm::traffic_rows_fixed;
  routes_.kind = TrafficKind::route;
  routes_.first = shm::traffic_rows_fixed;
  routes_.rows.resize(own / 2);
  services_.kind = TrafficKind::service;
  services_.first = routes_.first + own / 2;
  services_.rows.resize(own - own / 2);
}

// Rows of maps that are gone, and rows that nobody ever had.
void TrafficRows::find_spare(Rows& rows) {
  uint64_t oldest_live = number_;
  for (const auto& [number, map] : live_) oldest_live = std::min(oldest_live, number);
  rows.spare.clear();
  for (uint32_t i = 0; i < rows.rows.size(); ++i) {
    if (rows.rows[i].wanted_last < oldest_live) rows.spare.push_back(i);
  }
  std::stable_sort(rows.spare.begin(), rows.spare.end(), [&](uint32_t a, uint32_t b) {
    return rows.rows[a].wanted_last > rows.rows[b].wanted_last;
  });
}

TrafficRef TrafficRows::row_for(Rows& rows, std::string name) {
  if (const auto known = rows.by_name.find(name); known != rows.by_name.end()) {
    Rows::Row& row = rows.rows[known->second];
    row.wanted_last = number_;
    return {rows.first + known->second, row.generation};
  }
  // A spare one may have been asked for since they were looked for.
  while (!rows.spare.empty() && rows.rows[rows.spare.back()].wanted_last == number_) {
    rows.spare.pop_back();
  }
  if (rows.spare.empty()) {
    return {rows.kind == TrafficKind::route ? shm::traffic_row_other_routes
                                            : shm::traffic_row_other_services,
            0};
  }
  const uint32_t index = rows.spare.back();
  rows.spare.pop_back();
  Rows::Row& row = rows.rows[index];
  rows.by_name.erase(row.name);
  row.generation = page_.name_row(rows.first + index, rows.kind, name);
  row.wanted_last = number_;
  row.name = name;
  rows.by_name.emplace(std::move(name), index);
  return {rows.first + index, row.generation};
}

std::shared_ptr<const shm::TrafficMap> TrafficRows::map(const shm::SnapshotView& snapshot) {
  ++number_;
  std::erase_if(live_, [](const auto& live) { return live.second.expired(); });
  find_spare(routes_);
  find_spare(services_);
  auto map = std::make_shared<shm::TrafficMap>();
  for (uint32_t number = 0; number < snapshot.routes_segment_count(); ++number) {
    const shm::RoutesSegment& segment = snapshot.routes_segment(number);
    map->routes_before.push_back(static_cast<uint32_t>(map->routes.size()));
    for (uint32_t i = 0; i < segment.route_count; ++i) {
      if (map->routes.size() == routes_.rows.size()) break;
      map->routes.push_back(row_for(routes_, route_name(segment, segment.routes[i])));
    }
  }
  const auto slots = std::min<size_t>(snapshot.service_slot_count(), services_.rows.size());
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const bool in_use = (snapshot.service(slot).flags & shm::slot_in_use) != 0;
    map->services.push_back(in_use ? row_for(services_, service_name(snapshot, slot))
                                   : TrafficRef{shm::traffic_row_other_services, 0});
  }
  live_.emplace_back(number_, map);
  return map;
}

}  // namespace millrace
