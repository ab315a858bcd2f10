// Connection: the transmission control block of RFC 9293 section 3.3.1, one record of the slab.
//
//   send sequence space                          receive sequence space
//      acknowledged | in flight | queued             delivered | window        | beyond
//   ---------------|-----------|---------->       -----------|---------------|--------->
//             SND.UNA       SND.NXT                        RCV.NXT    RCV.NXT + RCV.WND
//   send_queue.head^           ^unsent                     (the edge we promised: receive_edge)
//
// After a timeout SND.NXT is pulled back to SND.UNA and everything is sent again in order; snd_max
// remembers how far we ever sent.
#pragma once

#include <cstdint>

#include "base/slab.h"
#include "base/time.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/tcp/congestion.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/slot_chain.h"
#include "dataplane/tcp/state.h"

namespace millrace::tcp {

struct Connection {
  // Who, and how to reach them.
  FlowKey flow;
  uint64_t flow_hash = 0;
  net::Path path;
  uint32_t owner = 0;  // whatever the application set: it comes back with every event

  State state = State::closed;

  // What the application has been told and has asked for.
  uint8_t events = 0;       // pending, see Event
  bool detached = false;    // the application has closed: nobody will read
  bool wants_room = false;  // a write fell short: tell when there is room
  bool fin_queued = false;  // the application has shut down its side
  bool fin_sent = false;
  bool end_delivered = false;  // the application has been told of the peer's end
  bool aborted_by_peer = false;
  bool passive = false;

  // Options agreed on.
  bool timestamps = false;
  bool window_scaling = false;
  uint8_t send_shift = 0;     // of windows the peer announces
  uint8_t receive_shift = 0;  // of windows we announce
  uint16_t send_mss = 536;    // text octets per segment, options already taken off

  // Acknowledgments we owe.
  bool ack_now = false;
  uint8_t unacknowledged_segments = 0;  // full-sized segments since our last ACK
  bool syn_to_send = false;
  bool retransmit_head = false;  // fast retransmit: send the first unacknowledged segment again
  bool probe_window = false;     // the persist timer fired

  // Send sequence variables (RFC 9293 section 3.3.1).
  Seq iss;
  Seq snd_una;
  Seq snd_nxt;
  Seq snd_max;
  uint32_t snd_wnd = 0;      // octets
  uint32_t snd_wnd_max = 0;  // largest window the peer ever announced (RFC 5961 section 5, SWS)
  Seq snd_wl1;
  Seq snd_wl2;
  Seq fin_seq;           // of our FIN once queued and all text before it is known
  SlotChain send_queue;  // unacknowledged and unsent text, in order
  SlotIndex unsent = slot_none;
  Seq send_end;                      // sequence number behind the last queued octet
  uint32_t send_slots_promised = 0;  // what writable() has said this turn

  // Receive sequence variables.
  Seq irs;
  Seq rcv_nxt;
  Seq receive_edge;   // right edge promised; never moves left (RFC 9293 section 3.8.6)
  Seq last_ack_sent;  // Last.ACK.sent of RFC 7323
  bool peer_fin_known = false;
  bool peer_fin_taken = false;  // RCV.NXT has passed the peer's FIN
  Seq peer_fin_seq;
  SlotChain receive_queue;  // in order, not yet read
  SlotChain out_of_order;
  uint32_t turn_head = UINT32_MAX;  // pieces that still lie in received frames, this turn only
  uint32_t turn_tail = UINT32_MAX;
  uint32_t receive_slots_budget = 0;
  uint32_t received_since_tuning = 0;
  Instant tuned_at;

  // Timestamps (RFC 7323).
  uint32_t timestamp_offset = 0;
  uint32_t ts_recent = 0;
  Instant ts_recent_at;

  // Loss and congestion.
  RoundTrip round_trip;
  Congestion congestion;
  uint8_t duplicate_acks = 0;
  uint8_t backoff = 0;
  bool in_recovery = false;
  bool recover_pending = false;  // RFC 6582: not everything sent before `recover` is acknowledged
  Seq recover;
  uint32_t retransmits = 0;
  Instant last_sent_at;
  Instant stalled_since = Instant::never();  // first expiry without progress, for giving up

  // Deadlines; the wheel holds the least of them.
  Instant retransmit_deadline = Instant::never();
  Instant ack_deadline = Instant::never();
  Instant life_deadline = Instant::never();  // SYN-RECEIVED, FIN-WAIT-2 and orphans end here
  Instant orphaned_at;                       // when the application closed
  Instant challenge_ack_allowed_at;          // RFC 5961 section 7, per connection

  uint32_t flight_octets() const { return octets_between(snd_una, snd_nxt); }
};

using ConnId = Handle<Connection>;

}  // namespace millrace::tcp
