#include "controlplane/model/dump.h"

namespace millrace::model {

namespace {

std::string backend_text(const Route& route) {
  return route.backend ? route.backend->text() : std::string("(unusable)");
}

std::string source_text(const Route& route) {
  std::string text = "  (" + route.source.object();
  if (!route.path.empty()) text += " rule " + std::to_string(route.source.rule_index);
  return text + ")\n";
}

std::string route_text(const Route& route, const char* what) {
  std::string text = what;
  text += route.path.empty() ? std::string("default")
                             : std::string(to_text(route.type)) + ' ' + k8s::quote(route.path);
  return text + " -> " + backend_text(route) + source_text(route);
}

std::string endpoint_text(const Endpoint& endpoint) {
  std::string text = "  " + SocketAddress{endpoint.address, endpoint.port}.text();
  if (!endpoint.ready) text += " not ready";
  if (endpoint.terminating) text += endpoint.serving ? " serving, terminating" : " terminating";
  return text + '\n';
}

std::string host_text(const Host& host) {
  std::string text = "host " + (host.name.empty() ? std::string("(all)") : host.name) + '\n';
  size_t next_shadowed = 0;
  for (size_t i = 0; i < host.routes.size(); ++i) {
    text += route_text(host.routes[i], "  ");
    while (next_shadowed < host.shadowed.size() && host.shadowed[next_shadowed].winner == i) {
      text += route_text(host.shadowed[next_shadowed++].route, "    shadows ");
    }
  }
  if (host.default_route) text += route_text(*host.default_route, "  ");
  for (const Route& route : host.shadowed_defaults) text += route_text(route, "    shadows ");
  return text;
}

}  // namespace

std::string dump(const Model& model) {
  std::string text;
  for (const Host& host : model.hosts) text += host_text(host);
  if (model.cluster_default) text += "cluster\n" + route_text(*model.cluster_default, "  ");
  for (const Route& route : model.shadowed_cluster_defaults) {
    text += route_text(route, "    shadows ");
  }
  for (const Service& service : model.services) {
    text += "service " + service.key.text() + '\n';
    if (service.endpoints.empty()) text += "  no endpoint: 503\n";
    for (const Endpoint& endpoint : service.endpoints) text += endpoint_text(endpoint);
  }
  return text;
}

std::string dump(const std::vector<k8s::Problem>& problems) {
  std::string text;
  for (const k8s::Problem& problem : problems) {
    text += std::string(to_text(problem.severity)) + ": " + problem.text() + '\n';
  }
  return text;
}

}  // namespace millrace::model
