// A look at a connection from outside, for operators and for simulations that explain themselves.
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {

std::optional<Tcp::View> Tcp::view_at(uint32_t index) const {
  if (!connections_.live_at(index)) return std::nullopt;
  const Connection& c = connections_.at(index);
  View view;
  view.local = c.flow.local;
  view.remote = c.flow.remote;
  view.state = c.state;
  view.passive = c.passive;
  view.selective_acknowledgments = c.selective_acknowledgments;
  view.timestamps = c.timestamps;
  view.window_scaling = c.window_scaling;
  view.send_mss_bytes = c.send_mss;
  view.round_trip_us = static_cast<uint32_t>(c.round_trip.smoothed().count_us());
  view.rto_ms = static_cast<uint32_t>(c.round_trip.timeout(0).count_ms());
  view.congestion_window = c.congestion.window();
  view.threshold = c.congestion.threshold();
  view.peer_window = c.snd_wnd;
  view.last_sent = c.last_sent;
  if (c.transfer == Connection::no_transfer) return view;
  const Transfer& t = transfer(c);
  view.repairing = t.repair != none || t.flags.in_recovery;
  view.in_flight = octets_between(c.snd_una, t.snd_max);
  view.send_queue = t.send_end > c.snd_una ? octets_between(c.snd_una, t.send_end) : 0;
  view.retransmits = t.retransmits;
  view.receive_slots = t.receive_queue.count;
  for (SlotIndex slot = t.receive_queue.head; slot != slot_none; slot = records_[slot].next)
    view.receive_queue += records_[slot].length;
  if (t.reassembly != none) view.out_of_order = reassemblies_.at(t.reassembly).range_count();
  return view;
}

}  // namespace millrace::tcp
