// How many frames a second two processes pass each other over a memif, and what a frame costs on
// each side: the bare lane, without a stack.
//
//   dpdk_port_bench [--seconds N]
//
// One process sends and takes back, the other turns every frame around (a copy into a slot of its
// arena, as anything above a port would do). Each has a CPU of its own. A run is cut into short
// blocks, and the median and the best of them are said: on a machine that is not ours alone the
// best is what the lane can do.
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "dataplane/nic/dpdk_port.h"
#include "dataplane/packet/frame_memory.h"

namespace millrace::nic {
namespace {

constexpr uint32_t slot_count = 8192;

struct End {
  std::unique_ptr<DpdkEnvironment> environment;
  std::unique_ptr<packet::FrameMemory> memory;
  std::unique_ptr<packet::Arena> arena;
  std::unique_ptr<DpdkPort> port;
};

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "dpdk_port_bench: %s\n", result.error().c_str());
    std::_Exit(1);
  }
  return std::move(*result);
}

End open_end(const std::string& socket, MemifRole role) {
  End end;
  DpdkPortOptions options;
  DpdkEnvironmentOptions environment;
  environment.memory_mib = dpdk_memory_mib(1, options.receive_frames);
  end.environment = must(DpdkEnvironment::create(environment));
  end.memory = std::make_unique<packet::FrameMemory>(must(packet::FrameMemory::create(slot_count)));
  end.arena = std::make_unique<packet::Arena>(end.memory->data(), slot_count);
  options.device = Memif{socket, role, 0, 1024, {}};
  options.arena_memory = end.memory->data();
  options.arena_slot_count = slot_count;
  end.port = must(DpdkPort::open(options, *end.environment));
  return end;
}

void take_back(End& end) {
  std::array<packet::SlotIndex, burst_frames_max> slots;
  for (;;) {
    const size_t count = end.port->reclaim(slots);
    for (size_t i = 0; i < count; ++i) end.arena->mark_sent(slots[i]);
    if (count < slots.size()) return;
  }
}

// Sends copies of what was received, as much as there is room for.
void turn_around(End& end, std::span<const packet::Frame> frames) {
  std::array<packet::TransmitFrame, burst_frames_max> out;
  size_t count = 0;
  for (const packet::Frame& frame :
       frames.first(std::min(frames.size(), end.port->transmit_room()))) {
    const packet::SlotIndex slot = end.arena->acquire();
    if (slot == packet::slot_none) break;
    std::memcpy(end.arena->payload(slot), frame.data, frame.length);
    end.arena->mark_in_port(slot);
    end.arena->drop(slot);
    out[count++] = {slot, packet::headroom_bytes, frame.length};
  }
  end.port->transmit({out.data(), count}, Instant{});
}

void reflect(const std::string& socket) {
  End end = open_end(socket, MemifRole::client);
  std::array<packet::Frame, burst_frames_max> frames;
  for (;;) {
    const size_t count = end.port->receive(frames, Instant{});
    turn_around(end, {frames.data(), count});
    end.port->release({frames.data(), count});
    end.port->flush();
    take_back(end);
    if (end.port->link_ups() != 0 && !end.port->link_up()) break;
  }
}

// What one block moved, there and back, with up to in_flight_max frames under way.
struct Sender {
  End& end;
  uint16_t frame_bytes;
  uint64_t in_flight_max;
  uint64_t in_flight = 0;

  uint64_t turn(Instant now) {
    std::array<packet::Frame, burst_frames_max> frames;
    std::array<packet::TransmitFrame, burst_frames_max> out;
    const size_t count = end.port->receive(frames, now);
    end.port->release({frames.data(), count});
    in_flight -= std::min<uint64_t>(count, in_flight);
    size_t queued = 0;
    while (queued < out.size() && in_flight < in_flight_max && queued < end.port->transmit_room()) {
      const packet::SlotIndex slot = end.arena->acquire();
      if (slot == packet::slot_none) break;
      end.arena->mark_in_port(slot);
      end.arena->drop(slot);
      out[queued++] = {slot, packet::headroom_bytes, frame_bytes};
      ++in_flight;
    }
    end.port->transmit({out.data(), queued}, now);
    end.port->flush();
    take_back(end);
    return count;
  }
};

void measure(End& end, uint16_t frame_bytes, uint32_t in_flight_max, Duration span) {
  constexpr int blocks = 40;
  constexpr uint64_t turns_per_look = 16;
  const MonotonicClock clock;
  Sender sender{end, frame_bytes, in_flight_max};
  std::vector<double> rates;
  for (int block = 0; block < blocks; ++block) {
    uint64_t came_back = 0;
    const Instant began = clock.now();
    Instant now = began;
    for (uint64_t turn = 1; now - began < span / blocks; ++turn) {
      came_back += sender.turn(now);
      if (turn % turns_per_look == 0) now = clock.now();
    }
    rates.push_back(static_cast<double>(came_back) * 1e3 /
                    static_cast<double>((now - began).count_ns()));
  }
  std::sort(rates.begin(), rates.end());
  std::printf(
      "%4u octets, %3u in flight: M frames/s there and back: median %.2f, best %.2f (%.0f ns a "
      "frame)\n",
      frame_bytes, in_flight_max, rates[blocks / 2], rates.back(), 1e3 / rates.back());
  sender.in_flight_max = 0;
  const Instant began = clock.now();
  while (sender.in_flight != 0 && clock.now() - began < Duration::seconds(1)) sender.turn(began);
}

void settle_on(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
}

int run(Duration span) {
  char folder[] = "/tmp/millrace-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  const std::string socket = std::string(folder) + "/memif";
  const pid_t parent = getpid();
  int ready[2];
  if (pipe(ready) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    char one;
    if (read(ready[0], &one, 1) != 1 || getppid() != parent) std::_Exit(1);
    settle_on(1);
    reflect(socket);
    std::exit(0);
  }
  settle_on(0);
  End end = open_end(socket, MemifRole::server);
  if (write(ready[1], "x", 1) != 1) return 1;
  MonotonicClock clock;
  const Instant began = clock.now();
  while (!end.port->link_up() && clock.now() - began < Duration::seconds(5)) usleep(1000);
  if (end.port->link_up()) {
    for (const uint16_t bytes : std::array<uint16_t, 3>{64, 512, 1514})
      measure(end, bytes, 512, span);
    measure(end, 64, 1, span);
  }
  end.port.reset();
  waitpid(child, nullptr, 0);
  rmdir(folder);
  return 0;
}

}  // namespace
}  // namespace millrace::nic

int main(int argc, char** argv) {
  int64_t seconds = 2;
  if (argc == 3 && std::strcmp(argv[1], "--seconds") == 0) seconds = std::atoi(argv[2]);
  return millrace::nic::run(millrace::Duration::seconds(seconds));
}
