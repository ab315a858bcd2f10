// Routes of one table with the endpoints of the cluster as it is now: what is published while
// routes are held. An older table's own addresses may belong to nobody, or to somebody else, by
// now.
#pragma once

#include <vector>

#include "controlplane/k8s/problem.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"
#include "controlplane/store/store.h"

namespace millrace::publish {

// `asked`: the table of `objects`; what it does not name is looked up in them. Problems: backends
// of the held routes that are no longer there.
model::Model with_current_endpoints(const model::Model& held, const model::Model& asked,
                                    const store::Store& objects,
                                    std::vector<k8s::Problem>* problems);

// What must change in `table` so that its services have the endpoints of now, if nothing but
// `changes` happened to the objects, and `asked_change` to `asked`, since it had them. Costs what
// these concern. What it cannot tell cheaply it leaves out: more than lost_slices_services_max
// services that `asked` does not name, of a namespace that lost a slice.
constexpr size_t lost_slices_services_max = 64;
model::ModelDelta endpoints_change(const model::Model& table, const model::Model& asked,
                                   const model::ModelDelta& asked_change,
                                   const std::vector<store::Change>& changes,
                                   const store::Store& objects);

}  // namespace millrace::publish
