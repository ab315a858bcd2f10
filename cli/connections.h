// millrace connections: one row a connection of a running data plane.
#pragma once

#include <cstdio>
#include <string>

#include "cli/connection_filter.h"
#include "shm/listing_client.h"

namespace millrace::cli {

enum class SortKey : uint8_t { none, round_trip, retransmits, queue };

struct ConnectionsOptions {
  std::string folder;  // of the data plane's sockets
  ConnectionFilter filter;
  SortKey sort = SortKey::none;  // the greatest first; none: as they come, while they come
  uint64_t limit = UINT64_MAX;   // rows
  bool json = false;
};

// The exit status: 0, 1 when the listing broke off, 2 when there is nobody to ask.
int run_connections(const ConnectionsOptions& options);

// The same of a client that is connected, written to `out`; what went wrong is one line in `fault`.
bool print_listing(shm::ListingClient& client, const ConnectionsOptions& options, std::FILE* out,
                   std::string* fault);

}  // namespace millrace::cli
