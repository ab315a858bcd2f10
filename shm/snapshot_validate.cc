#include <bit>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "shm/snapshot_validator.h"

namespace millrace::shm {

Result<SnapshotView> SnapshotView::validate(ByteView root, std::span<const ByteView> segments,
                                            std::span<const SnapshotView* const> known) {
  return SnapshotValidator(root, segments, known).run();
}

Result<SnapshotView> SnapshotValidator::run() {
  if (!check_root() || !check_directory()) return Error{error_};
  view_.routes_.resize(root_->routes_segment_count);
  view_.endpoints_.resize(root_->endpoints_segment_count);
  view_.facts_.resize(root_->segment_count);
  for (uint32_t i = 0; i < root_->routes_segment_count; ++i) {
    if (!take_known_routes_segment(i) && !check_routes_segment(i)) return Error{error_};
  }
  for (uint32_t i = 0; i < root_->endpoints_segment_count; ++i) {
    if (!take_known_endpoints_segment(i) && !check_endpoints_segment(i)) return Error{error_};
  }
  if (!check_sums()) return Error{error_};
  view_.root_ = root_;
  view_.slot_mask_ = (1U << root_->service_slot_shift) - 1;
  return std::move(view_);
}

bool SnapshotValidator::fail(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  error_ = "snapshot refused: " + where_ + text;
  return false;
}

// ---- root ------------------------------------------------------------------------------------

bool SnapshotValidator::check_root() {
  where_ = "root: ";
  if (root_bytes_.size() < sizeof(RootHeader)) return fail("too short for its header");
  if (!is_aligned(root_bytes_)) return fail("not aligned to 8 bytes");
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

// ---- what both kinds of segment share -----------------------------------------------------------

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

}  // namespace millrace::shm
