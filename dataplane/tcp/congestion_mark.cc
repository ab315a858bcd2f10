// Explicit congestion notification (RFC 3168, T41): what we say of marks that have come, what an
// echo of ours does to the window, and which segments may be marked.
#include <algorithm>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {

// Section 6.1.3, of an acceptable segment: the peer has reduced its window, or it is to do so. A
// segment may say both. What cannot be marked (no text) is not believed.
void Tcp::take_congestion_mark(Connection& c, const Segment& segment) {
  if (segment.text.empty()) return;
  if (segment.has(flag_cwr)) c.echo_congestion = 0;
  if (!congestion_experienced()) return;
  counters_.add(Counter::tcp_congestion_marks);
  c.echo_congestion = 1;
  acknowledge_now(c);
}

// Section 6.1.2: once in a window of data, by as much as for a loss (RFC 9438 section 4.6). The
// smaller step of RFC 8511 is for queues that mark long before they are full, and nothing tells us
// that a path has these. window_before: an acknowledgment with an echo opens no window.
void Tcp::on_congestion_echo(Connection& c, Transfer& t, uint32_t window_before) {
  // What repairs a loss has reduced its window, and paces itself.
  if (t.flags.in_recovery || t.flags.recover_pending) return;
  c.congestion.set_window(std::min(c.congestion.window(), window_before));
  // The peer echoes until it is told.
  const bool ignored = t.window_reduced && c.snd_una < t.echoes_ignored_until;
  if (c.tell_window_reduced != 0 || ignored) return;
  counters_.add(Counter::tcp_congestion_echoes);
  reduce_threshold(c, t, octets_between(c.snd_una, t.snd_nxt));
  c.congestion.set_window(std::min(c.congestion.window(), c.congestion.threshold()));
  t.window_reduced = true;
  t.echoes_ignored_until = t.losses_ignored_until = t.snd_max;
}

// Losses and marks of one window of data are one sign of congestion.
void Tcp::reduce_threshold(Connection& c, Transfer& t, uint32_t flight_octets) {
  c.tell_window_reduced = c.ecn;
  if (t.window_reduced && c.snd_una < t.losses_ignored_until) return;
  c.congestion.reduce(limits_.features.congestion_control, t.congestion_memory, flight_octets,
                      c.send_mss);
}

// What a segment with text says of ECN, and whether its datagram may be marked; it is complete and
// on its way to the port, and nobody has read it yet.
void Tcp::mark_text(Connection& c, Transfer& t, SlotIndex slot,
                    const packet::TransmitFrame& frame) {
  uint8_t* const segment = arena_.slot_data(frame.slot) + frame.offset;
  const SlotRecord& record = records_[slot];
  uint8_t flags = c.echo_congestion != 0 ? flag_ece : 0;
  // Neither repetitions (section 6.1.5) nor probes of a window (section 6.1.6) may be marked, or
  // tell of a reduction.
  const bool probes = record.end() > c.snd_una + c.snd_wnd;
  if (!record.retransmitted && !probes) {
    if (c.tell_window_reduced != 0) {
      flags |= flag_cwr;
      c.tell_window_reduced = 0;
      if (!t.window_reduced) t.losses_ignored_until = c.snd_una;
      t.window_reduced = true;
      t.echoes_ignored_until = record.end();
    }
    if (is_ipv6(c.flow.remote.address)) {
      net::set_ipv6_ecn(segment - net::ipv6_header_bytes, net::ecn_capable);
    } else {
      net::set_ecn(segment - net::ipv4_header_bytes, net::ecn_capable);
    }
  }
  if (flags != 0) add_flags(segment, flags);
}

}  // namespace millrace::tcp
