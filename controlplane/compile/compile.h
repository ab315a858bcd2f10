// Model -> the snapshot's bytes. Decides nothing but slots, endpoint ids and the shape: the same
// model and the same slot table give the same bytes. All at once; who is told of changes keeps a
// LiveTable (live_table.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/compile/slot_table.h"
#include "controlplane/compile/table_part.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/model.h"
#include "shm/snapshot_writer.h"

namespace millrace::compile {

struct Compiled {
  shm::BuiltSnapshot snapshot;
  SlotTable slots;
  // Routes that the format refused (see BuiltSnapshot::rejected); the model's limits keep these to
  // tables that somebody built to that end.
  std::vector<k8s::Problem> problems;
};

// Error: the table as a whole exceeds the format's limits; nothing was made.
Result<Compiled> compile(const model::Model& model, const SlotTable& previous, uint64_t version);

// Whether two snapshots say the same, whatever their versions: their segments are the same.
bool same_content(const shm::BuiltSnapshot& left, const shm::BuiltSnapshot& right);

}  // namespace millrace::compile
