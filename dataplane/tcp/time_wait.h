// TIME-WAIT as a bounded table of small records (RFC 9293 section 3.6.1, T31): the connection
// record and its buffers are gone, what remains is just enough to acknowledge a repeated FIN and to
// judge a new SYN. All records live equally long, so the oldest ends first and a ring orders them.
#pragma once

#include <cstdint>
#include <memory>

#include "base/time.h"
#include "dataplane/net/ip_output.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

// 2 * MSL. RFC 9293 says MSL is 2 minutes and calls that an engineering choice; Linux, FreeBSD and
// every load balancer in use wait 60 s in all.
inline constexpr Duration time_wait_duration = Duration::seconds(60);

struct TimeWaitRecord {
  FlowKey flow;
  Seq snd_nxt;
  Seq rcv_nxt;
  uint32_t ts_recent = 0;
  uint32_t timestamp_offset = 0;
  bool timestamps = false;
  bool live = false;
  uint16_t window = 0;  // as announced last, scaled
  net::Path path;
  uint32_t flow_hash = 0;
  Instant ends_at;
  Instant answer_allowed_at;  // to a bare ACK out of place (T7)
};

class TimeWaitTable {
 public:
  TimeWaitTable(uint32_t capacity, const HashKey& key);

  // Adds a record; when the ring is full the oldest one ends early and true is returned.
  bool add(const TimeWaitRecord& record, Instant now);
  // nullptr when there is none; stays valid until the next call of add or expire.
  TimeWaitRecord* find(const FlowKey& flow, uint32_t hash);
  void remove(TimeWaitRecord* record);
  void restart(TimeWaitRecord* record, Instant now);
  // Ends what is due, at most expire_max records a call.
  void expire(Instant now);
  uint32_t size() const { return table_.size(); }
  size_t memory_bytes() const {
    return size_t{capacity_} * sizeof(TimeWaitRecord) + table_.memory_bytes();
  }

 private:
  static constexpr uint32_t expire_max = 64;
  void forget(uint32_t index);

  uint32_t capacity_;
  std::unique_ptr<TimeWaitRecord[]> ring_;
  FlowTable table_;
  uint64_t first_ = 0;  // ring positions, counted without wrap
  uint64_t end_ = 0;
};

}  // namespace millrace::tcp
