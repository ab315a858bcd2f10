// Hands a running data plane snapshots in which one byte is wrong, every byte in its turn, once
// with the hashes as they were and once with all hashes mended, and counts what it answers. With
// mended hashes some changes only change the meaning (another port, another name): our own
// validator says which, and those are not sent, because they are tables like any other.
//
//   snapshot_flip --socket PATH [--step N]
//
// Prints `flipped=N refused=N mended=N mended_refused=N meaning_changed=N accepted=N`; exit status
// 0 when everything sent was refused.
#include <poll.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shm/channel.h"
#include "shm/snapshot.h"
#include "shm/snapshot_test_support.h"

namespace {

using namespace millrace;
using shm::BuiltSnapshot;
using shm::ChannelClient;
using shm::ChannelEvent;

constexpr int answer_ms_max = 5'000;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "snapshot_flip: %s\n", why.c_str());
  std::exit(2);
}

class Sender {
 public:
  explicit Sender(std::string path) : path_(std::move(path)) { connect(); }

  // True if the data plane took it.
  bool accepted(const BuiltSnapshot& built) {
    const Status sent = client_->publish(built);
    if (!sent) return false;  // our own end would not send it: an ABI that nobody reads
    const ChannelEvent answer = next();
    if (answer.kind == ChannelEvent::Kind::closed) give_up("closed: " + answer.message);
    return answer.kind == ChannelEvent::Kind::accepted;
  }

 private:
  void connect() {
    auto client = ChannelClient::connect(path_);
    if (!client) give_up(client.error());
    client_ = std::move(*client);
    if (next().kind != ChannelEvent::Kind::hello) give_up("no hello from " + path_);
  }

  ChannelEvent next() {
    using std::chrono::steady_clock;
    const auto end = steady_clock::now() + std::chrono::milliseconds(answer_ms_max);
    while (steady_clock::now() < end) {
      pollfd wanted{client_->fd(), POLLIN, 0};
      if (client_->wants_write()) wanted.events = POLLIN | POLLOUT;
      poll(&wanted, 1, 100);
      std::vector<ChannelEvent> events = client_->on_readable();
      if (events.empty()) events = client_->on_writable();
      if (!events.empty()) return std::move(events.front());
    }
    give_up("no answer from " + path_);
  }

  std::string path_;
  std::unique_ptr<ChannelClient> client_;
};

const std::vector<uint8_t>& part(const BuiltSnapshot& built, size_t index) {
  if (index == 0) return built.root;
  return built.segments[index - 1].bytes;
}

// Segments share their bytes with who else has them: a changed one is another one.
void flip(BuiltSnapshot& built, size_t index, size_t offset, uint8_t pattern) {
  std::vector<uint8_t> bytes = part(built, index);
  bytes[offset] ^= pattern;
  if (index == 0) {
    built.root = std::move(bytes);
  } else {
    built.segments[index - 1].bytes = shm::SharedBytes(std::move(bytes));
  }
}

void mend(BuiltSnapshot& built) {
  std::vector<std::vector<uint8_t>> segments;
  for (const shm::BuiltSegment& segment : built.segments) segments.push_back(segment.bytes);
  shm::testing::mend_checksums(built.root, segments);
  for (shm::BuiltSegment& segment : built.segments) {
    segment.id = shm::content_hash(segment.bytes);
  }
}

bool valid(const BuiltSnapshot& built) {
  return shm::Snapshot::from_bytes(built.root, shm::testing::segment_views(built)).ok();
}

struct Counts {
  unsigned flipped = 0;
  unsigned refused = 0;
  unsigned mended = 0;
  unsigned mended_refused = 0;
  unsigned meaning_changed = 0;
};

Counts flip_all(Sender& sender, const BuiltSnapshot& right, size_t step) {
  Counts counts;
  for (size_t index = 0; index <= right.segments.size(); ++index) {
    BuiltSnapshot base = right;
    for (size_t at = 0; at < part(base, index).size(); at += step) {
      BuiltSnapshot changed = right;
      // Another pattern at each place, never zero.
      flip(changed, index, at, static_cast<uint8_t>(at % 255 + 1));
      ++counts.flipped;
      counts.refused += !sender.accepted(changed);
      mend(changed);
      if (changed.root == right.root || valid(changed)) {
        ++counts.meaning_changed;
        continue;
      }
      ++counts.mended;
      counts.mended_refused += !sender.accepted(changed);
    }
  }
  return counts;
}

}  // namespace

int main(int argc, char** argv) {
  std::string socket;
  size_t step = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--socket") == 0) socket = argv[i + 1];
    if (std::strcmp(argv[i], "--step") == 0) step = std::strtoul(argv[i + 1], nullptr, 10);
  }
  if (socket.empty() || step == 0) give_up("--socket PATH [--step N]");
  const auto built = shm::testing::realistic_builder().build(7);
  if (!built) give_up(built.error());
  if (!valid(*built)) give_up("the snapshot is wrong before anything was changed");
  Sender sender(socket);
  const Counts counts = flip_all(sender, *built, step);
  const unsigned accepted = counts.flipped - counts.refused + counts.mended - counts.mended_refused;
  std::printf("flipped=%u refused=%u mended=%u mended_refused=%u meaning_changed=%u accepted=%u\n",
              counts.flipped, counts.refused, counts.mended, counts.mended_refused,
              counts.meaning_changed, accepted);
  return accepted == 0 && counts.refused > 0 && counts.mended_refused > 0 ? 0 : 1;
}
