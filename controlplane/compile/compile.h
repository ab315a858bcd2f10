// Model -> the snapshot's bytes. Decides nothing but slots and endpoint ids: the same model and the
// same slot table give the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/compile/slot_table.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/model.h"
#include "shm/snapshot_writer.h"

namespace millrace::compile {

// A hash of namespace, Service, port and address. Connections, ejections and stickiness key on it,
// so it must outlive everything but the endpoint itself: slices that are renamed or resharded,
// slots that move when this process starts anew. The Service is a part of it because one pod behind
// two Services may be well for one port and ill for the other. Never zero.
uint64_t endpoint_id(const model::ServiceKey& key, Ipv4Address address, uint16_t port);

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
