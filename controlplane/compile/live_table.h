// The snapshot of a model, kept true while the model changes: only the segments that a change
// touches are made again, the others are shared with the snapshot before.
//
// What is identical. The bytes depend on the model, on its slots and on nothing else: after any
// sequence of updates they are those that compile() makes of the same model and slots from nothing.
// Slots depend on history, because a Service keeps the one it has for as long as routes name it. So
// two control planes that read the same objects before they publish for the first time have the
// same bytes, whatever the order in which they read them and however often each of them was
// restarted; so have two that made the same updates. Of two that have lived through different
// things the routes, precedence, endpoints and their ids are the same, and the numbers of slots may
// not be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "controlplane/compile/slot_table.h"
#include "controlplane/compile/table_part.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/limits.h"
#include "controlplane/model/model.h"
#include "shm/snapshot_writer.h"

namespace millrace::compile {

class LiveTable {
 public:
  // services_max: the bound of the models it is given (model::ModelBounds). At the bound a Service
  // may leave a model whose routes still name it.
  // threads: what makes many segments at once; the bytes do not depend on it.
  // segment_endpoints_max: in the array of one segment, at most what the format allows.
  explicit LiveTable(size_t services_max = model::services_max, Threads threads = {},
                     uint32_t segment_endpoints_max = shm::endpoints_max)
      : services_max_(services_max),
        threads_(threads),
        segment_endpoints_max_(segment_endpoints_max) {}

  // Slots that Services had in a process before this one; before the first reset().
  void begin_with(SlotTable slots) { slots_ = std::move(slots); }

  // The table of this model, every segment anew. Services that the table before had keep their
  // slots. Answers whether the table's content is another one than before. Error: the model exceeds
  // the format's limits as a whole; the snapshot stays as it was.
  Result<bool> reset(const model::Model& model);

  // The same after `delta` has led to `model`, from the model of the last reset() or update().
  // After an error the next update() is a reset().
  Result<bool> update(const model::Model& model, const model::ModelDelta& delta);

  // Copies no segment. Before the first reset() it is the table of an empty model.
  shm::BuiltSnapshot snapshot(uint64_t version) const;
  // Routes and services that the format refused in the present table.
  std::vector<k8s::Problem> problems() const;
  const SlotTable& slots() const { return slots_; }

 private:
  // A model on its way into all segments: it is walked once, and nothing is looked up by name.
  struct WholeModel {
    std::vector<std::vector<const model::Host*>> hosts;  // by routes segment
    std::vector<const model::Service*> services;         // by slot; null: nobody's
  };
  // What one update works with; nothing of the table changes before all of it is made.
  struct Work {
    shm::SnapshotShape shape;
    std::set<uint32_t> routes;  // segments to be made
    std::set<uint32_t> endpoints;
    std::optional<WholeModel> whole;  // if everything is to be made
    std::vector<shm::BuiltSegment> segments;
    std::map<uint32_t, std::vector<k8s::Problem>> problems;  // by place in the directory
  };

  Result<bool> make_all(const model::Model& model, const std::vector<uint32_t>& slots, Work work);
  Result<bool> make(const model::Model& model, Work work);
  // place: in the directory.
  Result<shm::BuiltSegment> make_segment(const model::Model& model, const Work& work,
                                         uint32_t place, std::vector<k8s::Problem>* problems) const;
  Result<shm::BuiltSegment> make_routes(const model::Model& model, const Work& work, uint32_t index,
                                        std::vector<k8s::Problem>* problems) const;
  Result<shm::BuiltSegment> make_endpoints(const model::Model& model, const Work& work,
                                           uint32_t index,
                                           std::vector<k8s::Problem>* problems) const;
  void place_host(const std::string& name, bool is_there);
  void place_all_hosts(const model::Model& model, const shm::SnapshotShape& shape,
                       std::vector<std::vector<const model::Host*>>* placed);
  void count(const model::ModelDelta& delta);

  size_t services_max_;
  Threads threads_;
  uint32_t segment_endpoints_max_;
  SlotTable slots_;
  shm::SnapshotShape shape_;
  std::vector<shm::BuiltSegment> segments_;                 // in the directory's order
  std::map<uint32_t, std::vector<k8s::Problem>> problems_;  // by place in the directory, if any
  std::vector<std::vector<std::string>> hosts_;             // by routes segment; sorted
  size_t routes_ = 0;                                       // winners and losers
  bool is_behind_ = true;                                   // the next update is a reset
};

}  // namespace millrace::compile
