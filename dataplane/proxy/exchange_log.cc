// What the proxy tells the access log about an exchange: once when it begins, whenever it is sent
// to an endpoint, and once when it is over.
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {

void Proxy::begin_note(uint32_t index, const http::RequestHead* head, Instant began,
                       const Turn& turn) {
  const Session& session = at(index);
  access_log::ExchangeNotes::Asker asker;
  asker.client = {session.client_text, session.client_text_bytes};
  asker.port = session.client_port;
  if (head != nullptr && head->error == http::HeadError::none) {
    asker.request_id = provenance_.request_id();
    if (provenance_.client != asker.client) {
      asker.peer = asker.client;
      asker.client = provenance_.client;
    }
  }
  notes_.begin(index, asker, head, began, turn.now);
}

void Proxy::put_route_in_note(uint32_t index, const route::RouteMatch& match, const Turn& turn) {
  const shm::SnapshotView& snapshot = turn.snapshot;
  access_log::ExchangeNotes::Route names;
  if (match.found != route::RouteFound::none) {
    const shm::RouteRecord& route = snapshot.route(match.route);
    names.ingress_namespace = snapshot.text(match.route, route.ingress_namespace);
    names.ingress_name = snapshot.text(match.route, route.ingress_name);
    names.service_namespace = snapshot.service_namespace(match.service_slot);
    names.service_name = snapshot.service_name(match.service_slot);
    names.service_port = snapshot.service_port(match.service_slot);
  }
  notes_.routed(index, names);
}

void Proxy::end_note(uint32_t index, ExchangeEnd end, bool keep_alive, Instant now) {
  if (!notes_.is_open(index)) return;
  const Session& session = at(index);
  notes_.blame(index, end);
  if (!notes_.end(index, session.request_octets, session.response_octets, keep_alive, now)) {
    counters_.add(Counter::proxy_access_records_lost);
  }
}

void Proxy::note_open_exchanges(Instant now) {
  for (uint32_t index = 0; index < sessions_.capacity(); ++index) {
    if (!sessions_.live_at(index)) continue;
    if (traffic_) count_exchange(at(index), ExchangeEnd::aborted, now);
    end_note(index, ExchangeEnd::aborted, false, now);
  }
}

}  // namespace millrace::proxy
