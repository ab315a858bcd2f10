#include "controlplane/certificates/certificate.h"

#include <gtest/gtest.h>

#include "base/time.h"
#include "controlplane/certificates/certificate_testing.h"

namespace millrace::certificates {
namespace {

using k8s::Secret;

constexpr int64_t now_s = 1'790'000'000;
constexpr int64_t day_s = 86'400;

Certificate with_names(std::set<std::string, std::less<>> names) {
  return {0, 0, std::move(names)};
}

std::string der_of(char tag, const std::string& content) {
  std::string length;
  for (size_t rest = content.size(); rest > 0; rest >>= 8) {
    length.insert(length.begin(), static_cast<char>(rest & 0xff));
  }
  if (content.size() >= 0x80)
    length.insert(length.begin(), static_cast<char>(0x80 | length.size()));
  return tag + length + content;
}
std::string der_integer(const std::string& bytes) {
  return der_of('\x02', std::string(1, '\0') + bytes);
}
constexpr char sequence = '\x30';

// 64 kbit, odd.
std::string large_number() {
  return std::string(8'191, '\xff') + '\x7b';
}

// PKCS #8 of DSA (RFC 3279 2.3.2), whose public half is to be computed: g^x modulo p.
std::string large_dsa_pkcs8() {
  const std::string oid = der_of('\x06', "\x2a\x86\x48\xce\x38\x04\x01");
  const std::string parameters =
      der_of(sequence, der_integer(large_number()) + der_integer(std::string(32, '\xff')) +
                           der_integer(std::string(8'000, '\xaa')));
  return der_of(sequence, der_of('\x02', std::string(1, '\0')) +
                              der_of(sequence, oid + parameters) +
                              der_of('\x04', der_integer(large_number())));
}

TEST(CertificateTest, TimesAndNamesAreRead) {
  const MadeCertificate made =
      make_certificate({"Shop.Example", "*.shop.example"}, now_s - day_s, now_s + 90 * day_s);
  const auto read = read_certificate(made.certificate_pem);
  ASSERT_TRUE(read.ok()) << read.error();
  EXPECT_EQ(read->not_before_s, now_s - day_s);
  EXPECT_EQ(read->not_after_s, now_s + 90 * day_s);
  EXPECT_EQ(read->dns_names,
            (std::set<std::string, std::less<>>{"*.shop.example", "shop.example"}));
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

TEST(CertificateTest, KeysOfEveryTypeThatTlsIsServedWith) {
  const MadeCertificate other = make_certificate({"a.example"}, 0, now_s);
  for (const char* type : {"RSA", "RSA-PSS", "EC", "ED25519", "ED448"}) {
    const MadeCertificate made = make_certificate({"a.example"}, 0, now_s, type);
    EXPECT_TRUE(read_certificate(made.certificate_pem).ok()) << type;
    EXPECT_EQ(check_key(made.certificate_pem, made.key_pem), Secret::KEY_MATCHES) << type;
    EXPECT_EQ(check_key(made.certificate_pem, other.key_pem), Secret::KEY_OF_ANOTHER) << type;
    const MadeCertificate same_type = make_certificate({"a.example"}, 0, now_s, type);
    EXPECT_EQ(check_key(made.certificate_pem, same_type.key_pem), Secret::KEY_OF_ANOTHER) << type;
  }
  // As `openssl ecparam -genkey` writes it.
  EXPECT_EQ(check_key(other.certificate_pem, pem_of("EC PARAMETERS", "\x06\x01x") + other.key_pem),
            Secret::KEY_MATCHES);
}

TEST(CertificateTest, C9_KeysThatOthersComputeWithForDaysAreNotDecoded) {
  const std::string dsa = large_dsa_pkcs8();
  const std::string traditional =
      der_of(sequence, der_of('\x02', std::string(1, '\0')) + der_integer(large_number()) +
                           der_integer("\x7b") + der_integer("\x02") + der_integer("\x02") +
                           der_integer(large_number()));
  const std::string keys[] = {
      pem_of("PRIVATE KEY", dsa),     pem_of("DSA PRIVATE KEY", traditional),
      pem_of("DSA PRIVATE KEY", dsa), pem_of("ANY PRIVATE KEY", dsa),
      pem_of("RSA PRIVATE KEY", dsa), pem_of("EC PRIVATE KEY", dsa)};
  for (const char* type : {"EC", "RSA"}) {
    const MadeCertificate made = make_certificate({"a.example"}, 0, now_s, type);
    const Instant began = MonotonicClock().now();
    for (const std::string& key : keys) {
      ASSERT_LT(key.size(), key_bytes_max) << "not refused for its length";
      EXPECT_NE(check_key(made.certificate_pem, key), Secret::KEY_MATCHES) << key.substr(0, 30);
    }
    EXPECT_EQ(check_key(made.certificate_pem, keys[0]), Secret::KEY_UNREADABLE);
    EXPECT_EQ(check_key("", keys[0]), Secret::KEY_UNCHECKED);
    EXPECT_LT(MonotonicClock().now() - began, Duration::seconds(1));
  }
}

TEST(CertificateTest, C9_WhatIsTooLongIsNotRead) {
  const MadeCertificate made = make_certificate({"a.example"}, 0, now_s);
  const std::string padding(certificates_bytes_max, '\n');
  EXPECT_EQ(check_key(made.certificate_pem, padding.substr(0, key_bytes_max) + made.key_pem),
            Secret::KEY_UNREADABLE);
  EXPECT_EQ(check_key(made.certificate_pem + padding, made.key_pem), Secret::KEY_UNCHECKED);
  EXPECT_EQ(read_certificate(made.certificate_pem + padding).error(), "it is longer than 256 KiB");
  const MadeCertificate large = make_certificate({"a"}, 0, now_s, "RSA of 20000 bits");
  EXPECT_EQ(read_certificate(large.certificate_pem).error(),
            "its certificate is of a key of more than 16384 bits");
  EXPECT_EQ(check_key(large.certificate_pem, made.key_pem), Secret::KEY_UNCHECKED);
  const MadeCertificate no_signer = make_certificate({"a"}, 0, now_s, "X25519");
  EXPECT_EQ(read_certificate(no_signer.certificate_pem).error(),
            "its certificate is of a key that is not of RSA, EC, Ed25519 or Ed448");
}

}  // namespace
}  // namespace millrace::certificates
