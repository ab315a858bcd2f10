#include "controlplane/model/build.h"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "controlplane/model/endpoints.h"
#include "controlplane/model/host.h"
#include "controlplane/model/ingress_class.h"
#include "controlplane/model/limits.h"
#include "controlplane/model/path.h"
#include "controlplane/model/policy.h"
#include "shm/snapshot_hash.h"

namespace millrace::model {

namespace {

using k8s::Object;
using k8s::Severity;

// Older first; an Ingress without a creationTimestamp after all that have one; then by name.
struct Age {
  bool has_no_time = true;
  int64_t seconds = 0;
  int32_t nanoseconds = 0;
  std::string name;  // "namespace/name", compared as text, as the Gateway API says

  auto operator<=>(const Age&) const = default;
  bool same_time(const Age& other) const {
    return has_no_time == other.has_no_time && seconds == other.seconds &&
           nanoseconds == other.nanoseconds;
  }
};

Age age_of(const Object& object) {
  const k8s::ObjectMeta& metadata = metadata_of(*object.body);
  Age age{!metadata.has_creation_timestamp(), 0, 0, object.key.name_space + "/" + object.key.name};
  if (!age.has_no_time) {
    age.seconds = metadata.creation_timestamp().seconds();
    age.nanoseconds = metadata.creation_timestamp().nanos();
  }
  return age;
}

// A route that wants a place.
struct Candidate {
  Route route;
  const Object* object = nullptr;
  size_t rank = 0;  // of its Ingress among all by age
};

// What is looked up: the whole path, or a list of elements (shm/snapshot_hash.h).
struct RouteKey {
  std::string path;
  bool is_prefix = false;
  auto operator<=>(const RouteKey&) const = default;
};

RouteKey key_of(const Route& route) {
  if (route.type == PathType::exact) return {route.path, false};
  return {std::string(shm::canonical_prefix(route.path)), true};
}

// The longest path as written, then Prefix, then age, then the order in the Ingress.
bool outranks(const Candidate& left, const Candidate& right) {
  const auto order = [](const Candidate& one) {
    return std::make_tuple(-static_cast<int64_t>(one.route.path.size()), one.route.type, one.rank,
                           one.route.source.rule_index, one.route.source.path_index);
  };
  return order(left) < order(right);
}

struct HostRules {
  std::map<RouteKey, std::vector<Candidate>> candidates;
  std::vector<Candidate> defaults;
};

std::string place_in(const Route& route) {
  if (route.path.empty()) return "spec.defaultBackend";
  return "spec.rules[" + std::to_string(route.source.rule_index) + "].http.paths[" +
         std::to_string(route.source.path_index) + "]";
}

std::string host_text(const std::string& host) {
  return host.empty() ? std::string("all hosts") : "host " + k8s::quote(host);
}

class Builder {
 public:
  Builder(const store::Store& objects, const Options& options)
      : objects_(objects), classes_(objects, options) {}

  BuildResult run() {
    collect_ingresses();
    for (size_t rank = 0; rank < ingresses_.size(); ++rank) add_ingress(rank);
    for (auto& [name, rules] : hosts_) settle_host(name, &rules);
    settle_defaults(cluster_defaults_, "the rest of all requests", &result_.model.cluster_default,
                    &result_.model.shadowed_cluster_defaults);
    resolve_services();
    result_.problems = problems_.take();
    return std::move(result_);
  }

 private:
  void collect_ingresses() {
    for (const auto& [key, object] : objects_.objects()) {
      if (key.kind != k8s::Kind::ingress) continue;
      if (classes_.is_ours(object, std::get<k8s::Ingress>(*object.body), &problems_)) {
        ingresses_.push_back({age_of(object), &object});
      } else {
        ++result_.ingresses_ignored;
      }
    }
    std::sort(ingresses_.begin(), ingresses_.end(),
              [](const auto& left, const auto& right) { return left.first < right.first; });
    result_.ingresses = ingresses_.size();
  }

  void add_ingress(size_t rank) {
    rank_ = rank;
    object_ = ingresses_[rank].second;
    paths_of_object_ = 0;
    policy_ = parse_policy(*object_, std::get<k8s::Ingress>(*object_->body), &problems_);
    const auto& spec = std::get<k8s::Ingress>(*object_->body).spec();
    if (spec.rules_size() == 0) {
      if (!spec.has_default_backend()) {
        return report(Severity::error, "has neither rules nor a defaultBackend; it routes nothing");
      }
      return add_default(spec.default_backend(), &cluster_defaults_);
    }
    std::set<std::string> hosts;
    for (int i = 0; i < spec.rules_size(); ++i) {
      if (static_cast<size_t>(i) == ingress_rules_max) {
        report(Severity::error, "has more than " + std::to_string(ingress_rules_max) +
                                    " rules; those from spec.rules[" + std::to_string(i) +
                                    "] on are left out");
        break;
      }
      const std::optional<std::string> host = add_rule(spec.rules(i), static_cast<uint32_t>(i));
      if (host) hosts.insert(*host);
    }
    if (!spec.has_default_backend()) return;
    for (const std::string& host : hosts) {
      add_default(spec.default_backend(), &hosts_[host].defaults);
    }
  }

  void add_default(const k8s::IngressBackend& backend, std::vector<Candidate>* defaults) {
    Route route = make_route(backend, "spec.defaultBackend", 0, 0);
    if (take_place()) defaults->push_back({std::move(route), object_, rank_});
  }

  // The rule's host, or nothing when it cannot be used.
  std::optional<std::string> add_rule(const k8s::IngressRule& rule, uint32_t index) {
    const std::string where = "spec.rules[" + std::to_string(index) + "]";
    const Result<std::string> host = parse_host(rule.host());
    if (!host) {
      report(Severity::error, where + ".host: " + k8s::quote(rule.host()) + ' ' + host.error() +
                                  "; this rule is left out, the others stay");
      return std::nullopt;
    }
    if (*host != rule.host()) {
      report(Severity::note,
             where + ".host: " + k8s::quote(rule.host()) + " is matched as " + k8s::quote(*host));
    }
    HostRules& rules = hosts_[*host];
    const auto& paths = rule.value().http().paths();
    if (paths.empty() && rule.value().has_http()) {
      report(Severity::warning, where + ".http has no paths; the requests of " + host_text(*host) +
                                    " go to the default backend");
    }
    for (int i = 0; i < paths.size(); ++i) {
      if (paths_of_object_ == ingress_paths_max) {
        report(Severity::error, "has more than " + std::to_string(ingress_paths_max) +
                                    " paths; those from " + where + ".http.paths[" +
                                    std::to_string(i) + "] on are left out");
      }
      if (++paths_of_object_ > ingress_paths_max) break;
      add_path(*host, paths[i], index, static_cast<uint32_t>(i), &rules);
    }
    return *host;
  }

  void add_path(const std::string& host, const k8s::HTTPIngressPath& path, uint32_t rule_index,
                uint32_t path_index, HostRules* rules) {
    const std::string where = "spec.rules[" + std::to_string(rule_index) + "].http.paths[" +
                              std::to_string(path_index) + "]";
    const auto type = parse_path_type(path.path_type());
    if (!type) {
      return report(Severity::error,
                    where + ".pathType: " +
                        (path.path_type().empty() ? std::string("is missing")
                                                  : k8s::quote(path.path_type()) + " is unknown") +
                        " (Exact, Prefix or ImplementationSpecific); path " +
                        k8s::quote(path.path()) + " of " + host_text(host) +
                        " is left out, the others stay");
    }
    const bool is_default = path.path().empty() && *type == PathType::implementation_specific;
    const std::string text = is_default ? "/" : path.path();
    const Status checked = check_path(text, *type);
    if (!checked) {
      return report(Severity::error, where + ".path: " + k8s::quote(text) + " of " +
                                         host_text(host) + ' ' + checked.error() +
                                         "; this path is left out, the others stay");
    }
    Route route = make_route(path.backend(), where + ".backend", rule_index, path_index);
    route.type = *type;
    route.path = text;
    if (!take_place()) return;
    const RouteKey key = key_of(route);
    rules->candidates[key].push_back({std::move(route), object_, rank_});
  }

  Route make_route(const k8s::IngressBackend& backend, const std::string& where,
                   uint32_t rule_index, uint32_t path_index) {
    Route route;
    route.source = {object_->key.name_space, object_->key.name, rule_index, path_index};
    Result<ServiceKey> key = parse_backend(backend);
    if (key) {
      if (!take_policy(*key)) key->policy = {};
      route.backend = *key;
      users_.try_emplace(*key, object_);
    } else {
      report(Severity::error,
             where + ": " + key.error() + "; the route stays and its requests are answered 503");
    }
    return route;
  }

  // Each policy is a copy of the Service's endpoints in the table: the youngest Ingresses do
  // without.
  bool take_policy(const ServiceKey& key) {
    if (key.policy.is_unset()) return true;
    ServiceKey plain = key;
    plain.policy = {};
    std::set<Policy>& taken = policies_[std::move(plain)];
    if (taken.contains(key.policy)) return true;
    if (taken.size() == service_policies_max) {
      report(Severity::error,
             "asks for a way to a Service (" + key.policy.text() + ") that more than " +
                 std::to_string(service_policies_max) +
                 " others ask for other ways to; its annotations count for nothing");
      return false;
    }
    taken.insert(key.policy);
    return true;
  }

  Result<ServiceKey> parse_backend(const k8s::IngressBackend& backend) const {
    if (backend.has_resource()) {
      return Error{
          backend.has_service()
              ? std::string("names both a service and a resource")
              : "resource backends are not supported (" +
                    k8s::quote(backend.resource().kind() + '/' + backend.resource().name()) + ")"};
    }
    if (!backend.has_service()) return Error{"names no service"};
    const auto& service = backend.service();
    if (!k8s::is_dns_subdomain(service.name())) {
      return Error{service.name().empty()
                       ? std::string("service.name is missing")
                       : "service.name " + k8s::quote(service.name()) + " is no name of a Service"};
    }
    const auto& port = service.port();
    const bool has_number = port.number() != 0;
    if (has_number == !port.name().empty()) {
      return Error{has_number ? "service.port has both a name and a number"
                              : "service.port has neither a name nor a number"};
    }
    if (has_number && (port.number() < 1 || port.number() > 65535)) {
      return Error{"service.port.number " + std::to_string(port.number()) + " is no port"};
    }
    // A name holds a letter (RFC 6335), so names and numbers never meet.
    if (!has_number &&
        (!k8s::is_dns_subdomain(port.name()) || port.name().size() > port_name_bytes_max ||
         parse_decimal(port.name(), UINT64_MAX))) {
      return Error{"service.port.name " + k8s::quote(port.name()) + " is no name of a port"};
    }
    return ServiceKey{object_->key.name_space, service.name(),
                      has_number ? std::to_string(port.number()) : port.name(), policy_};
  }

  // The model as a whole is bounded too; the youngest Ingresses do without.
  bool take_place() {
    if (route_count_ == routes_max) {
      report(Severity::error, "the cluster has more than " + std::to_string(routes_max) +
                                  " routes; this one is left out");
      return false;
    }
    ++route_count_;
    return true;
  }

  void settle_host(const std::string& name, HostRules* rules) {
    Host host;
    host.name = name;
    for (auto& [key, candidates] : rules->candidates) {
      std::sort(candidates.begin(), candidates.end(), outranks);
      for (size_t i = 1; i < candidates.size(); ++i) {
        report_shadowed(candidates[i], candidates[0], host_text(name));
        host.shadowed.push_back({candidates[i].route, host.routes.size()});
      }
      host.routes.push_back(candidates[0].route);
    }
    settle_defaults(rules->defaults, "the rest of " + host_text(name), &host.default_route,
                    &host.shadowed_defaults);
    result_.model.hosts.push_back(std::move(host));
  }

  // Candidates come in the order of age: the first one wins.
  void settle_defaults(const std::vector<Candidate>& candidates, const std::string& what,
                       std::optional<Route>* winner, std::vector<Route>* shadowed) {
    if (candidates.empty()) return;
    *winner = candidates[0].route;
    for (size_t i = 1; i < candidates.size(); ++i) {
      report_shadowed(candidates[i], candidates[0], what);
      shadowed->push_back(candidates[i].route);
    }
  }

  void report_shadowed(const Candidate& loser, const Candidate& winner, const std::string& what) {
    const bool is_default = loser.route.path.empty();
    std::string sentence = place_in(loser.route) + ": ";
    if (is_default) {
      sentence += what;
    } else {
      sentence += to_text(loser.route.type) + std::string(" ") + k8s::quote(loser.route.path) +
                  " of " + what;
    }
    sentence += " is shadowed by ";
    sentence += loser.object == winner.object ? "its own" : winner.object->key.text() + ",";
    sentence += ' ' + place_in(winner.route) + ", " + reason(loser, winner);
    const bool same_backend = loser.route.backend == winner.route.backend;
    problems_.add(
        {same_backend ? Severity::note : Severity::warning, loser.object->place,
         loser.object->key.text(),
         sentence + (same_backend ? "; both lead to the same backend" : "; that one answers")});
  }

  std::string reason(const Candidate& loser, const Candidate& winner) const {
    if (loser.route.path.size() != winner.route.path.size()) {
      return "whose path " + k8s::quote(winner.route.path) +
             " is longer and matches the same requests";
    }
    if (loser.route.type != winner.route.type) return "which is a Prefix";
    if (loser.object == winner.object) return "which comes first";
    const Age& loser_age = ingresses_[loser.rank].first;
    const Age& winner_age = ingresses_[winner.rank].first;
    if (loser_age.same_time(winner_age)) {
      return loser_age.has_no_time ? "whose name comes first (neither has a creationTimestamp)"
                                   : "which is as old and whose name comes first";
    }
    return loser_age.has_no_time ? "which has a creationTimestamp" : "which is older";
  }

  void resolve_services() {
    EndpointResolver resolver(objects_, &problems_);
    for (const auto& [key, user] : users_) {
      if (result_.model.services.size() == services_max) {
        problems_.add({Severity::error, user->place, user->key.text(),
                       "routes name more than " + std::to_string(services_max) +
                           " Service ports; the requests of " + key.text() + " are answered 503"});
        continue;
      }
      // The same Service port under another policy stands behind it: it is looked at once.
      auto& services = result_.model.services;
      if (!services.empty() && services.back().key.names() == key.names()) {
        services.push_back({key, services.back().endpoints});
      } else {
        services.push_back(resolver.resolve(key, *user));
      }
    }
  }

  void report(Severity severity, std::string sentence) {
    problems_.add({severity, object_->place, object_->key.text(), std::move(sentence)});
  }

  const store::Store& objects_;
  const IngressClasses classes_;
  BuildResult result_;
  k8s::ProblemList problems_;
  std::vector<std::pair<Age, const Object*>> ingresses_;  // oldest first
  std::map<std::string, HostRules> hosts_;
  std::vector<Candidate> cluster_defaults_;
  std::map<ServiceKey, const Object*> users_;  // the first Ingress that names each
  size_t route_count_ = 0;
  // Of the Ingress that is being added.
  const Object* object_ = nullptr;
  size_t rank_ = 0;
  size_t paths_of_object_ = 0;
  Policy policy_;
  std::map<ServiceKey, std::set<Policy>> policies_;  // by the key without one
};

}  // namespace

BuildResult build(const store::Store& objects, const Options& options) {
  return Builder(objects, options).run();
}

}  // namespace millrace::model
