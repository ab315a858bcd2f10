/* What the XDP program and the data plane agree on: map keys, map values, limits and outcomes.
 * The one definition for both sides: C for `clang -target bpf`, C++ for the loader and the tests.
 * Only fixed-width types; every struct has its size asserted on the C++ side. */
#ifndef MILLRACE_BPF_REDIRECT_MAPS_H
#define MILLRACE_BPF_REDIRECT_MAPS_H

#include <linux/types.h>

#ifdef __cplusplus
#include <cstddef>
#endif

/* Bounds of the maps. */
enum {
  millrace_addresses_max = 256,       /* owned and borrowed addresses of one interface and family */
  millrace_borrowed_ports_max = 4096, /* address:port pairs of borrowed addresses of one family */
  millrace_queues_max = 64,           /* receive queues of one interface */
  millrace_cpus_max = 1024            /* possible CPUs of a machine */
};

/* An AF_XDP receive frame holds 2048 bytes less the kernel's 256 bytes of XDP headroom. */
enum { millrace_receive_frame_bytes_max = 2048 - 256 };

/* Defaults of millrace_redirect_config. A worker beats at least every 100 ms (its longest sleep),
 * so 300 ms are three missed beats; 3 s let a client's first two SYN retransmissions pass (RFC
 * 6298: 1 s, then 2 s more). */
#define MILLRACE_HEARTBEAT_LIMIT_NS 300000000ULL
#define MILLRACE_SILENCE_DROP_NS 3000000000ULL

enum millrace_address_kind {
  millrace_address_owned = 1,   /* nobody else uses it: every protocol and its ARP are ours */
  millrace_address_borrowed = 2 /* the node's own: only listed TCP ports and their ICMP errors */
};

/* Value of the maps `addresses` and `ipv6_addresses`; the key of the first is the IPv4 address in
 * wire order. */
struct millrace_address {
  __u32 kind; /* enum millrace_address_kind */
};

/* Key of map `borrowed_ports`; the value is one byte that is not looked at. */
struct millrace_address_port {
  __be32 address;
  __be16 port;
  __u16 zero; /* padding is part of the key: always 0 */
};

/* Key of map `ipv6_addresses`, in wire order. */
struct millrace_ipv6_address {
  __u8 octets[16];
};

/* Key of map `ipv6_ports`, as of `borrowed_ports`. */
struct millrace_ipv6_address_port {
  struct millrace_ipv6_address address;
  __be16 port;
  __u16 zero; /* padding is part of the key: always 0 */
};

/* Map `backlogs`, one entry for each receive queue, mapped into the data plane: what waits in the
 * ring of the queue's socket. The worker says it whenever it has taken something; the program
 * counts what it has given since, so that a worker that does not come to its ring is known too. Two
 * lines, each written by one side. */
struct millrace_backlog {
  __u64 progress_seen;           /* by the program: the last progress that it went by */
  __u32 given;                   /* by the program: frames since then */
  __u32 waiting_for_opening_max; /* so many waiting, and SYNs are dropped; 0: never */
  __u32 owed;                    /* by the program: for SYNs given, other frames yet to come */
  __u32 zero_owed;
  __u64 zero_program[5];
  __u64 progress; /* by the worker: its takes, modulo 2^32, above how many frames they left there */
  __u64 zero_worker[7];
};

/* Where many SYNs come, others must go first; where few do, a full ring is not their work, and they
 * are given as the rest is. Each SYN given owes so many other frames... */
enum { millrace_owed_by_opening = 16 };
/* ...all of them at most so often waiting_for_opening_max, so that a flood is not remembered long.
 */
enum { millrace_owed_max_factor = 4 };

enum millrace_on_silence { millrace_on_silence_drop = 0, millrace_on_silence_pass = 1 };

/* Map `config`, one entry. */
struct millrace_redirect_config {
  __u64 heartbeat_limit_ns; /* a beat older than this means that the data plane is silent */
  __u64 silence_drop_ns;    /* until the beat is this old our frames are dropped, then on_silence */
  __u32 on_silence;         /* enum millrace_on_silence */
  __u32 zero;
};

/* Map `heartbeat`, one entry, mapped into the worker: CLOCK_MONOTONIC in nanoseconds, the clock
 * that bpf_ktime_get_ns() reads. */
struct millrace_heartbeat {
  __u64 beat_ns;
};

/* Every frame ends in exactly one outcome. X(name, sentence) */
#define MILLRACE_REDIRECT_OUTCOMES(X)                                                              \
  X(redirected, "Frame of ours, handed to the data plane's socket.")                               \
  X(passed_not_ours, "Frame for an address or port that is not ours, left to the kernel.")         \
  X(passed_ipv6_extension,                                                                         \
    "IPv6 packet to a borrowed address behind an extension header, left alone.")                   \
  X(passed_vlan, "VLAN-tagged frame, left to the kernel whatever it carries.")                     \
  X(passed_fragment, "Fragment of a packet to one of our addresses, left to the kernel.")          \
  X(passed_malformed, "Frame too short or inconsistent for its own headers, left to the kernel.")  \
  X(passed_silent, "Frame of ours, left to the kernel: silent too long and on_silence is pass.")   \
  X(dropped_silent, "Frame of ours, dropped: the data plane has missed its heartbeat.")            \
  X(dropped_no_socket, "Frame of ours, dropped: no socket is bound to its receive queue (yet).")   \
  X(dropped_too_long, "Frame of ours, dropped: longer than a receive frame (offloads upstream?).") \
  X(passed_lost_socket, "Frame of ours, left to the kernel: its socket went away under us.")       \
  X(dropped_backlog,                                                                               \
    "SYN, dropped: the worker is behind, and the frames of connections there are go first.")

enum millrace_outcome {
#define MILLRACE_OUTCOME_ENUMERATOR(name, sentence) millrace_outcome_##name,
  MILLRACE_REDIRECT_OUTCOMES(MILLRACE_OUTCOME_ENUMERATOR)
#undef MILLRACE_OUTCOME_ENUMERATOR
      millrace_outcome_count
};

enum { millrace_outcome_slots = 16 };

/* Map `counters`, one entry for each possible CPU, mapped read-only into the data plane: a plain
 * array indexed by CPU and not BPF_MAP_TYPE_PERCPU_ARRAY, because only this kind can be mapped, and
 * so be read without a system call or a capability. Two cache lines: CPUs do not share one. */
struct millrace_redirect_counters {
  __u64 frames[millrace_outcome_slots]; /* by enum millrace_outcome */
};

#ifdef __cplusplus
static_assert(sizeof(millrace_address) == 4);
static_assert(sizeof(millrace_address_port) == 8);
static_assert(sizeof(millrace_ipv6_address) == 16);
static_assert(sizeof(millrace_ipv6_address_port) == 20);
static_assert(offsetof(millrace_ipv6_address_port, port) == 16);
static_assert(sizeof(millrace_redirect_config) == 24);
static_assert(sizeof(millrace_heartbeat) == 8);
static_assert(sizeof(millrace_backlog) == 128);
static_assert(offsetof(millrace_backlog, progress) == 64);
static_assert(sizeof(millrace_redirect_counters) == 128);
static_assert(int{millrace_outcome_count} <= int{millrace_outcome_slots});
#endif

#endif
