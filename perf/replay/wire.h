// One end of a TCP connection on a lossless wire, for the peers of a replay: every segment arrives
// once and in order. Keeps what a kernel would keep (sequence numbers, the window that the proxy
// allows, delayed acknowledgments) and CHECKs that the proxy keeps to the protocol.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/time.h"
#include "dataplane/tcp/segment.h"
#include "perf/replay/exchange.h"
#include "perf/replay/memory_port.h"

namespace millrace::perf {

struct PeerEnd {
  SocketAddress local;
  SocketAddress remote;
  uint32_t next = 1;            // our next sequence number
  uint32_t unacknowledged = 1;  // the first one that the proxy has not acknowledged
  uint32_t receive_next = 0;
  uint32_t window = 0;  // octets from `unacknowledged` that the proxy allows
  uint8_t window_scale = 0;
  uint16_t mss = 536;
  uint32_t echo = 0;           // the proxy's last timestamp
  uint32_t text_segments = 0;  // received since our last acknowledgment
  const Text* outgoing = nullptr;
  size_t outgoing_at = 0;
};

class Wire {
 public:
  Wire(const MacAddress& proxy, const MacAddress& peer, MemoryPort& port)
      : proxy_(proxy), peer_(peer), port_(port) {}

  void set_now(Instant now) { now_ = now; }

  // A segment without text.
  void send(PeerEnd& end, uint8_t flags) { send_text(end, flags, 0); }
  // Sends of end.outgoing what the window and the port have room for.
  void send_outgoing(PeerEnd& end);
  static bool has_outgoing(const PeerEnd& end) { return end.outgoing != nullptr; }

  // An IPv4 frame of the proxy, checksums verified; empty for an ARP request, which is answered:
  // the peer's link address stands for every address but `except`.
  struct Received {
    Ipv4Address source;
    Ipv4Address destination;
    tcp::Segment segment;
  };
  std::optional<Received> take(ByteView frame, Ipv4Address except);
  // Takes note of what the segment says about the connection.
  static void note(PeerEnd& end, const tcp::Segment& segment);

 private:
  void send_text(PeerEnd& end, uint8_t flags, size_t octets);
  void answer_arp(ByteView frame, Ipv4Address except);

  MacAddress proxy_;
  MacAddress peer_;
  MemoryPort& port_;
  Instant now_;
};

}  // namespace millrace::perf
