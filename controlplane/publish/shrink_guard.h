// Holds back a table that has lost implausibly much against the one that is published: a source
// that answers with half of what is there, an empty list after a restart, a folder half copied.
// What is meant comes again: it is believed after `confirmations` looks, `interval` apart, that all
// said it, or when the operator says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"

namespace millrace::publish {

struct ShrinkLimits {
  double share_max = 0.5;      // of the routes, or of the endpoints, that may go at once
  size_t lost_min = 10;        // fewer are never implausible
  uint32_t confirmations = 3;  // 0: nothing is held back
  Duration interval = Duration::seconds(10);
};

struct TableSize {
  size_t routes = 0;
  size_t endpoints = 0;

  // `change`: from the table of this size.
  void apply(const model::ModelDelta& change);
  bool operator==(const TableSize&) const = default;
};
TableSize size_of(const model::Model& model);  // walks all of it

// The operator's word counts for what is offered so soon after it.
constexpr Duration accept_time = Duration::seconds(10);

class ShrinkGuard {
 public:
  explicit ShrinkGuard(const ShrinkLimits& limits) : limits_(limits) {}

  // Nothing when `asked` may be published; else the sentence that says why not. To be asked with
  // every new table, and again at due() with the same one.
  std::optional<std::string> check(TableSize published, TableSize asked, Instant now);
  // Whether check() would hold `asked` back that has not been confirmed; changes nothing.
  bool would_hold(TableSize published, TableSize asked, Instant now) const;
  void accept(Instant now) { accepted_until_ = now + accept_time; }
  void reset() { holding_since_ = due_ = Instant::never(); }

  bool is_holding() const { return holding_since_ != Instant::never(); }
  uint32_t confirmed() const { return is_holding() ? confirmed_ : 0; }
  const ShrinkLimits& limits() const { return limits_; }
  Instant due() const { return due_; }

 private:
  bool is_implausible(size_t before, size_t after) const;

  const ShrinkLimits limits_;
  Instant accepted_until_;
  Instant holding_since_ = Instant::never();
  Instant due_ = Instant::never();
  uint32_t confirmed_ = 0;
};

}  // namespace millrace::publish
