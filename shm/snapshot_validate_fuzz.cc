// Fuzzes the validator with mended hashes: whatever it accepts is walked to the last byte. The
// input is a list of changes to a valid snapshot, or, when its first byte says so, the parts
// themselves. Every part ends at a guard page. The same input gives the same answer again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

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

// 0 when refused, else the walk's sum.
uint64_t validate_and_walk(const Parts& parts) {
  static millrace::testing::GuardPage root_page(part_bytes_max);
  static std::vector<std::unique_ptr<millrace::testing::GuardPage>> pages;
  while (pages.size() < parts.segments.size()) {
    pages.push_back(std::make_unique<millrace::testing::GuardPage>(part_bytes_max));
  }
  std::vector<ByteView> views;
  for (size_t i = 0; i < parts.segments.size(); ++i) {
    views.push_back(pages[i]->place(parts.segments[i]));
  }
  const auto view = SnapshotView::validate(root_page.place(parts.root), views);
  if (!view.ok()) {
    CHECK(view.error().rfind("snapshot refused: ", 0) == 0);
    return 0;
  }
  return testing::walk(*view) | 1;
}

}  // namespace
}  // namespace millrace::shm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  using namespace millrace::shm;
  static const Parts one = parts_of({});
  static const Parts many = parts_of({4, 1});
  if (size == 0) return 0;
  const ByteView input = ByteView(data, size).subspan(1);
  Parts parts = data[0] < 0x80   ? changed(input, one)
                : data[0] < 0xc0 ? changed(input, many)
                                 : raw(input);
  shm::testing::mend_checksums(parts.root, parts.segments);
  CHECK(validate_and_walk(parts) == validate_and_walk(parts));
  return 0;
}
