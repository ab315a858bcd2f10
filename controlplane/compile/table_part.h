// Feeds a part of a model, or all of it, to the snapshot's builder: hosts and services in the
// builder's words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/compile/slot_table.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"
#include "shm/snapshot_writer.h"

namespace millrace::compile {

// A hash of namespace, Service, port and address. Connections, ejections and stickiness key on it,
// so it must outlive everything but the endpoint itself: slices that are renamed or resharded,
// slots that move when this process starts anew. The Service is a part of it because one pod behind
// two Services may be well for one port and ill for the other. Never zero.
uint64_t endpoint_id(const model::ServiceKey& key, Ipv4Address address, uint16_t port);

class TablePart {
 public:
  // Slots outlive the part, and so does all that is added.
  TablePart(const SlotTable& slots, const shm::SnapshotShape& shape)
      : slots_(slots), builder_(shape) {}

  // In the order of names, and of keys.
  void add_host(const model::Host& host);
  void add_cluster_default(const model::ClusterDefault& rest);
  void add_service(const model::Service& service) {
    add_service(service, slots_.slot_of(service.key));
  }
  void add_service(const model::Service& service, uint32_t slot);

  const shm::SnapshotBuilder& builder() const { return builder_; }
  // What the format refused, with what its builder rejected in the end.
  std::vector<k8s::Problem> take_problems(const std::vector<shm::RejectedRoute>& rejected);

 private:
  shm::RouteSource source_of(const model::Route& route);
  std::optional<shm::RouteId> remember(const model::Route& route, const Result<shm::RouteId>& id);
  void check(const model::Route& route, const Status& status);
  void note(shm::RouteId id, const std::string& reason);

  const SlotTable& slots_;
  shm::SnapshotBuilder builder_;
  k8s::ProblemList problems_;
  std::vector<const model::Route*> routes_;  // by the builder's ids
  const model::ServiceKey* last_backend_ = nullptr;
  uint32_t last_slot_ = SlotTable::unusable_slot;
  shm::ServiceInput service_;  // whose memory the next one takes over
};

}  // namespace millrace::compile
