#include "shm/routes_segment.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "shm/content_hash.h"
#include "shm/snapshot_hash.h"

namespace millrace::shm {
namespace {

uint32_t bucket_count_for(size_t entries) {
  const uint64_t wanted = std::bit_ceil(std::max<uint64_t>(entries, 1));
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, bucket_count_max));
}

// Which of the hashes, in their order, fit into their buckets.
std::vector<bool> fitting(const std::vector<uint64_t>& hashes, uint32_t bucket_count) {
  std::vector<uint32_t> lengths(bucket_count, 0);
  std::vector<bool> fits(hashes.size(), false);
  for (size_t i = 0; i < hashes.size(); ++i) {
    uint32_t& length = lengths[bucket_of(hashes[i], bucket_count)];
    fits[i] = length < bucket_length_max;
    if (fits[i]) ++length;
  }
  return fits;
}

// Compressed rows over records already sorted by bucket.
template <class Record>
std::vector<uint32_t> bucket_rows(const std::vector<Record>& records, uint32_t bucket_count) {
  std::vector<uint32_t> rows(bucket_count + 1, 0);
  for (const Record& record : records) ++rows[bucket_of(record.hash, bucket_count) + 1];
  for (uint32_t b = 0; b < bucket_count; ++b) rows[b + 1] += rows[b];
  return rows;
}

template <class Record>
uint64_t bytes_of(const std::vector<Record>& records) {
  return records.size() * sizeof(Record) + 8;
}

}  // namespace

bool RoutesSegmentBuilder::is_mine(const RouteInput& route) const {
  const uint64_t hash = route.host == index_none ? host_hash("") : input_.hosts[route.host].hash;
  return segment_of(hash, count_) == index_;
}

// ---- who stands where --------------------------------------------------------------------------

void RoutesSegmentBuilder::place_hosts() {
  // With the hash beside it: sorting hundreds of thousands must not fetch each host's own memory.
  struct Mine {
    uint64_t hash;
    uint32_t input;
  };
  std::vector<Mine> mine;
  std::vector<uint64_t> hashes;
  for (uint32_t i = 0; i < input_.hosts.size(); ++i) {
    const uint64_t hash = input_.hosts[i].hash;
    if (segment_of(hash, count_) != index_) continue;
    mine.push_back({hash, i});
    hashes.push_back(hash);
  }
  host_bucket_count_ = bucket_count_for(mine.size());
  const std::vector<bool> fits = fitting(hashes, host_bucket_count_);
  size_t kept = 0;
  for (size_t i = 0; i < mine.size(); ++i) {
    if (fits[i]) mine[kept++] = mine[i];
  }
  mine.resize(kept);
  std::sort(mine.begin(), mine.end(), [this](const Mine& a, const Mine& b) {
    const uint32_t bucket_a = bucket_of(a.hash, host_bucket_count_);
    const uint32_t bucket_b = bucket_of(b.hash, host_bucket_count_);
    if (bucket_a != bucket_b) return bucket_a < bucket_b;
    if (a.hash != b.hash) return a.hash < b.hash;
    return input_.hosts[a.input].name < input_.hosts[b.input].name;
  });
  placed_host_.assign(input_.hosts.size(), index_none);
  host_inputs_.reserve(mine.size());
  for (const Mine& host : mine) {
    placed_host_[host.input] = static_cast<uint32_t>(host_inputs_.size());
    host_inputs_.push_back(host.input);
  }
}

void RoutesSegmentBuilder::reject(uint32_t input, std::vector<RejectedRoute>& rejected) {
  const RouteInput& route = input_.routes[input];
  has_place_[input] = false;
  rejected.push_back({{input},
                      "host " + quoted(input_.hosts[route.host].name) + " path " +
                          quoted(route.path.substr(0, 80)) +
                          " is left out: too many keys share its hash bucket"});
}

void RoutesSegmentBuilder::plan_paths(std::vector<RejectedRoute>& rejected) {
  has_place_.assign(input_.routes.size(), false);
  for (uint32_t i = 0; i < input_.routes.size(); ++i) {
    const RouteInput& route = input_.routes[i];
    if (!is_mine(route)) continue;
    const uint32_t host = host_of(route);
    if (route.host != index_none && host == index_none) {
      reject(i, rejected);
      continue;
    }
    has_place_[i] = true;
    if (!is_path_kind(route.kind) || canonical_of(route).empty()) continue;
    PathPlan plan;
    plan.input = i;
    plan.host = host;
    plan.key = key_of(route.kind);
    plan.text = canonical_of(route);
    table_plans_.push_back(plan);
  }
  split_plans();
  place_table_paths(rejected);
  placed_route_.assign(input_.routes.size(), index_none);
  for (uint32_t i = 0; i < input_.routes.size(); ++i) {
    if (!has_place_[i]) continue;
    placed_route_[i] = static_cast<uint32_t>(route_inputs_.size());
    route_inputs_.push_back(i);
  }
}

// Takes the paths of those hosts out whose record has room for all of them.
void RoutesSegmentBuilder::split_plans() {
  struct Needs {
    uint32_t paths = 0;
    uint64_t text_bytes = 0;
  };
  std::vector<Needs> needs(host_inputs_.size());
  for (uint32_t i = 0; i < host_inputs_.size(); ++i) {
    const size_t name_bytes = input_.hosts[host_inputs_[i]].name.size();
    if (name_bytes <= host_text_bytes_max) needs[i].text_bytes = name_bytes;
  }
  for (const PathPlan& plan : table_plans_) {
    ++needs[plan.host].paths;
    needs[plan.host].text_bytes += plan.text.size();
  }
  const auto goes_to_table = [&](const PathPlan& plan) {
    const Needs& host = needs[plan.host];
    return host.paths > host_paths_max || host.text_bytes > host_text_bytes_max;
  };
  const auto middle =
      std::stable_partition(table_plans_.begin(), table_plans_.end(), goes_to_table);
  host_plans_.assign(middle, table_plans_.end());
  table_plans_.erase(middle, table_plans_.end());
  // By host, by key, the longest first, then by text: all but the text in one word.
  static_assert(path_bytes_max < 1U << 24);
  for (PathPlan& plan : host_plans_) {
    plan.hash = uint64_t{plan.host} << 32 | uint64_t{static_cast<uint8_t>(plan.key)} << 24 |
                ((1U << 24) - 1 - plan.text.size());
  }
  std::sort(host_plans_.begin(), host_plans_.end(), [](const PathPlan& a, const PathPlan& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.text < b.text;
  });
}

void RoutesSegmentBuilder::place_table_paths(std::vector<RejectedRoute>& rejected) {
  std::vector<uint64_t> hashes;
  for (PathPlan& plan : table_plans_) {
    plan.hash = path_hash(plan.host, plan.key, plan.text);
    hashes.push_back(plan.hash);
  }
  path_bucket_count_ = bucket_count_for(table_plans_.size());
  const std::vector<bool> fits = fitting(hashes, path_bucket_count_);
  std::vector<PathPlan> kept;
  for (size_t i = 0; i < table_plans_.size(); ++i) {
    if (fits[i]) {
      kept.push_back(table_plans_[i]);
    } else {
      reject(table_plans_[i].input, rejected);
    }
  }
  table_plans_ = std::move(kept);
  std::sort(table_plans_.begin(), table_plans_.end(), [this](const PathPlan& a, const PathPlan& b) {
    const auto place = [this](const PathPlan& plan) {
      return std::tuple(bucket_of(plan.hash, path_bucket_count_), plan.hash, plan.host, plan.key,
                        plan.text);
    };
    return place(a) < place(b);
  });
}

// ---- records -----------------------------------------------------------------------------------

void RoutesSegmentBuilder::fill_hosts() {
  hosts_.reserve(host_inputs_.size());
  for (uint32_t input : host_inputs_) {
    const HostInput& host = input_.hosts[input];
    const StringRef name = strings_.add_text(host.name);
    HostRecord record{};
    record.hash = host.hash;
    record.name_offset = name.offset;
    record.name_length = static_cast<uint8_t>(name.length);
    const HostKind kind = host.name.empty()          ? HostKind::empty
                          : host.name.front() == '*' ? HostKind::wildcard
                                                     : HostKind::precise;
    record.kind = static_cast<uint8_t>(kind);
    record.root = {index_none, 0};
    record.rest = {index_none, 0};
    // The name for all hosts is empty, and lies nowhere.
    if (!host.name.empty() && host.name.size() <= host_text_bytes_max) {
      std::memcpy(record.text, host.name.data(), host.name.size());
    }
    hosts_.push_back(record);
  }
}

RouteRecord RoutesSegmentBuilder::record_of(const RouteInput& route, uint32_t host,
                                            StringRef path) {
  RouteRecord record{};
  record.service_slot = route.service_slot;
  record.host = host;
  record.rule_index = route.rule_index;
  record.kind = static_cast<uint8_t>(route.kind);
  record.path = path;
  return record;
}

RouteTarget RoutesSegmentBuilder::target_of(uint32_t input) const {
  return {placed_route_[input], input_.routes[input].service_slot};
}

void RoutesSegmentBuilder::fill_routes() {
  routes_.reserve(route_inputs_.size());
  for (uint32_t i = 0; i < route_inputs_.size(); ++i) {
    const uint32_t input = route_inputs_[i];
    const RouteInput& route = input_.routes[input];
    const uint32_t host = host_of(route);
    routes_.push_back(record_of(route, host, strings_.add_text(route.path)));
    if (is_path_kind(route.kind) && canonical_of(route).empty()) {
      hosts_[host].root = target_of(input);
    }
    if (route.kind == RouteKind::host_default) hosts_[host].rest = target_of(input);
    if (route.kind == RouteKind::cluster_default) cluster_default_ = i;
  }
}

void RoutesSegmentBuilder::fill_shadowed() {
  for (const ShadowedInput& lost : input_.shadowed) {
    if (!is_mine(lost.route) || placed_route_[lost.winner] == index_none) continue;
    ShadowedRecord record{};
    record.route = record_of(lost.route, host_of(lost.route), strings_.add_text(lost.route.path));
    record.shadowed_by = placed_route_[lost.winner];
    shadowed_.push_back(record);
    shadowed_inputs_.push_back(&lost);
  }
}

void RoutesSegmentBuilder::fill_host_paths() {
  for (const PathPlan& plan : host_plans_) {
    HostRecord& host = hosts_[plan.host];
    const uint32_t offset = host_path_offset(host, host.path_count);
    HostPath& path = host.paths[host.path_count++];
    path.target = target_of(plan.input);
    path.key = static_cast<uint8_t>(plan.key);
    path.length = static_cast<uint8_t>(plan.text.size());
    std::memcpy(host.text + offset, plan.text.data(), plan.text.size());
  }
}

void RoutesSegmentBuilder::fill_table_paths() {
  paths_.reserve(table_plans_.size());
  for (const PathPlan& plan : table_plans_) {
    PathRecord record{};
    record.hash = plan.hash;
    record.host = plan.host;
    record.target = target_of(plan.input);
    record.text_offset = routes_[record.target.route].path.offset;
    record.text_length = static_cast<uint16_t>(plan.text.size());
    record.key = static_cast<uint8_t>(plan.key);
    paths_.push_back(record);
    HostRecord& host = hosts_[plan.host];
    if (plan.key == PathKey::exact) {
      host.exact_lengths |= exact_length_bit(plan.text.size());
    } else {
      host.prefix_depths |= uint64_t{1} << element_count(plan.text);
    }
  }
}

// Names come last: the texts before them stay in one piece.
void RoutesSegmentBuilder::fill_names() {
  PooledNames name(input_.names, strings_);
  for (uint32_t i = 0; i < routes_.size(); ++i) {
    const RouteInput& route = input_.routes[route_inputs_[i]];
    routes_[i].ingress_namespace = name(route.ingress_namespace);
    routes_[i].ingress_name = name(route.ingress_name);
  }
  for (uint32_t i = 0; i < shadowed_.size(); ++i) {
    const RouteInput& route = shadowed_inputs_[i]->route;
    shadowed_[i].route.ingress_namespace = name(route.ingress_namespace);
    shadowed_[i].route.ingress_name = name(route.ingress_name);
  }
}

Result<BuiltSegment> RoutesSegmentBuilder::build(std::vector<RejectedRoute>& rejected) {
  place_hosts();
  plan_paths(rejected);
  fill_hosts();
  fill_routes();
  fill_shadowed();
  fill_host_paths();
  fill_table_paths();
  fill_names();
  if (hosts_.size() > hosts_max) return Error{"too many hosts for one snapshot segment"};
  if (routes_.size() > routes_max || shadowed_.size() > routes_max) {
    return Error{"too many routes for one snapshot segment"};
  }
  return lay();
}

Result<BuiltSegment> RoutesSegmentBuilder::lay() {
  RoutesHeader header{};
  header.common = {routes_magic, snapshot_abi, static_cast<uint32_t>(SegmentKind::routes),
                   index_,       count_,       0};
  const std::vector<uint32_t> host_buckets = bucket_rows(hosts_, host_bucket_count_);
  const std::vector<uint32_t> path_buckets = bucket_rows(paths_, path_bucket_count_);
  SegmentBytes bytes(header, bytes_of(hosts_) + bytes_of(host_buckets) + bytes_of(path_buckets) +
                                 bytes_of(paths_) + bytes_of(routes_) + bytes_of(shadowed_) +
                                 strings_.bytes().size() + 8);
  header.hosts = bytes.append(hosts_);
  header.host_buckets = bytes.append(host_buckets);
  header.path_buckets = bytes.append(path_buckets);
  header.paths = bytes.append(paths_);
  header.routes = bytes.append(routes_);
  header.shadowed = bytes.append(shadowed_);
  header.strings = bytes.append(strings_.bytes());
  header.cluster_default_route = cluster_default_;
  if (bytes.size() > segment_bytes_max) return Error{"a routes segment exceeds 1 GiB"};
  BuiltSegment segment;
  segment.kind = SegmentKind::routes;
  segment.index = index_;
  segment.bytes = SharedBytes(bytes.finish(header));
  segment.id = content_hash(segment.bytes);
  segment.counts.hosts = static_cast<uint32_t>(hosts_.size());
  segment.counts.routes = static_cast<uint32_t>(routes_.size());
  segment.counts.shadowed = static_cast<uint32_t>(shadowed_.size());
  return segment;
}

}  // namespace millrace::shm
