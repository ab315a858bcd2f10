// What certificates::TlsBook is told of the rest: whose an Ingress is, what its quota leaves it,
// what the source knows.
#pragma once

#include <cstdint>

#include "controlplane/certificates/tls_book.h"
#include "controlplane/model/build.h"
#include "controlplane/model/live_model.h"
#include "controlplane/store/source.h"
#include "controlplane/store/store.h"

namespace millrace {

int64_t wall_seconds();  // of Unix time

// For calls of the book while the store stays as it is; all that is given outlives it. `live`: the
// model of `objects`.
certificates::View tls_view(const store::Store& objects, const model::Options& options,
                            const store::Source& source, const model::LiveModel& live);

}  // namespace millrace
