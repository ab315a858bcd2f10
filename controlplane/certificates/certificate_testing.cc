#include "controlplane/certificates/certificate_testing.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
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

}  // namespace

MadeCertificate make_certificate(const std::vector<std::string>& names, int64_t not_before_s,
                                 int64_t not_after_s) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
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
  CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  MadeCertificate made;
  BIO* certificate_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_bio, certificate);
  made.certificate_pem = text_of(certificate_bio);
  BIO* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  made.key_pem = text_of(key_bio);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

}  // namespace millrace::certificates
