#include "controlplane/publish/shrink_guard.h"

namespace millrace::publish {

TableSize size_of(const model::Model& model) {
  return {model.route_count(), model.endpoint_count()};
}

bool ShrinkGuard::is_implausible(size_t before, size_t after) const {
  if (after >= before || before - after < limits_.lost_min) return false;
  return static_cast<double>(before - after) > limits_.share_max * static_cast<double>(before);
}

std::optional<std::string> ShrinkGuard::check(TableSize published, TableSize asked, Instant now) {
  const bool routes = is_implausible(published.routes, asked.routes);
  const bool endpoints = is_implausible(published.endpoints, asked.endpoints);
  const bool is_accepted = now < accepted_until_;
  if ((!routes && !endpoints) || is_accepted || limits_.confirmations == 0) {
    reset();
    return std::nullopt;
  }
  if (!is_holding()) {
    holding_since_ = now;
    due_ = now + limits_.interval;
    confirmed_ = 0;
  } else if (now >= due_) {
    ++confirmed_;
    due_ = now + limits_.interval;
  }
  if (confirmed_ >= limits_.confirmations) {
    reset();
    return std::nullopt;
  }
  const size_t before = routes ? published.routes : published.endpoints;
  const size_t after = routes ? asked.routes : asked.endpoints;
  return "the new table has " + std::to_string(after) + " of " + std::to_string(before) +
         (routes ? " routes" : " endpoints") +
         " left; it is held back and the old one stays until " +
         std::to_string(limits_.confirmations) + " looks, " +
         std::to_string(limits_.interval.count_ms() / 1'000) +
         " s apart, have said the same, or `millrace accept` (or SIGHUP) says that it is meant";
}

}  // namespace millrace::publish
