// Fuzzes the validator with mended hashes: whatever it accepts is walked to the last byte. The
// input is a list of changes to a valid snapshot, or, when its first byte says so, the parts
// themselves. Every part ends at a guard page. The same input gives the same answer again; and
// where segments of the valid snapshots are left as they were, knowing those gives it too.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "shm/snapshot_test_support.h"
#include "tests/support/guard_page.h"

namespace millrace::shm {
namespace {

constexpr size_t part_bytes_max = 64 * 1024;

struct Parts {
  std::vector<uint8_t> root;
  std::vector<std::vector<uint8_t>> segments;
};

Parts parts_of(SnapshotShape shape) {
  const auto built = testing::realistic_builder(shape).build(1);
  Parts parts{built->root, {}};
  for (const BuiltSegment& segment : built->segments) parts.segments.push_back(segment.bytes);
  return parts;
}

// Each change: 1 byte which part and how, 2 bytes where, 4 bytes what.
Parts changed(ByteView input, Parts parts) {
  constexpr size_t change_bytes = 7;
  for (; input.size() >= change_bytes; input = input.subspan(change_bytes)) {
    const size_t which = input[0] % (parts.segments.size() + 1);
    std::vector<uint8_t>& bytes = which == 0 ? parts.root : parts.segments[which - 1];
    uint16_t at;
    std::memcpy(&at, &input[1], sizeof at);
    if (input[0] >= 0xe0) {  // another length
      bytes.resize(at % (bytes.size() + 64));
      continue;
    }
    if (bytes.empty()) continue;
    const size_t start = at % bytes.size();
    const size_t width = std::min<size_t>(input[0] < 0x70 ? 4 : 1, bytes.size() - start);
    std::memcpy(&bytes[start], &input[3], width);
  }
  return parts;
}

// Raw parts: 2 bytes root length, then root, then one routes and one endpoints segment.
Parts raw(ByteView input) {
  Parts parts;
  parts.segments.resize(2);
  std::vector<uint8_t>* const order[] = {&parts.root, &parts.segments[0], &parts.segments[1]};
  for (std::vector<uint8_t>* part : order) {
    if (input.size() < 2) break;
    uint16_t length;
    std::memcpy(&length, input.data(), sizeof length);
    input = input.subspan(2);
    const size_t taken = std::min<size_t>(length, input.size());
    part->assign(input.begin(), input.begin() + static_cast<ptrdiff_t>(taken));
    input = input.subspan(taken);
  }
  return parts;
}

// A snapshot that was published before; its memory stays.
class Known {
 public:
  explicit Known(const Parts& parts) : parts_(parts) {
    const std::vector<ByteView> views(parts_.segments.begin(), parts_.segments.end());
    auto view = SnapshotView::validate(parts_.root, views);
    CHECK(view.ok());
    view_ = std::make_unique<SnapshotView>(std::move(*view));
  }
  // Empty when it has no such segment.
  ByteView memory_of(const std::vector<uint8_t>& bytes) const {
    const auto found = std::find(parts_.segments.begin(), parts_.segments.end(), bytes);
    return found == parts_.segments.end() ? ByteView() : ByteView(*found);
  }
  const SnapshotView* view() const { return view_.get(); }

 private:
  const Parts parts_;
  std::unique_ptr<SnapshotView> view_;
};

// The refusal, or the walk's sum.
std::string verdict_of(const Result<SnapshotView>& view) {
  if (view.ok()) return std::to_string(testing::walk(*view));
  CHECK(view.error().rfind("snapshot refused: ", 0) == 0);
  return view.error();
}

void validate_and_walk(const Parts& parts, std::span<const Known* const> known) {
  static millrace::testing::GuardPage root_page(part_bytes_max);
  static std::vector<std::unique_ptr<millrace::testing::GuardPage>> pages;
  while (pages.size() < parts.segments.size()) {
    pages.push_back(std::make_unique<millrace::testing::GuardPage>(part_bytes_max));
  }
  const ByteView root = root_page.place(parts.root);
  std::vector<ByteView> views;
  std::vector<ByteView> shared;
  for (size_t i = 0; i < parts.segments.size(); ++i) {
    views.push_back(pages[i]->place(parts.segments[i]));
    shared.push_back(views.back());
    for (const Known* one : known) {
      const ByteView memory = one->memory_of(parts.segments[i]);
      if (!memory.empty()) shared.back() = memory;
    }
  }
  std::vector<const SnapshotView*> known_views;
  for (const Known* one : known) known_views.push_back(one->view());
  const std::string verdict = verdict_of(SnapshotView::validate(root, views));
  CHECK(verdict_of(SnapshotView::validate(root, views)) == verdict);
  CHECK(verdict_of(SnapshotView::validate(root, shared, known_views)) == verdict);
}

}  // namespace
}  // namespace millrace::shm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  using namespace millrace::shm;
  static const Parts one = parts_of({});
  static const Parts many = parts_of({4, 1});
  static const Known known_one(one);
  static const Known known_many(many);
  static const Known* const known[] = {&known_one, &known_many};
  if (size == 0) return 0;
  const ByteView input = ByteView(data, size).subspan(1);
  Parts parts = data[0] < 0x80   ? changed(input, one)
                : data[0] < 0xc0 ? changed(input, many)
                                 : raw(input);
  shm::testing::mend_checksums(parts.root, parts.segments);
  validate_and_walk(parts, known);
  return 0;
}
