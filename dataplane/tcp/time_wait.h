// TIME-WAIT as a bounded table of small records (RFC 9293 section 3.6.1, T31): the connection
// record and its buffers are gone, what remains is just enough to acknowledge a repeated FIN and to
// judge a new SYN. All records live equally long, so the oldest ends first and a ring orders them.
#pragma once

#include <cstdint>
#include <memory>

#include "base/time.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

// 2 * MSL. RFC 9293 says MSL is 2 minutes and calls that an engineering choice; Linux, FreeBSD and
// every load balancer in use wait 60 s in all.
inline constexpr Duration time_wait_duration = Duration::seconds(60);

// 32 octets, because a busy proxy that closes first has one for every connection of the last
// minute. The way back to the peer is not in it: it is found again when there is something to say.
struct TimeWaitRecord {
  Ipv4Address local;
  Ipv4Address remote;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  Seq snd_nxt;
  Seq rcv_nxt;
  uint32_t ts_recent = 0;
  Tick ends_at;
  uint16_t window = 0;  // as announced last, scaled
  bool timestamps : 1 = false;
  bool live : 1 = false;
  bool window_scaling : 1 = false;

  void set_flow(const FlowKey& flow) {
    local = flow.local.address;
    remote = flow.remote.address;
    local_port = flow.local.port;
    remote_port = flow.remote.port;
  }
  FlowKey flow() const { return {{local, local_port}, {remote, remote_port}}; }

  // Whether a bare ACK out of place may be answered now, which takes the turn: once in a quarter of
  // a second (T7). Its clock is an octet that comes round every 33 s: then a turn may be missed.
  bool may_answer(Instant now) {
    constexpr uint64_t unit_ns = 128 * uint64_t{Tick::tick_ns};
    constexpr uint8_t units_min = 2;
    const auto unit = static_cast<uint8_t>(now.since_origin_ns() / unit_ns);
    if (answered && static_cast<uint8_t>(unit - answered_unit) < units_min) return false;
    answered = true;
    answered_unit = unit;
    return true;
  }
  bool answered : 1 = false;
  uint8_t answered_unit = 0;
};
static_assert(sizeof(TimeWaitRecord) == 32);

class TimeWaitTable {
 public:
  // A record holds its peer's alias. aliases: nullptr without IPv6.
  TimeWaitTable(uint32_t capacity, const HashKey& key, net::Ipv6Aliases* aliases = nullptr);

  // Adds a record; when the ring is full the oldest one ends early and true is returned.
  bool add(const TimeWaitRecord& record, Instant now);
  // nullptr when there is none; stays valid until the next call of add or expire.
  TimeWaitRecord* find(const FlowKey& flow, uint32_t hash);
  void remove(TimeWaitRecord* record);
  void restart(TimeWaitRecord* record, Instant now);
  // Ends what is due, at most expire_max records a call.
  void expire(Instant now);
  uint32_t size() const { return table_.size(); }
  uint32_t ipv6_count() const;  // for invariants
  size_t memory_bytes() const {
    return size_t{capacity_} * sizeof(TimeWaitRecord) + table_.memory_bytes();
  }

 private:
  static constexpr uint32_t expire_max = 64;
  void forget(uint32_t index);

  uint32_t capacity_;
  net::Ipv6Aliases* aliases_;
  std::unique_ptr<TimeWaitRecord[]> ring_;
  FlowTable table_;
  uint64_t first_ = 0;  // ring positions, counted without wrap
  uint64_t end_ = 0;
};

}  // namespace millrace::tcp
