#include "cli/connections.h"

#include <algorithm>
#include <vector>

#include "cli/connection_text.h"

namespace millrace::cli {
namespace {

using shm::ConnectionRecord;

constexpr int exit_broke_off = 1;
constexpr int exit_nobody_there = 2;

uint64_t sort_value(const ConnectionRecord& record, SortKey key) {
  switch (key) {
    case SortKey::none: return 0;
    case SortKey::round_trip: return record.round_trip_us;
    case SortKey::retransmits: return record.retransmits;
    case SortKey::queue: return uint64_t{record.send_queue} + record.receive_queue;
  }
  return 0;
}

// By the key, the greatest first; equal ones as they stand in the table.
struct Before {
  SortKey key;
  bool operator()(const ConnectionRecord& a, const ConnectionRecord& b) const {
    const uint64_t of_a = sort_value(a, key);
    const uint64_t of_b = sort_value(b, key);
    return of_a != of_b ? of_a > of_b : a.place < b.place;
  }
};

// Writes rows as they come, or the first `limit` of the order when all are there: what it keeps is
// bounded by the limit, and by the table.
class Rows {
 public:
  Rows(const ConnectionsOptions& options, std::FILE* out)
      : options_(options), before_{options.sort}, out_(out) {
    write(options_.json ? json_head() : table_head());
  }

  void take(const ConnectionRecord& record) {
    ++summary_.listed;
    if (!options_.filter.matches(record)) return;
    ++summary_.matched;
    ++summary_.by_state[record.state];
    if (options_.limit == 0) return;
    options_.sort == SortKey::none ? write_row(record) : keep(record);
  }

  void end(bool is_complete, uint32_t time_wait) {
    std::sort(kept_.begin(), kept_.end(), before_);
    for (const ConnectionRecord& record : kept_) write_row(record);
    summary_.is_complete = is_complete;
    summary_.time_wait = time_wait;
    write(options_.json ? json_summary(summary_) : table_summary(summary_));
    std::fflush(out_);
  }

 private:
  // A heap with the last of the order on top.
  void keep(const ConnectionRecord& record) {
    if (kept_.size() == options_.limit) {
      if (!before_(record, kept_.front())) return;
      std::pop_heap(kept_.begin(), kept_.end(), before_);
      kept_.pop_back();
    }
    kept_.push_back(record);
    std::push_heap(kept_.begin(), kept_.end(), before_);
  }
  void write_row(const ConnectionRecord& record) {
    if (rows_ == options_.limit) return;
    if (options_.json && rows_ > 0) write(json_separator());
    write(options_.json ? json_row(record) : table_row(record));
    ++rows_;
  }
  void write(const std::string& text) { std::fwrite(text.data(), 1, text.size(), out_); }

  const ConnectionsOptions& options_;
  Before before_;
  std::FILE* out_;
  uint64_t rows_ = 0;
  ListingSummary summary_;
  std::vector<ConnectionRecord> kept_;
};

int fail(const std::string& what, int status) {
  std::fprintf(stderr, "millrace: %s\n", what.c_str());
  return status;
}

}  // namespace

bool print_listing(shm::ListingClient& client, const ConnectionsOptions& options, std::FILE* out,
                   std::string* fault) {
  Rows rows(options, out);
  const auto totals = client.list([&](const ConnectionRecord& record) { rows.take(record); });
  rows.end(totals.ok(), totals.ok() ? totals->time_wait : 0);
  if (!totals.ok()) *fault = totals.error();
  return totals.ok();
}

int run_connections(const ConnectionsOptions& options) {
  const auto client = shm::ListingClient::connect(options.folder + "/" + shm::listing_socket_name);
  if (!client.ok()) return fail(client.error(), exit_nobody_there);
  std::string fault;
  if (print_listing(**client, options, stdout, &fault)) return 0;
  return fail(fault, exit_broke_off);
}

}  // namespace millrace::cli
