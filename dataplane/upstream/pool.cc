#include "dataplane/upstream/pool.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/power_of_two.h"

namespace millrace::upstream {
Pool::Pool(const PoolLimits& limits, uint64_t seed)
    : limits_(limits),
      seed_(seed),
      records_(limits.connections),
      age_links_(limits.connections),
      buckets_(std::make_unique<Bucket[]>(power_of_two_at_least(limits.idle))),
      bucket_mask_(power_of_two_at_least(limits.idle) - 1) {}

Pool::Bucket& Pool::bucket_of(uint64_t endpoint_id) {
  return buckets_[static_cast<uint32_t>(hash_finish(endpoint_id ^ seed_)) & bucket_mask_];
}

uint32_t Pool::add(tcp::ConnId connection, uint64_t endpoint_id) {
  const auto id = records_.acquire();
  if (!id) return none;
  records_[id].connection = connection;
  records_[id].endpoint_id = endpoint_id;
  return id.index;
}

uint32_t Pool::take_idle(uint64_t endpoint_id) {
  for (uint32_t index = bucket_of(endpoint_id).head; index != none;
       index = records_.at(index).bucket_next) {
    if (records_.at(index).endpoint_id != endpoint_id) continue;
    remove_idle(index);
    return index;
  }
  return none;
}

uint32_t Pool::put_idle(uint32_t index, Instant now) {
  UpstreamConnection& record = records_.at(index);
  CHECK(!is_idle(index));
  Bucket& bucket = bucket_of(record.endpoint_id);
  if (bucket.count >= limits_.idle_per_endpoint) return index;
  uint32_t displaced = none;
  if (by_age_.count >= limits_.idle) {
    displaced = by_age_.head;
    remove_idle(displaced);
  }
  record.session = none;
  record.idle_since = now;
  record.bucket_next = bucket.head;
  record.bucket_previous = none;
  if (bucket.head != none) records_.at(bucket.head).bucket_previous = index;
  bucket.head = index;
  ++bucket.count;
  age_links_.push_back(by_age_, index);
  return displaced;
}

void Pool::remove_idle(uint32_t index) {
  UpstreamConnection& record = records_.at(index);
  age_links_.remove(by_age_, index);
  Bucket& bucket = bucket_of(record.endpoint_id);
  --bucket.count;
  if (record.bucket_previous == none) {
    bucket.head = record.bucket_next;
  } else {
    records_.at(record.bucket_previous).bucket_next = record.bucket_next;
  }
  if (record.bucket_next != none)
    records_.at(record.bucket_next).bucket_previous = record.bucket_previous;
  record.bucket_next = none;
  record.bucket_previous = none;
}

uint32_t Pool::expired(Instant now) const {
  if (by_age_.empty()) return none;
  return now - records_.at(by_age_.head).idle_since > limits_.idle_duration_max ? by_age_.head
                                                                                : none;
}

void Pool::release(uint32_t index) {
  CHECK(!is_idle(index));
  records_.release(records_.id_at(index));
}

}  // namespace millrace::upstream
