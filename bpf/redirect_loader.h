// Loads the XDP program (redirect.bpf.c) onto an interface and keeps it there.
//
// Life of the program. It is attached by a BPF link. Where a BPF file system is mounted the link
// and the maps are pinned under <pin_root>/net<cookie>-if<index>/ (network namespace cookie and
// interface index: equal names in different namespaces do not clash), so the program outlives the
// process: a restart swaps the program under the same link in one step and the NIC is not reset.
// Without a BPF file system everything works, but the program leaves with the process; facts().note
// says so.
//
// Every call here is for start-up, housekeeping and shutdown, except beat(), which is one store.
// After attach() and set_socket() no capability is needed any more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/ipv6_address.h"
#include "base/result.h"
#include "base/time.h"
#include "bpf/queue_progress.h"
#include "bpf/redirect_maps.h"

namespace millrace::bpf {

enum class AttachMode : uint8_t {
  automatic,  // native where the driver can, else generic
  native,     // in the driver
  // In the kernel's receive path, any driver. It runs after GRO and before a veth peer's
  // segmentation, so segments that were merged, or not yet split, are longer than a receive frame
  // and dropped (dropped_too_long): `ethtool -K <interface> gro off`, and tso and gso off on a
  // veth's peer.
  generic,
};

// What becomes of frames of ours when the data plane has been silent for longer than
// silence_drop.
enum class OnSilence : uint8_t { drop, pass };

struct SteeredAddress {
  Ipv4Address address;
  bool borrowed = false;            // the node's own: only tcp_ports are ours
  std::vector<uint16_t> tcp_ports;  // of a borrowed address; ignored for an owned one
};

struct SteeredIpv6Address {
  Ipv6Address address;
  bool borrowed = false;
  std::vector<uint16_t> tcp_ports;
};

inline constexpr std::string_view default_pin_root = "/sys/fs/bpf/millrace";

struct RedirectOptions {
  std::string interface;
  AttachMode mode = AttachMode::automatic;
  OnSilence on_silence = OnSilence::drop;
  std::vector<SteeredAddress> addresses;           // at most millrace_addresses_max
  std::vector<SteeredIpv6Address> ipv6_addresses;  // as many again
  std::string pin_root = std::string(default_pin_root);
  Duration heartbeat_limit = Duration::nanoseconds(int64_t{MILLRACE_HEARTBEAT_LIMIT_NS});
  Duration silence_drop = Duration::nanoseconds(int64_t{MILLRACE_SILENCE_DROP_NS});
};

struct RedirectFacts {
  std::string interface;
  uint32_t interface_index = 0;
  uint32_t program_id = 0;
  bool native = false;
  bool pinned = false;
  bool link_reused = false;   // an earlier run's pinned link was taken over
  std::string pin_directory;  // empty when not pinned
  std::string note;           // one line for the log: mode, pin and what was given up, if anything
};

// Frames by outcome since attach, summed over the CPUs.
using RedirectCounters = std::array<uint64_t, millrace_outcome_count>;

struct OutcomeText {
  std::string_view name;
  std::string_view sentence;
};
OutcomeText outcome_text(millrace_outcome outcome);

class Redirect {
 public:
  // Errors, one line each: interface missing, no privilege, taken by another XDP program (named
  // with its id), taken by a running data plane, too many addresses, what the kernel refused.
  static Result<Redirect> attach(const RedirectOptions& options);

  // Removes link and pins of an earlier or running data plane from an interface. True if there was
  // something to remove.
  static Result<bool> detach(const std::string& interface,
                             const std::string& pin_root = std::string(default_pin_root));

  Redirect(Redirect&& other) noexcept;
  Redirect& operator=(Redirect&&) = delete;
  Redirect(const Redirect&) = delete;
  // Lets go without detaching: a pinned program stays, an unpinned one leaves.
  ~Redirect();

  const RedirectFacts& facts() const;

  // Frames of this receive queue go to this AF_XDP socket from now on. A closed socket leaves the
  // map by itself.
  Status set_socket(uint32_t queue, int socket_fd);

  // SYNs of this receive queue (below millrace_queues_max) are dropped from now on while at least
  // waiting_max frames wait in its ring, as told by what is returned: to be told whenever frames
  // were taken, and not to outlive this.
  QueueProgress hold_openings_back(uint32_t queue, uint32_t waiting_max);

  // "Alive at now", on CLOCK_MONOTONIC. Once a turn, at least every 100 ms.
  void beat(Instant now);

  RedirectCounters counters() const;

  // Orderly stop: the program leaves the interface and the pins are removed. Works without
  // capabilities; pins that may no longer be removed then are dead and swept by the next attach().
  void stop();

  // For tests: runs the program on one frame without a NIC.
  int program_fd() const;

 private:
  struct State;
  explicit Redirect(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace millrace::bpf
