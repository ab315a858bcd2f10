// TCP as the proxy sees it: connections named by ConnId, a ready list instead of callbacks, bytes
// in and out with back-pressure. RFC 9293; the rows T1 to T54 of docs/testing.md name the rules.
//
// No I/O, no clock, no allocation after construction. One turn of the worker:
//
//   ingress()*  advance()  { next_ready(), readable(), consume(), write(), ... }*  end_reading()
//   egress()*
//
// Between ingress() and end_reading() received text may still lie in frames that belong to a port;
// end_reading() copies what nobody consumed into the arena, after which the frames can be released.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/hash.h"
#include "base/index_list.h"
#include "base/random.h"
#include "base/slab.h"
#include "base/timer_wheel.h"
#include "dataplane/counters.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/net/ipv4.h"
#include "dataplane/net/ipv6_network.h"
#include "dataplane/packet/arena.h"
#include "dataplane/tcp/connection.h"
#include "dataplane/tcp/path_mtu.h"
#include "dataplane/tcp/reassembly.h"
#include "dataplane/tcp/repair.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/syn_cookie.h"
#include "dataplane/tcp/time_wait.h"

namespace millrace::tcp {

// What a ready connection has to say; several at once are usual.
enum Event : uint8_t {
  event_accepted = 1,    // passive open is complete; the connection is new to the application
  event_connected = 2,   // active open is complete
  event_readable = 4,    // text waits
  event_peer_ended = 8,  // the peer's FIN is behind the text that waits (or behind what was read)
  event_writable = 16,   // a write that fell short can go on
  event_aborted = 32,    // reset, timed out or refused: only close() is left to do
  event_deadline = 64,   // the deadline that set_deadline() asked for has passed
};

struct Ready {
  ConnId id;
  uint32_t owner = 0;
  uint8_t events = 0;
};

// Of so many connections, how many have something under way at the same time, for sizing tables:
// all of them up to 65,536, a sixteenth beyond, and never fewer than 65,536 then. (A connection is
// busy during an exchange and for 200 ms behind it: with a request every 10 s each, one in forty.)
constexpr uint32_t busy_among(uint32_t connections) {
  constexpr uint32_t all_busy_max = 65'536;
  return std::min(connections, std::max(all_busy_max, connections / 16));
}

// What we offer and accept of what RFC 9293 leaves to agreement. As they stand here, except for
// tests and for finding out.
struct Features {
  bool window_scaling = true;             // RFC 7323 section 2
  bool timestamps = true;                 // RFC 7323 section 3
  bool selective_acknowledgments = true;  // RFC 2018, and with them RFC 2883 and RFC 8985
  // Explicit congestion notification (RFC 3168): agreed to when a peer asks for it. We do not ask:
  // some paths to a backend still lose a SYN that does.
  bool ecn_agreed_to = true;
  bool ecn_asked_for = false;
  CongestionControl congestion_control = CongestionControl::cubic;
};

// A connection with segments missing needs a record of half a KB on the side that sends, with a
// page of half a KB for every 64 segments in flight, and of 1 KB on the side that receives. So many
// of each: when they are in use, a sender repairs as if its peer had no selective acknowledgments,
// and a receiver drops what comes out of order.
inline constexpr uint32_t repairs_max = 2'048;

// So many slots a connection may have to send whatever others have; and when only what is kept for
// receiving is free.
inline constexpr uint32_t send_slots_min = 8;
inline constexpr uint32_t send_slots_min_scarce = 2;
// So many it may hold of received text then: others that do not read must not make it deaf. Who has
// connected to us says the longer heads, and who does not read is sent by those we connect to.
inline constexpr uint32_t receive_slots_min_passive = 4;
inline constexpr uint32_t receive_slots_min_active = 2;

// T10: a SYN-ACK is said six times at most for each SYN, or we would amplify for forged sources.
inline constexpr uint8_t syn_ack_retransmits_max = 5;

// Of a connection on which keep-alives are on (RFC 9293 section 3.8.4, RFC 1122 section 4.2.3.6):
// after how long without a word it is probed, how often then, and how many probes in a row must
// stay without an answer before the peer counts as gone.
struct KeepAlive {
  Duration idle = Duration::seconds(7'200);
  Duration interval = Duration::seconds(75);
  uint8_t probes_max = 9;
};

struct Limits {
  Features features;
  KeepAlive keepalive;
  uint32_t connections = 16'384;
  // Connections on which something is under way at the same time (idle ones need no record for it).
  // 0: busy_among(connections).
  uint32_t transfers = 0;
  // Connections that repair losses, and as many that have text out of order. 0: repairs_max, or the
  // number of transfers if that is less.
  uint32_t repairs = 0;
  uint32_t listeners = 64;
  // Off: every segment goes the long way, with the same result. For tests and for finding out.
  bool fast_paths = true;
  uint32_t half_open = 4'096;  // connections in SYN-RECEIVED (T9)
  uint32_t time_wait = 32'768;
  uint32_t receive_slots_initial =
      48;  // per connection, 69 KB: a head of the largest allowed size fits
  uint32_t receive_slots_max = 512;  // per connection after tuning, 740 KB
  // Per connection, 6 MB: what 40 ms of round trip take at 1 Gbit/s. What is free of the arena
  // bounds it further (Tcp::send_slots_allowed).
  uint32_t send_slots_max = 4'096;
};

struct Keys {
  HashKey flow;  // flow and TIME-WAIT tables (T48)
  HashKey isn;   // initial sequence numbers (T8), and the keys of SYN cookies (T9)
  uint64_t random_seed = 0;
};

class Tcp {
 public:
  Tcp(const Limits& limits, const Keys& keys, packet::Arena& arena, net::IpOutput& output,
      Counters& counters, Instant start);

  // False when the table of listeners is full.
  bool listen(SocketAddress local);
  bool is_listening(SocketAddress local) const;
  // Who asks for a connection from now on is refused with a reset; handshakes under way go on.
  void stop_listening() { listener_count_ = 0; }

  // --- what the stack feeds in ---
  // packet: of protocol TCP whose destination is ours; checksum already verified. IPv6 hosts come
  // by their aliases, here and in all other calls.
  // back: the path to whoever sent the frame, used for borrowed destinations; absent for owned
  // ones.
  void ingress(const net::Ipv4Packet& packet, const std::optional<net::Path>& back, Instant now);
  void icmp_error(const net::IcmpError& error, Instant now);
  void advance(Instant now);
  void end_reading();
  // Emits on one port until its room is used up; every connection sends a few segments in turn.
  void egress(uint8_t port, Instant now);
  // The earliest instant at which advance() has something to do.
  Instant next_deadline() const;
  // True while egress() has connections waiting (no room, or no turn yet).
  bool has_egress() const;
  // True while text that was written, or has arrived, waits for memory.
  bool is_short_of_memory() const { return !starved_.empty(); }

  // --- what the proxy calls ---
  // Active open from a random ephemeral port of `local` (T49). Text may be written at once; it
  // leaves when the connection stands. Empty when no port, record or route is left (counted).
  ConnId connect(Ipv4Address local, SocketAddress remote, uint32_t owner, Instant now);
  void set_owner(ConnId id, uint32_t owner);

  // Takes one connection off the ready list; bounded by ready_count() at the start of a turn.
  std::optional<Ready> next_ready();
  uint32_t ready_count() const { return ready_.count; }
  // Looks at the first ones on the list without taking them; how many there were, at most
  // out.size().
  size_t peek_ready(std::span<Ready> out) const;
  // Puts a connection back on the list (the proxy left work for the next turn).
  void make_ready(ConnId id, uint8_t events);

  // The first contiguous run of text; empty when nothing waits. Valid until consume() or the turn's
  // end.
  ByteView readable(ConnId id) const { return readable_run(id).text; }
  // The same, and how many octets of memory behind the run may be read; what they hold means
  // nothing.
  struct Run {
    ByteView text;
    size_t octets_behind = 0;
  };
  Run readable_run(ConnId id) const;
  void consume(ConnId id, size_t octets, Instant now);
  // What there is cannot be used before more has come (a head of several segments): also where
  // memory is short, though not scarce, the peer may send more of it. Until the next consume().
  void want_text(ConnId id);
  // Whether more text waits behind the run that readable() shows.
  bool has_more_than(ConnId id, size_t octets) const;
  // All text was consumed and the peer's FIN follows it.
  bool at_end(ConnId id) const;
  // ESTABLISHED, and the peer has said nothing that was not consumed.
  bool is_quiet(ConnId id) const;
  // Copies the first run and what follows it into one place: up to out.size() octets, not consumed.
  size_t peek(ConnId id, ByteSpan out);

  // How many octets write() would take now.
  size_t writable(ConnId id);
  // Queues a copy of bytes, all or as much as fits; asking for more than fits arms event_writable.
  size_t write(ConnId id, ByteView bytes);
  // Queues all of bytes or nothing, beyond what the window's share allows (memory permitting): for
  // heads and ends of bodies, which are small and must not be cut.
  bool write_whole(ConnId id, ByteView bytes);
  // Writing in place, without a copy: a fresh slot behind the send queue, for a small message that
  // is made there. Whoever opens one commits or cancels it before any other call. Empty when the
  // message should join text that has not left yet, or when there is no memory: then write().
  struct OpenSlot {
    SlotIndex slot = slot_none;
    ByteSpan room;
  };
  OpenSlot open_slot(ConnId id);
  void commit_slot(ConnId id, const OpenSlot& open, size_t octets);  // of its room, from the front
  void cancel_slot(const OpenSlot& open) { arena_.drop(open.slot); }
  // Text octets that one segment of the connection carries.
  size_t segment_octets(ConnId id) const {
    return std::min<size_t>(connections_.find(id)->send_mss, packet::payload_bytes_max);
  }
  void want_writable(ConnId id);
  // What is written from now on can be had back with peek_sent(), also after it was acknowledged
  // and after the peer has reset the connection, until forget_sent(). For what may have to be said
  // again to somebody else.
  void keep_sent(ConnId id);
  void forget_sent(ConnId id);
  // Copies it together: all of it, or 0 when out is too small or a part is gone.
  size_t peek_sent(ConnId id, ByteSpan out) const;
  // No more text from us: a FIN follows what is queued.
  void shutdown(ConnId id, Instant now);
  // The application is done with the connection: queued text and a FIN still go out, text that
  // arrives is answered with a reset (RFC 9293 section 3.6.1). The id is dead afterwards.
  void close(ConnId id, Instant now);
  // Reset and forget.
  void abort(ConnId id, Instant now);

  // Nagle's algorithm (RFC 9293 section 3.7.4): a segment that is not full waits while something is
  // in flight. Off unless asked for: a proxy writes whole messages.
  void set_nagle(ConnId id, bool on) { connections_[id].nagle = on; }
  // Keep-alive probes (RFC 9293 section 3.8.4) as Limits::keepalive says. Off unless asked for.
  void set_keepalive(ConnId id, bool on, Instant now);

  // One instant at which event_deadline comes, if the connection is still ESTABLISHED then: for
  // waits of the application that begin and end with a connection at rest. Never: none.
  void set_deadline(ConnId id, Instant deadline);

  // One connection as an operator wants to see it.
  struct View {
    SocketAddress local;
    SocketAddress remote;
    State state = State::closed;
    bool passive = false;
    bool selective_acknowledgments = false;
    bool timestamps = false;
    bool window_scaling = false;
    bool repairing = false;  // something is missing on the way to the peer
    uint16_t send_mss_bytes = 0;
    uint32_t round_trip_us = 0;      // smoothed; 0: not measured yet
    uint32_t rto_ms = 0;             // the retransmission timeout, without backoff
    uint32_t congestion_window = 0;  // octets
    uint32_t threshold = 0;          // of slow start, octets
    uint32_t peer_window = 0;        // octets that the peer still takes
    uint32_t in_flight = 0;          // octets sent and not acknowledged
    uint32_t send_queue = 0;         // octets that wait to be sent or acknowledged
    uint32_t receive_queue = 0;      // octets that wait to be read
    uint32_t receive_slots = 0;      // that these lie in: so far went the walk
    uint32_t out_of_order = 0;       // ranges behind a gap
    uint32_t retransmits = 0;        // while something has been under way
    Tick last_sent;                  // when any segment left last
  };
  // Of the record at index, below connection_capacity(); nothing when it is free. Reads only, and
  // walks the receive queue: between two turns, a few at a time.
  std::optional<View> view_at(uint32_t index) const;
  uint32_t connection_capacity() const { return connections_.capacity(); }

  // The connection at index, if it stands, has that owner and its peer may still speak; empty when
  // not.
  ConnId standing_at(uint32_t index, uint32_t owner) const;

  const Connection* find(ConnId id) const { return connections_.find(id); }
  // What is under way on a connection; nullptr when it is idle.
  const Transfer* find_transfer(ConnId id) const {
    const Connection* c = connections_.find(id);
    return c == nullptr || c->transfer == none ? nullptr : &transfers_.at(c->transfer);
  }
  bool has_unacknowledged_text(ConnId id) const {
    const Transfer* t = find_transfer(id);
    return t != nullptr && !t->send_queue.empty();
  }
  // The peer has ended its side, whether or not all its text was consumed.
  bool peer_has_ended(ConnId id) const {
    const Transfer* t = find_transfer(id);
    return t != nullptr && t->flags.peer_fin_taken;
  }
  SocketAddress remote(ConnId id) const { return connections_.find(id)->flow.remote; }
  SocketAddress local(ConnId id) const { return connections_.find(id)->flow.local; }
  // An address as it is on the wire, of either family: writes up to address_text_bytes_max
  // characters, returns how many.
  static constexpr size_t address_text_bytes_max = Ipv6Address::text_bytes_max;
  [[gnu::noinline]] size_t write_address(Ipv4Address address, char* out) const;
  bool is_ipv6(Ipv4Address address) const {
    return aliases_ != nullptr && net::is_ipv6_alias(address);
  }
  // Of an IPv6 host.
  const Ipv6Address& ipv6_address(Ipv4Address alias) const { return aliases_->address(alias); }

  // --- for invariants, tests and the stats page ---
  uint32_t connection_count() const { return connections_.in_use(); }
  uint32_t half_open_count() const { return half_open_; }
  uint32_t time_wait_count() const { return time_wait_.size(); }
  uint32_t armed_timer_count() const { return wheel_.armed_count(); }
  uint32_t transfer_count() const { return transfers_.in_use(); }
  // Octets that an idle established connection costs with all that stands beside it: its record,
  // its timer, its places in the flow table (which is at most half full) and in the ready list.
  static constexpr size_t idle_connection_bytes();
  size_t memory_bytes() const;
  uint32_t slots_held() const;  // by all queues of all connections
  void check_invariants() const;

 private:
  static constexpr uint32_t none = UINT32_MAX;
  // How long nothing must have been sent before a connection at rest gives its Transfer back.
  static constexpr Duration rest_before_release = Duration::milliseconds(200);
  // Every frame of a turn could carry text: a full burst of each port.
  static constexpr uint32_t turn_pieces_max = 512;

  // Text of this turn that still lies in a received frame.
  struct TurnPiece {
    const uint8_t* data = nullptr;
    uint32_t length = 0;
    uint32_t next = none;
    uint32_t octets_behind = 0;  // readable behind data + length
  };

  // Of a connection that has one: all but those at rest. Too often called for a CHECK.
  Transfer& transfer(const Connection& c) {
    assert(c.transfer != Connection::no_transfer);
    return transfers_.at(c.transfer);
  }
  const Transfer& transfer(const Connection& c) const {
    assert(c.transfer != Connection::no_transfer);
    return transfers_.at(c.transfer);
  }
  // SND.MAX of any connection.
  Seq sent_up_to(const Connection& c) const {
    return c.transfer == Connection::no_transfer ? c.snd_una : transfer(c).snd_max;
  }
  // transfers.cc
  bool engage(uint32_t index, Connection& c, uint32_t reserve_count);
  bool is_at_rest(const Connection& c) const;
  void disengage_if_at_rest(Connection& c, Instant now);
  void release_at_rest();
  void drop_transfer(Connection& c);
  void keep_head(Transfer& t);
  uint32_t transfers_reserve() const { return transfers_.capacity() / 16; }

  enum class Sent : uint8_t { nothing, segment, out_of_memory };
  // input.cc
  void on_segment(uint32_t index, const Segment& segment, const std::optional<net::Path>& back,
                  Instant now);
  // expected_segment.cc
  bool is_expected(const Connection& c, const Transfer& t, const Segment& segment) const;
  void take_expected(uint32_t index, Connection& c, const Segment& segment,
                     const std::optional<net::Path>& back, Instant now);
  // input.cc
  void on_segment_engaged(uint32_t index, const Segment& segment,
                          const std::optional<net::Path>& back, Instant now);
  [[gnu::cold]] void on_unacceptable(uint32_t index, const Segment& segment, Instant now);
  void on_syn_sent(uint32_t index, const Segment& segment, Instant now);
  void on_listen(const FlowKey& flow, uint32_t hash, const Segment& segment, const net::Path& path,
                 std::optional<Seq> used_before, Instant now);
  [[gnu::noinline]] bool on_time_wait(TimeWaitRecord* record, const Segment& segment,
                                      const std::optional<net::Path>& back, Instant now);
  // handshake.cc
  static void take_handshake_round_trip(Connection& c, Transfer& t, Instant now);
  void on_repeated_syn(uint32_t index, Connection& c, const Segment& segment, Instant now);
  void answer_with_cookie(const FlowKey& flow, const Segment& segment, const net::Path& path,
                          Instant now);
  bool take_cookie(const FlowKey& flow, uint32_t hash, const Segment& segment,
                   const std::optional<net::Path>& back, Instant now);
  uint8_t receive_shift_for(bool window_scaling) const;
  bool acceptable(const Connection& c, const Segment& segment) const;
  static void remember_timestamp(Connection& c, const Segment& segment, Instant now);
  bool paws_rejects(const Connection& c, const Segment& segment, Instant now);
  void on_reset(uint32_t index, Connection& c);
  // The window of a SYN is never scaled (RFC 7323 section 2.2).
  static uint32_t announced_window(const Connection& c, const Segment& segment) {
    return uint32_t{segment.window} << (segment.has(flag_syn) ? 0 : c.send_shift);
  }
  // acknowledgment.cc
  void count_acknowledged(Connection& c);
  [[gnu::cold]] uint32_t acknowledgment_age_octets_max(Connection& c);
  bool process_ack(uint32_t index, const Segment& segment, Instant now);
  template <class Delivered>
  void take_acknowledged(Connection& c, Transfer& t, Seq ack, Delivered&& delivered);
  void on_plain_new_ack(Connection& c, Transfer& t, const Segment& segment, Instant now);
  Duration round_trip_of(const Connection& c, const Segment& segment, Duration since_sent,
                         bool repeated, Instant now) const;
  void on_new_ack_while_repairing(Connection& c, Transfer& t, const Segment& segment, Instant now);
  void on_new_ack(uint32_t index, Connection& c, const Segment& segment, Instant now);
  void on_repeated_ack(uint32_t index, Connection& c, const Segment& segment, bool same_window,
                       Instant now);
  void on_duplicate_ack(Connection& c, Transfer& t);
  static void on_ack_in_recovery(Connection& c, Transfer& t, uint32_t acknowledged_octets);
  static bool is_limited_by_window(const Connection& c, const Transfer& t, uint32_t flight_before,
                                   uint32_t octets);
  void grow_window(Connection& c, Transfer& t, uint32_t octets, Duration sample, Instant now);
  void update_send_window(Connection& c, const Segment& segment, bool acknowledges_more);
  // congestion_mark.cc
  // The datagram being taken in came with CE (RFC 3168 section 5).
  bool congestion_experienced() const {
    return (traffic_class_ & net::ecn_mask) == net::ecn_congestion;
  }
  [[gnu::cold]] void take_congestion_mark(Connection& c, const Segment& segment);
  [[gnu::cold]] void on_congestion_echo(Connection& c, Transfer& t, uint32_t window_before);
  void reduce_threshold(Connection& c, Transfer& t, uint32_t flight_octets);
  [[gnu::noinline]] void mark_text(Connection& c, Transfer& t, SlotIndex slot,
                                   const packet::TransmitFrame& frame);
  // path_mtu.cc
  static uint32_t header_bytes_of(const Connection& c);
  static uint16_t path_mtu_least(const Connection& c);
  uint64_t path_mtu_key(Ipv4Address peer) const;
  void on_packet_too_big(Connection& c, uint16_t mtu_bytes, Instant now);
  void shrink_segments(Connection& c, uint16_t mtu_bytes);
  void suspect_black_hole(Connection& c, Transfer& t, uint8_t timeouts);
  [[gnu::cold]] static void try_large_segments_again(Connection& c, Transfer& t);
  // repair.cc
  static void take_round_trip(Connection& c, Transfer& t, Duration measured, Instant now);
  static void note_delivered(AckNews& news, const SlotRecord& record, uint16_t octets);
  void grow_window_after_news(Connection& c, Transfer& t, const AckNews& news, Instant now);
  uint32_t pipe(const Connection& c, const Transfer& t) const;
  static bool is_repairing(const Connection& c, const Transfer& t, const Segment& segment);
  Repair* lend_repair(Connection& c, Transfer& t);
  void return_repair(Transfer& t);
  [[gnu::cold]] void give_up_repair(const Connection& c, Transfer& t);
  void return_repair_if_done(const Connection& c, Transfer& t);
  void on_ack_while_repairing(Connection& c, const Segment& segment, AckNews& news, Instant now);
  void take_sack(Connection& c, Transfer& t, const Segment& segment, AckNews& news);
  void note_duplicate_reported(Transfer& t, const SackBlock& block);
  void update_rack(Connection& c, Transfer& t, Repair& r, const Segment& segment,
                   const AckNews& news, Instant now);
  static void update_reordering(const Connection& c, Transfer& t, const AckNews& news);
  Duration reordering_window(const Connection& c, const Transfer& t, const Repair& r) const;
  bool detect_losses(const Connection& c, const Transfer& t, Repair& r, Instant now);
  static void remember_belief(const Connection& c, const Transfer& t, Repair& r);
  void begin_recovery(Connection& c, Transfer& t, Repair& r, const AckNews& news);
  void pace_recovery(Connection& c, const Transfer& t, Repair& r, const AckNews& news,
                     bool lost_more);
  static void end_recovery(Connection& c, Transfer& t);
  static void note_recovery_ended(Transfer& t);
  bool try_undo(Connection& c, Transfer& t, Repair& r, const Segment& segment, const AckNews& news);
  void take_back(Connection& c, Transfer& t, Repair& r);
  void on_reordering_timeout(Connection& c, Transfer& t, Instant now);
  void send_all_again(Connection& c, Transfer& t);
  void note_sent_in_repair(const Connection& c, const Transfer& t, SlotIndex slot, bool again);
  bool may_probe(const Connection& c, const Transfer& t) const;
  Sent emit_probe(Connection& c, Instant now);
  SlotIndex last_sent(const Transfer& t) const;
  SlotIndex slot_before(const Transfer& t, SlotIndex slot) const;
  void judge_probe(Connection& c, Transfer& t, const Segment& segment, const AckNews& news);
  // text.cc
  void process_text(uint32_t index, const Segment& segment, Instant now);
  void take_in_order(uint32_t index, Connection& c, ByteView text);
  void add_turn_piece(uint32_t index, Connection& c, ByteView text);
  void drain_out_of_order(Connection& c);
  void keep_out_of_order(Connection& c, Transfer& t, Seq seq, ByteView text);
  void return_reassembly(Transfer& t);
  void report_duplicate(Connection& c, Seq begin, Seq end);
  void process_fin(uint32_t index, Connection& c, Instant now);
  void acknowledge_later(uint32_t index, Connection& c, Instant now);
  void acknowledge_now(Connection& c);
  // input.cc
  void challenge_ack(Connection& c, Instant now);
  void become_established(uint32_t index, Connection& c, const Segment& segment, Instant now);
  void agree_on_options(Connection& c, const Options& options, Instant now);

  // output.cc
  Sent emit_next(Connection& c, Instant now);
  Sent emit_urgent(Connection& c, Instant now, bool* is_last);
  Sent resend_head(Connection& c, Instant now);
  Sent resend_lost(Connection& c, Instant now);
  Sent emit_ack(Connection& c, Instant now);
  Sent emit_selective_ack(Connection& c, Instant now);
  bool has_blocks_to_report(const Transfer& t) const;
  bool has_losses(const Transfer& t) const;
  static bool fin_fits(const Connection& c, const Transfer& t);
  bool cut_to_mss(Connection& c, SlotIndex slot);
  Sent emit_syn(Connection& c, Instant now);
  Sent emit_text(Connection& c, SlotIndex slot, Instant now);
  Sent emit_bare(Connection& c, Seq seq, uint8_t flags, Instant now);
  SlotIndex next_text(Connection& c);
  [[gnu::cold]] SlotIndex next_of_small_window(Connection& c, SlotIndex slot, uint32_t usable);
  void fill_up(Connection& c, SlotIndex slot, uint32_t octets);
  SlotIndex resendable(Connection& c, SlotIndex slot);
  bool split(Connection& c, SlotIndex slot, uint32_t octets);
  void finish_segment(Connection& c, const packet::TransmitFrame& frame, net::PartialSum sum,
                      uint64_t header_sum, Instant now);
  uint64_t write_header_for(Connection& c, uint8_t* at, Seq seq, uint8_t flags, Instant now);
  void note_ack_sent(Connection& c);
  uint16_t window_to_announce(Connection& c);
  Seq acknowledgment_seq(const Connection& c) const;
  uint32_t receive_window(const Connection& c) const;
  uint32_t timestamp(const Connection& c, Instant now) const;
  void answer_reset(const FlowKey& flow, const Segment& segment,
                    const std::optional<net::Path>& back, Instant now);
  void send_reset(Connection& c, Instant now);
  void send_stateless(const FlowKey& flow, const net::Path& path, const HeaderFields& fields,
                      Instant now);

  // timers.cc
  void set_timer(uint32_t index, const Connection& c);
  void set_next_timer(uint32_t index, Connection& c, Instant now);
  void on_timer(uint32_t index, Instant now);
  bool on_life_deadline(uint32_t index, Connection& c, Instant now);
  void on_retransmit_timeout(uint32_t index, Connection& c, Instant now);
  void on_loss_of_all(Connection& c, Transfer& t, uint32_t flight_octets);
  Duration retransmit_wait(const Connection& c, Transfer& t) const;
  void start_retransmit_timer(Connection& c, Transfer& t, Instant now);
  void watch_orphan(Connection& c, Instant now);
  static bool may_keep_alive(const Connection& c);
  bool waits_for_keepalive(const Connection& c) const;
  void on_keepalive(uint32_t index, Connection& c, Instant now);
  void start_keepalive(uint32_t index, Connection& c, Instant now);
  void restart_retransmit_timer(uint32_t index, Connection& c, Instant now);

  // tcp.cc
  size_t append_text(Connection& c, ByteView bytes, uint32_t slots_allowed);
  size_t tail_room(const Connection& c) const;
  uint32_t timestamp_offset_of(const FlowKey& flow) const;
  uint32_t find_flow(const FlowKey& flow, uint32_t hash) const;
  [[gnu::noinline]] bool hold_peer(Connection& c, uint32_t* hash);
  bool allow_reset(Ipv4Address peer, Instant now);
  [[gnu::noinline]] uint64_t ipv6_pseudo_header_addresses(const FlowKey& flow) const;
  uint64_t pseudo_header_addresses(const FlowKey& flow) const;
  uint32_t open_record(const FlowKey& flow, uint32_t hash, const net::Path& path);
  void release(uint32_t index);
  void close_keeping_sent(Connection& c);
  void end_connection(uint32_t index, Connection& c);  // gone without a word: tell the application
  void enter_time_wait(uint32_t index, Connection& c, Instant now);
  void retire_to_time_wait(uint32_t index, Connection& c, Instant now);
  void notify(uint32_t index, Connection& c, uint8_t events);
  void queue_egress(Connection& c);
  void wake_starved();
  uint32_t send_slots_allowed(const Connection& c) const;
  void tell_if_there_is_room(uint32_t index, Connection& c, Transfer& t);
  // Slots that text we write must leave free, and text we take in: what waits to be read may never
  // fill the memory that passing it on needs, or every upload would wait for a write that waits for
  // the uploads. Text out of order may take less still: text in order is worth more. Below the
  // receive_reserve() each connection may only have a few slots, and below the scarce_reserve()
  // one, down to first_text_reserve().
  uint32_t peers_reserve() const { return reserve_control_ + turn_piece_count_; }
  uint32_t receive_reserve() const { return peers_reserve() + arena_.capacity() / 4; }
  uint32_t scarce_reserve() const { return peers_reserve() + arena_.capacity() / 8; }
  uint32_t first_text_reserve() const { return peers_reserve() + arena_.capacity() / 16; }
  bool must_make_room(const Connection& c) const;
  bool has_room_for_text(const Connection& c, const Transfer& t) const;
  void tell_if_window_opened(Connection& c);
  // How many slots of text c may hold, as its window says and as text is taken. At least one: where
  // even that is not taken, memory may have come free when the text is here.
  uint32_t receive_slots_allowed(const Connection& c) const;
  uint32_t out_of_order_reserve() const { return peers_reserve() + arena_.capacity() / 2; }
  void settle(Connection& c);
  Seq initial_sequence_number(const FlowKey& flow, Instant now) const;
  Connection& at(uint32_t index) { return connections_.at(index); }

  Limits limits_;
  net::Ipv6Aliases* aliases_;  // nullptr without IPv6
  HashKey isn_key_;
  SynCookies cookies_;
  Random random_;
  net::IcmpLimiter reset_limiter_;
  PathMtuCache path_mtus_;
  packet::Arena& arena_;
  net::IpOutput& output_;
  Counters& counters_;
  SlotRecords records_;
  Slab<Connection> connections_;
  Slab<Transfer> transfers_;
  ScoreboardPages board_pages_;
  Slab<Repair> repairs_;
  Slab<Reassembly> reassemblies_;
  FlowTable flows_;
  TimeWaitTable time_wait_;
  TimerWheel wheel_;
  std::unique_ptr<SocketAddress[]> listeners_;
  uint32_t listener_count_ = 0;
  uint32_t half_open_ = 0;
  uint32_t reserve_control_;  // slots that only acknowledgments, resets and handshakes may take

  uint32_t rest_hand_ = 0;  // the last transfer that release_at_rest() has looked at

  IndexLinks ready_links_;
  IndexList ready_;
  // By transfer, not by connection: whoever has something to send has one.
  IndexLinks egress_links_;
  std::array<IndexList, packet::ports_max> egress_{};
  IndexLinks starved_links_;  // transfers whose write fell short of memory, not of window
  IndexList starved_;
  std::unique_ptr<TurnPiece[]> turn_pieces_;
  uint32_t turn_piece_count_ = 0;
  // The type of service that the datagram came with which is being taken in.
  uint8_t traffic_class_ = 0;
  uint32_t octets_behind_ = 0;                    // the text of the segment that is being taken in
  std::unique_ptr<uint32_t[]> turn_connections_;  // that hold pieces
  uint32_t turn_connection_count_ = 0;
};

constexpr size_t Tcp::idle_connection_bytes() {
  return Slab<Connection>::bytes_per_record() + TimerWheel::bytes_per_timer() +
         2 * FlowTable::bytes_per_place + IndexLinks::bytes_per_record;
}
static_assert(Tcp::idle_connection_bytes() <= 192);

}  // namespace millrace::tcp
