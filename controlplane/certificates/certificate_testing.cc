#include "controlplane/certificates/certificate_testing.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/check.h"

namespace millrace::certificates {

namespace {

std::string text_of(BIO* bio) {
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(bio, &bytes);
  std::string text(bytes, static_cast<size_t>(length));
  BIO_free(bio);
  return text;
}

void add_names(const std::vector<std::string>& names, X509* certificate) {
  if (names.empty()) return;
  std::string value;
  for (const std::string& name : names) value += (value.empty() ? "DNS:" : ",DNS:") + name;
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str());
  CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// 2^(bits - 1) + 1 is as good a modulus as any where nobody computes with it.
EVP_PKEY* public_rsa_key(int bits) {
  BIGNUM* modulus = BN_new();
  BN_set_bit(modulus, bits - 1);
  BN_set_bit(modulus, 0);
  OSSL_PARAM_BLD* build = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus);
  OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, 65'537);
  OSSL_PARAM* parameters = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  CHECK(EVP_PKEY_fromdata_init(context) == 1);
  CHECK(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) == 1);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(parameters);
  OSSL_PARAM_BLD_free(build);
  BN_free(modulus);
  return key;
}

EVP_PKEY* make_key(const std::string& type) {
  if (type == "EC") return EVP_EC_gen("P-256");
  if (type == "RSA of 20000 bits") return public_rsa_key(20'000);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, type.c_str(), nullptr);
  EVP_PKEY* key = nullptr;
  CHECK(EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_generate(context, &key) == 1);
  EVP_PKEY_CTX_free(context);
  return key;
}

}  // namespace

std::string pem_of(const std::string& label, const std::string& der) {
  BIO* bio = BIO_new(BIO_s_mem());
  CHECK(PEM_write_bio(bio, label.c_str(), "", reinterpret_cast<const unsigned char*>(der.data()),
                      static_cast<long>(der.size())) > 0);
  return text_of(bio);
}

MadeCertificate make_certificate(const std::vector<std::string>& names, int64_t not_before_s,
                                 int64_t not_after_s, const std::string& key_type) {
  EVP_PKEY* key = make_key(key_type);
  EVP_PKEY* issuer_key = key_type == "EC" ? EVP_PKEY_dup(key) : make_key("EC");
  X509* certificate = X509_new();
  CHECK(key != nullptr && certificate != nullptr);
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  ASN1_TIME_set(X509_getm_notBefore(certificate), not_before_s);
  ASN1_TIME_set(X509_getm_notAfter(certificate), not_after_s);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("common.example"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  add_names(names, certificate);
  CHECK(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
  MadeCertificate made;
  BIO* certificate_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_bio, certificate);
  made.certificate_pem = text_of(certificate_bio);
  BIO* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);  // if it has one
  made.key_pem = text_of(key_bio);
  X509_free(certificate);
  EVP_PKEY_free(key);
  EVP_PKEY_free(issuer_key);
  return made;
}

}  // namespace millrace::certificates
