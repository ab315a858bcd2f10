// Models and their differences as messages and back, and the hash of a model's content.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "controlplane/compile/slot_table.h"
#include "controlplane/history/record.pb.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"

namespace millrace::history {

// `slots`: which slot each service has; nullptr: none is noted.
record::Model to_message(const model::Model& model, const compile::SlotTable* slots);
// `slots`: of the services after the change, likewise.
record::Delta to_message(const model::ModelDelta& delta, const compile::SlotTable* slots);

// Error: a value that no model holds.
Result<model::Model> from_message(const record::Model& message);
Result<model::ModelDelta> from_message(const record::Delta& message);

// Of everything that a model says, whatever slots it has and whatever its way here was: the same
// objects give the same hash after a restart and on another node. A sum over hosts and services,
// so that a difference moves it without a look at the rest.
class ContentHash {
 public:
  ContentHash() = default;
  explicit ContentHash(const model::Model& model);

  // `delta`: from what was hashed so far.
  void apply(const model::ModelDelta& delta);
  std::string text() const;  // 16 hexadecimal digits
  bool operator==(const ContentHash&) const = default;

 private:
  uint64_t sum_ = 0;
};

// Whether `delta` is a difference from `model`: model::apply demands it of us.
bool fits(const model::ModelDelta& delta, const model::Model& model);

}  // namespace millrace::history
