#include "controlplane/model/endpoints.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "controlplane/k8s/external_name.h"
#include "controlplane/model/limits.h"

namespace millrace::model {

namespace {

using k8s::Severity;

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

std::optional<std::string> service_of_slice(const k8s::Body& slice) {
  CHECK(slice.kind() == k8s::Kind::endpoint_slice);
  return slice.label(k8s::service_name_label);
}

void EndpointResolver::begin(const HeldObject& service,
                             const std::map<std::string, HeldObject>& slices,
                             std::vector<k8s::Problem>* problems) {
  service_ = &service;
  slices_ = &slices;
  problems_ = problems;
  is_read_ = false;
  unusable_slices_.clear();
  said_failure_ = false;
}

void EndpointResolver::read() {
  if (std::exchange(is_read_, true)) return;
  service_->body.read_without_metadata(&service_content_);
  if (slice_contents_.size() < slices_->size()) slice_contents_.resize(slices_->size());
  auto content = slice_contents_.begin();
  for (const auto& [name, held] : *slices_) held.body.read_without_metadata(&*content++);
}

std::vector<Endpoint> EndpointResolver::resolve(const ServiceKey& key, const k8s::Object& user) {
  std::vector<Endpoint> endpoints;
  const std::optional<Missing> missing = look_up(key, &endpoints);
  if (missing) {
    problems_->push_back(
        {missing->severity, user.place, user.key.text(),
         "backend " + key.text() + ": " + missing->sentence + "; its requests are answered 503",
         missing->severity == Severity::error ? k8s::Reason::backend_missing
                                              : k8s::Reason::endpoints_missing});
  }
  return endpoints;
}

std::optional<EndpointResolver::Missing> EndpointResolver::look_up(
    const ServiceKey& key, std::vector<Endpoint>* endpoints) {
  if (!service_->body) {
    return Missing{Severity::error, "there is no Service " + key.name_space + '/' + key.service};
  }
  read();
  const bool is_external = k8s::is_external_name(service_content_);
  if (is_external && !serve_external_names_) {
    return Missing{Severity::error,
                   "the Service is of type ExternalName, which is not served (see "
                   "--external-names)"};
  }
  const k8s::ServicePort* port = find_port(key.port);
  if (port == nullptr && !(is_external && service_content_.spec().ports().empty())) {
    return Missing{Severity::error, "the Service has no port " + k8s::quote(key.port)};
  }
  if (port != nullptr && !is_tcp(port->protocol())) {
    return Missing{Severity::error,
                   "the Service's port speaks " + k8s::quote(port->protocol()) + ", not TCP"};
  }
  return is_external ? look_up_name(key, port, endpoints)
                     : look_up_slices(key, port->name(), endpoints);
}

std::optional<EndpointResolver::Missing> EndpointResolver::look_up_slices(
    const ServiceKey& key, const std::string& port_name, std::vector<Endpoint>* endpoints) {
  std::vector<Endpoint> found;
  auto content = slice_contents_.cbegin();
  for (const auto& [name, held] : *slices_) {
    const Slice slice{key.name_space, name, held.place, *content++};
    if (k8s::ObjectKey::is_derived_name(name)) continue;  // of a Service that was another one
    if (is_usable(slice)) collect(slice, port_name, &found);
  }
  merge_endpoints(&found);
  *endpoints = choose_endpoints(std::move(found));
  if (endpoints->size() > service_endpoints_max) {
    problems_->push_back({Severity::error, service_->place,
                          "Service " + key.name_space + '/' + key.service,
                          "has more than " + std::to_string(service_endpoints_max) +
                              " endpoints; the lowest addresses are used"});
    endpoints->resize(service_endpoints_max);
  }
  if (!endpoints->empty()) return std::nullopt;
  return Missing{Severity::note, slices_->empty() ? "the Service has no EndpointSlice"
                                                  : "the Service has no endpoint that is ready"};
}

// `port`: null when the Service has none at all.
std::optional<EndpointResolver::Missing> EndpointResolver::look_up_name(
    const ServiceKey& key, const k8s::ServicePort* port, std::vector<Endpoint>* endpoints) {
  const std::string name = k8s::quote(service_content_.spec().external_name());
  const auto dns_name = k8s::dns_name_of(service_content_.spec().external_name());
  if (!dns_name) {
    return Missing{Severity::error, "externalName " + name + " is no DNS name"};
  }
  const auto number = port != nullptr ? static_cast<uint64_t>(port->port())
                                      : parse_decimal(key.port, 65535).value_or(0);
  if (number < 1 || number > 65535) {
    return Missing{Severity::error,
                   "the Service has no number of a TCP port for " + k8s::quote(key.port)};
  }
  const Missing not_asked{Severity::note, "DNS has not been asked for " + name +
                                              ", which the running control plane does"};
  const auto derived = slices_->find(k8s::derived_slice_key(key.name_space, key.service).name);
  if (derived == slices_->end()) return not_asked;
  const k8s::ObjectMeta metadata = derived->second.body.metadata();  // read() left it out
  const auto& annotations = metadata.annotations();
  // In a plan the Service may name another one than in the cluster, whose slice this is.
  const auto asked = annotations.find(k8s::dns_name_annotation);
  if (asked == annotations.end() || asked->second != *dns_name) return not_asked;
  const Slice slice{key.name_space, derived->first, derived->second.place,
                    slice_contents_[static_cast<size_t>(std::distance(slices_->begin(), derived))]};
  add_endpoints(slice, static_cast<uint16_t>(number), endpoints);
  merge_endpoints(endpoints);
  const auto failure = annotations.find(k8s::dns_failure_annotation);
  if (failure == annotations.end()) {
    if (!endpoints->empty()) return std::nullopt;
    return Missing{Severity::note, slice.content.endpoints().empty()
                                       ? "DNS has not answered for " + name + " yet"
                                       : "no address of " + name + " can be used"};
  }
  if (endpoints->empty()) {
    return Missing{Severity::warning, "DNS has no address of " + name + ": " + failure->second};
  }
  if (!std::exchange(said_failure_, true)) {
    report(Severity::warning, slice, failure->second + "; the last addresses known are used",
           k8s::Reason::endpoints_missing);
  }
  return std::nullopt;
}

const k8s::ServicePort* EndpointResolver::find_port(const std::string& port) const {
  const auto& ports = service_content_.spec().ports();
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

bool EndpointResolver::is_usable(const Slice& slice) {
  const std::string& type = slice.content.address_type();
  if (type == "IPv4") return true;
  if (!unusable_slices_.insert(slice.name).second) return false;
  const bool is_known_type = type == "IPv6" || type == "FQDN";
  report(is_known_type ? Severity::note : Severity::error, slice,
         is_known_type ? "addressType " + type + " is not served, only IPv4; it is skipped"
                       : "addressType " + k8s::quote(type) + " is unknown; it is skipped");
  return false;
}

void EndpointResolver::collect(const Slice& slice, const std::string& port_name,
                               std::vector<Endpoint>* found) {
  for (const k8s::EndpointPort& port : slice.content.ports()) {
    if (port.name() != port_name || !is_tcp(port.protocol())) continue;
    if (!is_port_number(port.port())) {
      report(Severity::error, slice,
             "port " + k8s::quote(port_name) + " has " +
                 (port.has_port()
                      ? "the number " + std::to_string(port.port()) + ", which is no TCP port"
                      : "no number") +
                 "; it is skipped");
      continue;
    }
    add_endpoints(slice, static_cast<uint16_t>(port.port()), found);
  }
}

void EndpointResolver::add_endpoints(const Slice& slice, uint16_t port,
                                     std::vector<Endpoint>* found) {
  found->reserve(found->size() + static_cast<size_t>(slice.content.endpoints_size()));
  for (const k8s::Endpoint& endpoint : slice.content.endpoints()) {
    // discovery/v1: ready and serving are true, terminating is false, when they are not set.
    const auto& conditions = endpoint.conditions();
    const Endpoint as{Ipv4Address(), port, !conditions.has_ready() || conditions.ready(),
                      !conditions.has_serving() || conditions.serving(), conditions.terminating()};
    for (const std::string& address : endpoint.addresses()) {
      add_address(slice, address, as, found);
    }
  }
}

void EndpointResolver::add_address(const Slice& slice, const std::string& text,
                                   const Endpoint& conditions, std::vector<Endpoint>* found) {
  const auto address = Ipv4Address::parse(text);
  if (!address || is_special(*address)) {
    report(Severity::error, slice,
           "address " + k8s::quote(text) +
               (address ? " is no address of a pod" : " is no IPv4 address") + "; it is skipped");
    return;
  }
  Endpoint endpoint = conditions;
  endpoint.address = *address;
  found->push_back(endpoint);
}

// Of a derived slice nobody knows but this process: its Service is what somebody can mend.
void EndpointResolver::report(Severity severity, const Slice& slice, std::string sentence,
                              k8s::Reason reason) {
  if (k8s::ObjectKey::is_derived_name(slice.name)) {
    const std::string service = slice.name.substr(0, slice.name.find('/'));
    problems_->push_back(
        {severity, service_->place, "Service " + slice.name_space + '/' + service,
         "externalName " + k8s::quote(service_content_.spec().external_name()) + ": " + sentence,
         reason});
    return;
  }
  problems_->push_back({severity, slice.place,
                        "EndpointSlice " + slice.name_space + '/' + slice.name, std::move(sentence),
                        reason});
}

void merge_endpoints(std::vector<Endpoint>* found) {
  const auto place = [](const Endpoint& endpoint) {
    return std::pair(endpoint.address, endpoint.port);
  };
  std::sort(found->begin(), found->end(), [&](const Endpoint& left, const Endpoint& right) {
    return place(left) < place(right);
  });
  size_t kept = 0;
  for (const Endpoint& endpoint : *found) {
    if (kept == 0 || place((*found)[kept - 1]) != place(endpoint)) {
      (*found)[kept++] = endpoint;
      continue;
    }
    Endpoint& known = (*found)[kept - 1];
    known.ready |= endpoint.ready;
    known.serving |= endpoint.serving;
    known.terminating &= endpoint.terminating;
  }
  found->resize(kept);
}

std::vector<Endpoint> choose_endpoints(std::vector<Endpoint> found) {
  const auto is_ready = [](const Endpoint& endpoint) { return endpoint.ready; };
  if (std::any_of(found.begin(), found.end(), is_ready)) {
    std::erase_if(found, std::not_fn(is_ready));
  } else {
    std::erase_if(
        found, [](const Endpoint& endpoint) { return !endpoint.serving || !endpoint.terminating; });
  }
  return found;
}

}  // namespace millrace::model
