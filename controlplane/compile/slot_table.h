// Which slot of the snapshot each Service port has, under each policy. The data plane keeps what it
// knows about a service by slot and by endpoint id, so a slot belongs to one Service port for as
// long as routes name it, however the rest of the table changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "controlplane/model/model.h"

namespace millrace::compile {

class SlotTable {
 public:
  // Slot 0 answers 503 for every route whose backend cannot be used; it never has endpoints.
  static constexpr uint32_t unusable_slot = 0;

  // The table for these services (sorted by key), from this one: who has a slot keeps it, who has
  // none gets the lowest that is free, in the order of keys. A slot given up by this very change is
  // not given away before the next one, so between two tables that follow one another no slot
  // changes hands. An empty table gives slots 1, 2, 3 in sorted order.
  SlotTable next(const std::vector<model::Service>& services) const;

  // One that was noted down. Slots that are given twice, or the unusable one, are no table of ours:
  // nothing.
  static std::optional<SlotTable> from(const std::map<model::ServiceKey, uint32_t>& slots);

  uint32_t slot_of(const model::ServiceKey& key) const;  // must have one
  bool has(const model::ServiceKey& key) const { return slots_.contains(key); }
  size_t size() const { return slots_.size(); }

 private:
  std::map<model::ServiceKey, uint32_t> slots_;
};

}  // namespace millrace::compile
