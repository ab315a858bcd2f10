// What ICMP tells TCP (RFC 1122 section 4.2.3.9, RFC 5927), and path MTU discovery (RFC 1191), with
// what to do where the messages that it needs are thrown away (RFC 2923 section 2.1).
#include "dataplane/tcp/path_mtu.h"

#include <algorithm>
#include <array>

#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

// RFC 1191 section 7.1: MTUs in use, for routers that do not say theirs.
constexpr std::array<uint16_t, 7> plateaus = {8'166, 4'352, 2'002, 1'492, 1'280, 1'006, 552};
// A path that lets small segments through and swallows large ones in silence: so many timeouts in a
// row, and what segments are tried then.
constexpr uint8_t black_hole_first_timeouts = 2;
constexpr uint8_t black_hole_next_timeouts = 4;

uint16_t plateau_below(uint32_t datagram_bytes) {
  const auto* const found = std::find_if(
      plateaus.begin(), plateaus.end(), [&](uint16_t plateau) { return plateau < datagram_bytes; });
  return found == plateaus.end() ? path_mtu_bytes_min : *found;
}

}  // namespace

// Below this no segment of the connection is made smaller: an IPv6 link carries 1,280 octets (RFC
// 8200 section 5), and whoever says less is not believed (RFC 8201 section 4).
uint16_t Tcp::path_mtu_least(const Connection& c) {
  return net::is_ipv6_alias(c.flow.remote.address) ? net::ipv6_mtu_min : path_mtu_bytes_min;
}

uint32_t Tcp::header_bytes_of(const Connection& c) {
  return net::ip_header_bytes(c.flow.remote.address) + plain_header_bytes(c.timestamps);
}

void Tcp::icmp_error(const net::IcmpError& error, Instant now) {
  const FlowKey flow{{error.source, error.source_port},
                     {error.destination, error.destination_port}};
  const uint32_t index = find_flow(flow, flows_.hash(flow));
  if (index == none) {
    counters_.add(Counter::tcp_icmp_unknown_flow);
    return;
  }
  Connection& c = at(index);
  const Seq seq{error.tcp_sequence_number};
  // RFC 5927 section 4: believe only an error about something that is really in flight.
  if (c.state == State::closed || seq < c.snd_una || seq >= sent_up_to(c)) {
    counters_.add(Counter::tcp_icmp_out_of_window);
    return;
  }
  if (error.is_fragmentation_needed()) {
    on_packet_too_big(c, error.next_hop_mtu, now);
    return;
  }
  // RFC 5927 section 5, RFC 9293 section 3.9.2.2: hard errors end only a connection that does not
  // stand yet; afterwards they are as soft as the others, and retransmission decides.
  if (c.state == State::syn_sent && error.is_hard()) {
    counters_.add(Counter::tcp_connect_unreachable);
    end_connection(index, c);
    return;
  }
  counters_.add(Counter::tcp_icmp_soft_errors);
}

// mtu_bytes: as the router says it; 0 when it does not.
void Tcp::on_packet_too_big(Connection& c, uint16_t mtu_bytes, Instant now) {
  const uint32_t sent_bytes = c.send_mss + header_bytes_of(c);
  const uint16_t told =
      std::max(mtu_bytes != 0 ? mtu_bytes : plateau_below(sent_bytes), path_mtu_least(c));
  if (c.transfer != Connection::no_transfer) {
    uint16_t& before = transfer(c).send_mss_before_suspicion;
    before = std::min(before, static_cast<uint16_t>(told - header_bytes_of(c)));
  }
  if (told >= sent_bytes) {
    counters_.add(Counter::tcp_icmp_mtu_ignored);
    return;
  }
  counters_.add(Counter::tcp_path_mtu_lowered);
  path_mtus_.learn(path_mtu_key(c.flow.remote.address), told, now);
  shrink_segments(c, told);
}

// Segments of the connection fit mtu_bytes from now on, and those in flight that do not go again.
// The network was not congested, so the window stays (RFC 1191 section 6.5).
void Tcp::shrink_segments(Connection& c, uint16_t mtu_bytes) {
  c.send_mss = static_cast<uint16_t>(mtu_bytes - header_bytes_of(c));
  if (c.transfer == Connection::no_transfer || !is_synchronized(c.state)) return;
  Transfer& t = transfer(c);
  if (c.snd_una == t.snd_max) return;
  Repair* const r = c.selective_acknowledgments ? lend_repair(c, t) : nullptr;
  if (r == nullptr) {
    t.snd_nxt = c.snd_una;
    t.unsent = t.send_queue.head;
  } else {
    r->board.mark_lost_longer_than(records_, c.send_mss);
  }
  queue_egress(c);
}

// After `timeouts` expiries in a row: perhaps the path swallows what is large. Or it carried
// nothing for a while, or lost the same text several times: so the suspicion is tested (RFC 4821
// section 7.7: after a full stop the search for the MTU begins again), once while no large segment
// is known to have arrived in between; a second one in a row is for good.
void Tcp::suspect_black_hole(Connection& c, Transfer& t, uint8_t timeouts) {
  if (t.send_queue.empty()) return;
  const bool first = timeouts == black_hole_first_timeouts;
  if (!first && timeouts != black_hole_next_timeouts) return;
  const uint16_t mtu_bytes = first ? black_hole_first_mtu_bytes : path_mtu_least(c);
  if (records_[t.send_queue.head].length + header_bytes_of(c) <= mtu_bytes) return;
  counters_.add(Counter::tcp_black_hole_suspected);
  if (t.send_mss_before_suspicion == 0 && c.black_hole_tested == 0)
    t.send_mss_before_suspicion = c.send_mss;
  // A head that was too large before and found no slot to be cut into says nothing of the MSS.
  c.send_mss = std::min(c.send_mss, static_cast<uint16_t>(mtu_bytes - header_bytes_of(c)));
}

// What was in flight when a timeout made segments smaller is acknowledged.
void Tcp::try_large_segments_again(Connection& c, Transfer& t) {
  if (t.send_mss_before_suspicion == 0) return;
  c.send_mss = t.send_mss_before_suspicion;
  t.send_mss_before_suspicion = 0;
  c.black_hole_tested = 1;  // until a large one is acknowledged
}

}  // namespace millrace::tcp
