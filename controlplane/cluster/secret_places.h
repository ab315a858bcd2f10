// Who gets a place when more Secrets are named than are watched. Whoever may write Ingresses names
// as many as he likes, so places are shared out by namespace.
#pragma once

#include <cstddef>

#include "controlplane/store/source.h"

namespace millrace::cluster {

// At most `places_max` of `names`. No namespace gets more than another one that has names left
// over, but for one that the division leaves; within a namespace those of `held` come first, then
// by name.
store::SecretNames share_places(const store::SecretNames& names, const store::SecretNames& held,
                                size_t places_max);

}  // namespace millrace::cluster
