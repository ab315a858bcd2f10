// Pool: this core's connections to endpoints. Busy ones belong to an exchange, idle ones wait here,
// the most recently used first (its TCP window is warm and its endpoint least likely to have lost
// patience). Keyed by the endpoint's stable id: a connection is never used for another endpoint,
// even one that later gets the same address.
#pragma once

#include <cstdint>
#include <memory>

#include "base/index_list.h"
#include "base/slab.h"
#include "base/time.h"
#include "dataplane/counters.h"
#include "dataplane/tcp/connection.h"

namespace millrace::upstream {

// Named so that an owner can be told from a session's in TCP's events.
struct UpstreamConnection {
  tcp::ConnId connection;
  uint64_t endpoint_id = 0;
  uint32_t session = UINT32_MAX;  // whose exchange it serves; none when idle
  uint32_t requests = 0;          // begun on it: more than one means that it was reused
  bool established = false;
  Instant idle_since;
  uint32_t bucket_next = UINT32_MAX;
  uint32_t bucket_previous = UINT32_MAX;
};

struct PoolLimits {
  uint32_t connections = 16'384;  // busy and idle
  uint32_t idle = 4'096;          // in all; the longest idle one makes room
  // Endpoints that share a hash bucket share the bound. What comes on top is closed after each use,
  // and leaves a local port in TIME-WAIT: far fewer would run out of ports under a busy endpoint.
  uint32_t idle_per_endpoint = 1'024;
  // Below the keep-alive timeout of common servers (nginx 75 s, Go none, Node 5 s would close
  // first, which the pool notices at once).
  Duration idle_duration_max = Duration::seconds(30);
};

class Pool {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  Pool(const PoolLimits& limits, uint64_t seed);

  // A record for a new connection, or none when all are in use.
  uint32_t add(tcp::ConnId connection, uint64_t endpoint_id);
  // An idle connection to that endpoint, taken out of the idle lists; none if there is none.
  uint32_t take_idle(uint64_t endpoint_id);
  // Gives a connection back. The caller closes the returned one (this one, or the longest idle
  // one that had to make room), unless none is returned.
  uint32_t put_idle(uint32_t index, Instant now);
  // Takes an idle connection out of the lists (its peer closed it, or it spoke unasked).
  void remove_idle(uint32_t index);
  bool is_idle(uint32_t index) const { return age_links_.linked(index); }
  uint32_t longest_idle() const { return by_age_.empty() ? none : by_age_.head; }
  // The connection idle longest, if that is longer than allowed; none otherwise.
  uint32_t expired(Instant now) const;
  // Forgets the record (not idle).
  void release(uint32_t index);

  UpstreamConnection& operator[](uint32_t index) { return records_.at(index); }
  const UpstreamConnection& operator[](uint32_t index) const { return records_.at(index); }
  uint32_t capacity() const { return records_.capacity(); }
  bool live(uint32_t index) const { return index < records_.capacity() && records_.live_at(index); }
  uint32_t idle_count() const { return by_age_.count; }
  uint32_t count() const { return records_.in_use(); }
  size_t memory_bytes() const {
    return size_t{records_.capacity()} *
               (Slab<UpstreamConnection>::bytes_per_record() + IndexLinks::bytes_per_record) +
           (size_t{bucket_mask_} + 1) * sizeof(Bucket);
  }

 private:
  struct Bucket {
    uint32_t head = none;
    uint32_t count = 0;
  };
  Bucket& bucket_of(uint64_t endpoint_id);

  PoolLimits limits_;
  uint64_t seed_;
  Slab<UpstreamConnection> records_;
  IndexLinks age_links_;
  IndexList by_age_;  // longest idle first
  std::unique_ptr<Bucket[]> buckets_;
  uint32_t bucket_mask_;
};

}  // namespace millrace::upstream
