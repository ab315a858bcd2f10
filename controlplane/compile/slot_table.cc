#include "controlplane/compile/slot_table.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "shm/snapshot_format.h"

namespace millrace::compile {

size_t ServiceKeyHash::operator()(const model::ServiceKey& key) const {
  const std::hash<std::string_view> hash;
  // Ports and policies of one Service are few.
  return hash(key.name_space) * 31 + hash(key.service) + key.port.size() +
         static_cast<size_t>(key.policy.balance) + key.policy.hash_name.size();
}

void SlotTable::step(const std::vector<model::ServiceKey>& removed,
                     const std::vector<model::ServiceKey>& added) {
  begin_step();
  for (const model::ServiceKey& key : removed) remove(key);
  for (const model::ServiceKey& key : added) add(key);
}

void SlotTable::begin_step() {
  free_.insert(resting_.begin(), resting_.end());
  resting_.clear();
  // What is free behind the highest slot in use is as if it had never been there.
  while (keys_.size() > 1 && keys_.back() == nullptr) {
    keys_.pop_back();
    free_.erase(static_cast<uint32_t>(keys_.size()));
  }
}

void SlotTable::remove(const model::ServiceKey& key) {
  const auto at = slots_.find(key);
  CHECK(at != slots_.end());
  resting_.push_back(at->second);
  keys_[at->second] = nullptr;
  slots_.erase(at);
}

uint32_t SlotTable::add(const model::ServiceKey& key) {
  auto slot = static_cast<uint32_t>(keys_.size());
  if (free_.empty()) {
    keys_.push_back(nullptr);
  } else {
    slot = *free_.begin();
    free_.erase(free_.begin());
  }
  const auto [at, is_new] = slots_.emplace(key, slot);
  CHECK(is_new);
  keys_[slot] = &at->first;
  return slot;
}

SlotTable::SlotTable(const SlotTable& other)
    : slots_(other.slots_),
      keys_(other.keys_.size(), nullptr),
      free_(other.free_),
      resting_(other.resting_) {
  for (const auto& [key, slot] : slots_) keys_[slot] = &key;
}

SlotTable& SlotTable::operator=(SlotTable other) noexcept {
  slots_.swap(other.slots_);
  keys_.swap(other.keys_);
  free_.swap(other.free_);
  resting_.swap(other.resting_);
  return *this;
}

SlotTable SlotTable::next(const std::vector<model::Service>& services,
                          std::vector<uint32_t>* slots) const {
  SlotTable table = *this;
  std::vector<uint32_t> found(services.size(), unusable_slot);
  std::vector<bool> is_kept(keys_.size(), false);
  if (!slots_.empty()) {
    for (size_t i = 0; i < services.size(); ++i) {
      found[i] = find(services[i].key);
      is_kept[found[i]] = true;
    }
  }
  table.begin_step();
  for (size_t slot = unusable_slot + 1; slot < keys_.size(); ++slot) {
    if (keys_[slot] != nullptr && !is_kept[slot]) table.remove(*keys_[slot]);
  }
  table.slots_.reserve(services.size());
  table.keys_.reserve(services.size() + 1);
  for (size_t i = 0; i < services.size(); ++i) {
    if (found[i] == unusable_slot) found[i] = table.add(services[i].key);
  }
  if (slots != nullptr) *slots = std::move(found);
  return table;
}

std::optional<SlotTable> SlotTable::from(const std::map<model::ServiceKey, uint32_t>& slots) {
  uint32_t end = unusable_slot + 1;
  for (const auto& [key, slot] : slots) {
    if (slot >= shm::service_slots_max) return std::nullopt;
    end = std::max(end, slot + 1);
  }
  SlotTable table;
  table.keys_.resize(end, nullptr);
  for (const auto& [key, slot] : slots) {
    if (slot == unusable_slot || table.keys_[slot] != nullptr) return std::nullopt;
    table.keys_[slot] = &table.slots_.emplace(key, slot).first->first;
  }
  for (uint32_t slot = unusable_slot + 1; slot < end; ++slot) {
    if (table.keys_[slot] == nullptr) table.free_.insert(slot);
  }
  return table;
}

uint32_t SlotTable::find(const model::ServiceKey& key) const {
  const auto at = slots_.find(key);
  return at == slots_.end() ? unusable_slot : at->second;
}

uint32_t SlotTable::slot_of(const model::ServiceKey& key) const {
  const uint32_t slot = find(key);
  CHECK(slot != unusable_slot);
  return slot;
}

uint32_t SlotTable::slot_end() const {
  size_t end = keys_.size();
  while (end > 1 && keys_[end - 1] == nullptr) --end;
  return static_cast<uint32_t>(end);
}

}  // namespace millrace::compile
