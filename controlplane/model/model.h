// The model: what the cluster's objects say about routing, as plain sorted values. Everything is
// resolved here (classes, hosts, precedence among rules, ports, endpoints), so that compile/ only
// writes it down, and a dump of it explains every decision.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/address.h"
#include "controlplane/model/policy.h"

namespace millrace::model {

enum class PathType : uint8_t { exact, prefix, implementation_specific };
const char* to_text(PathType type);  // "Exact"

// One port of one Service as an Ingress names it: by name or by number, as text. The key does not
// depend on what the Service says at the moment, so it lives as long as somebody refers to it. The
// policy of the Ingress is a part of it: what differs in it is served differently.
struct ServiceKey {
  std::string name_space;
  std::string service;
  std::string port;
  Policy policy{};

  auto operator<=>(const ServiceKey&) const = default;
  // Without the policy.
  auto names() const { return std::tie(name_space, service, port); }
  std::string text() const;  // "shop/web:http", and the policy if there is one
};

// The rule a route was written in.
struct RouteSource {
  std::string name_space;
  std::string ingress;
  uint32_t rule_index = 0;  // of spec.rules; 0 for a default backend
  uint32_t path_index = 0;  // of the rule's paths

  bool operator==(const RouteSource&) const = default;
  std::string object() const { return "Ingress " + name_space + '/' + ingress; }
};

struct Route {
  PathType type = PathType::prefix;
  std::string path;  // as written; empty for defaults
  // Nothing when the backend cannot be used (a resource, no port): the route stays and answers 503,
  // so that its requests never reach a less specific rule's backend.
  std::optional<ServiceKey> backend;
  RouteSource source;

  bool operator==(const Route&) const = default;
};

// A route that another one took the place of.
struct ShadowedRoute {
  Route route;
  size_t winner = 0;  // index into the routes beside it; without meaning for defaults

  bool operator==(const ShadowedRoute&) const = default;
};

// Everything about one host. Hosts are lower-case: "a.example", "*.example" or "" for all.
struct Host {
  std::string name;
  std::vector<Route> routes;            // by path, then type; one a key (see build.h)
  std::vector<ShadowedRoute> shadowed;  // in the order of the winners, then by rank
  std::optional<Route> default_route;
  std::vector<Route> shadowed_defaults;

  bool operator==(const Host&) const = default;
};

struct Endpoint {
  Ipv4Address address;
  uint16_t port = 0;
  bool ready = true;
  bool serving = true;
  bool terminating = false;

  auto operator<=>(const Endpoint&) const = default;
};

// The endpoints that requests may go to now: the ready ones, or, when none is ready, those that
// still serve while they terminate. Sorted, none twice.
struct Service {
  ServiceKey key;
  std::vector<Endpoint> endpoints;

  bool operator==(const Service&) const = default;
};

struct Model {
  std::vector<Host> hosts;        // by name
  std::vector<Service> services;  // by key; every backend that a route or a shadowed one names
  std::optional<Route> cluster_default;
  std::vector<Route> shadowed_cluster_defaults;

  bool operator==(const Model&) const = default;
  size_t route_count() const;     // defaults included
  size_t shadowed_count() const;  // likewise
  size_t endpoint_count() const;
};

}  // namespace millrace::model
