#include "shm/snapshot.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "shm/snapshot_hash.h"
#include "shm/snapshot_test_support.h"
#include "tests/support/guard_page.h"

namespace millrace::shm {
namespace {

using millrace::testing::GuardPage;
using testing::mend_checksums;
using testing::open_builder;
using testing::open_built;
using testing::Parts;
using testing::parts_of;
using testing::realistic_builder;
using testing::walk;

RouteSource to_slot(uint32_t slot) {
  RouteSource source;
  source.service_slot = slot;
  source.ingress_namespace = "default";
  source.ingress_name = "test";
  return source;
}

// ---- the builder ----

TEST(SnapshotBuilder, WhatGoesInComesOut) {
  const auto snapshot = open_builder(realistic_builder(), 42);
  const SnapshotView& view = snapshot->view();
  EXPECT_EQ(view.version(), 42U);
  EXPECT_EQ(view.root().host_count, 18U);
  EXPECT_EQ(view.root().route_count, 27U);
  EXPECT_EQ(view.root().shadowed_count, 1U);
  EXPECT_EQ(view.root().endpoint_count, 11U);
  EXPECT_EQ(view.service_slot_count(), 5U);
  EXPECT_EQ(view.service_name(2), "service-2");
  EXPECT_EQ(view.service_port(2), "http");
  ASSERT_EQ(view.endpoints(1).size(), 5U);
  EXPECT_EQ(view.endpoints(1)[0].id, 103U);
  EXPECT_EQ(view.endpoints(1)[2].flags, endpoint_serving | endpoint_terminating);
  EXPECT_EQ(view.service(3).flags, 0U) << "an unused slot";
  EXPECT_TRUE(view.endpoints(3).empty());
  EXPECT_TRUE(view.endpoints(4).empty()) << "a service without endpoints";
  const RoutesSegment& segment = view.routes_segment(0);
  const ShadowedRecord& lost = segment.shadowed[0];
  EXPECT_EQ(segment.text(lost.route.ingress_name), "late");
  EXPECT_EQ(segment.text(segment.routes[lost.shadowed_by].ingress_name), "api");
  EXPECT_EQ(segment.text(segment.routes[lost.shadowed_by].path), "/api/v1/");
}

TEST(SnapshotBuilder, C8SameInputGivesTheSameBytes) {
  const auto first = realistic_builder().build(7);
  const auto second = realistic_builder().build(7);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->root, second->root);
  ASSERT_EQ(first->segments.size(), second->segments.size());
  for (size_t i = 0; i < first->segments.size(); ++i) {
    EXPECT_EQ(first->segments[i].bytes, second->segments[i].bytes);
  }
}

TEST(SnapshotBuilder, OnlyTheSegmentThatChangedGetsANewId) {
  SnapshotBuilder builder = realistic_builder();
  const auto before = builder.build(1);
  ServiceInput service;
  service.slot = 3;
  service.service_name = "new";
  ASSERT_TRUE(builder.add_service(service).ok());
  const auto after = builder.build(2);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(before->segments[0].id, after->segments[0].id) << "routes";
  EXPECT_NE(before->segments[1].id, after->segments[1].id) << "endpoints";
}

TEST(SnapshotBuilder, RefusesWhatItCannotRepresentAndKeepsTheRest) {
  SnapshotBuilder builder;
  const auto refuses = [&](std::string_view host, std::string_view path) {
    return !builder.add_route(host, path, PathType::prefix, to_slot(0)).ok();
  };
  EXPECT_TRUE(refuses("Upper.example", "/"));
  EXPECT_TRUE(refuses("*", "/"));
  EXPECT_TRUE(refuses("*.", "/"));
  EXPECT_TRUE(refuses("a.*.example", "/"));
  EXPECT_TRUE(refuses(std::string(254, 'a'), "/"));
  EXPECT_TRUE(refuses("h.example", ""));
  EXPECT_TRUE(refuses("h.example", "relative"));
  EXPECT_TRUE(refuses("h.example", std::string("/a\n")));
  EXPECT_TRUE(refuses("h.example", std::string("/a\0b", 4)));
  EXPECT_TRUE(refuses("h.example", "/" + std::string(path_bytes_max, 'a')));
  RouteSource far = to_slot(service_slots_max);
  EXPECT_FALSE(builder.add_route("h.example", "/", PathType::exact, far).ok());
  EXPECT_FALSE(refuses("h.example", "/kept"));
  EXPECT_TRUE(refuses("h.example", "/kept/")) << "the same canonical prefix";
  EXPECT_TRUE(builder.add_route("h.example", "/kept/", PathType::exact, to_slot(0)).ok());
  const auto snapshot = open_builder(builder, 1);
  EXPECT_EQ(snapshot->view().root().route_count, 2U);
}

TEST(SnapshotBuilder, RefusesImpossibleServices) {
  SnapshotBuilder builder;
  ServiceInput service;
  service.endpoints.resize(1);
  service.endpoints[0].id = 1;
  service.endpoints[0].port = 80;
  EXPECT_FALSE(builder.add_service(service).ok()) << "0.0.0.0";
  service.endpoints[0].address = Ipv4Address::from_octets(224, 0, 0, 1);
  EXPECT_FALSE(builder.add_service(service).ok()) << "multicast";
  service.endpoints[0].address = Ipv4Address::from_octets(10, 0, 0, 1);
  service.endpoints.push_back(service.endpoints[0]);
  EXPECT_FALSE(builder.add_service(service).ok()) << "an id twice";
  service.endpoints.pop_back();
  EXPECT_TRUE(builder.add_service(service).ok());
  EXPECT_FALSE(builder.add_service(service).ok()) << "a slot twice";
}

TEST(SnapshotBuilder, RefusesALoserThatDoesNotMeetItsWinner) {
  SnapshotBuilder builder;
  const auto winner = builder.add_route("h.example", "/a", PathType::prefix, to_slot(0));
  ASSERT_TRUE(winner.ok());
  ASSERT_TRUE(builder.add_host("other.example").ok());
  const auto shadow = [&](std::string_view host, std::string_view path, PathType type) {
    return builder.add_shadowed(host, path, type, to_slot(1), *winner).ok();
  };
  EXPECT_FALSE(shadow("other.example", "/a", PathType::prefix));
  EXPECT_FALSE(shadow("h.example", "/b", PathType::prefix));
  EXPECT_FALSE(shadow("h.example", "/a", PathType::exact));
  EXPECT_TRUE(shadow("h.example", "/a/", PathType::implementation_specific));
  open_builder(builder, 1);
}

// Somebody aims names at one bucket: those beyond the bound are left out and named, the first stay.
TEST(SnapshotBuilder, C9AnOverfullBucketLeavesOutTheLatestOnly) {
  SnapshotBuilder builder;
  constexpr uint32_t aimed = bucket_length_max + 8;  // 40 hosts make 64 buckets
  uint32_t added = 0;
  for (uint32_t i = 0; added < aimed; ++i) {
    const std::string host = "h" + std::to_string(i) + ".example";
    if (bucket_of(host_hash(host), 64) != 5) continue;
    ASSERT_TRUE(builder.add_route(host, "/", PathType::prefix, to_slot(added++)).ok());
  }
  const auto built = builder.build(1);
  ASSERT_TRUE(built.ok());
  ASSERT_EQ(built->rejected.size(), 8U);
  EXPECT_EQ(built->rejected[0].route.value, bucket_length_max);
  EXPECT_NE(built->rejected[0].reason.find("is left out"), std::string::npos);
  EXPECT_EQ(open_built(*built)->view().root().host_count, bucket_length_max);
}

TEST(SnapshotBuilder, ManySegmentsHoldEverythingOnce) {
  SnapshotShape shape;
  shape.routes_segment_count = 8;
  shape.service_slot_shift = 1;  // two slots a segment, so three segments
  const auto snapshot = open_builder(realistic_builder(shape), 1);
  const SnapshotView& view = snapshot->view();
  EXPECT_EQ(view.root().segment_count, 11U);
  EXPECT_EQ(view.root().host_count, 18U);
  EXPECT_EQ(view.root().route_count, 27U);
  EXPECT_EQ(view.service_name(4), "service-4");
  EXPECT_EQ(view.endpoints(2).size(), 3U);
  EXPECT_EQ(view.endpoints(2)[0].id, 108U);
}

TEST(SnapshotBuilder, AnEmptyBuilderMakesAValidSnapshot) {
  const auto snapshot = open_builder(SnapshotBuilder(), 3);
  EXPECT_EQ(snapshot->view().service_slot_count(), 0U);
  EXPECT_EQ(snapshot->view().cluster_default().route, index_none);
}

// ---- S2: hostile bytes ----

// Validates with every part ending at a guard page.
class GuardedValidation {
 public:
  explicit GuardedValidation(const Parts& largest) : root_(largest.root.size() + 64) {
    for (const auto& segment : largest.segments) {
      segments_.push_back(std::make_unique<GuardPage>(segment.size() + 64));
    }
  }
  Result<SnapshotView> operator()(const Parts& parts) {
    std::vector<ByteView> views;
    for (size_t i = 0; i < parts.segments.size(); ++i) {
      views.push_back(segments_[i]->place(parts.segments[i]));
    }
    return SnapshotView::validate(root_.place(parts.root), views);
  }

 private:
  GuardPage root_;
  std::vector<std::unique_ptr<GuardPage>> segments_;
};

// What requests are matched against: every host and every path key with its text.
using Keys = std::set<std::tuple<std::string, int, std::string>>;
Keys keys_of(const SnapshotView& view) {
  Keys keys;
  for (uint32_t s = 0; s < view.routes_segment_count(); ++s) {
    const RoutesSegment& segment = view.routes_segment(s);
    for (uint32_t i = 0; i < segment.host_count; ++i) {
      const HostRecord& host = segment.hosts[i];
      keys.emplace(segment.name(host), 0, "");
      for (uint32_t p = 0; p < host.path_count; ++p) {
        keys.emplace(segment.name(host), host.paths[p].key, RoutesSegment::text(host, p));
      }
    }
    for (uint32_t i = 0; i < segment.path_count; ++i) {
      const PathRecord& path = segment.paths[i];
      keys.emplace(segment.name(segment.hosts[path.host]), path.key, segment.text(path));
    }
  }
  return keys;
}

void for_each_flip(Parts& parts, const std::function<void(bool in_root, size_t at)>& try_it) {
  std::vector<std::vector<uint8_t>*> all{&parts.root};
  for (auto& segment : parts.segments) all.push_back(&segment);
  for (std::vector<uint8_t>* bytes : all) {
    for (size_t at = 0; at < bytes->size(); ++at) {
      for (int mask : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
        (*bytes)[at] = static_cast<uint8_t>((*bytes)[at] ^ mask);
        try_it(bytes == &parts.root, at);
        (*bytes)[at] = static_cast<uint8_t>((*bytes)[at] ^ mask);
      }
    }
  }
}

TEST(SnapshotValidate, S2AnyFlippedByteIsRefused) {
  Parts parts = parts_of(*realistic_builder().build(9));
  GuardedValidation validate(parts);
  ASSERT_TRUE(validate(parts).ok());
  for_each_flip(parts, [&](bool in_root, size_t at) {
    ASSERT_FALSE(validate(parts).ok()) << (in_root ? "root " : "segment ") << at;
  });
}

// With every hash mended the validator stands alone. What it then accepts differs in values that
// carry no structure (an address, a version, a slot that exists) and can be read to the last byte;
// hosts and paths are those of before.
TEST(SnapshotValidate, S2AnyFlippedByteWithMendedHashesIsRefusedOrHarmless) {
  SnapshotShape shape;
  for (uint32_t segments : {1U, 2U}) {
    shape.routes_segment_count = segments;
    shape.service_slot_shift = segments == 1 ? service_slot_shift_max : 2;
    Parts parts = parts_of(*realistic_builder(shape).build(9));
    GuardedValidation validate(parts);
    const Keys keys = keys_of(*validate(parts));
    size_t tried = 0;
    size_t accepted = 0;
    for_each_flip(parts, [&](bool in_root, size_t at) {
      Parts mended = parts;
      mend_checksums(mended.root, mended.segments);
      ++tried;
      const Result<SnapshotView> view = validate(mended);
      if (!view.ok()) {
        ASSERT_EQ(view.error().rfind("snapshot refused: ", 0), 0U) << view.error();
        return;
      }
      ++accepted;
      walk(*view);
      ASSERT_EQ(keys_of(*view), keys) << (in_root ? "root " : "segment ") << at;
    });
    ::testing::Test::RecordProperty("tried", std::to_string(tried));
    ::testing::Test::RecordProperty("accepted", std::to_string(accepted));
    EXPECT_LT(accepted, tried / 4);
  }
}

TEST(SnapshotValidate, S2CutAndGrownPartsAreRefused) {
  const Parts parts = parts_of(*realistic_builder().build(9));
  GuardedValidation validate(parts);
  for (size_t which = 0; which <= parts.segments.size(); ++which) {
    const size_t size = which == 0 ? parts.root.size() : parts.segments[which - 1].size();
    for (size_t cut = 0; cut < size + 32; ++cut) {
      if (cut == size) continue;
      Parts changed = parts;
      (which == 0 ? changed.root : changed.segments[which - 1]).resize(cut);
      mend_checksums(changed.root, changed.segments);
      ASSERT_FALSE(validate(changed).ok()) << "part " << which << " cut to " << cut;
    }
  }
}

// Several bytes at once, sizes kept plausible by writing small, large and 2^32-1 counts.
TEST(SnapshotValidate, S2RandomWordsWithMendedHashesNeverCrash) {
  const Parts parts = parts_of(*realistic_builder().build(9));
  GuardedValidation validate(parts);
  Random random(5);
  size_t accepted = 0;
  for (int i = 0; i < 100'000; ++i) {
    Parts changed = parts;
    const uint64_t changes = random.between(1, 3);
    for (uint64_t c = 0; c < changes; ++c) {
      std::vector<uint8_t>& bytes = random.below(4) == 0
                                        ? changed.root
                                        : changed.segments[random.below(parts.segments.size())];
      const size_t at = random.below(bytes.size() / 4) * 4;
      const uint32_t words[] = {0,
                                1,
                                0xffffffff,
                                0x80000000,
                                static_cast<uint32_t>(bytes.size()),
                                static_cast<uint32_t>(random.next()),
                                static_cast<uint32_t>(random.below(64))};
      const uint32_t word = words[random.below(std::size(words))];
      std::memcpy(&bytes[at], &word, sizeof word);
    }
    mend_checksums(changed.root, changed.segments);
    const Result<SnapshotView> view = validate(changed);
    if (view.ok()) {
      ++accepted;
      walk(*view);
    }
  }
  EXPECT_GT(accepted, 0U) << "values without structure were among the changes";
}

TEST(SnapshotValidate, S2WrongNumberOrOrderOfSegmentsIsRefused) {
  Parts parts = parts_of(*realistic_builder().build(9));
  std::vector<ByteView> views{parts.segments[0], parts.segments[1]};
  EXPECT_TRUE(SnapshotView::validate(parts.root, views).ok());
  EXPECT_FALSE(SnapshotView::validate(parts.root, std::span(views).first(1)).ok());
  views.push_back(parts.segments[1]);
  EXPECT_FALSE(SnapshotView::validate(parts.root, views).ok());
  const std::vector<ByteView> swapped{parts.segments[1], parts.segments[0]};
  EXPECT_FALSE(SnapshotView::validate(parts.root, swapped).ok());
}

TEST(SnapshotValidate, S2MisalignedPartsAreRefused) {
  const Parts parts = parts_of(*realistic_builder().build(9));
  std::vector<uint8_t> shifted(parts.root.size() + 8);
  std::copy(parts.root.begin(), parts.root.end(), shifted.begin() + 4);
  const std::vector<ByteView> views{parts.segments[0], parts.segments[1]};
  const auto view = SnapshotView::validate(ByteView(shifted).subspan(4, parts.root.size()), views);
  ASSERT_FALSE(view.ok());
  EXPECT_NE(view.error().find("not aligned"), std::string::npos);
}

// A record of the mended snapshot, changed in place.
template <class Record>
Record* record_at(Parts& parts, const Section& section, uint32_t index) {
  return reinterpret_cast<Record*>(parts.segments[0].data() + section.offset) + index;
}

// A host whose paths lie in the table, and one whose paths lie in its record.
HostRecord* host_of_table(Parts& parts, const RoutesHeader& header) {
  return record_at<HostRecord>(parts, header.hosts,
                               record_at<PathRecord>(parts, header.paths, 0)->host);
}
HostRecord* host_with_paths(Parts& parts, const RoutesHeader& header) {
  HostRecord* host = record_at<HostRecord>(parts, header.hosts, 0);
  while (host->path_count == 0) ++host;
  return host;
}

TEST(SnapshotValidate, S2TheSentenceNamesRecordAndField) {
  const Parts good = parts_of(*realistic_builder().build(9));
  const auto refusal = [&](const std::function<void(Parts&, RoutesHeader&)>& change) {
    Parts parts = good;
    change(parts, *reinterpret_cast<RoutesHeader*>(parts.segments[0].data()));
    mend_checksums(parts.root, parts.segments);
    const std::vector<ByteView> views{parts.segments[0], parts.segments[1]};
    const auto view = SnapshotView::validate(parts.root, views);
    return view.ok() ? std::string("accepted") : view.error();
  };
  EXPECT_EQ(refusal([](Parts& parts, RoutesHeader& header) {
              record_at<RouteRecord>(parts, header.routes, 2)->service_slot = 5;
            }),
            "snapshot refused: routes segment 0: route 2: service_slot 5 does not exist");
  EXPECT_EQ(refusal([](Parts& parts, RoutesHeader& header) {
              record_at<HostRecord>(parts, header.hosts, 1)->name_offset = 0x7fffffff;
            }),
            "snapshot refused: routes segment 0: host 1: name is outside the strings");
  EXPECT_EQ(refusal([](Parts& parts, RoutesHeader& header) {
              record_at<PathRecord>(parts, header.paths, 3)->target.route = 0x7fffffff;
            }),
            "snapshot refused: routes segment 0: path 3: route does not exist");
  EXPECT_EQ(refusal([](Parts& parts, RoutesHeader& header) {
              record_at<uint32_t>(parts, header.path_buckets, 1)[0] = 0xffff;
            }),
            "snapshot refused: routes segment 0: path_buckets: bucket 0 is longer than 32");
  EXPECT_EQ(refusal([](Parts& parts, RoutesHeader& header) {
              *record_at<char>(parts, header.strings, 4) = '\n';
            }),
            "snapshot refused: routes segment 0: strings: control byte 0x0a at 4");
  EXPECT_EQ(refusal([](Parts&, RoutesHeader& header) { header.routes.count = 0xffffffff; }),
            "snapshot refused: routes segment 0: section routes: count 4294967295 is too large");
  // A mask that says less than there is would hide a path.
  EXPECT_NE(refusal([](Parts& parts, RoutesHeader& header) {
              host_of_table(parts, header)->prefix_depths ^= 1ULL << 9;
            }).find("prefix_depths are not its paths'"),
            std::string::npos);
  // A host's record that says something else than the routes it leads to.
  const auto host_refusal = [&](const std::function<void(HostRecord&)>& change) {
    return refusal(
        [&](Parts& parts, RoutesHeader& header) { change(*host_with_paths(parts, header)); });
  };
  const auto says = [](const std::string& refused, const char* what) {
    return refused.find(what) != std::string::npos;
  };
  EXPECT_TRUE(says(host_refusal([](HostRecord& host) { host.paths[0].target.service_slot ^= 1; }),
                   "path has another service_slot than its route"));
  EXPECT_TRUE(says(host_refusal([](HostRecord& host) { host.text[0] ^= 1; }),
                   "text does not begin with its name"));
  EXPECT_TRUE(says(host_refusal([](HostRecord& host) { host.text[host.name_length + 1] ^= 1; }),
                   "path 0: text is not its route's canonical path"));
  EXPECT_TRUE(
      says(host_refusal([](HostRecord& host) { host.path_count = 4; }), "path_count is too large"));
  EXPECT_TRUE(says(host_refusal([](HostRecord& host) { host.paths[0].length = 255; }),
                   "path 0 is outside its text"));
  EXPECT_TRUE(
      says(host_refusal([](HostRecord& host) { host.paths[0].key = 3; }), "key is unknown"));
  EXPECT_TRUE(
      says(host_refusal([](HostRecord& host) { --host.path_count; }), "is not there and not zero"));
  EXPECT_TRUE(says(host_refusal([](HostRecord& host) { host.prefix_depths = 2; }),
                   "has paths in its record and in the table"));
  EXPECT_TRUE(says(host_refusal([](HostRecord& host) { host.text[host_text_bytes_max - 1] = 'x'; }),
                   "text has bytes behind its last path"));
}

TEST(SnapshotValidate, S2APolicyIsOneThatTheBuilderMakes) {
  const auto refusal = [&](const std::function<void(ServicePolicy&)>& change, uint32_t slot = 1) {
    Parts parts = parts_of(*realistic_builder().build(9));
    auto* header = reinterpret_cast<EndpointsHeader*>(parts.segments[1].data());
    change(reinterpret_cast<ServiceSlot*>(parts.segments[1].data() + header->slots.offset)[slot]
               .policy);
    mend_checksums(parts.root, parts.segments);
    const std::vector<ByteView> views{parts.segments[0], parts.segments[1]};
    const auto view = SnapshotView::validate(parts.root, views);
    return view.ok() ? std::string("accepted") : view.error();
  };
  EXPECT_EQ(refusal([](ServicePolicy&) {}), "accepted");
  EXPECT_EQ(refusal([](ServicePolicy& policy) { policy.balance = 4; }),
            "snapshot refused: endpoints segment 0: slot 1: policy: balance is unknown");
  const auto names = [&](const std::string& refused, const char* what) {
    return refused.find(what) != std::string::npos;
  };
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.balance = 1; }), "hash_source"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.hash_source = 5; }), "hash_source"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.flags |= 32; }), "unknown"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.flags |= 2; }), "contradict"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.flags |= 24; }), "contradict"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.flags |= 4; }), "one name for two"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.name_length = 0; }), "name"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.name_length = 49; }), "too long"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.name_offset = 1U << 31; }),
                    "outside the strings"));
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) {
                      policy.hash_source = static_cast<uint8_t>(HashSource::client_address);
                    }),
                    "name is there and not used"));
  // Of a slot that nobody uses.
  EXPECT_TRUE(names(refusal([](ServicePolicy& policy) { policy.flags = 1; }, 3), "unused"));
}

TEST(SnapshotBuilder, PoliciesComeOutAndImpossibleOnesDoNotGoIn) {
  const auto snapshot = open_builder(realistic_builder(), 1);
  EXPECT_EQ(snapshot->view().policy_name(1), "x-tenant");
  EXPECT_EQ(snapshot->view().policy(1).balance, static_cast<uint8_t>(ServiceBalance::hash));
  EXPECT_EQ(snapshot->view().policy_name(4), "session");
  EXPECT_EQ(snapshot->view().policy_name(0), "");
  SnapshotBuilder builder;
  const auto takes = [&](const ServicePolicyInput& policy) {
    ServiceInput service;
    service.policy = policy;
    return builder.add_service(service).ok();
  };
  EXPECT_FALSE(takes({ServiceBalance::hash, HashSource::none, 0, ""}));
  EXPECT_FALSE(takes({ServiceBalance::hash, HashSource::header, 0, "X-Upper"}));
  EXPECT_FALSE(takes({ServiceBalance::unset, HashSource::path, 0, ""}));
  EXPECT_FALSE(takes({ServiceBalance::hash, HashSource::header, 0, ""}));
  EXPECT_FALSE(takes({ServiceBalance::unset, HashSource::none, 0, "name"}));
  EXPECT_FALSE(takes({ServiceBalance::unset, HashSource::none, policy_sticky_cookie, "a b"}));
  EXPECT_FALSE(
      takes({ServiceBalance::unset, HashSource::none, policy_sticky_cookie, std::string(49, 'a')}));
  EXPECT_FALSE(takes({ServiceBalance::hash, HashSource::cookie, policy_sticky_cookie, "a"}));
  EXPECT_FALSE(takes({ServiceBalance::unset, HashSource::none, 3, ""}));
  EXPECT_TRUE(takes({ServiceBalance::hash, HashSource::path, policy_sticky_cookie, "a"}));
}

// Which paths lie in their host's record: all of a host's or none.
TEST(SnapshotBuilder, FewShortPathsLieInTheirHostsRecordInOrderOfPrecedence) {
  SnapshotBuilder builder;
  const auto add = [&](std::string_view host, std::string_view path, PathType type) {
    ASSERT_TRUE(builder.add_route(host, path, type, to_slot(7)).ok());
  };
  add("few.example", "/", PathType::prefix);
  add("few.example", "/a", PathType::prefix);
  add("few.example", "/a/long/", PathType::prefix);
  add("few.example", "/z", PathType::exact);
  add("four.example", "/a", PathType::prefix);
  add("four.example", "/b", PathType::prefix);
  add("four.example", "/c", PathType::prefix);
  add("four.example", "/d", PathType::prefix);
  add("wide.example", "/" + std::string(host_text_bytes_max - 12, 'w'), PathType::prefix);
  add("full.example", "/" + std::string(host_text_bytes_max - 13, 'f'), PathType::prefix);
  const auto snapshot = open_builder(builder, 1);
  const RoutesSegment& segment = snapshot->view().routes_segment(0);
  std::map<std::string, const HostRecord*> hosts;
  for (uint32_t i = 0; i < segment.host_count; ++i) {
    hosts[std::string(segment.name(segment.hosts[i]))] = &segment.hosts[i];
  }
  const HostRecord& few = *hosts["few.example"];
  ASSERT_EQ(few.path_count, 3U);
  EXPECT_EQ(RoutesSegment::text(few, 0), "/z") << "Exact before Prefix";
  EXPECT_EQ(RoutesSegment::text(few, 1), "/a/long") << "longer before shorter";
  EXPECT_EQ(RoutesSegment::text(few, 2), "/a");
  EXPECT_EQ(few.root.service_slot, 7U);
  EXPECT_EQ(hosts["four.example"]->path_count, 0U) << "one path too many";
  EXPECT_NE(hosts["four.example"]->prefix_depths, 0U);
  EXPECT_EQ(hosts["wide.example"]->path_count, 0U) << "one octet too many";
  EXPECT_EQ(hosts["full.example"]->path_count, 1U);
  EXPECT_EQ(segment.path_count, 5U);
}

// ---- S6: skew between control plane and data plane ----

std::string refusal_of_root(const std::function<void(RootHeader&)>& change) {
  Parts parts = parts_of(*realistic_builder().build(9));
  change(*reinterpret_cast<RootHeader*>(parts.root.data()));
  mend_checksums(parts.root, parts.segments);
  const std::vector<ByteView> views{parts.segments[0], parts.segments[1]};
  const auto view = SnapshotView::validate(parts.root, views);
  return view.ok() ? "" : view.error();
}

TEST(SnapshotValidate, S6AnotherAbiIsRefusedByName) {
  EXPECT_EQ(refusal_of_root([](RootHeader& root) { root.abi = snapshot_abi_max + 1; }),
            "snapshot refused: root: abi 3 is outside the range 2 to 2 that this build reads");
  EXPECT_NE(refusal_of_root([](RootHeader& root) { root.abi = snapshot_abi_min - 1; }), "");
}

TEST(SnapshotValidate, S6UnknownRequiredFeatureIsRefused) {
  static_assert(features_required_known == 1);
  for (int bit = 1; bit < 64; ++bit) {
    const std::string refusal =
        refusal_of_root([&](RootHeader& root) { root.features_required |= uint64_t{1} << bit; });
    EXPECT_NE(refusal.find("features_required"), std::string::npos) << bit;
  }
}

TEST(SnapshotValidate, S6APolicyIsAFeatureThatReadersMustKnow) {
  EXPECT_NE(refusal_of_root([](RootHeader& root) {
              root.features_required = 0;
            }).find("has a policy, and features_required does not say so"),
            std::string::npos);
  SnapshotBuilder plain;
  EXPECT_EQ(open_builder(plain, 1)->view().root().features_required, 0U);
}

TEST(SnapshotValidate, S6UnknownOptionalFeatureIsIgnored) {
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(
        refusal_of_root([&](RootHeader& root) { root.features_optional |= uint64_t{1} << bit; }),
        "");
  }
}

// ---- sealed memory ----

TEST(SealedMemory, RoundTripAndNobodyCanWriteAnyMore) {
  const std::vector<uint8_t> bytes(10000, 0x5a);
  const auto fd = seal_into_memfd(bytes, "test");
  ASSERT_TRUE(fd.ok()) << fd.error();
  const auto memory = MappedBytes::map_sealed(fd->get(), 1 << 20);
  ASSERT_TRUE(memory.ok()) << memory.error();
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), memory->view().begin(), memory->view().end()));
  EXPECT_LT(::pwrite(fd->get(), "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(fd->get(), 1), 0);
  EXPECT_NE(::ftruncate(fd->get(), 1 << 20), 0);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0), MAP_FAILED);
}

// Large ones are copied: the mapping must not need the file any more, and says the same.
TEST(SealedMemory, LargeMemoryOutlivesItsFile) {
  std::vector<uint8_t> bytes((size_t{17} << 20) + 5);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31 >> 8);
  MappedBytes memory;
  {
    const auto fd = seal_into_memfd(bytes, "large");
    ASSERT_TRUE(fd.ok());
    auto mapped = MappedBytes::map_sealed(fd->get(), bytes.size());
    ASSERT_TRUE(mapped.ok()) << mapped.error();
    memory = std::move(*mapped);
  }
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), memory.view().begin(), memory.view().end()));
}

TEST(SealedMemory, S2EveryMissingSealIsRefused) {
  for (int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL}) {
    const UniqueFd fd(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(fd.get(), 4096), 0);
    const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, all & ~missing), 0);
    EXPECT_FALSE(MappedBytes::map_sealed(fd.get(), 1 << 20).ok());
  }
}

TEST(SealedMemory, S2OtherDescriptorsAndSizesAreRefused) {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(MappedBytes::map_sealed(null.get(), 1 << 20).ok());
  EXPECT_FALSE(MappedBytes::map_sealed(-1, 1 << 20).ok());
  const auto empty = seal_into_memfd({}, "empty");
  ASSERT_TRUE(empty.ok());
  EXPECT_FALSE(MappedBytes::map_sealed(empty->get(), 1 << 20).ok());
  const auto large = seal_into_memfd(std::vector<uint8_t>(5000), "large");
  ASSERT_TRUE(large.ok());
  EXPECT_FALSE(MappedBytes::map_sealed(large->get(), 4999).ok());
}

}  // namespace
}  // namespace millrace::shm
