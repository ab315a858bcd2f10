#include "shm/content_hash.h"

#include <xxhash.h>

#include <memory>

#include "base/check.h"
#include "shm/snapshot_format.h"

namespace millrace::shm {

uint64_t content_hash(ByteView bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t root_checksum(ByteView root) {
  constexpr size_t field = offsetof(RootHeader, checksum);
  constexpr uint64_t zero = 0;
  CHECK(root.size() >= sizeof(RootHeader));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  CHECK(state != nullptr);
  XXH3_64bits_reset(state.get());
  XXH3_64bits_update(state.get(), root.data(), field);
  XXH3_64bits_update(state.get(), &zero, sizeof zero);
  const ByteView rest = root.subspan(field + sizeof zero);
  XXH3_64bits_update(state.get(), rest.data(), rest.size());
  return XXH3_64bits_digest(state.get());
}

}  // namespace millrace::shm
