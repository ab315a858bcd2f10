// DpdkEnvironment: DPDK's environment abstraction layer (EAL), once a process and before its first
// DpdkPort. Its arguments are made from what is said here, never from a command line.
//
// What it adds to the process: memory of its own for descriptors and received frames, and one
// thread (eal-intr-thread) that handles the control messages of devices and sleeps otherwise. It
// takes no core: the one lcore of the EAL is the thread that calls create(), with the affinity it
// already has. A worker thread says so with register_thread().
//
// Nothing is shared with other processes: no files, no telemetry, no secondary processes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace millrace::nic {

struct DpdkEnvironmentOptions {
  uint32_t memory_mib = 64;              // what the EAL may take; dpdk_memory_mib() says how much
  bool huge_pages = false;               // of 2 MiB or 1 GiB, which the system must have free
  std::vector<std::string> pci_devices;  // "0000:03:00.0"; no others are looked at
};

class DpdkEnvironment {
 public:
  // Once a process, also after one was destroyed: the EAL cannot begin again. Errors: memory that
  // is not there, a PCI device that is missing or bound to no driver that DPDK takes.
  static Result<std::unique_ptr<DpdkEnvironment>> create(const DpdkEnvironmentOptions& options);
  DpdkEnvironment(const DpdkEnvironment&) = delete;
  DpdkEnvironment& operator=(const DpdkEnvironment&) = delete;
  // All ports are closed before. DPDK's thread stays, asleep, until the process ends.
  ~DpdkEnvironment();

  // The calling thread may use ports from now on, with caches of its own. Once a thread; the one
  // that called create() is registered already.
  Status register_thread();

  // What DPDK logged last as an error, for a message of ours; empty if nothing. Forgotten by the
  // call.
  std::string take_log_line();

 private:
  DpdkEnvironment() = default;

  bool started_ = false;
};

}  // namespace millrace::nic
