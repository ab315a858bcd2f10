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

// Self-signed, with a key of its own on P-256. Times are of Unix; `names` are DNS names.
MadeCertificate make_certificate(const std::vector<std::string>& names, int64_t not_before_s,
                                 int64_t not_after_s);

}  // namespace millrace::certificates
