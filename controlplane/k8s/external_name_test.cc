#include "controlplane/k8s/external_name.h"

#include <gtest/gtest.h>

namespace millrace::k8s {
namespace {

TEST(ExternalName, IsADnsNameAndNoAddress) {
  EXPECT_EQ(dns_name_of("nas.example"), "nas.example");
  EXPECT_EQ(dns_name_of("nas.example."), "nas.example");
  EXPECT_EQ(dns_name_of("nas"), "nas");
  EXPECT_EQ(dns_name_of("1.0.0.127.in-addr.arpa"), "1.0.0.127.in-addr.arpa");
  const std::string label(dns_label_bytes_max, 'a');
  EXPECT_EQ(dns_name_of(label + ".example"), label + ".example");
  for (const std::string& wrong :
       {std::string(), std::string("."), std::string("nas.example.."), std::string("Nas.example"),
        std::string("nas example"), std::string("192.0.2.7"), std::string("192.0.2.7."),
        std::string("2001:db8::7"), label + "a.example", std::string(300, 'a'),
        std::string("nas\0.example", 12)}) {
    EXPECT_EQ(dns_name_of(wrong), std::nullopt) << quote(wrong);
  }
}

TEST(ExternalName, ADerivedSliceHasANameThatNoObjectCanHave) {
  const ObjectKey key = derived_slice_key("shop", "nas");
  EXPECT_EQ(key.text(), "EndpointSlice shop/nas/external-name");
  EXPECT_TRUE(key.is_derived());
  EXPECT_FALSE(is_dns_subdomain(key.name));
  EXPECT_FALSE((ObjectKey{Kind::endpoint_slice, "shop", "nas-external-name"}.is_derived()));
}

}  // namespace
}  // namespace millrace::k8s
