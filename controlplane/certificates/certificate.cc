#include "controlplane/certificates/certificate.h"

#include <openssl/bio.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "controlplane/k8s/object.h"

namespace millrace::certificates {

namespace {

using k8s::Secret;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(PKCS8_PRIV_KEY_INFO* info) const { PKCS8_PRIV_KEY_INFO_free(info); }
  void operator()(OSSL_DECODER_CTX* decoder) const { OSSL_DECODER_CTX_free(decoder); }
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

std::set<std::string, std::less<>> dns_names_of(const X509* certificate) {
  std::set<std::string, std::less<>> found;
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count && found.size() < certificate_names_max; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    if (auto text = text_of(name->d.dNSName)) found.insert(std::move(*text));
  }
  return found;
}

// Types of keys that TLS is served with.
struct KeyType {
  int id;            // EVP_PKEY_...; in PKCS #8 the identifier of the algorithm
  const char* name;  // as OpenSSL's decoders know it
};
constexpr KeyType key_types[] = {{EVP_PKEY_RSA, "RSA"},
                                 {EVP_PKEY_RSA_PSS, "RSA-PSS"},
                                 {EVP_PKEY_EC, "EC"},
                                 {EVP_PKEY_ED25519, "ED25519"},
                                 {EVP_PKEY_ED448, "ED448"}};

const KeyType* find_key_type(int id) {
  const auto at = std::find_if(std::begin(key_types), std::end(key_types),
                               [&](const KeyType& type) { return type.id == id; });
  return at == std::end(key_types) ? nullptr : at;
}

const KeyType* key_type_of(const EVP_PKEY* key) {
  return key == nullptr ? nullptr : find_key_type(EVP_PKEY_get_base_id(key));
}

bool is_too_long(const EVP_PKEY* key, const KeyType& type) {
  return (type.id == EVP_PKEY_RSA || type.id == EVP_PKEY_RSA_PSS) &&
         EVP_PKEY_get_bits(key) > rsa_bits_max;
}

// One block of PEM, taken out of its base64.
class PemBlock {
 public:
  PemBlock() = default;
  PemBlock(const PemBlock&) = delete;
  PemBlock& operator=(const PemBlock&) = delete;
  ~PemBlock() { clear(); }

  // False at the end, or where it cannot be read.
  bool read(BIO* bio) {
    clear();
    return PEM_read_bio_ex(bio, &name_, &header_, &bytes_, &length_, flags) == 1;
  }
  std::string_view name() const { return name_; }
  bool is_encrypted() const { return *header_ != '\0'; }
  const unsigned char* bytes() const { return bytes_; }
  long length() const { return length_; }

 private:
  // What is freed is wiped.
  static constexpr unsigned flags = PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE;

  void clear() {
    OPENSSL_secure_free(std::exchange(name_, nullptr));
    OPENSSL_secure_free(std::exchange(header_, nullptr));
    OPENSSL_secure_clear_free(std::exchange(bytes_, nullptr), static_cast<size_t>(length_));
    length_ = 0;
  }

  char* name_ = nullptr;
  char* header_ = nullptr;
  unsigned char* bytes_ = nullptr;
  long length_ = 0;
};

// Of which type the key in the block says it is; null for one that is not served with. Decodes no
// key.
const KeyType* key_type_of(const PemBlock& block) {
  if (block.is_encrypted()) return nullptr;
  if (block.name() == PEM_STRING_RSA) return find_key_type(EVP_PKEY_RSA);
  if (block.name() == PEM_STRING_ECPRIVATEKEY) return find_key_type(EVP_PKEY_EC);
  if (block.name() != PEM_STRING_PKCS8INF) return nullptr;
  const unsigned char* at = block.bytes();
  const Owned<PKCS8_PRIV_KEY_INFO> info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, block.length()));
  const ASN1_OBJECT* algorithm = nullptr;
  if (info == nullptr || PKCS8_pkey_get0(&algorithm, nullptr, nullptr, nullptr, info.get()) != 1) {
    return nullptr;
  }
  return find_key_type(OBJ_obj2nid(algorithm));
}

// As a key of this type and of no other.
Owned<EVP_PKEY> decode_key(const PemBlock& block, const KeyType& type) {
  const char* structure = block.name() == PEM_STRING_PKCS8INF ? "PrivateKeyInfo" : "type-specific";
  EVP_PKEY* key = nullptr;
  const Owned<OSSL_DECODER_CTX> decoder(OSSL_DECODER_CTX_new_for_pkey(
      &key, "DER", structure, type.name, EVP_PKEY_KEYPAIR, nullptr, nullptr));
  const unsigned char* at = block.bytes();
  size_t length = static_cast<size_t>(block.length());
  const bool is_decoded =
      decoder != nullptr && OSSL_DECODER_from_data(decoder.get(), &at, &length) == 1;
  Owned<EVP_PKEY> decoded(key);
  return is_decoded ? std::move(decoded) : nullptr;
}

}  // namespace

bool Certificate::covers(std::string_view host) const {
  if (dns_names.contains(host)) return true;
  const size_t dot = host.find('.');
  if (dot == 0 || dot == std::string_view::npos || host.starts_with('*')) return false;
  return dns_names.contains('*' + std::string(host.substr(dot)));
}

Result<Certificate> read_certificate(std::string_view pem) {
  if (pem.size() > certificates_bytes_max) {
    return Error{"it is longer than " + std::to_string(certificates_bytes_max >> 10) + " KiB"};
  }
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
  const EVP_PKEY* key = X509_get0_pubkey(leaf.get());
  const KeyType* type = key_type_of(key);
  if (type == nullptr) {
    return Error{"its certificate is of a key that is not of RSA, EC, Ed25519 or Ed448"};
  }
  if (is_too_long(key, *type)) {
    return Error{"its certificate is of a key of more than " + std::to_string(rsa_bits_max) +
                 " bits"};
  }
  const auto not_before = seconds_of(X509_get0_notBefore(leaf.get()));
  const auto not_after = seconds_of(X509_get0_notAfter(leaf.get()));
  if (!not_before || !not_after) return Error{"its certificate has no times that can be read"};
  return Certificate{*not_before, *not_after, dns_names_of(leaf.get())};
}

Secret::KeyState check_key(std::string_view certificate_pem, std::string_view key_pem) {
  if (key_pem.empty()) return Secret::KEY_MISSING;
  if (key_pem.size() > key_bytes_max) return Secret::KEY_UNREADABLE;
  if (certificate_pem.size() > certificates_bytes_max) return Secret::KEY_UNCHECKED;
  const ErrorQueue errors;
  const Owned<BIO> bio = reader_of(certificate_pem);
  const Owned<X509> leaf = next_certificate(bio.get());
  const EVP_PKEY* public_key = leaf == nullptr ? nullptr : X509_get0_pubkey(leaf.get());
  const KeyType* type = key_type_of(public_key);
  if (type == nullptr || is_too_long(public_key, *type)) return Secret::KEY_UNCHECKED;
  const Owned<BIO> key_bio = reader_of(key_pem);
  PemBlock block;
  do {  // parameters of a curve may stand before the key
    if (!block.read(key_bio.get())) return Secret::KEY_UNREADABLE;
  } while (!block.name().ends_with("PRIVATE KEY"));
  const KeyType* told = key_type_of(block);
  if (told == nullptr) return Secret::KEY_UNREADABLE;
  if (told != type) return Secret::KEY_OF_ANOTHER;
  const Owned<EVP_PKEY> key = decode_key(block, *type);
  if (key == nullptr || is_too_long(key.get(), *type)) return Secret::KEY_UNREADABLE;
  return X509_check_private_key(leaf.get(), key.get()) == 1 ? Secret::KEY_MATCHES
                                                            : Secret::KEY_OF_ANOTHER;
}

std::string certificates_alone(std::string_view pem) {
  std::string alone;
  alone.reserve(pem.size());
  size_t block = std::string::npos;  // where the one begins that has no end yet
  for (size_t at = 0; at < pem.size();) {
    const size_t newline = pem.find('\n', at);
    const size_t next = newline == std::string_view::npos ? pem.size() : newline + 1;
    const std::string_view line = pem.substr(at, next - at);
    if (line.starts_with("-----BEGIN ")) {
      block = line.starts_with("-----BEGIN CERTIFICATE-----") ? at : std::string::npos;
    } else if (line.starts_with("-----END ")) {
      if (block != std::string::npos && line.starts_with("-----END CERTIFICATE-----")) {
        alone += pem.substr(block, next - block);
      }
      block = std::string::npos;
    }
    at = next;
  }
  return alone;
}

bool holds_private_key(std::string_view pem) {
  for (size_t at = 0; (at = pem.find("-----BEGIN ", at)) != std::string_view::npos; ++at) {
    const std::string_view line = pem.substr(at, pem.find('\n', at) - at);
    if (line.find("PRIVATE KEY-----") != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace millrace::certificates
