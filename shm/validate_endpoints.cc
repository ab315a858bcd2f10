#include <algorithm>
#include <memory>

#include "base/address.h"
#include "shm/service_policy.h"
#include "shm/snapshot_validator.h"

namespace millrace::shm {

bool SnapshotValidator::check_endpoints_segment(uint32_t index) {
  where_ = "endpoints segment " + std::to_string(index) + ": ";
  const uint32_t place = root_->routes_segment_count + index;
  const EndpointsHeader* header =
      open_segment<EndpointsHeader>(segment_bytes_[place], directory_[place], endpoints_magic);
  if (header == nullptr) return false;
  EndpointsSegment s;
  for (const uint64_t padding : header->padding) {
    if (padding != 0) return fail("padding is not zero");
  }
  if (!take_section("slots", header->slots, service_slots_max, &s.slots) ||
      !take_section("endpoints", header->endpoints, endpoints_max, &s.endpoints) ||
      !take_section("names", header->names, service_slots_max, &s.names) ||
      !take_strings(header->strings, &s.strings) || !close_segment()) {
    return false;
  }
  s.first_slot = header->first_slot;
  s.slot_count = header->slots.count;
  s.endpoint_count = header->endpoints.count;
  if (s.first_slot != first_slot_of_range(index)) {
    return fail("first_slot is not where its range begins");
  }
  if (s.slot_count != slots_of_range(index)) return fail("slots: count is not its range's");
  if (header->names.count != s.slot_count) return fail("names: count is not that of the slots");
  if (!check_slots(s)) return false;
  endpoint_sum_ += facts_.endpoint_count;
  facts_.identity = std::make_shared<char>();
  view_.facts_[place] = facts_;
  view_.endpoints_[index] = s;
  return true;
}

uint64_t SnapshotValidator::first_slot_of_range(uint32_t index) const {
  return uint64_t{index} << root_->service_slot_shift;
}

// The last range ends where the slots do.
uint64_t SnapshotValidator::slots_of_range(uint32_t index) const {
  const uint64_t left = root_->service_slot_count - first_slot_of_range(index);
  return std::min(left, uint64_t{1} << root_->service_slot_shift);
}

bool SnapshotValidator::check_slots(const EndpointsSegment& segment) {
  uint64_t next = 0;
  for (uint32_t i = 0; i < segment.slot_count; ++i) {
    const ServiceNames& names = segment.names[i];
    if ((names.flags & ~slot_in_use) != 0) return fail("slot %u: flags are unknown", i);
    if (names.reserved != 0) return fail("slot %u: reserved is not zero", i);
    if (!check_name("slot", i, "service_namespace", names.service_namespace,
                    object_name_bytes_max) ||
        !check_name("slot", i, "service_name", names.service_name, object_name_bytes_max) ||
        !check_name("slot", i, "port", names.port, port_name_bytes_max) ||
        !check_slot(segment, i, &next) || !check_policy(segment, i)) {
      return false;
    }
    if (names.flags == 0 &&
        (segment.slots[i].endpoint_count != 0 || !is_unset(segment.slots[i].policy) ||
         names.service_namespace.length != 0 || names.service_name.length != 0 ||
         names.port.length != 0)) {
      return fail("slot %u: flags say unused but it is not empty", i);
    }
  }
  if (next != segment.endpoint_count) return fail("endpoints: the last ones belong to no slot");
  return true;
}

// next: where in the array the next slot with many endpoints must begin.
bool SnapshotValidator::check_slot(const EndpointsSegment& segment, uint32_t index,
                                   uint64_t* next) {
  const ServiceSlot& slot = segment.slots[index];
  if (slot.endpoint_count > endpoints_per_service_max) {
    return fail("slot %u: endpoint_count is too large", index);
  }
  const bool few = slot.endpoint_count <= slot_endpoints_max;
  if (slot.first_endpoint != (few ? 0 : *next)) {
    return fail("slot %u: first_endpoint leaves a gap", index);
  }
  if (!few) *next += slot.endpoint_count;
  if (*next > segment.endpoint_count) {
    return fail("slot %u: endpoint_count runs past the end", index);
  }
  for (uint32_t i = few ? slot.endpoint_count : 0; i < slot_endpoints_max; ++i) {
    const EndpointRecord& record = slot.few[i];
    if (record.id != 0 || record.address != 0 || record.port != 0 || record.flags != 0) {
      return fail("slot %u: endpoint %u is not there and not zero", index, i);
    }
  }
  const std::span<const EndpointRecord> endpoints = segment.endpoints_of(slot);
  for (uint32_t i = 0; i < endpoints.size(); ++i) {
    if (!check_endpoint(index, i, endpoints[i])) return false;
    if (i > 0 && endpoints[i - 1].id >= endpoints[i].id) {
      return fail("slot %u: endpoint %u: id is out of order or twice", index, i);
    }
  }
  facts_.endpoint_count += endpoints.size();
  return true;
}

bool SnapshotValidator::check_policy(const EndpointsSegment& segment, uint32_t index) {
  const ServicePolicy& policy = segment.slots[index].policy;
  if (is_unset(policy)) return true;
  facts_.has_policies = true;
  if ((root_->features_required & feature_policies) == 0) {
    return fail("slot %u: has a policy, and features_required does not say so", index);
  }
  if (policy.balance > static_cast<uint8_t>(ServiceBalance::hash)) {
    return fail("slot %u: policy: balance is unknown", index);
  }
  const bool hashes = policy.balance == static_cast<uint8_t>(ServiceBalance::hash);
  if (policy.hash_source > static_cast<uint8_t>(HashSource::cookie) ||
      hashes != (policy.hash_source != static_cast<uint8_t>(HashSource::none))) {
    return fail("slot %u: policy: hash_source does not fit balance", index);
  }
  if ((policy.flags & ~policy_flags_known) != 0) {
    return fail("slot %u: policy: flags are unknown", index);
  }
  for (const int both : {policy_passes_encoded_slash | policy_refuses_encoded_slash,
                         policy_proxy_header_v1 | policy_proxy_header_v2}) {
    if ((policy.flags & both) == both) {
      return fail("slot %u: policy: flags contradict one another", index);
    }
  }
  const bool sticks = (policy.flags & policy_sticky_cookie) != 0;
  const bool hashes_name = policy.hash_source >= static_cast<uint8_t>(HashSource::header);
  if (sticks && hashes_name) return fail("slot %u: policy: has one name for two", index);
  if ((sticks || hashes_name) != (policy.name_length != 0) ||
      (policy.name_length == 0 && policy.name_offset != 0)) {
    return fail("slot %u: policy: name is there and not used, or used and not there", index);
  }
  const StringRef name{policy.name_offset, policy.name_length};
  if (!check_name("slot", index, "policy name", name, policy_name_bytes_max)) return false;
  if (!is_token(segment.text(name))) return fail("slot %u: policy name is no token", index);
  if (policy.hash_source == static_cast<uint8_t>(HashSource::header) &&
      !is_lower_case(segment.text(name))) {
    return fail("slot %u: policy name is a header's and not in lower case", index);
  }
  return true;
}

bool SnapshotValidator::check_endpoint(uint32_t slot, uint32_t index,
                                       const EndpointRecord& record) {
  if (record.id == 0) return fail("slot %u: endpoint %u: id is zero", slot, index);
  if (!Ipv4Address::from_host_order(record.address).is_unicast()) {
    return fail("slot %u: endpoint %u: address is not unicast", slot, index);
  }
  if (record.port == 0) return fail("slot %u: endpoint %u: port is zero", slot, index);
  if ((record.flags & ~endpoint_flags_known) != 0) {
    return fail("slot %u: endpoint %u: flags are unknown", slot, index);
  }
  return true;
}

}  // namespace millrace::shm
