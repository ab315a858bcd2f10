// ClientLimits: how many connections each client has, and how fast it asks, so that one of them
// cannot have all there is. A client is an IPv4 address, or an IPv6 network of 64 bits, for a host
// may take any address in its own (RFC 7217).
//
// The rate is a bucket that holds a second's requests and refills steadily, kept as one instant
// (the generic cell rate algorithm, ITU-T I.371): until when what was asked would have been paid
// for at the rate.
//
// With both limits off there is no table. Otherwise there are records for as many clients as there
// may be connections, and some more; who has none, longest without a request, goes first when they
// are short.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/index_list.h"
#include "base/slab.h"
#include "base/time.h"

namespace millrace::proxy {

struct ClientLimitOptions {
  uint32_t connections_max = 0;          // of one client; 0: no limit
  uint32_t requests_per_second_max = 0;  // of one client, and as many at once; 0: no limit
};

class ClientLimits {
 public:
  // connections: records of TCP.
  ClientLimits(const ClientLimitOptions& options, uint32_t connections, uint64_t seed);

  bool limits_connections() const { return options_.connections_max != 0; }
  bool limits_requests() const { return options_.requests_per_second_max != 0; }

  // What a client is counted by.
  static uint64_t key_of(std::string_view address);

  // One more connection of this client; false: it has as many as it may, and this one is not
  // counted. Each that was counted is closed once.
  bool open(uint64_t client);
  void close(uint64_t client);
  // False: too fast. Such a request costs the client nothing.
  bool take_request(uint64_t client, Instant now);

  uint32_t count() const { return records_.in_use(); }
  size_t memory_bytes() const;

 private:
  static constexpr uint32_t none = UINT32_MAX;
  // Clients without a connection of their own: behind a trusted proxy, or gone a moment ago.
  static constexpr uint32_t records_beside_connections = 4'096;

  struct Client {
    uint64_t key = 0;
    Instant paid_until;
    uint32_t connections = 0;
    uint32_t bucket_next = none;
  };
  uint32_t& bucket_of(uint64_t key) const;
  uint32_t find(uint64_t key) const;
  uint32_t find_or_add(uint64_t key);
  void forget(uint32_t record);

  ClientLimitOptions options_;
  uint64_t seed_;
  Slab<Client> records_;
  IndexLinks links_;
  IndexList resting_;  // without a connection, the longest without a request first
  std::unique_ptr<uint32_t[]> buckets_;
  uint32_t bucket_mask_;
};

}  // namespace millrace::proxy
