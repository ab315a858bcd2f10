// What certificates::TlsBook is told of the rest: whose an Ingress is, what the source knows.
#pragma once

#include <cstdint>

#include "controlplane/certificates/tls_book.h"
#include "controlplane/model/build.h"
#include "controlplane/store/source.h"
#include "controlplane/store/store.h"

namespace millrace {

int64_t wall_seconds();  // of Unix time

// For one call of the book; all that is given outlives it.
certificates::View tls_view(const store::Store& objects, const model::Options& options,
                            const store::Source& source);

}  // namespace millrace
