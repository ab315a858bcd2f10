// Connection: the transmission control block of RFC 9293 section 3.3.1, in two records. What an
// idle connection must remember is one record of two cache lines; what exists only while something
// is under way (text in flight or waiting, a FIN, a handshake, a loss) is a Transfer, lent from a
// smaller slab and given back when nothing is under way any more.
//
//   send sequence space                          receive sequence space
//      acknowledged | in flight | queued             delivered | window        | beyond
//   ---------------|-----------|---------->       -----------|---------------|--------->
//             SND.UNA       SND.NXT                        RCV.NXT    RCV.NXT + RCV.WND
//   send_queue.head^           ^unsent                     (the edge we promised: receive_edge)
//
// Without selective acknowledgments SND.NXT is pulled back to SND.UNA after a timeout and
// everything is sent again in order; snd_max remembers how far we ever sent. With them SND.NXT
// stays, and a Repair says which segments go again. Without a Transfer SND.NXT is SND.UNA.
#pragma once

#include <bit>
#include <cstdint>

#include "base/slab.h"
#include "base/time.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/tcp/congestion.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/slot_chain.h"
#include "dataplane/tcp/state.h"

namespace millrace::tcp {

// Ordered so that what an arriving segment is compared with shares the first cache line with the
// flow, and what is written with every segment stands in the second.
struct alignas(64) Connection {
  static constexpr uint32_t no_transfer = UINT32_MAX;

  // Who, and how to reach them.
  FlowKey flow;
  uint32_t owner = 0;  // whatever the application set: it comes back with every event
  uint32_t transfer = no_transfer;
  State state = State::closed;
  uint8_t events = 0;  // pending, see Event
  // Options agreed on.
  bool timestamps : 1 = false;
  bool window_scaling : 1 = false;
  bool passive : 1 = false;
  bool aborted_by_peer : 1 = false;
  uint8_t send_shift : 4 = 0;     // of windows the peer announces; at most 14
  uint8_t receive_shift : 4 = 0;  // of windows we announce
  bool selective_acknowledgments : 1 = false;
  bool ecn : 1 = false;  // explicit congestion notification (RFC 3168)
  // What the application has asked for.
  bool nagle : 1 = false;
  bool keepalive : 1 = false;
  net::Path path;
  uint16_t send_mss = 536;  // text octets per segment, options already taken off

  // Send sequence variables (RFC 9293 section 3.3.1).
  Seq snd_una;
  uint32_t snd_wnd = 0;      // octets
  uint32_t snd_wnd_max = 0;  // largest window the peer ever announced (RFC 5961 section 5, SWS)
  // Receive sequence variables.
  Seq rcv_nxt;
  Seq receive_edge;   // right edge promised; never moves left (RFC 9293 section 3.8.6)
  Seq last_ack_sent;  // Last.ACK.sent of RFC 7323
  // --- second cache line ---
  Seq snd_wl1;
  Seq snd_wl2;
  // Timestamps (RFC 7323).
  uint32_t timestamp_offset = 0;
  uint32_t ts_recent = 0;
  uint32_t ts_recent_at_seconds = 0;  // on the monotonic clock: what wraps only after 136 years
  // Loss and congestion.
  RoundTrip round_trip;
  Congestion congestion;
  uint16_t receive_slots_budget = 0;
  // That the peer has acknowledged since the connection began; this many and more look the same.
  static constexpr uint16_t acknowledged_octets_max = (1 << 13) - 1;
  uint16_t acknowledged_octets : 13 = 0;
  // That large segments are swallowed was suspected, they were tried again, and none is known to
  // have arrived since.
  uint16_t black_hole_tested : 1 = 0;
  // RFC 3168 section 6.1.3: a mark has come; all acknowledgments say so until the peer has reduced
  // its window.
  uint16_t echo_congestion : 1 = 0;
  // Section 6.1.2: our window is reduced; the next new text tells the peer.
  uint16_t tell_window_reduced : 1 = 0;
  Tick last_sent;
  Tick challenge_ack_allowed;  // RFC 5961 section 7, per connection
  // Deadlines; the wheel holds the least of them, or an earlier one.
  Tick retransmit_deadline;  // at rest: the next keep-alive probe, if they are on
  Tick ack_deadline;
  // SYN-RECEIVED, FIN-WAIT-2, TIME-WAIT and orphans end here. In ESTABLISHED it is the
  // application's (set_deadline).
  Tick life_deadline;
};
static_assert(sizeof(Connection) == 128);

struct alignas(64) Transfer {
  static constexpr uint32_t none = UINT32_MAX;

  // What the retransmission timer waits for (RFC 8985 section 8: one timer for all of them).
  enum class TimerPurpose : uint8_t {
    timeout,     // RFC 6298; or the persist timer, when nothing is in flight
    loss_probe,  // RFC 8985 section 7
    keepalive,   // nothing is in flight, and keep-alives are on
    reordering,  // until a segment that others have overtaken is held for lost (section 6.2 step 5)
  };

  uint32_t connection = none;  // whose it is

  // What is under way besides text; a connection with any of these is not idle. One word, so that
  // the usual case is one comparison.
  struct Flags {
    // What the application has asked for.
    bool detached : 1 = false;    // it has closed: nobody will read
    bool keep_sent : 1 = false;   // text it writes stays when it is acknowledged (`kept`)
    bool wants_room : 1 = false;  // a write fell short: tell when there is room
    bool wants_text : 1 = false;  // the reader cannot use what there is without what follows it
    bool fin_queued : 1 = false;  // it has shut down its side
    bool fin_sent : 1 = false;
    bool peer_fin_known : 1 = false;
    bool peer_fin_taken : 1 = false;  // RCV.NXT has passed the peer's FIN
    // Segments that we owe.
    bool ack_now : 1 = false;
    bool syn_to_send : 1 = false;
    bool retransmit_head : 1 = false;  // fast retransmit: send the first unacknowledged again
    bool probe_window : 1 = false;     // the persist timer fired
    // Repair.
    bool in_recovery : 1 = false;
    bool recover_pending : 1 = false;  // RFC 6582: not all sent before `recover` is acknowledged
    bool probe_loss : 1 = false;       // the loss probe timer fired
    bool duplicate_to_report : 1 = false;  // RFC 2883: `duplicate` goes out with the next ACK

    // All of them as one number, to ask for several at once.
    uint16_t word() const { return std::bit_cast<uint16_t>(*this); }
    bool has_any_of(const Flags& others) const { return (word() & others.word()) != 0; }
  };
  static_assert(sizeof(Flags) == sizeof(uint16_t));
  Flags flags;
  uint8_t unacknowledged_segments = 0;  // full-sized segments since our last ACK
  uint8_t duplicate_acks = 0;
  uint8_t backoff = 0;
  TimerPurpose timer_purpose = TimerPurpose::timeout;
  bool probe_in_flight = false;  // a loss probe, until something about it is acknowledged
  uint8_t keepalive_probes = 0;  // sent since the peer was heard last

  // Send side.
  Seq snd_nxt;
  Seq snd_max;
  Seq send_end;  // sequence number behind the last queued octet
  SlotIndex unsent = slot_none;
  SlotChain send_queue;              // unacknowledged and unsent text, in order
  uint32_t send_slots_promised = 0;  // what writable() has said this turn
  // Receive side.
  SlotChain receive_queue;          // in order, not yet read
  uint32_t turn_head = UINT32_MAX;  // pieces that still lie in received frames, this turn only
  uint32_t turn_tail = UINT32_MAX;
  // Lent while there is something to remember in them.
  uint32_t repair = none;
  uint32_t reassembly = none;
  // The least round trip of the last half minute.
  uint32_t round_trip_us_min = 0;
  Tick round_trip_min_at;
  Seq limited_until;  // SND.NXT when the congestion window held text back last
  // --- what an ordinary exchange does not touch ---
  SlotChain kept;  // acknowledged text that the application may want back, from kept_from on
  Seq kept_from;
  bool kept_is_whole = true;
  uint32_t received_since_tuning = 0;
  Instant tuned_at;
  Seq fin_seq;  // of our FIN once queued and all text before it is known
  Seq peer_fin_seq;
  Seq recover;
  Seq iss;  // once established: all before it is in acknowledged_octets
  Seq irs;
  uint32_t retransmits = 0;
  // Of before segments were made smaller because large ones seemed to be swallowed: it is tried
  // again when what was in flight then is acknowledged. 0: nothing is suspected, or for good.
  uint16_t send_mss_before_suspicion = 0;
  Tick stalled_since;  // first expiry without progress, for giving up
  Tick orphaned_at;    // when the application closed
  // For the handshake's round trip; never: nothing can be measured.
  Instant syn_sent_at = Instant::never();
  bool syn_repeated = false;
  // RFC 3168 section 6.1.2: the window was reduced because of an echo. Further echoes change
  // nothing until the peer has been told, nor do losses of what was in flight then.
  bool window_reduced = false;
  Seq echoes_ignored_until;
  Seq losses_ignored_until;
  CongestionMemory congestion_memory;
  // RFC 8985 section 5.3: how much reordering the path has shown.
  bool reordering_seen = false;
  bool probe_repeated_text = false;        // the probe in flight was a retransmission
  bool duplicate_round_open = false;       // RACK.dsack_round holds
  uint8_t reordering_steps = 1;            // RACK.reo_wnd_mult, quarters of the least round trip
  uint8_t reordering_recoveries_left = 0;  // RACK.reo_wnd_persist
  Seq duplicate_round;                     // RACK.dsack_round
  Seq probe_end;                           // TLP.end_seq
  SackBlock duplicate;                     // received twice

  // All text has gone, and the FIN has not (or goes again).
  bool fin_is_due() const { return flags.fin_queued && unsent == slot_none && snd_nxt == fin_seq; }
  // Something waits for the peer's window or for ours.
  bool holds_back() const { return unsent != slot_none || fin_is_due(); }
  bool is_empty() const {
    return send_queue.empty() && receive_queue.empty() && (repair & reassembly) == none &&
           turn_head == none && flags.word() == 0 && unacknowledged_segments == 0 &&
           keepalive_probes == 0;
  }
};
static_assert(sizeof(Transfer) <= 256);

using ConnId = Handle<Connection>;

}  // namespace millrace::tcp
