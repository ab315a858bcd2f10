/* The stack of Millrace for other test programs: sockets above, one network device below, and a
 * clock that only the caller moves. One process, no threads, no NIC, no system calls; the same
 * calls with the same seed give the same datagrams.
 *
 * The device carries IPv4 datagrams (no link layer). Every call that can make the stack send leaves
 * what it sends in the device's queue, for mr_device_out().
 *
 * Unless said otherwise a function returns 0, or -1 when the handle is dead or the call makes no
 * sense in its state. Addresses and ports are in host order. Times are nanoseconds of the caller's
 * clock, which begins where mr_config says. Pointers are borrowed for the call only.
 */
#ifndef MILLRACE_STACK_H
#define MILLRACE_STACK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mr_stack mr_stack;
typedef int mr_socket; /* 0 and above; -1 is none */

/* Everything 0 but address and prefix_length: a usual stack. */
typedef struct mr_config {
  uint32_t address;      /* the stack's own */
  uint8_t prefix_length; /* of its subnet; peers outside it are reached by a gateway */
  uint16_t mtu_bytes;    /* 0: 1500 */
  uint64_t seed;         /* of keys, ports and sequence numbers */
  uint64_t start_ns;     /* the clock's first reading */
  uint32_t connections;  /* 0: 64 */
  uint32_t half_open;    /* handshakes under way before SYN cookies are used; 0: 16 */
  uint32_t time_wait;    /* 0: 64 */
  uint32_t packet_slots; /* of 2 KB, for all text in flight; 0: 2048 */
  uint8_t no_sack;
  uint8_t no_timestamps;
  uint8_t no_window_scaling;
  uint8_t new_reno; /* instead of CUBIC */
  uint8_t no_fast_paths;
  uint32_t keepalive_idle_ms;     /* 0: two hours, */
  uint32_t keepalive_interval_ms; /* 75 s, */
  uint8_t keepalive_probes;       /* 9 */
} mr_config;

/* What a socket has to say; bits. */
enum {
  MR_ACCEPTED = 1, /* it came from mr_accept() */
  MR_CONNECTED = 2,
  MR_READABLE = 4,
  MR_PEER_ENDED = 8, /* the peer's FIN is behind the text that waits */
  MR_WRITABLE = 16,  /* a write that fell short can go on */
  MR_ABORTED = 32    /* reset, refused or timed out: only mr_close() is left */
};

typedef struct mr_info {
  const char* state; /* "ESTABLISHED"; "NONE" when the connection is gone */
  uint32_t local_address, remote_address;
  uint16_t local_port, remote_port;
  uint8_t sack, timestamps, window_scaling, repairing;
  uint16_t send_mss_bytes;
  uint32_t round_trip_us, rto_ms;
  uint32_t congestion_window, slow_start_threshold; /* octets */
  uint32_t peer_window, in_flight, send_queue, receive_queue;
  uint32_t out_of_order_ranges, retransmits;
} mr_info;

/* NULL when the configuration makes no sense or memory is short. */
mr_stack* mr_create(const mr_config* config);
void mr_destroy(mr_stack* stack);

/* --- the clock --- */
uint64_t mr_now_ns(const mr_stack* stack);
/* Moves the clock to at_ns, firing every timer on the way at its time. Never back. */
void mr_advance(mr_stack* stack, uint64_t at_ns);
/* The next time at which a timer has something to do; UINT64_MAX: never. */
uint64_t mr_next_deadline_ns(const mr_stack* stack);

/* --- the device --- */
/* A datagram arrives, at most 2034 octets; whatever they are. */
void mr_device_in(mr_stack* stack, const uint8_t* datagram, size_t octets);
/* The next datagram that was sent: its octets, 0 when there is none. What exceeds capacity is cut.
 */
size_t mr_device_out(mr_stack* stack, uint8_t* datagram, size_t capacity);

/* --- sockets --- */
int mr_listen(mr_stack* stack, uint16_t port);
/* -1 when none waits. */
mr_socket mr_accept(mr_stack* stack);
/* Active open from a random port. -1 when there is no room. */
mr_socket mr_connect(mr_stack* stack, uint32_t address, uint16_t port);
/* Octets taken, which may be fewer than asked for, also 0. */
size_t mr_send(mr_stack* stack, mr_socket socket, const uint8_t* text, size_t octets);
/* Octets read; 0 when none waits. */
size_t mr_receive(mr_stack* stack, mr_socket socket, uint8_t* text, size_t capacity);
/* No more text from us. */
int mr_shutdown(mr_stack* stack, mr_socket socket);
/* Done with it: what is queued still goes out. The handle is dead afterwards. */
int mr_close(mr_stack* stack, mr_socket socket);
/* Reset and forget. The handle is dead afterwards. */
int mr_abort(mr_stack* stack, mr_socket socket);
int mr_set_nagle(mr_stack* stack, mr_socket socket, int on);
int mr_set_keepalive(mr_stack* stack, mr_socket socket, int on);
/* The bits that came since the last call, which takes them. */
uint32_t mr_events(mr_stack* stack, mr_socket socket);
int mr_describe(mr_stack* stack, mr_socket socket, mr_info* info);
/* Connections of all kinds, those that nobody has accepted included. */
uint32_t mr_connection_count(const mr_stack* stack);
/* A counter by its name in the data plane's statistics, "tcp_resets_sent". -1: no such counter. */
int64_t mr_counter(const mr_stack* stack, const char* name);
/* 1 when nothing is left behind: no connection, timer or packet memory in use. */
int mr_is_empty(mr_stack* stack);

#ifdef __cplusplus
}
#endif

#endif
