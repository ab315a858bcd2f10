#include "controlplane/compile/slot_table.h"

#include "base/check.h"

namespace millrace::compile {

SlotTable SlotTable::next(const std::vector<model::Service>& services) const {
  SlotTable table;
  std::set<uint32_t> taken = {unusable_slot};
  for (const auto& [key, slot] : slots_) taken.insert(slot);  // given-up ones rest for one turn
  for (const model::Service& service : services) {
    const auto mine = slots_.find(service.key);
    if (mine != slots_.end()) table.slots_.emplace(service.key, mine->second);
  }
  uint32_t lowest = unusable_slot + 1;
  for (const model::Service& service : services) {
    if (table.slots_.contains(service.key)) continue;
    while (taken.contains(lowest)) ++lowest;
    table.slots_.emplace(service.key, lowest++);
  }
  return table;
}

std::optional<SlotTable> SlotTable::from(const std::map<model::ServiceKey, uint32_t>& slots) {
  std::set<uint32_t> taken = {unusable_slot};
  for (const auto& [key, slot] : slots) {
    if (!taken.insert(slot).second) return std::nullopt;
  }
  SlotTable table;
  table.slots_ = slots;
  return table;
}

uint32_t SlotTable::slot_of(const model::ServiceKey& key) const {
  const auto at = slots_.find(key);
  CHECK(at != slots_.end());
  return at->second;
}

}  // namespace millrace::compile
