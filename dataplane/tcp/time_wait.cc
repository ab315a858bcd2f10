#include "dataplane/tcp/time_wait.h"

#include "base/check.h"

namespace millrace::tcp {

TimeWaitTable::TimeWaitTable(uint32_t capacity, const HashKey& key, net::Ipv6Aliases* aliases)
    : capacity_(capacity),
      aliases_(aliases),
      ring_(std::make_unique<TimeWaitRecord[]>(capacity)),
      table_(capacity, key) {}

void TimeWaitTable::forget(uint32_t index) {
  TimeWaitRecord& record = ring_[index];
  if (!record.live) return;
  table_.erase(table_.hash(record.flow()), index);
  record.live = false;
  if (net::is_ipv6_alias(record.remote)) aliases_->release(record.remote);
}

uint32_t TimeWaitTable::ipv6_count() const {
  uint32_t count = 0;
  for (uint64_t at = first_; at != end_; ++at) {
    const TimeWaitRecord& record = ring_[at % capacity_];
    count += record.live && net::is_ipv6_alias(record.remote) ? 1 : 0;
  }
  return count;
}

bool TimeWaitTable::add(const TimeWaitRecord& record, Instant now) {
  bool evicted = false;
  // Before another record lets go of it.
  if (net::is_ipv6_alias(record.remote)) CHECK(aliases_->hold(record.remote).has_value());
  if (end_ - first_ == capacity_) {
    evicted = ring_[first_ % capacity_].live;
    forget(static_cast<uint32_t>(first_ % capacity_));
    ++first_;
  }
  const auto index = static_cast<uint32_t>(end_ % capacity_);
  ring_[index] = record;
  ring_[index].live = true;
  ring_[index].ends_at = Tick::at_or_after(now + time_wait_duration);
  table_.insert(table_.hash(record.flow()), index);
  ++end_;
  return evicted;
}

TimeWaitRecord* TimeWaitTable::find(const FlowKey& flow, uint32_t hash) {
  if (table_.size() == 0) return nullptr;
  const uint32_t index = table_.find(hash, [&](uint32_t at) { return ring_[at].flow() == flow; });
  return index == FlowTable::none ? nullptr : &ring_[index];
}

void TimeWaitTable::remove(TimeWaitRecord* record) {
  forget(static_cast<uint32_t>(record - ring_.get()));
}

void TimeWaitTable::restart(TimeWaitRecord* record, Instant now) {
  // A restart takes a place of the ring: a peer that repeats its FIN for ever must not push others
  // out.
  if (end_ - first_ > capacity_ / 2) return;
  const TimeWaitRecord copy = *record;
  remove(record);
  add(copy, now);
}

void TimeWaitTable::expire(Instant now) {
  const Tick tick = Tick::at_or_before(now);
  for (uint32_t i = 0; i < expire_max && first_ != end_; ++i) {
    TimeWaitRecord& oldest = ring_[first_ % capacity_];
    if (oldest.live && !oldest.ends_at.reached_by(tick)) return;
    forget(static_cast<uint32_t>(first_ % capacity_));
    ++first_;
  }
}

}  // namespace millrace::tcp
