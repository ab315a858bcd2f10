/* The XDP program of an uplink: our frames go to the data plane's socket, everything else to the
 * kernel, always.
 *
 * Ours are: to an owned address, any IP packet, and ARP or neighbor discovery whose target it is;
 * to a borrowed address, TCP to a listed port and ICMP errors about such a connection. Fragments
 * and VLAN-tagged frames are the kernel's, and so is IPv6 multicast but for that neighbor
 * discovery: router advertisements, multicast listener queries, what other hosts announce. The
 * kernel's frames pass whatever state the data plane is in.
 *
 * A silent data plane (heartbeat too old) or a missing socket never hangs a node: our own frames
 * are dropped for a while, so that clients retransmit across a pause or restart, then
 * config.on_silence decides.
 *
 * A data plane that is alive and behind (more frames wait in its ring than it has said) is not
 * given SYNs: a full ring would lose the frames of connections too, and those of the proxy's own to
 * its endpoints. Who wanted to connect tries again after a second (RFC 6298 section 2.1).
 *
 * Note on VLANs: a NIC with receive VLAN offload (and a veth whose peer has transmit VLAN offload)
 * strips the tag before XDP runs, so a tagged frame is seen as an untagged one. Turn it off
 * (`ethtool -K <nic> rxvlan off`) where VLANs share the interface with our addresses. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/redirect_maps.h"

/* Wire formats, written out here: the system's headers for ARP and IP pull in parts of libc that do
 * not exist for the BPF target. */
struct ethernet_header {
  __u8 destination[6];
  __u8 source[6];
  __be16 type;
} __attribute__((packed));

struct arp_packet { /* RFC 826 for IPv4 over Ethernet */
  __be16 hardware_type;
  __be16 protocol_type;
  __u8 hardware_length;
  __u8 protocol_length;
  __be16 operation;
  __u8 sender_hardware[6];
  __be32 sender_protocol;
  __u8 target_hardware[6];
  __be32 target_protocol;
} __attribute__((packed));

struct ipv4_header { /* RFC 791 section 3.1 */
  __u8 version_and_length;
  __u8 service;
  __be16 total_length;
  __be16 identification;
  __be16 flags_and_offset;
  __u8 time_to_live;
  __u8 protocol;
  __be16 checksum;
  __be32 source;
  __be32 destination;
} __attribute__((packed));

struct ipv6_header { /* RFC 8200 section 3 */
  __u8 version_and_class;
  __u8 class_and_label[3];
  __be16 payload_length;
  __u8 next_header;
  __u8 hop_limit;
  struct millrace_ipv6_address source;
  struct millrace_ipv6_address destination;
} __attribute__((packed));

struct ipv6_fragment_header { /* RFC 8200 section 4.5 */
  __u8 next_header;
  __u8 reserved;
  __be16 offset_and_more;
  __be32 identification;
} __attribute__((packed));

struct neighbor_message { /* RFC 4861 sections 4.3 and 4.4, without options */
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be32 flags;
  struct millrace_ipv6_address target;
} __attribute__((packed));

/* RFC 792 and RFC 4443: errors carry the offending IP header and at least 8 bytes behind it. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __u32 rest;
} __attribute__((packed));

struct tcp_ports {
  __be16 source;
  __be16 destination;
} __attribute__((packed));

struct tcp_header { /* RFC 9293 section 3.1 */
  struct tcp_ports ports;
  __be32 sequence;
  __be32 acknowledgment;
  __u8 offset;
  __u8 flags;
} __attribute__((packed));

enum { ethertype_ipv4 = 0x0800, ethertype_arp = 0x0806, ethertype_ipv6 = 0x86dd };
enum { ethertype_8021q = 0x8100, ethertype_8021ad = 0x88a8, ethertype_old_qinq = 0x9100 };
enum { arp_hardware_ethernet = 1 };
enum { tcp_flag_syn = 0x02, tcp_flag_ack = 0x10 };
enum { protocol_icmp = 1, protocol_tcp = 6, protocol_icmpv6 = 58 };
enum { icmp_unreachable = 3, icmp_time_exceeded = 11, icmp_parameter_problem = 12 };
enum { ipv4_more_fragments = 0x2000, ipv4_offset_mask = 0x1fff };
enum { ipv6_hop_by_hop = 0, ipv6_routing = 43, ipv6_fragment = 44, ipv6_destination_options = 60 };
enum { ipv6_offset_and_more_mask = 0xfff9 };
/* RFC 4443: errors are 1 (unreachable), 2 (too big), 3 (time exceeded), 4 (parameter problem). */
enum { icmpv6_error_first = 1, icmpv6_error_last = 4 };
enum { icmpv6_neighbor_solicitation = 135, icmpv6_neighbor_advertisement = 136 };

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, millrace_addresses_max);
  __type(key, __be32);
  __type(value, struct millrace_address);
} addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, millrace_borrowed_ports_max);
  __type(key, struct millrace_address_port);
  __type(value, __u8);
} borrowed_ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, millrace_addresses_max);
  __type(key, struct millrace_ipv6_address);
  __type(value, struct millrace_address);
} ipv6_addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, millrace_borrowed_ports_max);
  __type(key, struct millrace_ipv6_address_port);
  __type(value, __u8);
} ipv6_ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct millrace_redirect_config);
} config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct millrace_heartbeat);
} heartbeat SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, millrace_cpus_max); /* the loader shrinks it to the possible CPUs */
  __type(key, __u32);
  __type(value, struct millrace_redirect_counters);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, millrace_queues_max);
  __type(key, __u32);
  __type(value, struct millrace_backlog);
} backlogs SEC(".maps");

/* Sockets by receive queue. One map an interface: a frame redirected to a socket that is bound to
 * another device is lost and yet counted as redirected. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, millrace_queues_max);
  __type(key, __u32);
  __type(value, __u32);
} xsks SEC(".maps");

/* An answer of classify() that is no outcome: ours, and asks for a new connection. */
enum { classified_opening = millrace_outcome_slots };

static __always_inline int finish(enum millrace_outcome outcome, int action) {
  __u32 cpu = bpf_get_smp_processor_id();
  struct millrace_redirect_counters* mine = bpf_map_lookup_elem(&counters, &cpu);
  /* No atomic: XDP of one CPU does not interrupt itself, and nobody else writes this entry. */
  if (mine) mine->frames[outcome]++;
  return action;
}

static __always_inline int is_borrowed_port(__be32 address, __be16 port) {
  struct millrace_address_port key = {.address = address, .port = port, .zero = 0};
  return bpf_map_lookup_elem(&borrowed_ports, &key) != 0;
}

/* What is ours, by whether it opens a connection. A header that is cut off opens none. */
static __always_inline int ours_of_tcp(const struct tcp_header* tcp, const void* end) {
  if ((const void*)(tcp + 1) > end) return millrace_outcome_redirected;
  return (tcp->flags & (tcp_flag_syn | tcp_flag_ack)) == tcp_flag_syn ? classified_opening
                                                                      : millrace_outcome_redirected;
}

/* Length in bytes of the header, 0 if its own fields forbid it. */
static __always_inline __u32 ipv4_header_bytes(const struct ipv4_header* ip) {
  __u32 bytes = (ip->version_and_length & 0x0f) * 4;
  if ((ip->version_and_length >> 4) != 4 || bytes < sizeof *ip) return 0;
  return bytes;
}

/* An ICMP error to a borrowed address is ours if the packet it complains about left one of our
 * address:port pairs. All other ICMP (echo, redirects) belongs to the kernel. */
static __always_inline int classify_borrowed_icmp(const struct icmp_header* icmp, const void* end) {
  if ((const void*)(icmp + 1) > end) return millrace_outcome_passed_malformed;
  if (icmp->type != icmp_unreachable && icmp->type != icmp_time_exceeded &&
      icmp->type != icmp_parameter_problem) {
    return millrace_outcome_passed_not_ours;
  }
  const struct ipv4_header* about = (const void*)(icmp + 1);
  if ((const void*)(about + 1) > end) return millrace_outcome_passed_malformed;
  __u32 header_bytes = ipv4_header_bytes(about);
  if (header_bytes == 0) return millrace_outcome_passed_malformed;
  if (about->protocol != protocol_tcp) return millrace_outcome_passed_not_ours;
  /* A later fragment has no ports; whatever stands there is payload. */
  if (about->flags_and_offset & bpf_htons(ipv4_offset_mask))
    return millrace_outcome_passed_not_ours;
  const struct tcp_ports* ports = (const void*)about + header_bytes;
  if ((const void*)(ports + 1) > end) return millrace_outcome_passed_malformed;
  return is_borrowed_port(about->source, ports->source) ? millrace_outcome_redirected
                                                        : millrace_outcome_passed_not_ours;
}

static __always_inline int classify_ipv4(const struct ipv4_header* ip, const void* end) {
  if ((const void*)(ip + 1) > end) return millrace_outcome_passed_malformed;
  __u32 header_bytes = ipv4_header_bytes(ip);
  if (header_bytes == 0) return millrace_outcome_passed_malformed;

  __be32 destination = ip->destination;
  const struct millrace_address* address = bpf_map_lookup_elem(&addresses, &destination);
  if (!address) return millrace_outcome_passed_not_ours;
  if (ip->flags_and_offset & bpf_htons(ipv4_more_fragments | ipv4_offset_mask)) {
    return millrace_outcome_passed_fragment;
  }
  /* Options, a wrong total length, a wrong checksum: still ours, the stack drops and counts them.
   */
  const void* payload = (const void*)ip + header_bytes;
  if (address->kind == millrace_address_owned) {
    return ip->protocol == protocol_tcp ? ours_of_tcp(payload, end) : millrace_outcome_redirected;
  }
  if (ip->protocol == protocol_icmp) return classify_borrowed_icmp(payload, end);
  if (ip->protocol != protocol_tcp) return millrace_outcome_passed_not_ours;
  const struct tcp_ports* ports = payload;
  if ((const void*)(ports + 1) > end) return millrace_outcome_passed_malformed;
  return is_borrowed_port(destination, ports->destination) ? ours_of_tcp(payload, end)
                                                           : millrace_outcome_passed_not_ours;
}

/* Requests for an owned address, and the replies to what the data plane asked from it. ARP for a
 * borrowed address is the kernel's. */
static __always_inline int classify_arp(const struct arp_packet* arp, const void* end) {
  if ((const void*)(arp + 1) > end) return millrace_outcome_passed_malformed;
  if (arp->hardware_type != bpf_htons(arp_hardware_ethernet) ||
      arp->protocol_type != bpf_htons(ethertype_ipv4) || arp->hardware_length != 6 ||
      arp->protocol_length != 4) {
    return millrace_outcome_passed_not_ours;
  }
  __be32 target = arp->target_protocol;
  const struct millrace_address* address = bpf_map_lookup_elem(&addresses, &target);
  return address && address->kind == millrace_address_owned ? millrace_outcome_redirected
                                                            : millrace_outcome_passed_not_ours;
}

static __always_inline int is_borrowed_ipv6_port(const struct millrace_ipv6_address* address,
                                                 __be16 port) {
  struct millrace_ipv6_address_port key = {.address = *address, .port = port, .zero = 0};
  return bpf_map_lookup_elem(&ipv6_ports, &key) != 0;
}

/* As classify_borrowed_icmp. What we send has no extension header, so neither has what an error
 * about it carries. */
static __always_inline int classify_borrowed_icmpv6(const struct icmp_header* icmp,
                                                    const void* end) {
  if ((const void*)(icmp + 1) > end) return millrace_outcome_passed_malformed;
  if (icmp->type < icmpv6_error_first || icmp->type > icmpv6_error_last) {
    return millrace_outcome_passed_not_ours;
  }
  const struct ipv6_header* about = (const void*)(icmp + 1);
  if ((const void*)(about + 1) > end) return millrace_outcome_passed_malformed;
  if ((about->version_and_class >> 4) != 6) return millrace_outcome_passed_malformed;
  if (about->next_header != protocol_tcp) return millrace_outcome_passed_not_ours;
  const struct tcp_ports* ports = (const void*)(about + 1);
  if ((const void*)(ports + 1) > end) return millrace_outcome_passed_malformed;
  return is_borrowed_ipv6_port(&about->source, ports->source) ? millrace_outcome_redirected
                                                              : millrace_outcome_passed_not_ours;
}

/* Only the first next header is looked at: ordinary TCP has no extension header before it, and a
 * walk would cost the node's own traffic. */
static __always_inline int classify_borrowed_ipv6(const struct ipv6_header* ip, const void* end) {
  const struct tcp_ports* ports = (const void*)(ip + 1);
  switch (ip->next_header) {
    case protocol_tcp: break;
    case protocol_icmpv6: return classify_borrowed_icmpv6((const void*)(ip + 1), end);
    case ipv6_fragment: return millrace_outcome_passed_fragment;
    case ipv6_hop_by_hop:
    case ipv6_routing:
    case ipv6_destination_options: return millrace_outcome_passed_ipv6_extension;
    default: return millrace_outcome_passed_not_ours;
  }
  if ((const void*)(ports + 1) > end) return millrace_outcome_passed_malformed;
  return is_borrowed_ipv6_port(&ip->destination, ports->destination)
             ? ours_of_tcp((const void*)ports, end)
             : millrace_outcome_passed_not_ours;
}

/* Whatever follows is ours, but for a fragment: the stack walks extension headers, and takes an
 * atomic fragment (RFC 6946) for the whole packet it is. Behind either there may be a SYN, and
 * ordinary connections have neither: they wait like SYNs. */
static __always_inline int classify_owned_ipv6(const struct ipv6_header* ip, const void* end) {
  if (ip->next_header == protocol_tcp) return ours_of_tcp((const void*)(ip + 1), end);
  if (ip->next_header == protocol_icmpv6) return millrace_outcome_redirected;
  if (ip->next_header != ipv6_fragment) return classified_opening;
  const struct ipv6_fragment_header* fragment = (const void*)(ip + 1);
  if ((const void*)(fragment + 1) > end) return millrace_outcome_passed_malformed;
  return fragment->offset_and_more & bpf_htons(ipv6_offset_and_more_mask)
             ? millrace_outcome_passed_fragment
             : classified_opening;
}

/* Solicitations for an owned address, and advertisements by somebody else who claims it: to all
 * nodes if they answer duplicate address detection (RFC 4861 section 7.2.4). As for ARP the target
 * decides; groups are shared with other addresses. Not behind a hop-by-hop header, where multicast
 * listener queries are: a frame cannot go to both, and the kernel answers them for the groups that
 * the data plane has it join. */
static __always_inline int classify_ipv6_multicast(const struct ipv6_header* ip, const void* end) {
  if (ip->next_header != protocol_icmpv6) return millrace_outcome_passed_not_ours;
  const struct neighbor_message* message = (const void*)(ip + 1);
  if ((const void*)&message->code > end) return millrace_outcome_passed_malformed;
  if (message->type != icmpv6_neighbor_solicitation &&
      message->type != icmpv6_neighbor_advertisement) {
    return millrace_outcome_passed_not_ours;
  }
  if ((const void*)(message + 1) > end) return millrace_outcome_passed_malformed;
  const struct millrace_address* address = bpf_map_lookup_elem(&ipv6_addresses, &message->target);
  return address && address->kind == millrace_address_owned ? millrace_outcome_redirected
                                                            : millrace_outcome_passed_not_ours;
}

static __always_inline int classify_ipv6(const struct ipv6_header* ip, const void* end) {
  if ((const void*)(ip + 1) > end) return millrace_outcome_passed_malformed;
  if ((ip->version_and_class >> 4) != 6) return millrace_outcome_passed_malformed;
  if (ip->destination.octets[0] == 0xff) return classify_ipv6_multicast(ip, end);
  const struct millrace_address* address = bpf_map_lookup_elem(&ipv6_addresses, &ip->destination);
  if (!address) return millrace_outcome_passed_not_ours;
  return address->kind == millrace_address_owned ? classify_owned_ipv6(ip, end)
                                                 : classify_borrowed_ipv6(ip, end);
}

/* millrace_outcome_redirected and classified_opening mean "ours"; every other answer is a frame for
 * the kernel. */
static __always_inline int classify(const void* data, const void* end) {
  const struct ethernet_header* ethernet = data;
  if ((const void*)(ethernet + 1) > end) return millrace_outcome_passed_malformed;
  const void* payload = ethernet + 1;
  switch (bpf_ntohs(ethernet->type)) {
    case ethertype_ipv4: return classify_ipv4(payload, end);
    case ethertype_arp: return classify_arp(payload, end);
    case ethertype_ipv6: return classify_ipv6(payload, end);
    case ethertype_8021q:
    case ethertype_8021ad:
    case ethertype_old_qinq: return millrace_outcome_passed_vlan;
    default: return millrace_outcome_passed_not_ours;
  }
}

/* One more frame of this queue is given to the worker, unless it asks for a connection, as many
 * wait as may, and those that asked are many of them. No atomics: in a driver a queue is received
 * on one CPU at a time. In generic mode several may be here; then some frames are not counted, and
 * a few more SYNs get in. So are, for the rest of a batch, those that the driver has not put into
 * the ring yet when the worker takes others. */
static __always_inline int may_wait(struct millrace_backlog* backlog, int opening) {
  __u64 progress = *(const volatile __u64*)&backlog->progress;
  if (progress != backlog->progress_seen) {
    backlog->progress_seen = progress;
    backlog->given = 0;
  }
  __u32 most = backlog->waiting_for_opening_max;
  __u32 owed = backlog->owed;
  if (!opening) {
    if (owed != 0) backlog->owed = owed - 1;
  } else if (most != 0) {
    if ((__u32)progress + backlog->given >= most && owed + millrace_owed_by_opening > most) {
      return 0;
    }
    if (owed < most * millrace_owed_max_factor) backlog->owed = owed + millrace_owed_by_opening;
  }
  backlog->given++;
  return 1;
}

/* A frame of ours: to the socket if the data plane is alive and has one on this queue. */
static __always_inline int deliver(struct xdp_md* ctx, int opening) {
  __u32 zero = 0;
  __u32 queue = ctx->rx_queue_index;
  const struct millrace_redirect_config* settings = bpf_map_lookup_elem(&config, &zero);
  const struct millrace_heartbeat* beat = bpf_map_lookup_elem(&heartbeat, &zero);
  if (!settings || !beat) return finish(millrace_outcome_passed_silent, XDP_PASS);

  /* The worker may read its clock on another CPU a few nanoseconds after us: never negative. */
  __u64 now_ns = bpf_ktime_get_ns();
  __u64 beat_ns = *(const volatile __u64*)&beat->beat_ns;
  __u64 age_ns = now_ns > beat_ns ? now_ns - beat_ns : 0;
  int silent = age_ns > settings->heartbeat_limit_ns;

  /* The kernel takes a dead process's socket out of the map at once, long before the heartbeat is
   * stale: without this look the kernel would reset our clients in between. */
  if (!silent && bpf_map_lookup_elem(&xsks, &queue)) {
    if (bpf_xdp_get_buff_len(ctx) > millrace_receive_frame_bytes_max) {
      return finish(millrace_outcome_dropped_too_long, XDP_DROP);
    }
    struct millrace_backlog* backlog = bpf_map_lookup_elem(&backlogs, &queue);
    if (backlog && !may_wait(backlog, opening)) {
      return finish(millrace_outcome_dropped_backlog, XDP_DROP);
    }
    if (bpf_redirect_map(&xsks, queue, XDP_PASS) == XDP_REDIRECT) {
      return finish(millrace_outcome_redirected, XDP_REDIRECT);
    }
    return finish(millrace_outcome_passed_lost_socket, XDP_PASS);
  }
  if (age_ns <= settings->silence_drop_ns) {
    return finish(silent ? millrace_outcome_dropped_silent : millrace_outcome_dropped_no_socket,
                  XDP_DROP);
  }
  if (settings->on_silence == millrace_on_silence_pass) {
    return finish(millrace_outcome_passed_silent, XDP_PASS);
  }
  return finish(millrace_outcome_dropped_silent, XDP_DROP);
}

SEC("xdp.frags")
int millrace_xdp(struct xdp_md* ctx) {
  const void* data = (const void*)(long)ctx->data;
  const void* end = (const void*)(long)ctx->data_end;
  int answer = classify(data, end);
  if (answer == millrace_outcome_redirected) return deliver(ctx, 0);
  if (answer == classified_opening) return deliver(ctx, 1);
  return finish((enum millrace_outcome)answer, XDP_PASS);
}
