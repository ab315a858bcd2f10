// No timer is unbounded: whoever waits for a peer has a deadline, and not a far one. Judged from
// outside, from what a connection's record says.
#pragma once

#include <string>

#include "dataplane/tcp/tcp.h"

namespace millrace::sim {

// "" when the deadlines of the connection are as they must be at `now`. The stack has finished its
// turn and owes nothing to the wire.
std::string judge_deadlines(const tcp::Connection& connection, const tcp::Transfer* transfer,
                            const tcp::KeepAlive& keepalive, Instant now);

}  // namespace millrace::sim
