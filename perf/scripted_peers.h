// A client and an origin that speak just enough TCP for a lossless wire: every segment arrives once
// and in order, and every acknowledgment rides on the next text, as between kernels that answer
// within the delayed-ACK time. They check every octet that reaches them.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "dataplane/tcp/segment.h"
#include "perf/memory_port.h"

namespace millrace::perf {

// The two heads that are exchanged, of a given size each.
struct Exchange {
  std::string request;   // as the client sends it
  std::string response;  // as the origin sends it, head and body
  std::string body;      // of the response
};
// 300 octets with 8 fields, as a browser asks; 150 octets of head and 100 of body as the answer.
Exchange make_exchange(const std::string& host, const std::string& path);

struct Addresses {
  MacAddress proxy_mac;
  MacAddress peer_mac;  // of the client and of the origin: the wire is a cable
  SocketAddress listener;
  Ipv4Address client;
  SocketAddress origin;
};

class ScriptedPeers {
 public:
  ScriptedPeers(const Addresses& addresses, const Exchange& exchange, MemoryPort& port)
      : addresses_(addresses), exchange_(exchange), port_(port) {}

  // One more client connection, from the next port; it is idle when it stands.
  void open();
  // Sends a request on the connection, which must have been opened and be idle.
  void ask(uint32_t connection);
  bool idle(uint32_t connection) const { return clients_[connection].idle; }

  // Acknowledges what every client has received; otherwise the next request does.
  void acknowledge();

  // Reads what the proxy sent and answers it.
  void take(Instant now);

  uint64_t answers() const { return answers_; }
  // Segments without text that the proxy sent: acknowledgments that found nothing to ride on.
  uint64_t bare_segments() const { return bare_segments_; }
  size_t origin_connections() const { return origins_.size(); }

 private:
  struct Side {
    SocketAddress local;
    SocketAddress remote;
    uint32_t next = 1;   // our next sequence number
    uint32_t acked = 0;  // what we have received
    uint32_t echo = 0;   // the proxy's last timestamp
    bool idle = false;
    std::string received;  // of the message under way
  };

  void on_arp(ByteView frame);
  void on_client(const tcp::Segment& segment);
  void on_origin(SocketAddress from, const tcp::Segment& segment);
  static void take_text(Side& side, const tcp::Segment& segment);
  void check_answer(const std::string& received) const;
  void check_request(const std::string& received) const;
  void send(Side& side, uint8_t flags, std::string_view text);

  Addresses addresses_;
  Exchange exchange_;
  MemoryPort& port_;
  Instant now_;
  std::vector<Side> clients_;
  std::unordered_map<uint16_t, Side> origins_;  // by the proxy's port
  uint64_t answers_ = 0;
  uint64_t bare_segments_ = 0;
};

}  // namespace millrace::perf
