// Any bytes as a manifest: read, built into a model and shown, without a crash, and with every line
// about it fit for a log.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "controlplane/manifests/file.h"
#include "controlplane/model/build.h"
#include "controlplane/model/dump.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  manifests::ParsedFile parsed =
      manifests::parse_file("f.yaml", {reinterpret_cast<const char*>(data), size});
  store::Store store;
  store.replace(parsed.objects);
  const model::BuildResult built = model::build(store, {});
  model::dump(built.model);
  for (const k8s::Problem& problem : built.problems) {
    for (char c : problem.text()) CHECK(c >= 0x20 && c < 0x7f);
  }
  for (const k8s::Problem& problem : parsed.problems) {
    for (char c : problem.text()) CHECK(c >= 0x20 && c < 0x7f);
  }
  return 0;
}
