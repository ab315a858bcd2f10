#include "controlplane/model/endpoints.h"

#include <utility>

#include "controlplane/model/limits.h"

namespace millrace::model {

namespace {

using k8s::Severity;

constexpr char service_label[] = "kubernetes.io/service-name";

bool is_tcp(const std::string& protocol) {
  return protocol.empty() || protocol == "TCP";
}

// The addresses an API server refuses for endpoints: they would lead back into the node itself or
// to its neighbours on the link, not to a pod.
bool is_special(Ipv4Address address) {
  const bool is_link_local = (address.host_order() >> 16) == 0xa9fe;  // RFC 3927 169.254/16
  return !address.is_unicast() || address.is_loopback() || is_link_local;
}

bool is_port_number(int32_t port) {
  return port >= 1 && port <= 65535;
}

}  // namespace

EndpointResolver::EndpointResolver(const store::Store& objects, k8s::ProblemList* problems)
    : problems_(problems) {
  for (const auto& [key, object] : objects.objects()) {
    if (key.kind == k8s::Kind::service) {
      services_[{key.name_space, key.name}] = &object;
    } else if (key.kind == k8s::Kind::endpoint_slice) {
      const auto& labels = k8s::metadata_of(*object.body).labels();
      const auto label = labels.find(service_label);
      if (label == labels.end()) {
        problems_->add({Severity::warning, object.place, key.text(),
                        std::string("has no label ") + service_label +
                            ", so it belongs to no Service and is not used"});
      } else {
        slices_[{key.name_space, label->second}].push_back(&object);
      }
    }
  }
}

Service EndpointResolver::resolve(const ServiceKey& key, const k8s::Object& user) {
  Service resolved{key, {}};
  const auto missing = [&](Severity severity, const std::string& sentence) {
    problems_->add({severity, user.place, user.key.text(),
                    "backend " + key.text() + ": " + sentence + "; its requests are answered 503"});
    return resolved;
  };
  const auto at = services_.find({key.name_space, key.service});
  if (at == services_.end()) {
    return missing(Severity::error, "there is no Service " + key.name_space + '/' + key.service);
  }
  const k8s::Object& object = *at->second;
  const auto& spec = std::get<k8s::Service>(*object.body).spec();
  if (spec.type() == "ExternalName") {
    return missing(Severity::error, "the Service is of type ExternalName, which is not served");
  }
  const k8s::ServicePort* port = find_port(object, key.port);
  if (port == nullptr) {
    return missing(Severity::error, "the Service has no port " + k8s::quote(key.port));
  }
  if (!is_tcp(port->protocol())) {
    return missing(Severity::error,
                   "the Service's port speaks " + k8s::quote(port->protocol()) + ", not TCP");
  }
  std::map<SocketAddress, Endpoint> found;
  const auto slices = slices_.find({key.name_space, key.service});
  if (slices != slices_.end()) {
    for (const k8s::Object* slice : slices->second) {
      if (is_usable(*slice)) collect(*slice, port->name(), &found);
    }
  }
  resolved.endpoints = choose_endpoints(found);
  if (resolved.endpoints.size() > service_endpoints_max) {
    problems_->add({Severity::error, object.place, object.key.text(),
                    "has more than " + std::to_string(service_endpoints_max) +
                        " endpoints; the lowest addresses are used"});
    resolved.endpoints.resize(service_endpoints_max);
  }
  if (resolved.endpoints.empty()) {
    return missing(Severity::note, slices == slices_.end()
                                       ? "the Service has no EndpointSlice"
                                       : "the Service has no endpoint that is ready");
  }
  return resolved;
}

const k8s::ServicePort* EndpointResolver::find_port(const k8s::Object& object,
                                                    const std::string& port) const {
  const auto& ports = std::get<k8s::Service>(*object.body).spec().ports();
  const auto number = parse_decimal(port, 65535);
  const k8s::ServicePort* of_other_protocol = nullptr;
  for (const k8s::ServicePort& one : ports) {
    const bool matches = number ? static_cast<uint64_t>(one.port()) == *number : one.name() == port;
    if (!matches) continue;
    if (is_tcp(one.protocol())) return &one;  // 53/UDP beside 53/TCP is one number twice
    of_other_protocol = &one;
  }
  return of_other_protocol;
}

bool EndpointResolver::is_usable(const k8s::Object& slice) {
  const auto [known, is_new] = slice_usable_.try_emplace(&slice, true);
  if (!is_new) return known->second;
  const auto& type = std::get<k8s::EndpointSlice>(*slice.body).address_type();
  known->second = type == "IPv4";
  if (!known->second) {
    const bool is_known_type = type == "IPv6" || type == "FQDN";
    problems_->add({is_known_type ? Severity::note : Severity::error, slice.place, slice.key.text(),
                    is_known_type
                        ? "addressType " + type + " is not served, only IPv4; it is skipped"
                        : "addressType " + k8s::quote(type) + " is unknown; it is skipped"});
  }
  return known->second;
}

void EndpointResolver::collect(const k8s::Object& slice, const std::string& port_name,
                               std::map<SocketAddress, Endpoint>* found) {
  const auto& body = std::get<k8s::EndpointSlice>(*slice.body);
  for (const k8s::EndpointPort& port : body.ports()) {
    if (port.name() != port_name || !is_tcp(port.protocol())) continue;
    if (!is_port_number(port.port())) {
      problems_->add({Severity::error, slice.place, slice.key.text(),
                      "port " + k8s::quote(port_name) + " has " +
                          (port.has_port() ? "the number " + std::to_string(port.port()) +
                                                 ", which is no TCP port"
                                           : "no number") +
                          "; it is skipped"});
      continue;
    }
    for (const k8s::Endpoint& endpoint : body.endpoints()) {
      // discovery/v1: ready and serving are true, terminating is false, when they are not set.
      const auto& conditions = endpoint.conditions();
      const Endpoint as{Ipv4Address(), static_cast<uint16_t>(port.port()),
                        !conditions.has_ready() || conditions.ready(),
                        !conditions.has_serving() || conditions.serving(),
                        conditions.terminating()};
      for (const std::string& address : endpoint.addresses()) {
        add_address(slice, address, as, found);
      }
    }
  }
}

void EndpointResolver::add_address(const k8s::Object& slice, const std::string& text,
                                   const Endpoint& conditions,
                                   std::map<SocketAddress, Endpoint>* found) {
  const auto address = Ipv4Address::parse(text);
  if (!address || is_special(*address)) {
    problems_->add({Severity::error, slice.place, slice.key.text(),
                    "address " + k8s::quote(text) +
                        (address ? " is no address of a pod" : " is no IPv4 address") +
                        "; it is skipped"});
    return;
  }
  Endpoint endpoint = conditions;
  endpoint.address = *address;
  const auto [at, is_new] = found->try_emplace({*address, endpoint.port}, endpoint);
  if (is_new) return;
  // In two slices while it moves from one to the other: either may lag, so the better word counts.
  at->second.ready |= endpoint.ready;
  at->second.serving |= endpoint.serving;
  at->second.terminating &= endpoint.terminating;
}

std::vector<Endpoint> choose_endpoints(const std::map<SocketAddress, Endpoint>& found) {
  std::vector<Endpoint> ready;
  std::vector<Endpoint> draining;
  for (const auto& [address, endpoint] : found) {
    if (endpoint.ready) ready.push_back(endpoint);
    if (endpoint.serving && endpoint.terminating) draining.push_back(endpoint);
  }
  return ready.empty() ? draining : ready;
}

}  // namespace millrace::model
