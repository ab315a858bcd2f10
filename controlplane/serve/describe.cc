#include "controlplane/serve/describe.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/address.h"

namespace millrace::serve {

namespace {

constexpr char default_type[] = "Default";

std::string type_of(const model::Route& route) {
  return route.path.empty() ? default_type : model::to_text(route.type);
}

std::string backend_of(const model::Route& route) {
  return route.backend ? route.backend->text() : "(unusable)";
}

std::string ingress_of(const model::Route& route) {
  return route.source.name_space + '/' + route.source.ingress;
}

// Everything about one host, or about the cluster's defaults, as one list.
struct Row {
  const model::Route* route;
  bool shadowed;
};

std::vector<Row> rows_of(const model::Host& host) {
  std::vector<Row> rows;
  size_t next = 0;
  for (size_t i = 0; i < host.routes.size(); ++i) {
    rows.push_back({&host.routes[i], false});
    while (next < host.shadowed.size() && host.shadowed[next].winner == i) {
      rows.push_back({&host.shadowed[next++].route, true});
    }
  }
  if (host.default_route) rows.push_back({&*host.default_route, false});
  for (const model::Route& route : host.shadowed_defaults) rows.push_back({&route, true});
  return rows;
}

std::vector<Row> rows_of(const std::optional<model::Route>& route,
                         const std::vector<model::Route>& shadowed) {
  std::vector<Row> rows;
  if (route) rows.push_back({&*route, false});
  for (const model::Route& one : shadowed) rows.push_back({&one, true});
  return rows;
}

void fill(const model::Route& route, answer::RouteSide* side) {
  side->set_backend(backend_of(route));
  side->set_ingress(ingress_of(route));
  side->set_rule(route.source.rule_index);
  side->set_path(route.source.path_index);
}

// Of a list, each row has one key: path, type, whether it is shadowed, and then whose it is.
using RowKey = std::tuple<std::string, std::string, bool, std::string, uint32_t, uint32_t>;

std::map<RowKey, const model::Route*> keyed(const std::vector<Row>& rows) {
  std::map<RowKey, const model::Route*> found;
  for (const Row& row : rows) {
    RowKey key{row.route->path, type_of(*row.route), row.shadowed, "", 0, 0};
    if (row.shadowed) {
      std::get<3>(key) = ingress_of(*row.route);
      std::get<4>(key) = row.route->source.rule_index;
      std::get<5>(key) = row.route->source.path_index;
    }
    found.emplace(std::move(key), row.route);
  }
  return found;
}

void compare(const std::string& host, const std::vector<Row>& before, const std::vector<Row>& after,
             answer::Diff* diff) {
  const auto was = keyed(before);
  const auto is = keyed(after);
  const auto add = [&](const RowKey& key, const model::Route* old_one,
                       const model::Route* new_one) {
    if (static_cast<size_t>(diff->routes_size()) >= changes_named_max) {
      diff->set_routes_more(diff->routes_more() + 1);
      return;
    }
    answer::RouteChange* change = diff->add_routes();
    change->set_change(old_one == nullptr ? "added" : new_one == nullptr ? "removed" : "changed");
    change->set_host(host);
    change->set_path(std::get<0>(key));
    change->set_path_type(std::get<1>(key));
    change->set_shadowed(std::get<2>(key));
    if (old_one != nullptr) fill(*old_one, change->mutable_before());
    if (new_one != nullptr) fill(*new_one, change->mutable_after());
  };
  for (const auto& [key, route] : was) {
    const auto now = is.find(key);
    if (now == is.end()) {
      add(key, route, nullptr);
    } else if (!(*now->second == *route)) {
      add(key, route, now->second);
    }
  }
  for (const auto& [key, route] : is) {
    if (!was.contains(key)) add(key, nullptr, route);
  }
}

std::string text_of(const model::Endpoint& endpoint) {
  return SocketAddress{endpoint.address, endpoint.port}.text();
}

void compare(const model::ServiceChange& change, answer::Diff* diff) {
  if (static_cast<size_t>(diff->services_size()) >= changes_named_max) {
    diff->set_services_more(diff->services_more() + 1);
    return;
  }
  answer::ServiceChange* one = diff->add_services();
  one->set_change(!change.before ? "added" : !change.after ? "removed" : "changed");
  one->set_service(change.key.text());
  const std::vector<model::Endpoint> none;
  const auto& before = change.before ? change.before->endpoints : none;
  const auto& after = change.after ? change.after->endpoints : none;
  std::vector<model::Endpoint> only;
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(only));
  for (const model::Endpoint& endpoint : only) one->add_endpoints_added(text_of(endpoint));
  only.clear();
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                      std::back_inserter(only));
  for (const model::Endpoint& endpoint : only) one->add_endpoints_removed(text_of(endpoint));
}

uint32_t endpoints_of(const model::Model& model, const model::Route& route) {
  if (!route.backend) return 0;
  const auto at = std::lower_bound(
      model.services.begin(), model.services.end(), *route.backend,
      [](const model::Service& one, const model::ServiceKey& key) { return one.key < key; });
  if (at == model.services.end() || at->key != *route.backend) return 0;
  return static_cast<uint32_t>(at->endpoints.size());
}

void fill(const explain::Candidate& found, answer::Candidate* candidate) {
  candidate->set_host(found.host);
  candidate->set_path_type(type_of(*found.route));
  candidate->set_path(found.route->path);
  candidate->set_backend(backend_of(*found.route));
  candidate->set_ingress(ingress_of(*found.route));
  candidate->set_rule(found.route->source.rule_index);
  candidate->set_path_index(found.route->source.path_index);
  candidate->set_why(found.why);
}

}  // namespace

answer::Diff describe(const model::ModelDelta& delta, const std::string& from,
                      const std::string& to) {
  answer::Diff diff;
  diff.set_from(from);
  diff.set_to(to);
  diff.set_equal(delta.empty());
  for (const model::HostChange& change : delta.hosts) {
    compare(change.name, change.before ? rows_of(*change.before) : std::vector<Row>(),
            change.after ? rows_of(*change.after) : std::vector<Row>(), &diff);
  }
  if (delta.cluster_default) {
    const auto& [before, after] = *delta.cluster_default;
    compare("", rows_of(before.route, before.shadowed), rows_of(after.route, after.shadowed),
            &diff);
  }
  for (const model::ServiceChange& change : delta.services) compare(change, &diff);
  return diff;
}

answer::Routes list_routes(const model::Model& model, const std::optional<std::string>& host,
                           uint32_t offset, uint32_t limit) {
  answer::Routes answer;
  answer.set_offset(offset);
  uint32_t total = 0;
  const auto add = [&](const std::string& name, const std::vector<Row>& rows) {
    for (const Row& row : rows) {
      const uint32_t number = total++;
      if (number < offset || number - offset >= limit) continue;
      answer::Route* one = answer.add_routes();
      one->set_host(name);
      one->set_path_type(type_of(*row.route));
      one->set_path(row.route->path);
      one->set_backend(backend_of(*row.route));
      one->set_ingress(ingress_of(*row.route));
      one->set_rule(row.route->source.rule_index);
      one->set_path_index(row.route->source.path_index);
      one->set_endpoints(endpoints_of(model, *row.route));
      one->set_shadowed(row.shadowed);
    }
  };
  for (const model::Host& one : model.hosts) {
    if (!host || one.name == *host) add(one.name, rows_of(one));
  }
  if (!host || host->empty()) {
    add("", rows_of(model.cluster_default, model.shadowed_cluster_defaults));
  }
  answer.set_total(total);
  return answer;
}

answer::Explanation describe(const explain::Explanation& found, const explain::Request& request) {
  answer::Explanation answer;
  answer.set_host(k8s::printable(request.host));
  answer.set_path(k8s::printable(request.path));
  answer.set_status(found.status);
  answer.set_sentence(found.sentence);
  if (!found.winner.empty()) fill(found.winner.front(), answer.mutable_winner());
  for (const explain::Candidate& other : found.others) fill(other, answer.add_others());
  answer.set_others_more(static_cast<uint32_t>(found.others_more));
  if (found.service != nullptr) {
    for (const model::Endpoint& endpoint : found.service->endpoints) {
      if (static_cast<size_t>(answer.endpoints_size()) >= endpoints_named_max) break;
      answer.add_endpoints(text_of(endpoint));
    }
  }
  for (const std::string& note : found.notes) answer.add_notes(note);
  return answer;
}

answer::Problem describe(const k8s::Problem& problem) {
  answer::Problem answer;
  answer.set_severity(std::string(k8s::to_text(problem.severity)));
  if (!problem.place.file.empty()) answer.set_place(k8s::printable(problem.place.text()));
  answer.set_object(problem.object);
  answer.set_sentence(problem.sentence);
  answer.set_reason(std::string(k8s::reason_of(problem)));
  return answer;
}

}  // namespace millrace::serve
