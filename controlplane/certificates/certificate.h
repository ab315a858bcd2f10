// What can be told of the certificate and key of a TLS Secret, by OpenSSL: nobody else here knows
// of it. What comes is not trusted: anybody who may write a Secret writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "controlplane/k8s/objects.pb.h"

namespace millrace::certificates {

// The leaf and what leads from it to a root; what has more is refused.
constexpr size_t chain_certificates_max = 16;
// Names of one certificate; it covers none of those beyond.
constexpr size_t certificate_names_max = 1'000;
// What is longer is not read, and no key of more bits is looked at: whoever may write a Secret
// would choose how long our one thread computes.
constexpr size_t certificates_bytes_max = 256 << 10;
constexpr size_t key_bytes_max = 64 << 10;
constexpr int rsa_bits_max = 16'384;

struct Certificate {
  int64_t not_before_s = 0;  // of Unix time
  int64_t not_after_s = 0;
  // DNS names of subjectAltName, in lower case. The subject's common name counts for nothing, as in
  // browsers (RFC 9110 4.3.4).
  std::set<std::string, std::less<>> dns_names;

  // Whether a client that asked for `host` (lower case) would take it: a wildcard stands for one
  // label. A host that is a wildcard itself ("*.shop.example") needs that wildcard.
  bool covers(std::string_view host) const;
};

// The first certificate of `pem`; those behind it must be readable too, and its key be one of RSA
// (RSA-PSS), EC, Ed25519 or Ed448. Error: why it cannot be used, "it holds no certificate in PEM".
Result<Certificate> read_certificate(std::string_view pem);

// Whether `key_pem` is the private key of the first certificate of `certificate_pem`. Keeps nothing
// of it. The certificate says of which type it must be, and it is read as that or not at all: of
// types that nobody serves TLS with (DSA, DH) OpenSSL computes for days what a key of 64 kbit
// leaves out.
k8s::Secret::KeyState check_key(std::string_view certificate_pem, std::string_view key_pem);

// What lies between lines that begin and end a certificate, these lines included, and nothing else:
// of a tls.crt that holds more, or a key by mistake, only this may be kept.
std::string certificates_alone(std::string_view pem);
// Whether a line says that a private key begins there.
bool holds_private_key(std::string_view pem);

}  // namespace millrace::certificates
