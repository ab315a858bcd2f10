/* The stack behind a small C interface: one host with one network device, in one process, on
 * virtual time, without a NIC. What is inside is the program's own NetStack, unchanged; this is for
 * test programs of any origin that want to drive it: wire scripts, comparisons with other stacks.
 *
 *   MillraceStackConfig config;
 *   millrace_stack_config_default(&config);
 *   config.listen_ports[config.listen_count++] = 80;
 *   MillraceStack *stack = millrace_stack_create(&config, &error);
 *   millrace_stack_device_in(stack, syn, syn_octets);
 *   while ((octets = millrace_stack_device_out(stack, out, sizeof out, &sent_at_ns)) > 0) ...
 *
 * Rules that hold for all calls:
 *
 * - One stack is used by one thread at a time. Two stacks share nothing.
 * - Same configuration, same calls, same datagrams: there is no randomness but the keys.
 * - Time moves only by millrace_stack_advance_to() and millrace_stack_jump_to(). It is nanoseconds
 *   on a monotonic clock with an arbitrary origin.
 * - Buffers belong to the caller, before and after a call. Pointers that the library returns are
 *   constants, unless said otherwise.
 * - Ports and numbers are in the host's order. An address is octets in the order of the wire.
 * - A count or handle that is negative is one of MillraceStackError. A mistake of the caller that
 *   an error cannot express (a null stack) ends the process.
 *
 * Datagrams and turns. The program's worker takes in a burst of frames, lets its application answer
 * and then sends, so that acknowledgments ride on answers. So does this: whatever comes in and
 * whatever the application says is worked on at once, but datagrams are made when
 * millrace_stack_device_out() asks for them, or when time moves. Whoever wants every segment
 * answered by itself asks after every segment. */
#ifndef MILLRACE_TESTS_STACK_API_MILLRACE_STACK_H
#define MILLRACE_TESTS_STACK_API_MILLRACE_STACK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct MillraceStack MillraceStack;

/* Names a connection: positive, never used again within a stack. */
typedef int32_t MillraceSocket;

typedef enum MillraceStackError {
  MILLRACE_STACK_BAD_ARGUMENT = -1, /* an argument that makes no sense, or a dead socket */
  MILLRACE_STACK_WOULD_BLOCK = -2,  /* nothing there yet, or no room yet: try again later */
  MILLRACE_STACK_FULL = -3,         /* a table of the configured size has no place left */
  MILLRACE_STACK_ABORTED = -4,      /* the connection was reset, refused or given up */
  MILLRACE_STACK_ENDED = -5,        /* our own side was shut down: nothing more can be sent */
  MILLRACE_STACK_TOO_LONG = -6      /* a datagram longer than the caller's buffer, or the device */
} MillraceStackError;

/* family 4: the first four octets count. family 6: all sixteen (no stack of that family is built
 * yet: MILLRACE_STACK_BAD_ARGUMENT). family 0: no address. */
typedef struct MillraceAddress {
  uint8_t family;
  uint8_t octets[16];
} MillraceAddress;

enum { MILLRACE_STACK_LISTEN_MAX = 16 };

/* Values as dataplane/tcp/tcp.h has them (Features, Limits, Keys); what a field turns on or bounds
 * is said there. Booleans are 0 or 1. */
typedef struct MillraceStackConfig {
  MillraceAddress address; /* of the host */
  uint8_t prefix_length;   /* of the network that the device is on */
  MillraceAddress gateway; /* of the default route; family 0: there is none */
  uint16_t mtu;            /* octets of IP datagram, 68 to 9000 */
  uint64_t start_ns;       /* what the clock says at first */

  uint16_t listen_ports[MILLRACE_STACK_LISTEN_MAX]; /* more with millrace_stack_listen() */
  uint32_t listen_count;

  uint64_t flow_key[2]; /* of the connection tables */
  uint64_t isn_key[2];  /* of initial sequence numbers, timestamp offsets and SYN cookies */
  uint64_t random_seed; /* of everything else that is random */

  uint8_t window_scaling;
  uint8_t timestamps;
  uint8_t selective_acknowledgments;
  uint8_t ecn_agreed_to;
  uint8_t ecn_asked_for;
  uint8_t cubic;      /* 0: NewReno */
  uint8_t fast_paths; /* 0: every segment goes the long way, with the same result */

  uint32_t connections_max;
  uint32_t half_open_max;
  uint32_t time_wait_max;
  uint32_t receive_slots_initial; /* of one segment each, per connection */
  uint32_t receive_slots_max;
  uint32_t send_slots_max;
  uint32_t memory_slots; /* of 2,048 octets, in the whole stack; at least 64 */

  uint64_t keepalive_idle_ns; /* of connections on which keep-alives are turned on */
  uint64_t keepalive_interval_ns;
  uint8_t keepalive_probes_max;
} MillraceStackConfig;

/* 192.0.2.1/24 without a gateway, an MTU of 1500, no listener, start at 1000 s, features as they
 * are in Features, fixed keys, room for 64 connections. */
void millrace_stack_config_default(MillraceStackConfig* config);

/* A stack, which the caller gives back with millrace_stack_destroy(); NULL when the configuration
 * makes none, with one line of reason in *error (a constant; error may be NULL). */
MillraceStack* millrace_stack_create(const MillraceStackConfig* config, const char** error);
/* stack may be NULL. Its sockets are dead afterwards. Peers are told nothing. */
void millrace_stack_destroy(MillraceStack* stack);

/* --- time --- */

uint64_t millrace_stack_now(const MillraceStack* stack);
/* When the stack has something to do by itself next; never earlier than now. A stack looks after
 * its neighbors ten times a second, so that is never far away. */
uint64_t millrace_stack_next_deadline(const MillraceStack* stack);
/* Moves the clock, stopping at every deadline on the way, as a machine does that is not busy: each
 * datagram leaves at its time. A time in the past is MILLRACE_STACK_BAD_ARGUMENT, else 0. Takes
 * time in proportion to the deadlines: about 10 million virtual seconds a minute. */
int millrace_stack_advance_to(MillraceStack* stack, uint64_t to_ns);
/* Moves the clock at once: a machine that stood still meanwhile. May go back, as no monotonic
 * clock does. */
void millrace_stack_jump_to(MillraceStack* stack, uint64_t to_ns);

/* --- the device --- */

/* One IP datagram arrives now: version and lengths are the stack's to judge. It is copied. ARP is
 * not the caller's business: whatever address the stack asks for, a station of one fixed MAC
 * address answers, from which all datagrams come. Returns 0; an empty datagram is
 * MILLRACE_STACK_BAD_ARGUMENT, one of more than 65,000 octets MILLRACE_STACK_TOO_LONG. */
int millrace_stack_device_in(MillraceStack* stack, const void* datagram, size_t octets);
/* The next IP datagram that the stack has sent, oldest first: copied to buffer, its length is
 * returned, and *sent_at_ns (may be NULL) says when it left. 0: none waits. When it does not fit,
 * MILLRACE_STACK_TOO_LONG is returned and it stays. At most 65,536 wait: more are lost, which
 * the gauge device_out_lost counts. */
int32_t millrace_stack_device_out(MillraceStack* stack, void* buffer, size_t octets_max,
                                  uint64_t* sent_at_ns);

/* --- sockets --- */

/* Connections to a port of the host's address are taken from now on. 0 or MILLRACE_STACK_FULL. */
int millrace_stack_listen(MillraceStack* stack, uint16_t port);
/* An established connection of a listener that nobody has taken yet, in the order in which they
 * were established; port 0: of any. MILLRACE_STACK_WOULD_BLOCK when there is none. */
MillraceSocket millrace_stack_accept(MillraceStack* stack, uint16_t port);
/* Active open from a random ephemeral port. Text may be sent at once; it leaves when the connection
 * stands. MILLRACE_STACK_FULL when no port, route or record is left. */
MillraceSocket millrace_stack_connect(MillraceStack* stack, const MillraceAddress* remote,
                                      uint16_t remote_port);

/* Queues octets to be sent: how many of them were taken, 1 to octets; 0 only when octets is 0. */
int32_t millrace_stack_send(MillraceStack* stack, MillraceSocket socket, const void* text,
                            size_t octets);
/* Takes received octets: how many, at most octets_max. 0: the peer has ended its side and all it
 * said was read. */
int32_t millrace_stack_recv(MillraceStack* stack, MillraceSocket socket, void* text,
                            size_t octets_max);
/* Nothing more will be sent: a FIN goes out behind what is queued. 0 or an error. */
int millrace_stack_shutdown(MillraceStack* stack, MillraceSocket socket);
/* The application is done: what is queued and a FIN still go out, unread or late text is answered
 * with a reset. The socket is dead afterwards, the connection lives on by itself. 0 or an error. */
int millrace_stack_close(MillraceStack* stack, MillraceSocket socket);
/* Reset and forgotten; the socket is dead afterwards. 0 or an error. */
int millrace_stack_abort(MillraceStack* stack, MillraceSocket socket);

typedef enum MillraceSocketOption {
  MILLRACE_SOCKET_NAGLE = 1,    /* off at first (RFC 9293 section 3.7.4) */
  MILLRACE_SOCKET_KEEPALIVE = 2 /* off at first (RFC 9293 section 3.8.4) */
} MillraceSocketOption;
/* 0 or an error. */
int millrace_stack_set_option(MillraceStack* stack, MillraceSocket socket,
                              MillraceSocketOption option, int on);

/* What holds of a socket now, several at once. */
typedef enum MillraceSocketEvents {
  MILLRACE_SOCKET_CONNECTED = 1,  /* the handshake is complete */
  MILLRACE_SOCKET_READABLE = 2,   /* text waits */
  MILLRACE_SOCKET_PEER_ENDED = 4, /* the peer's FIN has arrived, behind text that may wait still */
  MILLRACE_SOCKET_WRITABLE = 8,   /* the last send was not cut short, or there is room again */
  MILLRACE_SOCKET_ABORTED = 16    /* only close is left to do */
} MillraceSocketEvents;
/* A set of MillraceSocketEvents, or an error. */
int32_t millrace_stack_poll(MillraceStack* stack, MillraceSocket socket);

/* RFC 9293 section 3.3.2, in its order. LISTEN is no state of a connection here. */
typedef enum MillraceSocketState {
  MILLRACE_STATE_CLOSED = 0,
  MILLRACE_STATE_SYN_SENT = 2,
  MILLRACE_STATE_SYN_RECEIVED = 3,
  MILLRACE_STATE_ESTABLISHED = 4,
  MILLRACE_STATE_FIN_WAIT_1 = 5,
  MILLRACE_STATE_FIN_WAIT_2 = 6,
  MILLRACE_STATE_CLOSE_WAIT = 7,
  MILLRACE_STATE_CLOSING = 8,
  MILLRACE_STATE_LAST_ACK = 9,
  MILLRACE_STATE_TIME_WAIT = 10
} MillraceSocketState;

/* Sequence numbers are absolute; windows and sizes are octets. */
typedef struct MillraceSocketInfo {
  MillraceSocketState state;
  uint16_t local_port;
  MillraceAddress remote_address;
  uint16_t remote_port;

  uint32_t iss; /* initial sequence number of ours */
  uint32_t snd_una;
  uint32_t snd_nxt;
  uint32_t snd_max; /* behind the highest octet ever sent */
  uint32_t snd_wnd;
  uint32_t rcv_nxt;
  uint32_t rcv_wnd; /* what is left of the window that the peer was promised */

  uint32_t cwnd;
  uint32_t ssthresh;
  uint32_t mss;     /* text octets per segment, options already taken off */
  uint32_t srtt_us; /* 0: never measured */
  uint32_t rto_us;  /* of the next timeout, backoff included */
  uint32_t backoff; /* timeouts in a row */
  uint32_t retransmits;

  uint8_t window_scaling; /* agreed on, as the next two */
  uint8_t timestamps;
  uint8_t selective_acknowledgments;
  uint8_t send_shift;    /* of windows that the peer announces */
  uint8_t receive_shift; /* of windows that we announce */

  uint32_t readable_octets;       /* at most 1,048,576 are counted */
  uint32_t unacknowledged_octets; /* sequence numbers from snd_una to snd_max */
} MillraceSocketInfo;
/* 0 or an error. What exists only while something is under way (cwnd does not) is 0 when nothing
 * is. */
int millrace_stack_info(MillraceStack* stack, MillraceSocket socket, MillraceSocketInfo* info);

/* --- numbers --- */

/* A counter of dataplane/counters.def ("tcp_challenge_acks"), or a gauge: connections, half_open,
 * time_wait, transfers, armed_timers, slots_held, slots_free, device_out_lost. 0, or
 * MILLRACE_STACK_BAD_ARGUMENT when there is none of that name. */
int millrace_stack_counter(MillraceStack* stack, const char* name, uint64_t* value);
/* Names of the counters, index from 0; NULL behind the last one. */
const char* millrace_stack_counter_name(size_t index);
/* Checks the stack's invariants, of which a broken one ends the process with its reason, and that
 * every slot of packet memory that is in use belongs to a connection. Returns how many do not. */
int32_t millrace_stack_check(MillraceStack* stack);

#ifdef __cplusplus
}
#endif

#endif
