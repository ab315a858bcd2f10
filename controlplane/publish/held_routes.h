// Routes of one table with the endpoints of the cluster as it is now: what is published while
// routes are held. An older table's own addresses may belong to nobody, or to somebody else, by
// now.
#pragma once

#include <vector>

#include "controlplane/k8s/problem.h"
#include "controlplane/model/model.h"
#include "controlplane/store/store.h"

namespace millrace::publish {

// `asked`: the table of `objects`; what it does not name is looked up in them. Problems: backends
// of the held routes that are no longer there.
model::Model with_current_endpoints(const model::Model& held, const model::Model& asked,
                                    const store::Store& objects,
                                    std::vector<k8s::Problem>* problems);

}  // namespace millrace::publish
