// Repair: what a connection knows while segments of it are missing, lent for that long: which
// segments have arrived (Scoreboard), when the last of them was sent (RACK, RFC 8985), how much may
// be sent for what has been delivered (PRR, RFC 9937), and how to take it all back if nothing was
// lost after all.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "dataplane/tcp/congestion.h"
#include "dataplane/tcp/scoreboard.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

// What one acknowledgment has told.
struct AckNews {
  uint32_t flight_octets_before = 0;  // SND.NXT - SND.UNA
  uint32_t sacked_octets_before = 0;
  uint32_t acknowledged_octets = 0;  // by which SND.UNA has moved
  uint32_t delivered_octets = 0;     // known to have arrived, and not known before
  bool duplicate_reported = false;   // it carries a duplicate selective acknowledgment (RFC 2883)
  bool no_room = false;              // it tells of a gap, and there is no record to keep that in
  bool any_repeated = false;         // something of what was delivered had been sent again

  // Of the segments delivered that were sent once only: the one that was sent last, and the end of
  // the lowest one.
  struct Delivered {
    bool any = false;
    Instant sent_at;
    Seq end;
    void add(Instant at, Seq to) {
      if (any && (at < sent_at || (at == sent_at && to < end))) return;
      any = true;
      sent_at = at;
      end = to;
    }
  };
  Delivered once;
  Delivered repeated;  // the same of those that were sent more than once
  Seq lowest_once_end;
  Seq highest_end;
};

// What the network was believed to carry, before it was thought to have lost something.
struct Belief {
  uint32_t window = 0;     // octets
  uint32_t threshold = 0;  // octets
  CongestionMemory memory;
};

struct Repair {
  uint32_t connection = UINT32_MAX;  // whose it is
  Scoreboard board;
  Seq keep_until;  // it is not given back before this is acknowledged
  // Of what was sent since the recovery under way began (or the timeout), RACK holds something for
  // lost: that is a window of its own, and its recovery begins with the end of this one.
  bool next_window_has_losses = false;

  // RACK (RFC 8985 section 5.2): of the segments known to have arrived, the one that was sent last.
  Instant rack_sent_at;      // RACK.xmit_ts
  Seq rack_end;              // RACK.end_seq
  Duration rack_round_trip;  // RACK.rtt
  Seq rack_highest;          // RACK.fack: the highest sequence number known to have arrived
  // How long the oldest segment that others have overtaken is still waited for; zero: none is.
  Duration reordering_left;

  // PRR (RFC 9937 section 6), of the recovery under way, in octets.
  uint32_t prr_delivered = 0;
  uint32_t prr_sent = 0;          // prr_out
  uint32_t prr_flight_begin = 0;  // RecoverFS

  // Undoing: RFC 3522 (by timestamps), RFC 3708 (by reports of duplicates), RFC 5682 (by what
  // arrives after a timeout).
  bool undo_possible = false;
  bool undo_by_timestamp_possible = false;  // until the first new acknowledgment
  // F-RTO (RFC 5682): a timeout that the first new acknowledgments can still show to be spurious.
  bool timeout_in_doubt = false;
  bool repeated_since_begin = false;
  uint32_t first_repeat_timestamp = 0;  // our TSval when the first segment was sent again
  uint32_t repeats_unreported = 0;      // retransmissions of which no duplicate was reported
  Seq undo_from;                        // SND.UNA when it began
  Belief before;
};

}  // namespace millrace::tcp
