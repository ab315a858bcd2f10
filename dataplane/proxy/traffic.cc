// What is counted of each exchange by its route, its service and its status, when it is over.
#include <algorithm>

#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {
namespace {

uint64_t us_between(Instant from, Instant to) {
  const int64_t ns = to.since_origin_ns() - from.since_origin_ns();
  return static_cast<uint64_t>(std::max<int64_t>(ns, 0)) / 1'000;
}

}  // namespace

// By the table of the attempt: the last one counts.
void Proxy::choose_rows(Account& account, const route::RouteMatch& match, const Turn& turn) const {
  if (match.found == route::RouteFound::none) {
    account.route = {shm::traffic_row_no_route, 0};
    account.has_service = false;
    return;
  }
  account.has_service = true;
  if (turn.traffic == nullptr) {
    account.route = {shm::traffic_row_other_routes, 0};
    account.service = {shm::traffic_row_other_services, 0};
    return;
  }
  account.route = turn.traffic->route(match.route.segment, match.route.route);
  account.service = turn.traffic->service(match.service_slot);
}

void Proxy::count_exchange(Session& session, ExchangeEnd end, Instant now) {
  Account& account = session.account;
  if (!account.is_open) return;
  account.is_open = false;
  const bool is_tunnel = account.status == 101;
  shm::TrafficExchange exchange;
  exchange.status = account.status;
  exchange.is_ours = account.answer_is_ours;
  exchange.is_broken_off = account.status != 0 && !is_tunnel && end != ExchangeEnd::complete;
  exchange.retries = account.attempts > 1 ? account.attempts - 1 : 0;
  exchange.request_octets = session.request_octets;
  exchange.response_octets = session.response_octets;
  // How long a tunnel stands is its users' affair.
  exchange.time_us = us_between(account.began, is_tunnel ? account.answered : now);
  traffic_->count(account.route, shm::traffic_row_other_routes, exchange);
  traffic_->count_class(exchange);
  if (!account.has_service) return;
  exchange.has_time = account.status != 0 && !account.answer_is_ours;
  exchange.time_us = us_between(account.asked, account.answered);
  traffic_->count(account.service, shm::traffic_row_other_services, exchange);
}

}  // namespace millrace::proxy
