// The validator. Everything a reader will ever index or follow is proven here, once, in one pass a
// section. Time is linear in the bytes: names and paths that are hashed lie one behind the other in
// the strings, so no run of bytes is hashed for many records.
#include <bit>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <tuple>
#include <utility>

#include "base/address.h"
#include "shm/content_hash.h"
#include "shm/snapshot.h"
#include "shm/snapshot_hash.h"

namespace millrace::shm {
namespace {

constexpr uint64_t round_up_8(uint64_t value) {
  return (value + 7) & ~uint64_t{7};
}

bool aligned(ByteView bytes) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0;
}

bool is_host_octet(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_prefix_kind(uint8_t kind) {
  return kind == static_cast<uint8_t>(RouteKind::prefix) ||
         kind == static_cast<uint8_t>(RouteKind::implementation_specific);
}
bool is_path_kind(uint8_t kind) {
  return kind == static_cast<uint8_t>(RouteKind::exact) || is_prefix_kind(kind);
}

}  // namespace

class SnapshotValidator {
 public:
  SnapshotValidator(ByteView root, std::span<const ByteView> segments)
      : root_bytes_(root), segment_bytes_(segments) {}

  Result<SnapshotView> run() {
    if (!check_root() || !check_directory()) return Error{error_};
    view_.routes_.resize(root_->routes_segment_count);
    view_.endpoints_.resize(root_->endpoints_segment_count);
    for (uint32_t i = 0; i < root_->routes_segment_count; ++i) {
      if (!check_routes_segment(i)) return Error{error_};
    }
    for (uint32_t i = 0; i < root_->endpoints_segment_count; ++i) {
      if (!check_endpoints_segment(i)) return Error{error_};
    }
    if (!check_sums()) return Error{error_};
    view_.root_ = root_;
    view_.slot_mask_ = (1U << root_->service_slot_shift) - 1;
    return std::move(view_);
  }

 private:
  // ---- reporting ----
  [[gnu::format(printf, 2, 3)]] bool fail(const char* format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_ = "snapshot refused: " + where_ + text;
    return false;
  }

  // ---- root ----
  bool check_root();
  bool check_directory();
  bool check_sums();

  // ---- segments ----
  template <class Header>
  const Header* open_segment(ByteView bytes, const SegmentEntry& entry, uint64_t magic);
  template <class Record>
  bool take_section(const char* name, const Section& section, uint64_t count_max,
                    const Record** records);
  bool take_strings(const Section& section, const char** strings);
  bool close_segment();
  bool check_buckets(const char* name, const uint32_t* buckets, const Section& section,
                     uint32_t entry_count, uint32_t* bucket_count);
  bool check_name(const char* record, uint32_t index, const char* field, StringRef ref,
                  uint32_t length_max);
  // A string that is hashed or compared whole: they follow one another without overlap.
  bool take_text(const char* record, uint32_t index, const char* field, StringRef ref,
                 uint32_t length_max);

  bool check_routes_segment(uint32_t index);
  bool check_hosts(uint32_t segment);
  bool check_host(uint32_t segment, uint32_t bucket, uint32_t index, bool first_in_bucket);
  bool check_route(const char* record, uint32_t index, const RouteRecord& route);
  bool check_routes();
  bool take_target(const char* record, uint32_t index, const char* field,
                   const RouteTarget& target);
  bool check_host_defaults(uint32_t index);
  bool check_host_paths(uint32_t index);
  bool check_host_path(uint32_t index, uint32_t number);
  bool check_key(const char* record, uint32_t index, uint8_t key);
  bool check_key_of_route(const char* record, uint32_t index, uint8_t key,
                          const RouteRecord& route);
  std::string_view canonical_of(const RouteRecord& route) const;
  bool check_defaults(uint32_t segment, const RoutesHeader& header);
  bool check_paths();
  bool check_path(uint32_t bucket, uint32_t index, bool first_in_bucket);
  bool check_path_route(uint32_t index, const PathRecord& path);
  bool check_shadowed();
  bool refer_to_route(const char* record, uint32_t index, uint32_t route);

  bool check_endpoints_segment(uint32_t index);
  bool check_slots(const EndpointsSegment& segment);
  bool check_row(const EndpointsSegment& segment, uint32_t slot);
  bool check_endpoint(uint32_t index, const EndpointRecord& record);

  ByteView root_bytes_;
  std::span<const ByteView> segment_bytes_;
  const RootHeader* root_ = nullptr;
  const SegmentEntry* directory_ = nullptr;
  SnapshotView view_;
  std::string error_;
  std::string where_;  // "routes segment 0: "

  // Of the segment being checked.
  ByteView bytes_;
  uint64_t at_ = 0;        // where the next section begins
  uint64_t text_end_ = 0;  // where the next hashed text may begin, in the strings
  uint64_t string_bytes_ = 0;
  RoutesSegment routes_;
  std::vector<uint8_t> referred_;  // by route: some path or default leads to it
  std::vector<uint64_t> depths_;   // by host
  std::vector<uint32_t> lengths_;  // by host
  uint64_t host_sum_ = 0;
  uint64_t route_sum_ = 0;
  uint64_t shadowed_sum_ = 0;
  uint64_t endpoint_sum_ = 0;
};

Result<SnapshotView> SnapshotView::validate(ByteView root, std::span<const ByteView> segments) {
  return SnapshotValidator(root, segments).run();
}

// ---- root ------------------------------------------------------------------------------------

bool SnapshotValidator::check_root() {
  where_ = "root: ";
  if (root_bytes_.size() < sizeof(RootHeader)) return fail("too short for its header");
  if (!aligned(root_bytes_)) return fail("not aligned to 8 bytes");
  root_ = reinterpret_cast<const RootHeader*>(root_bytes_.data());
  if (root_->magic != root_magic) return fail("magic is not a snapshot's");
  if (root_->abi < snapshot_abi_min || root_->abi > snapshot_abi_max) {
    return fail("abi %u is outside the range %u to %u that this build reads", root_->abi,
                snapshot_abi_min, snapshot_abi_max);
  }
  if (root_->header_bytes != sizeof(RootHeader)) return fail("header_bytes is not the header's");
  if (root_->total_bytes != root_bytes_.size()) return fail("total_bytes is not its size");
  if (root_->checksum != root_checksum(root_bytes_)) return fail("checksum does not match");
  const uint64_t unknown = root_->features_required & ~features_required_known;
  if (unknown != 0) {
    return fail("features_required has bits 0x%" PRIx64 " that this build does not know", unknown);
  }
  if (root_->reserved != 0) return fail("reserved is not zero");
  return true;
}

bool SnapshotValidator::check_directory() {
  const RootHeader& root = *root_;
  if (root.routes_segment_count == 0 || root.routes_segment_count > segments_per_kind_max ||
      !std::has_single_bit(root.routes_segment_count)) {
    return fail("routes_segment_count %u is not a power of two up to %u", root.routes_segment_count,
                segments_per_kind_max);
  }
  if (root.service_slot_shift > service_slot_shift_max) return fail("service_slot_shift too large");
  if (root.service_slot_count > service_slots_max) return fail("service_slot_count too large");
  const uint64_t per_segment = uint64_t{1} << root.service_slot_shift;
  const uint64_t needed = (root.service_slot_count + per_segment - 1) / per_segment;
  const uint64_t endpoints_segments = needed == 0 ? 1 : needed;
  if (endpoints_segments > segments_per_kind_max ||
      root.endpoints_segment_count != endpoints_segments) {
    return fail("endpoints_segment_count %u does not fit service_slot_count",
                root.endpoints_segment_count);
  }
  if (root.segment_count != root.routes_segment_count + root.endpoints_segment_count) {
    return fail("segment_count is not the sum of both kinds");
  }
  if (root_bytes_.size() !=
      sizeof(RootHeader) + uint64_t{root.segment_count} * sizeof(SegmentEntry)) {
    return fail("total_bytes does not fit segment_count");
  }
  if (segment_bytes_.size() != root.segment_count) {
    return fail("segment_count is %u but %zu segments are there", root.segment_count,
                segment_bytes_.size());
  }
  directory_ = reinterpret_cast<const SegmentEntry*>(root_ + 1);
  for (uint32_t i = 0; i < root.segment_count; ++i) {
    const SegmentEntry& entry = directory_[i];
    const bool is_routes = i < root.routes_segment_count;
    const SegmentKind kind = is_routes ? SegmentKind::routes : SegmentKind::endpoints;
    const uint32_t index = is_routes ? i : i - root.routes_segment_count;
    const uint32_t count = is_routes ? root.routes_segment_count : root.endpoints_segment_count;
    if (entry.kind != static_cast<uint32_t>(kind)) return fail("segment %u: kind is wrong", i);
    if (entry.index != index) return fail("segment %u: index is wrong", i);
    if (entry.count != count) return fail("segment %u: count is wrong", i);
    if (entry.reserved != 0) return fail("segment %u: reserved is not zero", i);
    if (entry.total_bytes > segment_bytes_max) return fail("segment %u: total_bytes too large", i);
    if (entry.total_bytes != segment_bytes_[i].size()) {
      return fail("segment %u: total_bytes is not its size", i);
    }
  }
  return true;
}

bool SnapshotValidator::check_sums() {
  where_ = "root: ";
  if (root_->host_count != host_sum_) return fail("host_count is not the segments' sum");
  if (root_->route_count != route_sum_) return fail("route_count is not the segments' sum");
  if (root_->shadowed_count != shadowed_sum_) return fail("shadowed_count is not the sum");
  if (root_->endpoint_count != endpoint_sum_) return fail("endpoint_count is not the sum");
  return true;
}

// ---- what both kinds of segment share
// ------------------------------------------------------------

template <class Header>
const Header* SnapshotValidator::open_segment(ByteView bytes, const SegmentEntry& entry,
                                              uint64_t magic) {
  bytes_ = bytes;
  text_end_ = 0;
  if (bytes.size() < sizeof(Header) || bytes.size() % 8 != 0) {
    fail("its size does not hold its header");
    return nullptr;
  }
  if (!aligned(bytes)) {
    fail("not aligned to 8 bytes");
    return nullptr;
  }
  if (content_hash(bytes) != entry.segment_id) {
    fail("segment_id is not the hash of its bytes");
    return nullptr;
  }
  const Header* header = reinterpret_cast<const Header*>(bytes.data());
  const SegmentHeader& common = header->common;
  if (common.magic != magic || common.abi != root_->abi || common.kind != entry.kind) {
    fail("magic, abi or kind is wrong");
    return nullptr;
  }
  if (common.index != entry.index || common.count != entry.count) {
    fail("index or count is not the directory's");
    return nullptr;
  }
  if (common.total_bytes != bytes.size()) {
    fail("total_bytes is not its size");
    return nullptr;
  }
  if (header->reserved != 0) {
    fail("reserved is not zero");
    return nullptr;
  }
  at_ = sizeof(Header);
  return header;
}

template <class Record>
bool SnapshotValidator::take_section(const char* name, const Section& section, uint64_t count_max,
                                     const Record** records) {
  if (section.offset != at_) return fail("section %s: offset is not where it must begin", name);
  if (section.count > count_max)
    return fail("section %s: count %u is too large", name, section.count);
  const uint64_t end = at_ + uint64_t{section.count} * sizeof(Record);
  const uint64_t next = round_up_8(end);
  if (next > bytes_.size())
    return fail("section %s: count %u runs past the end", name, section.count);
  for (uint64_t i = end; i < next; ++i) {
    if (bytes_[i] != 0) return fail("section %s: the bytes behind it are not zero", name);
  }
  *records = reinterpret_cast<const Record*>(bytes_.data() + at_);
  at_ = next;
  return true;
}

bool SnapshotValidator::take_strings(const Section& section, const char** strings) {
  if (!take_section("strings", section, segment_bytes_max, strings)) return false;
  string_bytes_ = section.count;
  for (uint64_t i = 0; i < string_bytes_; ++i) {
    const uint8_t octet = static_cast<uint8_t>((*strings)[i]);
    if (octet < 0x20 || octet == 0x7f) {
      return fail("strings: control byte 0x%02x at %" PRIu64, octet, i);
    }
  }
  return true;
}

bool SnapshotValidator::close_segment() {
  if (at_ != bytes_.size()) return fail("total_bytes: there are bytes behind the last section");
  return true;
}

bool SnapshotValidator::check_buckets(const char* name, const uint32_t* buckets,
                                      const Section& section, uint32_t entry_count,
                                      uint32_t* bucket_count) {
  if (section.count < 2 || !std::has_single_bit(section.count - 1)) {
    return fail("section %s: count %u is not a power of two and one", name, section.count);
  }
  *bucket_count = section.count - 1;
  if (buckets[0] != 0) return fail("%s: bucket 0 does not begin at 0", name);
  for (uint32_t b = 0; b < *bucket_count; ++b) {
    if (buckets[b + 1] < buckets[b]) return fail("%s: bucket %u ends before it begins", name, b);
    if (buckets[b + 1] - buckets[b] > bucket_length_max) {
      return fail("%s: bucket %u is longer than %u", name, b, bucket_length_max);
    }
  }
  if (buckets[*bucket_count] != entry_count) {
    return fail("%s: the last bucket does not end at the last entry", name);
  }
  return true;
}

bool SnapshotValidator::check_name(const char* record, uint32_t index, const char* field,
                                   StringRef ref, uint32_t length_max) {
  if (ref.length > length_max) return fail("%s %u: %s is too long", record, index, field);
  if (uint64_t{ref.offset} + ref.length > string_bytes_) {
    return fail("%s %u: %s is outside the strings", record, index, field);
  }
  return true;
}

bool SnapshotValidator::take_text(const char* record, uint32_t index, const char* field,
                                  StringRef ref, uint32_t length_max) {
  if (!check_name(record, index, field, ref, length_max)) return false;
  if (ref.offset < text_end_) {
    return fail("%s %u: %s overlaps the text before it", record, index, field);
  }
  text_end_ = uint64_t{ref.offset} + ref.length;
  return true;
}

// ---- routes segment ----------------------------------------------------------------------------

bool SnapshotValidator::check_routes_segment(uint32_t index) {
  where_ = "routes segment " + std::to_string(index) + ": ";
  const RoutesHeader* header =
      open_segment<RoutesHeader>(segment_bytes_[index], directory_[index], routes_magic);
  if (header == nullptr) return false;
  RoutesSegment& s = routes_;
  s = RoutesSegment{};
  constexpr uint64_t buckets_max = uint64_t{bucket_count_max} + 1;
  for (const uint64_t padding : header->padding) {
    if (padding != 0) return fail("padding is not zero");
  }
  if (!take_section("hosts", header->hosts, hosts_max, &s.hosts) ||
      !take_section("host_buckets", header->host_buckets, buckets_max, &s.host_buckets) ||
      !take_section("path_buckets", header->path_buckets, buckets_max, &s.path_buckets) ||
      !take_section("paths", header->paths, routes_max, &s.paths) ||
      !take_section("routes", header->routes, routes_max, &s.routes) ||
      !take_section("shadowed", header->shadowed, routes_max, &s.shadowed) ||
      !take_strings(header->strings, &s.strings) || !close_segment()) {
    return false;
  }
  s.host_count = header->hosts.count;
  s.path_count = header->paths.count;
  s.route_count = header->routes.count;
  s.shadowed_count = header->shadowed.count;
  referred_.assign(s.route_count, 0);
  depths_.assign(s.host_count, 0);
  lengths_.assign(s.host_count, 0);
  if (!check_buckets("host_buckets", s.host_buckets, header->host_buckets, s.host_count,
                     &s.host_bucket_count) ||
      !check_buckets("path_buckets", s.path_buckets, header->path_buckets, s.path_count,
                     &s.path_bucket_count) ||
      !check_hosts(index) || !check_routes() || !check_defaults(index, *header) || !check_paths() ||
      !check_shadowed()) {
    return false;
  }
  host_sum_ += s.host_count;
  route_sum_ += s.route_count;
  shadowed_sum_ += s.shadowed_count;
  view_.has_wildcards_ |= s.has_wildcards;
  if (s.empty_host != index_none) view_.empty_host_ = {index, s.empty_host};
  if (s.cluster_default_route != index_none) {
    view_.cluster_default_ = {index, s.cluster_default_route};
  }
  view_.routes_[index] = s;
  return true;
}

bool SnapshotValidator::check_hosts(uint32_t segment) {
  for (uint32_t b = 0; b < routes_.host_bucket_count; ++b) {
    const uint32_t begin = routes_.host_buckets[b];
    for (uint32_t i = begin; i < routes_.host_buckets[b + 1]; ++i) {
      if (!check_host(segment, b, i, i == begin)) return false;
    }
  }
  return true;
}

bool SnapshotValidator::check_host(uint32_t segment, uint32_t bucket, uint32_t index,
                                   bool first_in_bucket) {
  const HostRecord& host = routes_.hosts[index];
  if (!take_text("host", index, "name", {host.name_offset, host.name_length}, host_bytes_max)) {
    return false;
  }
  const std::string_view name = routes_.name(host);
  const bool starred = name.substr(0, 2) == "*.";
  for (char c : starred ? name.substr(2) : name) {
    if (!is_host_octet(c)) return fail("host %u: name has a byte that no host has", index);
  }
  const HostKind kind = name.empty() ? HostKind::empty
                        : starred    ? HostKind::wildcard
                                     : HostKind::precise;
  if (host.kind != static_cast<uint8_t>(kind))
    return fail("host %u: kind is not its name's", index);
  if (starred && name.size() < 3) return fail("host %u: name has no suffix", index);
  if (host.hash != host_hash(name)) return fail("host %u: hash is not its name's", index);
  if (bucket_of(host.hash, routes_.host_bucket_count) != bucket) {
    return fail("host %u: hash belongs to another bucket", index);
  }
  if (segment_of(host.hash, root_->routes_segment_count) != segment) {
    return fail("host %u: hash belongs to another segment", index);
  }
  if (!first_in_bucket) {
    const HostRecord& before = routes_.hosts[index - 1];
    const bool ascends =
        before.hash != host.hash ? before.hash < host.hash : routes_.name(before) < name;
    if (!ascends) return fail("host %u: out of order or twice", index);
  }
  if (host.reserved != 0) return fail("host %u: reserved is not zero", index);
  if (kind == HostKind::empty) routes_.empty_host = index;
  if (kind == HostKind::wildcard) routes_.has_wildcards = true;
  return true;
}

bool SnapshotValidator::check_route(const char* record, uint32_t index, const RouteRecord& route) {
  if (route.service_slot >= root_->service_slot_count) {
    return fail("%s %u: service_slot %u does not exist", record, index, route.service_slot);
  }
  if (route.kind < static_cast<uint8_t>(RouteKind::exact) ||
      route.kind > static_cast<uint8_t>(RouteKind::cluster_default)) {
    return fail("%s %u: kind is unknown", record, index);
  }
  if (route.flags != 0 || route.reserved != 0) {
    return fail("%s %u: flags or reserved is not zero", record, index);
  }
  const bool of_cluster = route.kind == static_cast<uint8_t>(RouteKind::cluster_default);
  if (of_cluster ? route.host != index_none : route.host >= routes_.host_count) {
    return fail("%s %u: host does not exist", record, index);
  }
  if (!check_name(record, index, "ingress_namespace", route.ingress_namespace,
                  object_name_bytes_max) ||
      !check_name(record, index, "ingress_name", route.ingress_name, object_name_bytes_max) ||
      !take_text(record, index, "path", route.path, path_bytes_max)) {
    return false;
  }
  const std::string_view path = routes_.text(route.path);
  if (is_path_kind(route.kind) ? path.empty() || path.front() != '/' : !path.empty()) {
    return fail("%s %u: path does not fit its kind", record, index);
  }
  return true;
}

bool SnapshotValidator::check_routes() {
  for (uint32_t i = 0; i < routes_.route_count; ++i) {
    if (!check_route("route", i, routes_.routes[i])) return false;
  }
  return true;
}

// Every route has exactly one way in, so that a wrong index cannot hide behind a right one.
bool SnapshotValidator::refer_to_route(const char* record, uint32_t index, uint32_t route) {
  if (route >= routes_.route_count) return fail("%s %u: route does not exist", record, index);
  if (referred_[route] != 0) return fail("%s %u: route is another record's", record, index);
  referred_[route] = 1;
  return true;
}

// The way to a route and to its service slot; nothing else may stand where there is none.
bool SnapshotValidator::take_target(const char* record, uint32_t index, const char* field,
                                    const RouteTarget& target) {
  if (target.route == index_none) {
    if (target.service_slot == 0) return true;
    return fail("%s %u: %s has a service_slot without a route", record, index, field);
  }
  if (!refer_to_route(record, index, target.route)) return false;
  if (target.service_slot != routes_.routes[target.route].service_slot) {
    return fail("%s %u: %s has another service_slot than its route", record, index, field);
  }
  return true;
}

bool SnapshotValidator::check_host_defaults(uint32_t index) {
  const HostRecord& host = routes_.hosts[index];
  if (!take_target("host", index, "root", host.root) ||
      !take_target("host", index, "rest", host.rest)) {
    return false;
  }
  if (host.root.route != index_none) {
    const RouteRecord& record = routes_.routes[host.root.route];
    if (!is_prefix_kind(record.kind) || record.host != index || record.path.length != 1) {
      return fail("host %u: root is not this host's Prefix \"/\"", index);
    }
  }
  if (host.rest.route != index_none) {
    const RouteRecord& record = routes_.routes[host.rest.route];
    if (record.kind != static_cast<uint8_t>(RouteKind::host_default) || record.host != index) {
      return fail("host %u: rest is not a default of this host", index);
    }
  }
  return true;
}

// The paths that lie in the host's record.
bool SnapshotValidator::check_host_paths(uint32_t index) {
  const HostRecord& host = routes_.hosts[index];
  if (host.path_count > host_paths_max) return fail("host %u: path_count is too large", index);
  if (host.path_count > 0 && (host.prefix_depths != 0 || host.exact_lengths != 0)) {
    return fail("host %u: has paths in its record and in the table", index);
  }
  uint32_t end = host_name_text_bytes(host);
  if (routes_.name(host).substr(0, end) != std::string_view(host.text, end)) {
    return fail("host %u: text does not begin with its name", index);
  }
  for (uint32_t i = 0; i < host_paths_max; ++i) {
    const HostPath& path = host.paths[i];
    if (i >= host.path_count) {
      if (path.target.route != 0 || path.target.service_slot != 0 || path.key != 0 ||
          path.length != 0 || path.reserved != 0) {
        return fail("host %u: path %u is not there and not zero", index, i);
      }
      continue;
    }
    end += path.length;
    if (end > host_text_bytes_max) return fail("host %u: path %u is outside its text", index, i);
    if (!check_host_path(index, i)) return false;
  }
  for (; end < host_text_bytes_max; ++end) {
    if (host.text[end] != 0) return fail("host %u: text has bytes behind its last path", index);
  }
  return true;
}

bool SnapshotValidator::check_host_path(uint32_t index, uint32_t number) {
  const HostRecord& host = routes_.hosts[index];
  const HostPath& path = host.paths[number];
  const std::string_view text = RoutesSegment::text(host, number);
  if (path.reserved != 0) return fail("host %u: path %u: reserved is not zero", index, number);
  if (!check_key("host", index, path.key)) return false;
  if (path.target.route == index_none) return fail("host %u: path %u has no route", index, number);
  if (!take_target("host", index, "path", path.target)) return false;
  const RouteRecord& route = routes_.routes[path.target.route];
  if (route.host != index) return fail("host %u: path %u: host is not its route's", index, number);
  if (!check_key_of_route("host", index, path.key, route)) return false;
  if (text != canonical_of(route)) {
    return fail("host %u: path %u: text is not its route's canonical path", index, number);
  }
  const bool prefix = path.key == static_cast<uint8_t>(PathKey::prefix);
  if (text.empty() || (prefix && element_count(text) > prefix_elements_max)) {
    return fail("host %u: path %u: text is empty or has too many elements", index, number);
  }
  if (number == 0) return true;
  const HostPath& before = host.paths[number - 1];
  const std::string_view text_before = RoutesSegment::text(host, number - 1);
  const bool ascends = before.key != path.key         ? before.key < path.key
                       : before.length != path.length ? before.length > path.length
                                                      : text_before < text;
  if (!ascends) return fail("host %u: path %u: out of order or twice", index, number);
  return true;
}

bool SnapshotValidator::check_defaults(uint32_t segment, const RoutesHeader& header) {
  for (uint32_t i = 0; i < routes_.host_count; ++i) {
    if (!check_host_defaults(i) || !check_host_paths(i)) return false;
  }
  const uint32_t route = header.cluster_default_route;
  routes_.cluster_default_route = route;
  if (route == index_none) return true;
  if (segment != segment_of(host_hash(""), root_->routes_segment_count)) {
    return fail("cluster_default_route stands in the wrong segment");
  }
  if (!refer_to_route("header", 0, route)) return false;
  if (routes_.routes[route].kind != static_cast<uint8_t>(RouteKind::cluster_default)) {
    return fail("cluster_default_route is not a cluster default");
  }
  return true;
}

bool SnapshotValidator::check_paths() {
  for (uint32_t b = 0; b < routes_.path_bucket_count; ++b) {
    const uint32_t begin = routes_.path_buckets[b];
    for (uint32_t i = begin; i < routes_.path_buckets[b + 1]; ++i) {
      if (!check_path(b, i, i == begin)) return false;
    }
  }
  for (uint32_t i = 0; i < routes_.host_count; ++i) {
    const HostRecord& host = routes_.hosts[i];
    if (host.prefix_depths != depths_[i])
      return fail("host %u: prefix_depths are not its paths'", i);
    if (host.exact_lengths != lengths_[i]) {
      return fail("host %u: exact_lengths are not its paths'", i);
    }
  }
  for (uint32_t i = 0; i < routes_.route_count; ++i) {
    if (referred_[i] == 0) return fail("route %u: no path or default leads to it", i);
  }
  return true;
}

bool SnapshotValidator::check_key(const char* record, uint32_t index, uint8_t key) {
  if (key == static_cast<uint8_t>(PathKey::exact) || key == static_cast<uint8_t>(PathKey::prefix)) {
    return true;
  }
  return fail("%s %u: key is unknown", record, index);
}

bool SnapshotValidator::check_key_of_route(const char* record, uint32_t index, uint8_t key,
                                           const RouteRecord& route) {
  const bool exact = key == static_cast<uint8_t>(PathKey::exact);
  if (exact ? route.kind == static_cast<uint8_t>(RouteKind::exact) : is_prefix_kind(route.kind)) {
    return true;
  }
  return fail("%s %u: key is not its route's kind", record, index);
}

std::string_view SnapshotValidator::canonical_of(const RouteRecord& route) const {
  const std::string_view written = routes_.text(route.path);
  return route.kind == static_cast<uint8_t>(RouteKind::exact) ? written : canonical_prefix(written);
}

bool SnapshotValidator::check_path_route(uint32_t index, const PathRecord& path) {
  if (path.target.route == index_none) return fail("path %u: route does not exist", index);
  if (!take_target("path", index, "target", path.target)) return false;
  const RouteRecord& route = routes_.routes[path.target.route];
  if (route.host != path.host) return fail("path %u: host is not its route's", index);
  if (!check_key_of_route("path", index, path.key, route)) return false;
  if (path.text_offset != route.path.offset || path.text_length != canonical_of(route).size()) {
    return fail("path %u: text is not its route's canonical path", index);
  }
  return true;
}

bool SnapshotValidator::check_path(uint32_t bucket, uint32_t index, bool first_in_bucket) {
  const PathRecord& path = routes_.paths[index];
  if (path.host >= routes_.host_count) return fail("path %u: host does not exist", index);
  if (!check_key("path", index, path.key)) return false;
  if (path.flags != 0 || path.reserved != 0) {
    return fail("path %u: flags or reserved is not zero", index);
  }
  if (!check_path_route(index, path)) return false;
  const PathKey key = static_cast<PathKey>(path.key);
  const std::string_view text = routes_.text(path);
  if (key == PathKey::exact) {
    lengths_[path.host] |= exact_length_bit(text.size());
  } else {
    const uint32_t depth = element_count(text);
    if (depth == 0) return fail("path %u: text is empty, it belongs to its host's record", index);
    if (depth > prefix_elements_max) return fail("path %u: text has too many elements", index);
    depths_[path.host] |= uint64_t{1} << depth;
  }
  if (path.hash != path_hash(path.host, key, text)) {
    return fail("path %u: hash is not its text's", index);
  }
  if (bucket_of(path.hash, routes_.path_bucket_count) != bucket) {
    return fail("path %u: hash belongs to another bucket", index);
  }
  if (first_in_bucket) return true;
  const PathRecord& before = routes_.paths[index - 1];
  if (before.hash != path.hash ? before.hash > path.hash
                               : std::tuple(before.host, before.key, routes_.text(before)) >=
                                     std::tuple(path.host, path.key, text)) {
    return fail("path %u: out of order or twice", index);
  }
  return true;
}

bool SnapshotValidator::check_shadowed() {
  for (uint32_t i = 0; i < routes_.shadowed_count; ++i) {
    const ShadowedRecord& record = routes_.shadowed[i];
    if (!check_route("shadowed", i, record.route)) return false;
    if (record.reserved != 0) return fail("shadowed %u: reserved is not zero", i);
    if (record.shadowed_by >= routes_.route_count) {
      return fail("shadowed %u: shadowed_by does not exist", i);
    }
    const RouteRecord& winner = routes_.routes[record.shadowed_by];
    if (winner.host != record.route.host)
      return fail("shadowed %u: shadowed_by has another host", i);
    const bool both_prefix = is_prefix_kind(winner.kind) && is_prefix_kind(record.route.kind);
    if (!both_prefix && winner.kind != record.route.kind) {
      return fail("shadowed %u: shadowed_by has another kind", i);
    }
    const std::string_view won = routes_.text(winner.path);
    const std::string_view lost = routes_.text(record.route.path);
    if (both_prefix ? canonical_prefix(won) != canonical_prefix(lost) : won != lost) {
      return fail("shadowed %u: shadowed_by has another path", i);
    }
  }
  return true;
}

// ---- endpoints segment -------------------------------------------------------------------------

bool SnapshotValidator::check_endpoints_segment(uint32_t index) {
  where_ = "endpoints segment " + std::to_string(index) + ": ";
  const uint32_t place = root_->routes_segment_count + index;
  const EndpointsHeader* header =
      open_segment<EndpointsHeader>(segment_bytes_[place], directory_[place], endpoints_magic);
  if (header == nullptr) return false;
  EndpointsSegment s;
  if (header->padding != 0) return fail("padding is not zero");
  if (!take_section("endpoints", header->endpoints, endpoints_max, &s.endpoints) ||
      !take_section("rows", header->rows, uint64_t{service_slots_max} + 1, &s.rows) ||
      !take_section("slots", header->slots, service_slots_max, &s.slots) ||
      !take_strings(header->strings, &s.strings) || !close_segment()) {
    return false;
  }
  s.first_slot = header->first_slot;
  s.slot_count = header->slots.count;
  s.endpoint_count = header->endpoints.count;
  const uint64_t first = uint64_t{index} << root_->service_slot_shift;
  const uint64_t per_segment = uint64_t{1} << root_->service_slot_shift;
  const uint64_t left = root_->service_slot_count - first;
  if (s.first_slot != first) return fail("first_slot is not where its range begins");
  if (s.slot_count != (left < per_segment ? left : per_segment)) {
    return fail("slots: count is not its range's");
  }
  if (header->rows.count != uint64_t{s.slot_count} + 1) {
    return fail("rows: count is not that of the slots and one");
  }
  if (!check_slots(s)) return false;
  endpoint_sum_ += s.endpoint_count;
  view_.endpoints_[index] = s;
  return true;
}

bool SnapshotValidator::check_slots(const EndpointsSegment& segment) {
  if (segment.rows[0] != 0) return fail("slot 0: its row does not begin at 0");
  for (uint32_t i = 0; i < segment.slot_count; ++i) {
    const ServiceSlot& slot = segment.slots[i];
    if ((slot.flags & ~slot_in_use) != 0) return fail("slot %u: flags are unknown", i);
    if (slot.reserved != 0) return fail("slot %u: reserved is not zero", i);
    if (!check_name("slot", i, "service_namespace", slot.service_namespace,
                    object_name_bytes_max) ||
        !check_name("slot", i, "service_name", slot.service_name, object_name_bytes_max) ||
        !check_name("slot", i, "port", slot.port, port_name_bytes_max) || !check_row(segment, i)) {
      return false;
    }
    if (slot.flags == 0 &&
        (segment.rows[i] != segment.rows[i + 1] || slot.service_namespace.length != 0 ||
         slot.service_name.length != 0 || slot.port.length != 0)) {
      return fail("slot %u: flags say unused but it is not empty", i);
    }
  }
  if (segment.rows[segment.slot_count] != segment.endpoint_count) {
    return fail("endpoints: the last ones belong to no slot");
  }
  return true;
}

bool SnapshotValidator::check_row(const EndpointsSegment& segment, uint32_t slot) {
  const uint32_t begin = segment.rows[slot];
  const uint32_t end = segment.rows[slot + 1];
  if (end < begin) return fail("slot %u: its row ends before it begins", slot);
  if (end > segment.endpoint_count) return fail("slot %u: its row runs past the end", slot);
  if (end - begin > endpoints_per_service_max) {
    return fail("slot %u: it has too many endpoints", slot);
  }
  for (uint32_t e = begin; e < end; ++e) {
    if (!check_endpoint(e, segment.endpoints[e])) return false;
    if (e > begin && segment.endpoints[e - 1].id >= segment.endpoints[e].id) {
      return fail("endpoint %u: id is out of order or twice", e);
    }
  }
  return true;
}

bool SnapshotValidator::check_endpoint(uint32_t index, const EndpointRecord& record) {
  if (record.id == 0) return fail("endpoint %u: id is zero", index);
  if (!Ipv4Address::from_host_order(record.address).is_unicast()) {
    return fail("endpoint %u: address is not unicast", index);
  }
  if (record.port == 0) return fail("endpoint %u: port is zero", index);
  if ((record.flags & ~endpoint_flags_known) != 0) {
    return fail("endpoint %u: flags are unknown", index);
  }
  return true;
}

}  // namespace millrace::shm
