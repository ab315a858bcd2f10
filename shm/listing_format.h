// A listing of connections as it leaves the data plane: messages on a Unix SOCK_SEQPACKET socket,
// records of fixed size in them.
//
//   reader -> data plane   request   a header alone
//   data plane -> reader   records   a header and up to listing_records_max records, again and
//                                    again until `next` is the table's capacity
//                          busy      a header alone, instead: too many readers; it closes then
//
// A listing walks the table of connections once, from its first place to its last, while traffic
// goes on. It is not one instant. A record is: it was copied by the thread that owns the
// connection. A connection that lives throughout is listed once; one that comes or goes meanwhile
// once or not at all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::shm {

constexpr uint32_t listing_magic = 0x4e4f434dU;  // "MCON"
constexpr uint16_t listing_abi = 1;
constexpr uint32_t listing_records_max = 512;                 // in one message
constexpr uint32_t listing_capacity_max = 1U << 24;           // places of a table
constexpr uint32_t listing_quiet_unknown = UINT32_MAX;        // more than 24 days
constexpr const char* listing_socket_name = "operator.sock";  // beside the channel's socket

enum class ListingKind : uint16_t { request = 1, records = 2, busy = 3 };

struct ListingHeader {
  uint32_t magic = listing_magic;
  uint16_t abi = listing_abi;
  uint16_t kind = 0;
  uint32_t count = 0;        // records behind the header
  uint32_t capacity = 0;     // places of the table
  uint32_t next = 0;         // the place where the listing goes on
  uint32_t connections = 0;  // in the table when the message was finished
  uint32_t time_wait = 0;    // connections in TIME-WAIT, which have no record here
  uint32_t reserved = 0;
};
static_assert(sizeof(ListingHeader) == 32 && offsetof(ListingHeader, next) == 16);

// RFC 9293 section 3.3.2, in its order.
enum class ConnectionState : uint8_t {
  closed,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};
constexpr std::array<const char*, 10> connection_state_names = {
    "CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
    "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",      "LAST-ACK",    "TIME-WAIT"};

// Bits of ConnectionRecord::flags. A reader ignores those that it does not know.
constexpr uint16_t connection_passive = 1;  // the peer opened it: a client; else we, to an endpoint
constexpr uint16_t connection_sack = 2;     // selective acknowledgments, RFC 2018
constexpr uint16_t connection_timestamps = 4;      // RFC 7323 section 3
constexpr uint16_t connection_window_scaling = 8;  // RFC 7323 section 2
constexpr uint16_t connection_repairing = 16;      // something is missing on the way to the peer
constexpr uint16_t connection_ecn = 32;            // RFC 3168

struct ConnectionRecord {
  using Address = std::array<uint8_t, 16>;
  Address local_address{};  // in wire order; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2)
  Address remote_address{};
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  uint8_t state = 0;  // ConnectionState
  uint8_t worker = 0;
  uint16_t flags = 0;
  uint32_t place = 0;              // in the table
  uint32_t quiet_ms = 0;           // since we sent something last, or listing_quiet_unknown
  uint32_t round_trip_us = 0;      // smoothed; 0: not measured yet
  uint32_t rto_ms = 0;             // without backoff
  uint32_t congestion_window = 0;  // octets, as the following ones
  uint32_t threshold = 0;          // of slow start; UINT32_MAX: nothing was lost yet
  uint32_t peer_window = 0;
  uint32_t in_flight = 0;
  uint32_t send_queue = 0;           // in flight, and waiting to be sent
  uint32_t receive_queue = 0;        // waiting to be read by the proxy
  uint32_t out_of_order_ranges = 0;  // behind a gap
  uint32_t retransmits = 0;          // since something has been under way
  uint16_t send_mss_bytes = 0;
  uint16_t reserved[3] = {};
};
static_assert(sizeof(ConnectionRecord) == 96 && offsetof(ConnectionRecord, local_port) == 32);
static_assert(offsetof(ConnectionRecord, place) == 40 &&
              offsetof(ConnectionRecord, retransmits) == 84);

// As it lies in the data plane and in the message.
struct ListingMessage {
  ListingHeader header;
  std::array<ConnectionRecord, listing_records_max> records;

  size_t bytes() const { return sizeof header + header.count * sizeof(ConnectionRecord); }
};
static_assert(sizeof(ListingMessage) == 32 + 96 * listing_records_max);

}  // namespace millrace::shm
