#include "dataplane/proxy/client_limits.h"

#include <algorithm>

#include "base/address.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/ipv6_address.h"
#include "base/power_of_two.h"

namespace millrace::proxy {
namespace {

constexpr int64_t ns_per_second = 1'000'000'000;

uint32_t records_for(const ClientLimitOptions& options, uint32_t connections, uint32_t beside) {
  const bool wanted = options.connections_max != 0 || options.requests_per_second_max != 0;
  return wanted ? connections + beside : 0;
}

}  // namespace

ClientLimits::ClientLimits(const ClientLimitOptions& options, uint32_t connections, uint64_t seed)
    : options_(options),
      seed_(seed),
      records_(records_for(options, connections, records_beside_connections)),
      links_(records_.capacity()),
      buckets_(
          std::make_unique<uint32_t[]>(power_of_two_at_least(std::max(records_.capacity(), 1U)))),
      bucket_mask_(power_of_two_at_least(std::max(records_.capacity(), 1U)) - 1) {
  std::fill_n(buckets_.get(), size_t{bucket_mask_} + 1, none);
}

// An IPv4 address is told from the network 0:0:0:0::/64, which nobody has, by its top bit.
uint64_t ClientLimits::key_of(std::string_view address) {
  constexpr uint64_t is_ipv4 = uint64_t{1} << 63;
  if (const auto ipv4 = Ipv4Address::parse(address)) return is_ipv4 | ipv4->host_order();
  if (const auto ipv6 = Ipv6Address::parse(address)) {
    const uint8_t* octets = ipv6->octets().data();
    if (ipv6->is_ipv4_mapped()) return is_ipv4 | load_be32(octets + 12);
    return uint64_t{load_be32(octets)} << 32 | load_be32(octets + 4);
  }
  return 0;
}

uint32_t& ClientLimits::bucket_of(uint64_t key) const {
  return buckets_[static_cast<uint32_t>(hash_finish((key ^ seed_) * 0x9e3779b97f4a7c15U)) &
                  bucket_mask_];
}

uint32_t ClientLimits::find(uint64_t key) const {
  uint32_t record = bucket_of(key);
  while (record != none && records_.at(record).key != key) {
    record = records_.at(record).bucket_next;
  }
  return record;
}

// Those with connections are fewer than there are records, so one of the others can always go.
uint32_t ClientLimits::find_or_add(uint64_t key) {
  const uint32_t known = find(key);
  if (known != none) return known;
  if (records_.full()) forget(links_.pop_front(resting_));
  const auto id = records_.acquire();
  CHECK(id);
  Client& client = records_[id];
  uint32_t& bucket = bucket_of(key);
  client.key = key;
  client.bucket_next = bucket;
  bucket = id.index;
  links_.push_back(resting_, id.index);
  return id.index;
}

void ClientLimits::forget(uint32_t record) {
  Client& client = records_.at(record);
  CHECK(client.connections == 0);
  uint32_t* link = &bucket_of(client.key);
  while (*link != record) link = &records_.at(*link).bucket_next;
  *link = client.bucket_next;
  records_.release(records_.id_at(record));
}

bool ClientLimits::open(uint64_t client) {
  const uint32_t record = find_or_add(client);
  Client& known = records_.at(record);
  if (known.connections >= options_.connections_max) return false;
  if (known.connections++ == 0) links_.remove(resting_, record);
  return true;
}

void ClientLimits::close(uint64_t client) {
  const uint32_t record = find(client);
  CHECK(record != none && records_.at(record).connections > 0);
  if (--records_.at(record).connections == 0) links_.push_back(resting_, record);
}

bool ClientLimits::take_request(uint64_t client, Instant now) {
  const uint32_t record = find_or_add(client);
  Client& known = records_.at(record);
  if (known.connections == 0) {
    links_.remove(resting_, record);
    links_.push_back(resting_, record);
  }
  const Instant from = std::max(known.paid_until, now);
  const Instant until =
      from + Duration::nanoseconds(ns_per_second / options_.requests_per_second_max);
  if (until > now + Duration::seconds(1)) return false;
  known.paid_until = until;
  return true;
}

size_t ClientLimits::memory_bytes() const {
  if (records_.capacity() == 0) return 0;
  return size_t{records_.capacity()} *
             (Slab<Client>::bytes_per_record() + IndexLinks::bytes_per_record) +
         (size_t{bucket_mask_} + 1) * sizeof(uint32_t);
}

}  // namespace millrace::proxy
