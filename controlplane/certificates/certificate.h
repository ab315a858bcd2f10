// What can be told of the certificate and key of a TLS Secret, by OpenSSL: nobody else here knows
// of it. What comes is not trusted: anybody who may write a Secret writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "controlplane/k8s/objects.pb.h"

namespace millrace::certificates {

// The leaf and what leads from it to a root; what has more is refused.
constexpr size_t chain_certificates_max = 16;
// Names of one certificate; it covers none of those beyond.
constexpr size_t certificate_names_max = 1'000;

struct Certificate {
  int64_t not_before_s = 0;  // of Unix time
  int64_t not_after_s = 0;
  // DNS names of subjectAltName, in lower case. The subject's common name counts for nothing, as in
  // browsers (RFC 9110 4.3.4).
  std::vector<std::string> dns_names;

  // Whether a client that asked for `host` (lower case) would take it: a wildcard stands for one
  // label. A host that is a wildcard itself ("*.shop.example") needs that wildcard.
  bool covers(std::string_view host) const;
};

// The first certificate of `pem`; those behind it must be readable too. Error: why it cannot be
// used, "it holds no certificate in PEM".
Result<Certificate> read_certificate(std::string_view pem);

// Whether `key_pem` is the private key of the first certificate of `certificate_pem`. Keeps nothing
// of it.
k8s::Secret::KeyState check_key(std::string_view certificate_pem, std::string_view key_pem);

}  // namespace millrace::certificates
