#include "dataplane/nic/dpdk_environment.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/unique_fd.h"

namespace millrace::nic {
namespace {

// The last error DPDK logged. Its threads write while ours reads, and a line is not worth a lock: a
// torn one is still a hint.
constexpr size_t log_line_bytes_max = 256;
std::array<char, log_line_bytes_max> log_line{};

ssize_t keep_log_line(void*, const char* text, size_t bytes) {
  std::string_view line(text, bytes);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  const size_t kept = std::min(line.size(), log_line_bytes_max - 1);
  std::memcpy(log_line.data(), line.data(), kept);
  log_line[kept] = 0;
  return static_cast<ssize_t>(bytes);
}

// DPDK's log goes here instead of to stderr and syslog.
void take_over_log() {
  cookie_io_functions_t functions{};
  functions.write = keep_log_line;
  FILE* stream = fopencookie(nullptr, "w", functions);
  if (stream == nullptr) return;
  setvbuf(stream, nullptr, _IOLBF, log_line_bytes_max);
  rte_openlog_stream(stream);
}

// A start that fails also prints to stderr on its own; while this lives, that goes nowhere.
class QuietStandardError {
 public:
  QuietStandardError() : kept_(dup(STDERR_FILENO)) {
    std::FILE* nothing = std::fopen("/dev/null", "we");
    if (nothing == nullptr) return;
    dup2(fileno(nothing), STDERR_FILENO);
    std::fclose(nothing);
  }
  QuietStandardError(const QuietStandardError&) = delete;
  QuietStandardError& operator=(const QuietStandardError&) = delete;
  ~QuietStandardError() {
    if (kept_) dup2(kept_.get(), STDERR_FILENO);
  }

 private:
  UniqueFd kept_;
};

// One lcore over the CPUs that the process may use already, so that the EAL moves nobody.
std::string one_lcore_anywhere() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  std::string list;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE && cpu < RTE_MAX_LCORE; ++cpu) {
      if (CPU_ISSET(cpu, &cpus)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    }
  }
  return "--lcores=0@(" + (list.empty() ? "0" : list) + ")";
}

std::vector<std::string> eal_arguments(const DpdkEnvironmentOptions& options) {
  std::vector<std::string> arguments = {"millrace", "--no-telemetry", "--log-level=error",
                                        // Virtual addresses for DMA: no root needed to look up
                                        // physical ones, and the IOMMU keeps a device inside.
                                        "--iova-mode=va",
                                        // Of this process alone: several data planes, or a data
                                        // plane and a load generator, share a machine.
                                        "--file-prefix=millrace-" + std::to_string(getpid()),
                                        one_lcore_anywhere(), "-m",
                                        std::to_string(options.memory_mib)};
  if (options.huge_pages) {
    arguments.emplace_back("--in-memory");
  } else {
    arguments.emplace_back("--no-huge");
    arguments.emplace_back("--no-shconf");
  }
  if (options.pci_devices.empty()) arguments.emplace_back("--no-pci");
  for (const std::string& device : options.pci_devices) arguments.push_back("--allow=" + device);
  return arguments;
}

int start_eal(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const QuietStandardError quiet;
  return rte_eal_init(static_cast<int>(arguments.size()), pointers.data());
}

constexpr int park_ms_max = 5'000;
std::atomic<bool> parked{false};

void park(void*) {
  parked = true;
  for (;;) pause();
}

// An interrupt that has come already, and calls park(). What it is made of stays until the process
// ends, as the call does. False: DPDK does not take it.
bool interrupt_once_to_park() {
  const int happened = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  rte_intr_handle* handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
  return happened >= 0 && handle != nullptr && rte_intr_fd_set(handle, happened) == 0 &&
         rte_intr_type_set(handle, RTE_INTR_HANDLE_EXT) == 0 &&
         rte_intr_callback_register(handle, park, nullptr) == 0;
}

// DPDK's interrupt thread cannot be ended. It looks through its list of sources whenever one of
// them changes, also when it gets to that only after rte_eal_cleanup() has unmapped what they lie
// in (the memif driver leaves its listener's there), and dies of it. So it is held, in a callback
// of its own, until the process is gone. Not in an alarm's: rte_eal_cleanup() waits for that.
// False: it is not held, and nothing may be unmapped.
bool park_interrupt_thread() {
  if (!interrupt_once_to_park()) return false;
  for (int ms = 0; !parked && ms < park_ms_max; ++ms) usleep(1'000);
  return parked;
}

}  // namespace

Result<std::unique_ptr<DpdkEnvironment>> DpdkEnvironment::create(
    const DpdkEnvironmentOptions& options) {
  take_over_log();
  std::unique_ptr<DpdkEnvironment> environment(new DpdkEnvironment());
  const int started = start_eal(eal_arguments(options));
  const int error = rte_errno;
  // Made even when nothing is shared, and empty then.
  rmdir(rte_eal_get_runtime_dir());
  if (started < 0) {
    const std::string line = environment->take_log_line();
    const std::string memory =
        std::to_string(options.memory_mib) + " MiB" + (options.huge_pages ? " of huge pages" : "");
    return Error{"DPDK does not start with " + memory + ": " +
                 (line.empty() ? rte_strerror(error) : line)};
  }
  environment->started_ = true;
  return environment;
}

DpdkEnvironment::~DpdkEnvironment() {
  if (started_ && park_interrupt_thread()) rte_eal_cleanup();
}

Status DpdkEnvironment::register_thread() {
  if (rte_lcore_id() != LCORE_ID_ANY) return Ok{};
  if (rte_thread_register() == 0) return Ok{};
  return Error{std::string("DPDK does not take a worker thread: ") + rte_strerror(rte_errno)};
}

std::string DpdkEnvironment::take_log_line() {
  std::string line(log_line.data());
  log_line[0] = 0;
  return line;
}

}  // namespace millrace::nic
