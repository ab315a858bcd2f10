// Validating with known views: the verdict, the sentence and what is read are those of the full
// check, whatever is published in whatever order.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/random.h"
#include "shm/snapshot_test_support.h"

namespace millrace::shm {
namespace {

using testing::mend_checksums;
using testing::Parts;
using testing::parts_of;
using testing::realistic_builder;
using testing::walk;

// Bytes where they were first seen: a segment that is published again lies in the same memory.
class Memory {
 public:
  ByteView keep(const std::vector<uint8_t>& bytes) {
    for (const auto& kept : kept_) {
      if (*kept == bytes) return *kept;
    }
    return keep_anew(bytes);
  }
  ByteView keep_anew(const std::vector<uint8_t>& bytes) {
    return *kept_.emplace_back(std::make_unique<std::vector<uint8_t>>(bytes));
  }

 private:
  std::vector<std::unique_ptr<std::vector<uint8_t>>> kept_;
};

// A control plane, honest or not, that publishes to a data plane with a window.
class Publishes {
 public:
  // Whether the snapshot was taken.
  bool publish(const Parts& parts) {
    std::vector<ByteView> views;
    for (const auto& segment : parts.segments) views.push_back(memory_.keep(segment));
    return validate(memory_.keep_anew(parts.root), views);
  }
  size_t shared() const { return shared_; }

 private:
  bool validate(ByteView root, const std::vector<ByteView>& segments) {
    std::vector<const SnapshotView*> known;
    for (const auto& view : window_) known.push_back(view.get());
    const Result<SnapshotView> whole = SnapshotView::validate(root, segments);
    Result<SnapshotView> quick = SnapshotView::validate(root, segments, known);
    EXPECT_EQ(quick.ok(), whole.ok());
    if (quick.ok() != whole.ok()) return false;
    if (!whole.ok()) {
      EXPECT_EQ(quick.error(), whole.error());
      return false;
    }
    compare(*quick, *whole);
    for (uint32_t place = 0; place < quick->root().segment_count; ++place) {
      shared_ += std::any_of(known.begin(), known.end(), [&](const SnapshotView* one) {
        return place < one->root().segment_count &&
               one->segment_identity(place) == quick->segment_identity(place);
      });
    }
    window_.insert(window_.begin(), std::make_unique<SnapshotView>(std::move(*quick)));
    if (window_.size() > window_max) window_.pop_back();
    return true;
  }

  static void compare(const SnapshotView& quick, const SnapshotView& whole) {
    EXPECT_EQ(walk(quick), walk(whole));
    EXPECT_EQ(quick.has_wildcards(), whole.has_wildcards());
    EXPECT_EQ(quick.empty_host(), whole.empty_host());
    EXPECT_EQ(quick.cluster_default(), whole.cluster_default());
    for (uint32_t i = 0; i < whole.routes_segment_count(); ++i) {
      const RoutesSegment& one = quick.routes_segment(i);
      const RoutesSegment& other = whole.routes_segment(i);
      EXPECT_EQ(one.hosts, other.hosts);
      EXPECT_EQ(one.strings, other.strings);
      EXPECT_EQ(one.host_bucket_count, other.host_bucket_count);
      EXPECT_EQ(one.path_bucket_count, other.path_bucket_count);
      EXPECT_EQ(one.host_count, other.host_count);
      EXPECT_EQ(one.path_count, other.path_count);
      EXPECT_EQ(one.route_count, other.route_count);
      EXPECT_EQ(one.shadowed_count, other.shadowed_count);
    }
    for (uint32_t i = 0; i < whole.endpoints_segment_count(); ++i) {
      const EndpointsSegment& one = quick.endpoints_segment(i);
      const EndpointsSegment& other = whole.endpoints_segment(i);
      EXPECT_EQ(one.slots, other.slots);
      EXPECT_EQ(one.endpoints, other.endpoints);
      EXPECT_EQ(one.first_slot, other.first_slot);
      EXPECT_EQ(one.slot_count, other.slot_count);
      EXPECT_EQ(one.endpoint_count, other.endpoint_count);
    }
  }

  static constexpr size_t window_max = 8;
  Memory memory_;
  std::vector<std::unique_ptr<SnapshotView>> window_;
  size_t shared_ = 0;
};

// Tables of a few hosts and services, in several shapes; many share segments with one another.
BuiltSnapshot random_table(Random& random, uint64_t version) {
  SnapshotShape shape;
  shape.routes_segment_count = 1U << random.below(3);
  shape.service_slot_shift = static_cast<uint32_t>(random.between(1, 3));
  shape.service_slot_count = static_cast<uint32_t>(random.between(4, 8));
  SnapshotBuilder builder(shape);
  RouteSource source;
  source.ingress_namespace = "shop";
  source.ingress_name = "web";
  for (uint32_t i = 0; i < 6; ++i) {
    if (random.below(4) == 0) continue;
    source.service_slot = i % 4;
    const std::string host = i == 5 ? "" : i == 4 ? "*.apps.example" : "h" + std::to_string(i);
    CHECK(builder.add_route(host, "/", PathType::prefix, source).ok());
    if (random.below(6) == 0) {
      source.service_slot = static_cast<uint32_t>(random.below(8));
      CHECK(builder.add_route(host, "/more", PathType::exact, source).ok());
    }
  }
  if (random.below(2) == 0) CHECK(builder.set_cluster_default(source).ok());
  for (uint32_t slot = 0; slot < 4; ++slot) {
    ServiceInput service;
    service.slot = slot;
    service.service_namespace = "shop";
    service.service_name = "of";
    service.port = "http";
    for (uint64_t id = 1; id <= random.between(4, 5); ++id) {
      service.endpoints.push_back({id, Ipv4Address::from_octets(10, 0, 0, 1), 80});
    }
    if (slot == 3 && random.below(3) == 0) service.policy.balance = ServiceBalance::least_requests;
    CHECK(builder.add_service(service).ok());
  }
  auto built = builder.build(version);
  CHECK(built.ok());
  return std::move(*built);
}

// Words that a hostile writer would try, and its hashes mended. In the root they are other counts,
// shapes, features and lines of the directory over segments that are known.
void change_words(Random& random, Parts& parts) {
  for (uint64_t changes = random.between(1, 2); changes > 0; --changes) {
    std::vector<uint8_t>& bytes =
        random.below(3) != 0 ? parts.root : parts.segments[random.below(parts.segments.size())];
    const size_t at = random.below(bytes.size() / 4) * 4;
    const uint32_t words[] = {0,
                              0xffffffff,
                              static_cast<uint32_t>(bytes.size()),
                              static_cast<uint32_t>(random.next()),
                              static_cast<uint32_t>(random.below(16)),
                              static_cast<uint32_t>(random.below(16))};
    const uint32_t word = words[random.below(std::size(words))];
    std::memcpy(&bytes[at], &word, sizeof word);
  }
}

TEST(SnapshotKnown, S2AnySequenceOfPublishesHasTheFullChecksVerdicts) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    Publishes publishes;
    std::vector<Parts> good;
    size_t accepted = 0;
    size_t refused = 0;
    for (int i = 0; i < 400; ++i) {
      if (good.size() < 4 || random.below(4) == 0) {
        good.push_back(parts_of(random_table(random, good.size() + 1)));
      }
      Parts parts = good[random.below(good.size())];
      const Parts& other = good[random.below(good.size())];
      switch (random.below(4)) {
        case 0: break;  // as it was built
        case 1: change_words(random, parts); break;
        case 2:  // another table's segments under this root
          parts.segments = other.segments;
          break;
        case 3:  // and one of them
          parts.segments[random.below(parts.segments.size())] =
              other.segments[random.below(other.segments.size())];
          break;
      }
      // Not always: a directory that names other hashes must be refused as well.
      if (random.below(8) != 0) mend_checksums(parts.root, parts.segments);
      ++(publishes.publish(parts) ? accepted : refused);
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << " publish " << i;
    }
    EXPECT_GT(accepted, 50U);
    EXPECT_GT(refused, 50U);
    EXPECT_GT(publishes.shared(), 50U) << "segments that were known were not read again";
  }
}

// Every word of the root and of every segment's header over segments that are all known.
TEST(SnapshotKnown, S2KnownSegmentsGainNothingUnderAnotherRoot) {
  const Parts good = parts_of(*realistic_builder({4, 1, 0}).build(9));
  Publishes publishes;
  ASSERT_TRUE(publishes.publish(good));
  for (size_t at = 0; at < good.root.size(); ++at) {
    for (int value : {0, 1, 2, 3, 4, 5, 0xff}) {
      Parts changed = good;
      changed.root[at] = static_cast<uint8_t>(value);
      const uint64_t checksum = root_checksum(changed.root);
      std::memcpy(&changed.root[offsetof(RootHeader, checksum)], &checksum, sizeof checksum);
      publishes.publish(changed);
      ASSERT_FALSE(::testing::Test::HasFailure()) << "root " << at << " = " << value;
    }
  }
}

TEST(SnapshotKnown, S2SlotsAndPoliciesOfKnownSegmentsAreAskedAgain) {
  const Parts good = parts_of(*realistic_builder({1, 1, 0}).build(9));
  std::vector<ByteView> views(good.segments.begin(), good.segments.end());
  const Result<SnapshotView> first = SnapshotView::validate(good.root, views);
  ASSERT_TRUE(first.ok());
  const SnapshotView* const known[] = {&*first};
  const auto refusal = [&](const std::function<void(RootHeader&)>& change, size_t segments) {
    std::vector<uint8_t> root = good.root;
    RootHeader& header = *reinterpret_cast<RootHeader*>(root.data());
    change(header);
    root.resize(sizeof(RootHeader) + segments * sizeof(SegmentEntry));
    header.total_bytes = root.size();
    for (size_t i = 1; i < segments; ++i) {
      reinterpret_cast<SegmentEntry*>(&header + 1)[i].count = header.endpoints_segment_count;
    }
    const uint64_t checksum = root_checksum(root);
    std::memcpy(&root[offsetof(RootHeader, checksum)], &checksum, sizeof checksum);
    const auto view = SnapshotView::validate(root, std::span(views).first(segments), known);
    return view.ok() ? std::string("accepted") : view.error();
  };
  ASSERT_EQ(good.segments.size(), 4U);
  EXPECT_EQ(refusal([](RootHeader&) {}, 4), "accepted");
  EXPECT_NE(refusal([](RootHeader& root) { root.features_required = 0; }, 4)
                .find("has a policy, and features_required does not say so"),
            std::string::npos);
  // Fewer slots than the routes of a known segment name.
  EXPECT_NE(refusal(
                [](RootHeader& root) {
                  root.service_slot_count = 2;
                  root.endpoints_segment_count = 1;
                  root.segment_count = 2;
                },
                2)
                .find("does not exist"),
            std::string::npos);
  // One more slot than the last known segment has.
  EXPECT_NE(refusal([](RootHeader& root) { ++root.service_slot_count; }, 4)
                .find("slots: count is not its range's"),
            std::string::npos);
}

TEST(SnapshotKnown, AnIdentityIsOfOneReading) {
  const Parts good = parts_of(*realistic_builder({2, 1, 0}).build(9));
  const std::vector<ByteView> views(good.segments.begin(), good.segments.end());
  const Result<SnapshotView> first = SnapshotView::validate(good.root, views);
  const SnapshotView* const known[] = {&*first};
  const Result<SnapshotView> second = SnapshotView::validate(good.root, views, known);
  const Result<SnapshotView> third = SnapshotView::validate(good.root, views);
  for (uint32_t place = 0; place < views.size(); ++place) {
    EXPECT_EQ(first->segment_identity(place), second->segment_identity(place));
    EXPECT_NE(first->segment_identity(place), third->segment_identity(place));
  }
  // The same bytes elsewhere are read.
  std::vector<uint8_t> copy = good.segments[1];
  std::vector<ByteView> moved = views;
  moved[1] = copy;
  const Result<SnapshotView> fourth = SnapshotView::validate(good.root, moved, known);
  ASSERT_TRUE(fourth.ok());
  EXPECT_NE(fourth->segment_identity(1), first->segment_identity(1));
  EXPECT_EQ(fourth->segment_identity(0), first->segment_identity(0));
}

}  // namespace
}  // namespace millrace::shm
