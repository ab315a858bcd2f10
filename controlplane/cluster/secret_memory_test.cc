// Nothing of a private key stays in this process's memory: not in what was decoded, and not in
// memory that was given back either, which is why all of it is searched.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/unique_fd.h"
#include "base/wipe.h"
#include "controlplane/cluster/messages_test_support.h"
#include "controlplane/cluster/reflector.h"

namespace millrace::cluster {
namespace {

using k8s::Kind;

// As long as the key that a test puts in its place where it stands in an answer.
const std::string stand_in(64, 'x');

// The octets that are looked for. Made anew each time, so that they lie nowhere meanwhile.
char octet_of_key(size_t i) {
  return static_cast<char>('A' + (i * 7 + i / 13) % 26);
}

void put_key(std::string* answer) {
  for (size_t at = 0; (at = answer->find(stand_in, at)) != std::string::npos;) {
    for (size_t i = 0; i < stand_in.size(); ++i) (*answer)[at + i] = octet_of_key(i);
  }
}

bool is_key(const char* bytes) {
  for (size_t i = 0; i < stand_in.size(); ++i) {
    if (bytes[i] != octet_of_key(i)) return false;
  }
  return true;
}

// By first octets: looked at one by one, all of a sanitized process takes a quarter of a minute.
size_t keys_in(const char* at, const char* end) {
  size_t found = 0;
  while (end - at >= static_cast<ssize_t>(stand_in.size())) {
    const auto size = static_cast<size_t>(end - at) - stand_in.size() + 1;
    at = static_cast<const char*>(std::memchr(at, octet_of_key(0), size));
    if (at == nullptr) break;
    found += is_key(at++);
  }
  return found;
}

constexpr size_t window_bytes = 1 << 20;
// The shadow memory of a sanitizer is longer, and holds no octets of a program.
constexpr uint64_t mapping_bytes_max = uint64_t{1} << 32;

// Where memory is looked at: between pages that nobody may touch, so that it is a mapping by itself
// and nothing else is passed over with it.
char* make_window() {
  constexpr size_t guard_bytes = 1 << 16;
  void* mapped =
      mmap(nullptr, window_bytes + 2 * guard_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(mapped != MAP_FAILED);
  char* const window = static_cast<char*>(mapped) + guard_bytes;
  CHECK(mprotect(window, window_bytes, PROT_READ | PROT_WRITE) == 0);
  return window;
}

// How often the key lies in memory that can be written.
size_t keys_in_memory() {
  static char* const window = make_window();
  std::ifstream maps("/proc/self/maps");
  const UniqueFd memory(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  size_t found = 0;
  for (std::string line; std::getline(maps, line);) {
    uint64_t from = 0;
    uint64_t to = 0;
    char dash = 0;
    std::string rights;
    std::istringstream(line) >> std::hex >> from >> dash >> to >> rights;
    if (!rights.starts_with("rw") || to - from > mapping_bytes_max) continue;
    if (from == reinterpret_cast<uint64_t>(window)) continue;
    for (uint64_t at = from; at < to; at += window_bytes - stand_in.size()) {
      const ssize_t count =
          pread(memory.get(), window, std::min(window_bytes, to - at), static_cast<off_t>(at));
      found += keys_in(window, window + std::max<ssize_t>(count, 0));
    }
  }
  return found;
}

k8s::Secret secret_with_stand_in() {
  k8s::Secret secret;
  secret.mutable_metadata()->set_name("s");
  secret.mutable_metadata()->set_namespace_("shop");
  secret.mutable_metadata()->set_resource_version("7");
  secret.set_type("kubernetes.io/tls");
  (*secret.mutable_data())["tls.crt"] =
      stand_in + "\n-----BEGIN CERTIFICATE-----\n" + std::string(3'000, 'c') +
      "\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n" + stand_in +
      "\n-----END PRIVATE KEY-----\n";
  (*secret.mutable_data())["tls.key"] = stand_in;
  (*secret.mutable_data())["another"] = std::string(2'000, 'k') + stand_in;
  (*secret.mutable_metadata()->mutable_annotations())["kubectl.kubernetes.io/last"] = stand_in;
  return secret;
}

TEST(SecretMemory, TheSearchFindsWhatIsThere) {
  auto there = std::make_unique<std::string>(100'000, 'a');
  there->replace(50'000, stand_in.size(), stand_in);
  EXPECT_EQ(keys_in_memory(), 0u);
  put_key(there.get());
  EXPECT_EQ(keys_in_memory(), 1u);
  wipe(there.get());
  EXPECT_EQ(keys_in_memory(), 0u);
}

TEST(SecretMemory, NothingStaysOfAListThatWasRead) {
  std::string body = list_body<k8s::Secret>(Encoding::protobuf, "7", "", {secret_with_stand_in()});
  put_key(&body);
  ASSERT_GE(keys_in_memory(), 3u);
  const auto list = decode_list(Kind::secret, Encoding::protobuf, body);
  wipe(&body);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->objects.size(), 1u);
  EXPECT_EQ(keys_in_memory(), 0u);
  const auto kept = list->objects[0].body.as<k8s::Secret>();
  EXPECT_TRUE(kept.key_in_certificate());
  EXPECT_TRUE(kept.data().at("tls.crt").starts_with("-----BEGIN CERTIFICATE-----\nccc"));
}

// Also of a stream that is cut anywhere, of one that ends in the middle, and of the list at its
// head: from the first octet of the answer to the object in the store.
TEST(SecretMemory, NothingStaysOfAWatchHoweverItIsCut) {
  for (const size_t step : {1, 17, 1'000, 100'000}) {
    for (const size_t missing : {0, 60}) {
      std::string stream = event(Encoding::protobuf, "ADDED", secret_with_stand_in()) +
                           bookmark(Encoding::protobuf, "7", true) +
                           event(Encoding::protobuf, "MODIFIED", secret_with_stand_in());
      put_key(&stream);
      store::Store store;
      const Instant now = Instant::from_ns(1'000'000'000);
      {
        Reflector reflector({Kind::secret, "shop", "s"}, 1);
        ASSERT_TRUE(reflector.start(now).has_value());
        ASSERT_TRUE(reflector.head(200, protobuf_content_type, std::nullopt, now));
        for (size_t at = 0; at + missing < stream.size(); at += step) {
          const size_t length = std::min(step, stream.size() - missing - at);
          ASSERT_TRUE(reflector.body({stream.data() + at, length}, now, &store));
        }
        wipe(&stream);
      }
      EXPECT_EQ(store.size(), 1u);
      EXPECT_EQ(keys_in_memory(), 0u) << step << ' ' << missing;
    }
  }
}

}  // namespace
}  // namespace millrace::cluster
