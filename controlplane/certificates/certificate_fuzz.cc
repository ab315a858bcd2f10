// Secrets are written by anybody who may write one: what they hold is read or refused, never more.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "controlplane/certificates/certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace::certificates;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto certificate = read_certificate(bytes);
  if (certificate) {
    CHECK(certificate->dns_names.size() <= certificate_names_max);
    for (const std::string& name : certificate->dns_names) {
      CHECK(certificate->covers(name));
      for (const char c : name) CHECK(c > ' ' && c <= '~');
    }
  } else {
    CHECK(!certificate.error().empty());
  }
  const size_t cut = size / 2;
  const auto state = check_key(bytes.substr(0, cut), bytes.substr(cut));
  CHECK((cut == size) == (state == millrace::k8s::Secret::KEY_MISSING));
  return 0;
}
