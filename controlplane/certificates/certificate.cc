#include "controlplane/certificates/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <memory>
#include <optional>

#include "controlplane/k8s/object.h"

namespace millrace::certificates {

namespace {

using k8s::Secret;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// OpenSSL's queue of errors is the thread's: whatever a call leaves there is taken out.
struct ErrorQueue {
  ErrorQueue() { ERR_clear_error(); }
  ~ErrorQueue() { ERR_clear_error(); }
  static bool is_end_of_pem() {
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  }
};

// Without one OpenSSL asks on the terminal for what an encrypted key needs.
int no_password(char*, int, int, void*) {
  return -1;
}

// Reads `bytes` where they lie.
Owned<BIO> reader_of(std::string_view bytes) {
  const size_t size = std::min(bytes.size(), size_t{INT_MAX});
  return Owned<BIO>(BIO_new_mem_buf(bytes.data(), static_cast<int>(size)));
}

Owned<X509> next_certificate(BIO* bio) {
  return Owned<X509>(PEM_read_bio_X509(bio, nullptr, no_password, nullptr));
}

std::optional<int64_t> seconds_of(const ASN1_TIME* time) {
  std::tm broken_down{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &broken_down) != 1) return std::nullopt;
  return static_cast<int64_t>(timegm(&broken_down));
}

// RFC 5280 4.2.1.6: an IA5String. One that holds a NUL is meant to deceive.
std::optional<std::string> text_of(const ASN1_STRING* name) {
  const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name));
  std::string text(bytes, static_cast<size_t>(ASN1_STRING_length(name)));
  for (char& c : text) {
    if (c <= ' ' || c > '~') return std::nullopt;
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::vector<std::string> dns_names_of(const X509* certificate) {
  std::vector<std::string> found;
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count && found.size() < certificate_names_max; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    if (auto text = text_of(name->d.dNSName)) found.push_back(std::move(*text));
  }
  return found;
}

}  // namespace

bool Certificate::covers(std::string_view host) const {
  const size_t dot = host.find('.');
  const std::string_view rest = dot == std::string_view::npos ? "" : host.substr(dot);
  return std::any_of(dns_names.begin(), dns_names.end(), [&](const std::string& name) {
    if (name == host) return true;
    return name.starts_with("*.") && dot != 0 && !rest.empty() && !host.starts_with('*') &&
           std::string_view(name).substr(1) == rest;
  });
}

Result<Certificate> read_certificate(std::string_view pem) {
  const ErrorQueue errors;
  const Owned<BIO> bio = reader_of(pem);
  const Owned<X509> leaf = next_certificate(bio.get());
  if (leaf == nullptr) {
    return Error{ErrorQueue::is_end_of_pem() ? "it holds no certificate in PEM"
                                             : "its certificate cannot be read"};
  }
  for (size_t count = 1;; ++count) {
    if (next_certificate(bio.get()) == nullptr) {
      if (ErrorQueue::is_end_of_pem()) break;
      return Error{"its certificate number " + std::to_string(count + 1) + " cannot be read"};
    }
    if (count == chain_certificates_max) {
      return Error{"it holds more than " + std::to_string(chain_certificates_max) +
                   " certificates"};
    }
  }
  const auto not_before = seconds_of(X509_get0_notBefore(leaf.get()));
  const auto not_after = seconds_of(X509_get0_notAfter(leaf.get()));
  if (!not_before || !not_after) return Error{"its certificate has no times that can be read"};
  return Certificate{*not_before, *not_after, dns_names_of(leaf.get())};
}

Secret::KeyState check_key(std::string_view certificate_pem, std::string_view key_pem) {
  if (key_pem.empty()) return Secret::KEY_MISSING;
  const ErrorQueue errors;
  const Owned<BIO> key_bio = reader_of(key_pem);
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) return Secret::KEY_UNREADABLE;
  const Owned<BIO> bio = reader_of(certificate_pem);
  const Owned<X509> leaf = next_certificate(bio.get());
  if (leaf == nullptr) return Secret::KEY_UNCHECKED;
  return X509_check_private_key(leaf.get(), key.get()) == 1 ? Secret::KEY_MATCHES
                                                            : Secret::KEY_OF_ANOTHER;
}

}  // namespace millrace::certificates
