#include "dataplane/worker_loop.h"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "dataplane/http/head_writer.h"

namespace millrace {
namespace {

// So much later than its deadline may a timer be that nothing else wakes the worker for: a tick of
// a kernel at 250 Hz, whose own TCP is no more exact. Under load frames come sooner, and the turn
// they bring serves the timers too. A shorter sleep has its price even when a frame ends it: the
// processor's timer is set for it and set back, which on a virtual machine are two exits to the
// host.
constexpr Duration timer_slack = Duration::milliseconds(4);
// A sleeping worker must still beat three times within the XDP program's limit of 300 ms.
constexpr Duration sleep_max = Duration::milliseconds(100);
constexpr Duration tick = Duration::milliseconds(100);
// With a port that cannot wake the worker: an exchange under way answers within tens of
// microseconds, so for a millisecond it looks all the time; then it naps, for a tenth of the time
// that nothing moved, within these bounds.
constexpr Duration look_before_nap = Duration::milliseconds(1);
constexpr Duration nap_min = Duration::microseconds(100);
constexpr Duration nap_max = Duration::milliseconds(1);
// An empty turn takes a tenth of that; a longer one without frames had timers to serve.
constexpr Duration still_turn_max = Duration::microseconds(1);
constexpr Duration slice = Duration::microseconds(250);

// Leaves the core's other thread, or the hypervisor, some room between two looks.
void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// As sched_setattr(2) has it; the C library declares it from glibc 2.41 on.
struct SchedulingAttributes {
  uint32_t bytes = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

// Where the kernel's receive thread for our port runs on the same core, a scheduler's slice of 3 ms
// lets either finish long after the other has work. Kernels from 6.12 on let a short slice go
// first; older ones take no notice. Whoever chose another policy for us knows better.
void ask_for_short_slices() {
  SchedulingAttributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime_ns = static_cast<uint64_t>(slice.count_ns());
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

WorkerLoop::WorkerLoop(Worker& worker, std::vector<bpf::Redirect*> programs, Idle idle,
                       WorkerMailbox& mailbox, shm::StatsPage& stats, uint32_t worker_number)
    : worker_(worker),
      programs_(std::move(programs)),
      idle_(idle),
      all_ports_wake_(std::all_of(worker.ports().begin(), worker.ports().end(),
                                  [](const nic::Port* port) { return port->wait_fd() >= 0; })),
      mailbox_(mailbox),
      stats_(stats),
      number_(worker_number) {}

void WorkerLoop::run() {
  prctl(PR_SET_TIMERSLACK, 1UL);  // the default of 50 us would double a short sleep
  ask_for_short_slices();
  while (!mailbox_.stop.load(std::memory_order_relaxed)) {
    const Instant now = clock_.now();
    for (bpf::Redirect* program : programs_) program->beat(now);
    account(now);
    const uint32_t moved = worker_.turn_unflushed(now);
    turn_moved_ = moved != 0;
    if (now >= next_tick_) once_a_tick(now);
    if (moved != 0) last_movement_ = now;
    // Nothing waits: sleep at once, without an empty turn. Spinning for the next frame would take
    // the core from the kernel's receive work for our own port wherever that runs on the same core
    // (docs/performance.md has both measured).
    if (all_ports_wake_ && sleep_if_nothing_waits(now, sleep_max)) continue;
    worker_.flush();
    if (moved == 0 && !all_ports_wake_) idle(now);
  }
  worker_.go_offline();
}

// When a port has to be looked at. The naps still end at once when another port has frames.
void WorkerLoop::idle(Instant now) {
  const Duration still = now - last_movement_;
  if (idle_ == Idle::spin || still < look_before_nap) return pause_briefly();
  const Duration nap = std::clamp(still / 10, nap_min, nap_max);
  sleep_if_nothing_waits(now, nap);
}

// False when it would have been a mistake to sleep.
bool WorkerLoop::sleep_if_nothing_waits(Instant now, Duration most) {
  const Instant deadline = worker_.next_deadline();
  if (deadline <= now || worker_.must_not_sleep()) return false;
  sleep(deadline < now + most ? std::min(deadline - now + timer_slack, most) : most);
  return true;
}

void WorkerLoop::sleep(Duration span) {
  turn_slept_ = true;
  std::array<pollfd, packet::ports_max + 1> fds{};
  size_t count = 0;
  for (const nic::Port* port : worker_.ports()) fds[count++] = {port->wait_fd(), POLLIN, 0};
  fds[count++] = {mailbox_.wake.get(), POLLIN, 0};
  const timespec timeout{static_cast<time_t>(span.count_ns() / 1'000'000'000),
                         static_cast<long>(span.count_ns() % 1'000'000'000)};
  worker_.go_offline();
  ppoll(fds.data(), count, &timeout, nullptr);
  if ((fds[count - 1].revents & POLLIN) != 0) {
    uint64_t told;
    if (read(mailbox_.wake.get(), &told, sizeof told) < 0)
      return;  // somebody else's wake-up was faster
  }
}

// A turn ends where the next begins, so that the clock need not be read twice. A worker that sleeps
// does so in between, and the kernel accounts for it better.
void WorkerLoop::account(Instant now) {
  const Duration took = now - turn_began_;
  if (!all_ports_wake_ && (turn_moved_ || (!turn_slept_ && took > still_turn_max))) {
    ++busy_.turns;
    busy_.time_ns += static_cast<uint64_t>(took.count_ns());
  }
  turn_slept_ = false;
  turn_began_ = now;
}

void WorkerLoop::look_for_drain(Instant now) {
  const int64_t idle_ms = mailbox_.drain_idle_ms.load(std::memory_order_relaxed);
  if (idle_ms < 0) return;
  if (!draining_) worker_.begin_drain(now + Duration::milliseconds(idle_ms), now);
  draining_ = true;
  if (worker_.is_drained()) mailbox_.drained.store(true, std::memory_order_relaxed);
}

// Ten times a second: numbers for readers, the date, conservation.
void WorkerLoop::once_a_tick(Instant now) {
  next_tick_ = now + tick;
  look_for_drain(now);
  const Counters& counters = worker_.counters();
  uint32_t cell = 0;
  for (uint64_t value : counters.values) stats_.set(number_, cell++, value);
  for (uint64_t value : gauges(worker_, busy_)) stats_.set(number_, cell++, value);
  const int64_t seconds = mailbox_.unix_seconds.load(std::memory_order_relaxed);
  if (seconds != date_seconds_) {
    date_seconds_ = seconds;
    std::array<char, http::http_date_bytes> date;
    http::format_http_date(seconds, date);
    worker_.set_date({date.data(), date.size()});
    for (nic::Port* port : worker_.ports()) port->collect_statistics();
    CHECK(worker_.frames_conserved());
  }
}

}  // namespace millrace
