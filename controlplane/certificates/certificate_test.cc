#include "controlplane/certificates/certificate.h"

#include <gtest/gtest.h>

#include "controlplane/certificates/certificate_testing.h"

namespace millrace::certificates {
namespace {

using k8s::Secret;

constexpr int64_t now_s = 1'790'000'000;
constexpr int64_t day_s = 86'400;

Certificate with_names(std::vector<std::string> names) {
  return {0, 0, std::move(names)};
}

TEST(CertificateTest, TimesAndNamesAreRead) {
  const MadeCertificate made =
      make_certificate({"Shop.Example", "*.shop.example"}, now_s - day_s, now_s + 90 * day_s);
  const auto read = read_certificate(made.certificate_pem);
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_EQ(read->not_before_s, now_s - day_s);
  EXPECT_EQ(read->not_after_s, now_s + 90 * day_s);
  EXPECT_EQ(read->dns_names, (std::vector<std::string>{"shop.example", "*.shop.example"}));
  // Years that a 32-bit clock does not know.
  const auto old = read_certificate(make_certificate({"a"}, 0, 7'000'000'000).certificate_pem);
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->not_after_s, 7'000'000'000);
}

TEST(CertificateTest, WhatCoversAHost) {
  const Certificate one = with_names({"shop.example", "*.apps.example"});
  EXPECT_TRUE(one.covers("shop.example"));
  EXPECT_FALSE(one.covers("www.shop.example"));
  EXPECT_TRUE(one.covers("a.apps.example"));
  EXPECT_TRUE(one.covers("*.apps.example"));
  EXPECT_FALSE(one.covers("apps.example")) << "a wildcard is a label more";
  EXPECT_FALSE(one.covers("a.b.apps.example")) << "and no more than one";
  EXPECT_FALSE(one.covers("*.shop.example")) << "one name of many is not all of them";
  EXPECT_FALSE(one.covers(".apps.example"));
  EXPECT_FALSE(one.covers(""));
  EXPECT_FALSE(with_names({"a.apps.example"}).covers("*.apps.example"));
  const auto of_subject = read_certificate(make_certificate({}, 0, now_s).certificate_pem);
  ASSERT_TRUE(of_subject.ok());
  EXPECT_FALSE(of_subject->covers("common.example")) << "the common name is no name of a host";
}

TEST(CertificateTest, WhatCannotBeReadSaysWhy) {
  const MadeCertificate made = make_certificate({"a.example"}, 0, now_s);
  EXPECT_EQ(read_certificate("").error(), "it holds no certificate in PEM");
  EXPECT_EQ(read_certificate(made.key_pem).error(), "it holds no certificate in PEM");
  std::string broken = made.certificate_pem;
  broken.replace(28, 4, "AAAA");
  EXPECT_EQ(read_certificate(broken).error(), "its certificate cannot be read");
  EXPECT_EQ(read_certificate(made.certificate_pem + broken).error(),
            "its certificate number 2 cannot be read");
  std::string chain;
  for (size_t i = 0; i < chain_certificates_max; ++i) chain += made.certificate_pem;
  EXPECT_TRUE(read_certificate(chain).ok());
  EXPECT_EQ(read_certificate(chain + made.certificate_pem).error(),
            "it holds more than 16 certificates");
}

TEST(CertificateTest, TheKeyIsOfTheFirstCertificateOrOfAnother) {
  const MadeCertificate made = make_certificate({"a.example"}, 0, now_s);
  const MadeCertificate other = make_certificate({"a.example"}, 0, now_s);
  EXPECT_EQ(check_key(made.certificate_pem, made.key_pem), Secret::KEY_MATCHES);
  EXPECT_EQ(check_key(made.certificate_pem + other.certificate_pem, made.key_pem),
            Secret::KEY_MATCHES);
  EXPECT_EQ(check_key(other.certificate_pem + made.certificate_pem, made.key_pem),
            Secret::KEY_OF_ANOTHER);
  EXPECT_EQ(check_key(made.certificate_pem, ""), Secret::KEY_MISSING);
  EXPECT_EQ(check_key(made.certificate_pem, "key"), Secret::KEY_UNREADABLE);
  EXPECT_EQ(check_key("", made.key_pem), Secret::KEY_UNCHECKED);
  // Nobody is asked for the password.
  constexpr char encrypted[] =
      "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
      "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
      "-----END RSA PRIVATE KEY-----\n";
  EXPECT_EQ(check_key(made.certificate_pem, encrypted), Secret::KEY_UNREADABLE);
}

}  // namespace
}  // namespace millrace::certificates
