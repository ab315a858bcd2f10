#include "controlplane/folder_source.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace millrace {
namespace {

namespace fs = std::filesystem;

class FolderSourceTest : public ::testing::Test {
 protected:
  FolderSourceTest() {
    char name[] = "/tmp/millrace-source-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~FolderSourceTest() override { fs::remove_all(root_); }

  void write_slice(const std::string& file, const std::string& address) {
    std::ofstream(root_ / "new") << "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                                    "metadata: {name: cart-1}\naddressType: IPv4\n"
                                    "endpoints: [{addresses: ["
                                 << address << "]}]\n";
    fs::rename(root_ / "new", root_ / file);
  }
  // A turn behind the kernel's news, at a time at which no look is due for it.
  void turn_at_once(FolderSource* source) {
    pollfd ready{source->fd(), POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 5'000), 1);
    source->turn(now_, &store_);
  }

  fs::path root_;
  store::Store store_;
  Instant now_ = MonotonicClock().now();
};

TEST_F(FolderSourceTest, SlicesThatAreFinishedAreTakenAtOnce) {
  write_slice("cart.yaml", "10.0.0.1");
  auto source = FolderSource::open(root_, false);
  ASSERT_TRUE(source.ok());
  (*source)->turn(now_, &store_);
  ASSERT_TRUE((*source)->has_synced());
  store_.take_changes();
  write_slice("cart.yaml", "10.0.0.2");
  turn_at_once(source->get());
  const auto changes = store_.take_changes();
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].kind, store::ChangeKind::updated);
  // The look that is due afterwards finds nothing else.
  (*source)->turn(now_ + manifests::quiet_time_max, &store_);
  EXPECT_FALSE(store_.has_changes());
}

TEST_F(FolderSourceTest, C1SlicesAloneAreNotWhatAnEmptyFolderWaitsFor) {
  auto source = FolderSource::open(root_, false);
  ASSERT_TRUE(source.ok());
  (*source)->turn(now_, &store_);
  write_slice("cart.yaml", "10.0.0.1");
  turn_at_once(source->get());
  EXPECT_TRUE(store_.empty());
  EXPECT_FALSE((*source)->has_synced());
}

}  // namespace
}  // namespace millrace
