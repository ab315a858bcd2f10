// The validator, as its parts share it (snapshot_validate.cc: the root and what segments have in
// common; validate_routes.cc; validate_endpoints.cc). Readers call SnapshotView::validate().
//
// Everything a reader will ever index or follow is proven here, once, in one pass a section. The
// part of it that known views have proven is in validate_known.cc. Time
// is linear in the bytes: names and paths that are hashed lie one behind the other in the strings,
// so no run of bytes is hashed for many records.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "shm/content_hash.h"
#include "shm/snapshot.h"
#include "shm/snapshot_format.h"

namespace millrace::shm {

// Checks one snapshot; used once.
class SnapshotValidator {
 public:
  SnapshotValidator(ByteView root, std::span<const ByteView> segments,
                    std::span<const SnapshotView* const> known)
      : root_bytes_(root), segment_bytes_(segments), known_(known) {}

  Result<SnapshotView> run();

 private:
  // ---- reporting ----
  [[gnu::format(printf, 2, 3)]] bool fail(const char* format, ...);

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

  // A segment that some known view has validated in the same memory, and that fits this root as it
  // fitted that one's, is taken as it is. One that does not fit is checked like any other, and so
  // refused with the same sentence.
  bool is_of_view(uint32_t place, const SnapshotView& known, uint32_t known_place,
                  const void* first_section, size_t header_bytes) const;
  bool take_known_routes_segment(uint32_t index);
  bool take_known_endpoints_segment(uint32_t index);
  void add_routes_segment(uint32_t index, const RoutesSegment& segment);
  // Which service slots are an endpoints segment's.
  uint64_t first_slot_of_range(uint32_t index) const;
  uint64_t slots_of_range(uint32_t index) const;

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
  bool check_slot(const EndpointsSegment& segment, uint32_t index, uint64_t* next);
  bool check_policy(const EndpointsSegment& segment, uint32_t index);
  bool check_endpoint(uint32_t slot, uint32_t index, const EndpointRecord& record);

  ByteView root_bytes_;
  std::span<const ByteView> segment_bytes_;
  std::span<const SnapshotView* const> known_;
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
  SnapshotView::SegmentFacts facts_;
  RoutesSegment routes_;
  std::vector<uint8_t> referred_;  // by route: some path or default leads to it
  std::vector<uint64_t> depths_;   // by host
  std::vector<uint32_t> lengths_;  // by host
  uint64_t host_sum_ = 0;
  uint64_t route_sum_ = 0;
  uint64_t shadowed_sum_ = 0;
  uint64_t endpoint_sum_ = 0;
};

inline bool is_aligned(ByteView bytes) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0;
}

template <class Header>
const Header* SnapshotValidator::open_segment(ByteView bytes, const SegmentEntry& entry,
                                              uint64_t magic) {
  bytes_ = bytes;
  text_end_ = 0;
  facts_ = {};
  if (bytes.size() < sizeof(Header) || bytes.size() % 8 != 0) {
    fail("its size does not hold its header");
    return nullptr;
  }
  if (!is_aligned(bytes)) {
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
  const uint64_t next = ((end + 7) & ~uint64_t{7});
  if (next > bytes_.size())
    return fail("section %s: count %u runs past the end", name, section.count);
  for (uint64_t i = end; i < next; ++i) {
    if (bytes_[i] != 0) return fail("section %s: the bytes behind it are not zero", name);
  }
  *records = reinterpret_cast<const Record*>(bytes_.data() + at_);
  at_ = next;
  return true;
}

}  // namespace millrace::shm
