#include "dataplane/solicited_node_groups.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "tests/support/lab/namespace.h"

namespace millrace {
namespace {

const Ipv6Address address = *Ipv6Address::parse("2001:db8::12:3456");
const Ipv6Address of_the_same_group = *Ipv6Address::parse("2001:db8:9::12:3456");
constexpr const char* group_mac = "33:33:ff:12:34:56";
constexpr const char* group = "ff02::1:ff12:3456";

class SolicitedNodeGroupsTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = lab::why_no_namespaces();
    if (!reason.empty()) GTEST_SKIP() << reason;
    inside_ = std::make_unique<lab::Namespace>();
    entered_ = std::make_unique<lab::Namespace::Entered>(*inside_);
    lab::join({*inside_, "up0", ""}, {*inside_, "up1", ""});
  }
  // What the kernel has the interface receive.
  std::string memberships() const {
    std::string said;
    EXPECT_EQ(inside_->run("ip maddress show dev up0", &said), 0) << said;
    return said;
  }
  bool receives(const char* what) const { return memberships().find(what) != std::string::npos; }

  std::unique_ptr<lab::Namespace> inside_;
  std::unique_ptr<lab::Namespace::Entered> entered_;
};

TEST_F(SolicitedNodeGroupsTest, AreJoinedByTheKernelAndLeftAtTheEnd) {
  std::string said;
  if (inside_->run("test -e /proc/sys/net/ipv6", &said) != 0) GTEST_SKIP() << "kernel has no IPv6";
  ASSERT_FALSE(receives(group_mac));
  auto joined = SolicitedNodeGroups::join("up0", {address, of_the_same_group});
  ASSERT_TRUE(joined.ok()) << joined.error();
  EXPECT_EQ(joined->note(), "");
  EXPECT_TRUE(receives(group_mac));
  EXPECT_TRUE(receives(group)) << "listener queries would not be answered: " << memberships();
  {
    const SolicitedNodeGroups moved = std::move(*joined);
    EXPECT_TRUE(receives(group));
  }
  EXPECT_FALSE(receives(group_mac));
}

// With an MTU below 1280 an interface has no IPv6 (RFC 8200 section 5), as on a kernel without it.
TEST_F(SolicitedNodeGroupsTest, WithoutIpv6OfTheKernelTheCardsFilterIsOpened) {
  inside_->must("ip link set up0 mtu 1000");
  {
    auto joined = SolicitedNodeGroups::join("up0", {address, of_the_same_group});
    ASSERT_TRUE(joined.ok()) << joined.error();
    EXPECT_NE(joined->note().find("the kernel has no IPv6 on up0"), std::string::npos);
    EXPECT_TRUE(receives(group_mac));
  }
  EXPECT_FALSE(receives(group_mac));
}

TEST_F(SolicitedNodeGroupsTest, AMissingInterfaceIsNamed) {
  const auto joined = SolicitedNodeGroups::join("nowhere0", {address});
  ASSERT_FALSE(joined.ok());
  EXPECT_NE(joined.error().find("nowhere0"), std::string::npos);
  EXPECT_TRUE(SolicitedNodeGroups::join("nowhere0", {}).ok()) << "nothing to join";
}

}  // namespace
}  // namespace millrace
