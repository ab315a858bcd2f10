// Which slot of the snapshot each Service port has, under each policy. The data plane keeps what it
// knows about a service by slot and by endpoint id, so a slot belongs to one Service port for as
// long as routes name it, however the rest of the table changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "controlplane/model/model.h"

namespace millrace::compile {

struct ServiceKeyHash {
  size_t operator()(const model::ServiceKey& key) const;
};

class SlotTable {
 public:
  SlotTable() = default;
  SlotTable(const SlotTable& other);
  SlotTable(SlotTable&&) noexcept = default;
  SlotTable& operator=(SlotTable other) noexcept;

  // Slot 0 answers 503 for every route whose backend cannot be used; it never has endpoints.
  static constexpr uint32_t unusable_slot = 0;

  // The next table: who has a slot keeps it, who has none gets the lowest that is free, in the
  // order of keys. A slot given up by this very change is not given away before the next one, so
  // between two tables that follow one another no slot changes hands. An empty table gives slots 1,
  // 2, 3 in sorted order. `removed` have slots, in any order; `added` have none and are sorted.
  void step(const std::vector<model::ServiceKey>& removed,
            const std::vector<model::ServiceKey>& added);

  // The same by what is there afterwards (sorted by key), and beside this table. slots: the slot of
  // each service, if somebody wants them.
  SlotTable next(const std::vector<model::Service>& services,
                 std::vector<uint32_t>* slots = nullptr) const;

  // One that was noted down. Slots that are given twice, or the unusable one, are no table of ours:
  // nothing.
  static std::optional<SlotTable> from(const std::map<model::ServiceKey, uint32_t>& slots);

  // The slot, or unusable_slot.
  uint32_t find(const model::ServiceKey& key) const;
  uint32_t slot_of(const model::ServiceKey& key) const;  // must have one
  bool has(const model::ServiceKey& key) const { return slots_.contains(key); }
  size_t size() const { return slots_.size(); }
  // One behind the highest slot in use; slot 0 always is.
  uint32_t slot_end() const;
  // Whose the slot is; null when it is nobody's. Valid until the next step().
  const model::ServiceKey* key_of(uint32_t slot) const {
    return slot < keys_.size() ? keys_[slot] : nullptr;
  }

 private:
  void begin_step();
  void remove(const model::ServiceKey& key);
  uint32_t add(const model::ServiceKey& key);

  std::unordered_map<model::ServiceKey, uint32_t, ServiceKeyHash> slots_;
  std::vector<const model::ServiceKey*> keys_{
      nullptr};                    // by slot; into slots_, which does not move
  std::set<uint32_t> free_;        // below keys_.size(), and not at rest
  std::vector<uint32_t> resting_;  // given up by the last step
};

}  // namespace millrace::compile
