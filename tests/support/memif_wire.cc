// A cable from a memif to a network interface: what comes out of one end goes into the other, so
// that a kernel's clients can talk to a process that has only a memif.
//
//   memif_wire --socket PATH --interface NAME [--role server]
//
// Until SIGTERM; then one line of figures. Frames that an end has no room for are lost and counted,
// as on a cable.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/packet/arena.h"
#include "dataplane/packet/frame_memory.h"

namespace millrace {
namespace {

constexpr uint32_t slot_count = 4096;
constexpr int receive_buffer_bytes = 8 << 20;
volatile sig_atomic_t stopped = 0;

[[noreturn]] void give_up(const std::string& message) {
  std::fprintf(stderr, "memif_wire: %s\n", message.c_str());
  std::exit(2);
}

template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error());
  return std::move(*result);
}

UniqueFd open_interface(const std::string& name) {
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
  if (!fd) give_up(std::strerror(errno));
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes,
             sizeof receive_buffer_bytes);
  const int yes = 1;
  setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  if (at.sll_ifindex == 0) give_up(name + ": no such interface");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
    give_up(name + ": " + std::strerror(errno));
  return fd;
}

class Wire {
 public:
  Wire(nic::Port& memif, packet::Arena& arena, int interface)
      : memif_(memif), arena_(arena), interface_(interface) {}

  // True if anything moved.
  bool turn() {
    const bool out = to_interface();
    const bool in = to_memif();
    return out || in;
  }
  void report() const {
    std::printf("out=%lu in=%lu lost=%lu dropped=%lu\n", out_, in_, lost_,
                memif_.counters().transmit_dropped_frames);
  }

 private:
  bool to_interface() {
    std::array<packet::Frame, nic::burst_frames_max> frames;
    const size_t count = memif_.receive(frames, Instant{});
    for (size_t i = 0; i < count; ++i) {
      const packet::Frame& frame = frames[i];
      (send(interface_, frame.data, frame.length, 0) == frame.length ? out_ : lost_) += 1;
    }
    memif_.release({frames.data(), count});
    return count != 0;
  }
  bool to_memif() {
    std::array<packet::TransmitFrame, nic::burst_frames_max> frames;
    size_t count = 0;
    while (count < frames.size() && count < memif_.transmit_room()) {
      const packet::SlotIndex slot = arena_.acquire();
      if (slot == packet::slot_none) break;
      const ssize_t length =
          recv(interface_, arena_.slot_data(slot), packet::slot_bytes, MSG_TRUNC);
      const bool fits = length > 0 && length <= ssize_t{packet::slot_bytes};
      if (length > 0 && !fits) ++lost_;
      if (fits) arena_.mark_in_port(slot);
      arena_.drop(slot);
      if (length <= 0) break;
      if (fits) frames[count++] = {slot, 0, static_cast<uint16_t>(length)};
    }
    in_ += count;
    memif_.transmit({frames.data(), count}, Instant{});
    memif_.flush();
    std::array<packet::SlotIndex, nic::burst_frames_max> slots;
    const size_t done = memif_.reclaim(slots);
    for (size_t i = 0; i < done; ++i) arena_.mark_sent(slots[i]);
    return count != 0;
  }

  nic::Port& memif_;
  packet::Arena& arena_;
  int interface_;
  uint64_t out_ = 0;
  uint64_t in_ = 0;
  uint64_t lost_ = 0;
};

int run(const std::string& socket, const std::string& interface, nic::MemifRole role) {
  const UniqueFd fd = open_interface(interface);
  nic::DpdkPortOptions options;
  const auto environment = must(
      nic::DpdkEnvironment::create({nic::dpdk_memory_mib(1, options.receive_frames), false, {}}));
  const packet::FrameMemory memory = must(packet::FrameMemory::create(slot_count));
  packet::Arena arena(memory.data(), slot_count);
  options.device = nic::Memif{socket, role, 0, 1024, {}};
  options.arena_memory = memory.data();
  options.arena_slot_count = slot_count;
  const auto port = must(nic::DpdkPort::open(options, *environment));
  Wire wire(*port, arena, fd.get());
  for (const int number : {SIGTERM, SIGINT}) signal(number, [](int) { stopped = 1; });
  while (stopped == 0) {
    if (wire.turn()) continue;
    pollfd waiting{fd.get(), POLLIN, 0};
    const timespec briefly{0, 50'000};
    ppoll(&waiting, 1, &briefly, nullptr);
  }
  wire.report();
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  std::string socket;
  std::string interface;
  std::string role = "client";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--socket") socket = argv[i + 1];
    if (option == "--interface") interface = argv[i + 1];
    if (option == "--role") role = argv[i + 1];
  }
  if (argc % 2 == 0 || socket.empty() || interface.empty() ||
      (role != "client" && role != "server")) {
    std::fprintf(stderr,
                 "usage: memif_wire --socket PATH --interface NAME [--role client|server]\n");
    return 2;
  }
  return millrace::run(
      socket, interface,
      role == "server" ? millrace::nic::MemifRole::server : millrace::nic::MemifRole::client);
}
