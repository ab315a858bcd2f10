#include "controlplane/compile/compile.h"

#include <algorithm>
#include <utility>

#include "controlplane/compile/table_shape.h"

namespace millrace::compile {

Result<Compiled> compile(const model::Model& model, const SlotTable& previous, uint64_t version) {
  Compiled compiled;
  compiled.slots = previous.next(model.services);
  TablePart part(compiled.slots, table_shape(model.route_count() + model.shadowed_count(),
                                             compiled.slots.slot_end()));
  for (const model::Host& host : model.hosts) part.add_host(host);
  part.add_cluster_default({model.cluster_default, model.shadowed_cluster_defaults});
  for (const model::Service& service : model.services) part.add_service(service);
  auto built = part.builder().build(version);
  if (!built) return Error{built.error()};
  compiled.problems = part.take_problems(built->rejected);
  compiled.snapshot = std::move(*built);
  return compiled;
}

bool same_content(const shm::BuiltSnapshot& left, const shm::BuiltSnapshot& right) {
  return std::equal(left.segments.begin(), left.segments.end(), right.segments.begin(),
                    right.segments.end(),
                    [](const shm::BuiltSegment& one, const shm::BuiltSegment& other) {
                      return one.kind == other.kind && one.bytes == other.bytes;
                    });
}

}  // namespace millrace::compile
