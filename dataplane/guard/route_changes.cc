#include "dataplane/guard/route_changes.h"

#include <algorithm>
#include <bit>
#include <set>

#include "dataplane/route/router.h"

namespace millrace::guard {

namespace {

using shm::RouteKind;
using shm::SnapshotView;

// No host of anybody's begins so, and no path of anybody's ends so: what such a request finds is
// what the rest of a wildcard's hosts, or of a host's paths, finds.
constexpr char probe_label[] = "xn--millrace-probe";
constexpr char probe_path[] = "/.millrace-probe";

std::set<uint64_t> segment_ids(const SnapshotView& view) {
  std::set<uint64_t> ids;
  for (const shm::SegmentEntry& entry : view.directory()) ids.insert(entry.segment_id);
  return ids;
}

bool same_service(const SnapshotView& one, uint32_t slot, const SnapshotView& other,
                  uint32_t other_slot) {
  return one.service_namespace(slot) == other.service_namespace(other_slot) &&
         one.service_name(slot) == other.service_name(other_slot) &&
         one.service_port(slot) == other.service_port(other_slot);
}

bool same_policy(const SnapshotView& one, uint32_t slot, const SnapshotView& other,
                 uint32_t other_slot) {
  shm::ServicePolicy left = one.policy(slot);
  shm::ServicePolicy right = other.policy(other_slot);
  left.name_offset = right.name_offset = 0;  // where the name lies says nothing
  return std::bit_cast<uint64_t>(left) == std::bit_cast<uint64_t>(right) &&
         one.policy_name(slot) == other.policy_name(other_slot);
}

// The same machines, and every port of them another one.
bool ports_moved(const SnapshotView& before, uint32_t old_slot, const SnapshotView& after,
                 uint32_t slot) {
  const auto old_ones = before.endpoints(old_slot);
  bool shares_address = false;
  for (const shm::EndpointRecord& endpoint : after.endpoints(slot)) {
    for (const shm::EndpointRecord& old_one : old_ones) {
      if (old_one.address != endpoint.address) continue;
      if (old_one.port == endpoint.port) return false;
      shares_address = true;
    }
  }
  return shares_address;
}

std::string service_text(const SnapshotView& view, uint32_t slot) {
  std::string text(view.service_namespace(slot));
  if (text.empty()) return "nowhere";
  text.append("/").append(view.service_name(slot));
  return text.append(":").append(view.service_port(slot));
}

class Comparison {
 public:
  Comparison(const SnapshotView& before, const SnapshotView& after)
      : before_(before), after_(after), old_ids_(segment_ids(before)) {}

  std::vector<RouteChange> run() {
    const bool any_slot_moved = find_moved_slots();
    for (uint32_t segment = 0; segment < after_.routes_segment_count(); ++segment) {
      // The directory begins with the routes segments, in order.
      const bool is_new = !old_ids_.contains(after_.directory()[segment].segment_id);
      if (is_new || any_slot_moved) look_at(segment, is_new);
    }
    return std::move(changes_);
  }

 private:
  bool find_moved_slots() {
    const uint32_t slots = std::min(before_.service_slot_count(), after_.service_slot_count());
    for (uint32_t number = 0; number < after_.endpoints_segment_count(); ++number) {
      const auto entry = after_.directory()[after_.routes_segment_count() + number];
      if (old_ids_.contains(entry.segment_id)) continue;
      const shm::EndpointsSegment& segment = after_.endpoints_segment(number);
      const uint32_t end = std::min(slots, segment.first_slot + segment.slot_count);
      for (uint32_t slot = segment.first_slot; slot < end; ++slot) {
        if (!same_service(before_, slot, after_, slot)) continue;  // its routes are new as well
        if (ports_moved(before_, slot, after_, slot) || !same_policy(before_, slot, after_, slot)) {
          moved_slots_.insert(slot);
        }
      }
    }
    return !moved_slots_.empty();
  }

  void look_at(uint32_t segment_number, bool is_new) {
    const shm::RoutesSegment& segment = after_.routes_segment(segment_number);
    for (uint32_t i = 0; i < segment.route_count && changes_.size() < route_changes_max; ++i) {
      const uint32_t slot = segment.routes[i].service_slot;
      if (is_new || moved_slots_.contains(slot)) compare({segment_number, i});
    }
  }

  void compare(shm::RouteRef ref) {
    const shm::RoutesSegment& segment = after_.routes_segment(ref.segment);
    const shm::RouteRecord& route = segment.routes[ref.route];
    const auto kind = static_cast<RouteKind>(route.kind);
    std::string host(kind == RouteKind::cluster_default ? std::string_view("")
                                                        : segment.name(segment.hosts[route.host]));
    const std::string shown_host = host;
    if (host.starts_with("*.")) host = probe_label + host.substr(1);
    const bool is_path = kind == RouteKind::exact || kind == RouteKind::prefix ||
                         kind == RouteKind::implementation_specific;
    const std::string path(is_path ? segment.text(route.path) : std::string_view(probe_path));
    const route::RouteMatch old = route::match(before_, host, path);
    if (old.found == route::RouteFound::none) return;
    const bool leads_elsewhere =
        !same_service(before_, old.service_slot, after_, route.service_slot) ||
        !same_policy(before_, old.service_slot, after_, route.service_slot) ||
        ports_moved(before_, old.service_slot, after_, route.service_slot);
    if (!leads_elsewhere) return;
    RouteChange change;
    change.after = ref;
    change.before = old.route;
    change.slot = route.service_slot;
    change.text = "Ingress " + std::string(segment.text(route.ingress_namespace)) + '/' +
                  std::string(segment.text(route.ingress_name)) + ": " +
                  (shown_host.empty() ? std::string("*") : shown_host) +
                  (is_path ? path : std::string(" (default)")) + ", from " +
                  service_text(before_, old.service_slot) + " to " +
                  service_text(after_, route.service_slot);
    changes_.push_back(std::move(change));
  }

  const SnapshotView& before_;
  const SnapshotView& after_;
  const std::set<uint64_t> old_ids_;
  std::set<uint32_t> moved_slots_;
  std::vector<RouteChange> changes_;
};

}  // namespace

std::vector<RouteChange> find_route_changes(const SnapshotView& before, const SnapshotView& after) {
  return Comparison(before, after).run();
}

bool same_endpoints(const SnapshotView& one, uint32_t slot, const SnapshotView& other,
                    uint32_t other_slot) {
  const auto left = one.endpoints(slot);
  const auto right = other.endpoints(other_slot);
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const shm::EndpointRecord& a, const shm::EndpointRecord& b) {
                      return a.id == b.id;  // a hash of service, address and port
                    });
}

}  // namespace millrace::guard
