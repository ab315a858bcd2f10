// Certificates made while a test runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::certificates {

struct MadeCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

// With a key of its own. Times are of Unix; `names` are DNS names. `key_type`, as OpenSSL names it:
// "EC" (P-256), "RSA" (2048 bits), "RSA-PSS", "ED25519", "ED448", "X25519"; or "RSA of 20000 bits",
// which has no private half.
MadeCertificate make_certificate(const std::vector<std::string>& names, int64_t not_before_s,
                                 int64_t not_after_s, const std::string& key_type = "EC");

// `der` between lines that name it.
std::string pem_of(const std::string& label, const std::string& der);

}  // namespace millrace::certificates
