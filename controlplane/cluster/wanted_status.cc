#include "controlplane/cluster/wanted_status.h"

#include <algorithm>
#include <set>

#include "base/address.h"
#include "base/ipv6_address.h"

namespace millrace::cluster {

namespace {

using k8s::Kind;

bool is_ip_address(const std::string& text) {
  return Ipv4Address::parse(text).has_value() || Ipv6Address::parse(text).has_value();
}

void add(const std::string& address, k8s::IngressLoadBalancerStatus* status) {
  if (is_ip_address(address)) {
    status->add_ingress()->set_ip(address);
  } else if (!address.empty()) {
    status->add_ingress()->set_hostname(address);
  }
}

void add_service(const std::string& name, const store::Store& store,
                 k8s::IngressLoadBalancerStatus* status) {
  const size_t slash = name.find('/');
  const k8s::Object* object =
      store.find({Kind::service, name.substr(0, slash), name.substr(slash + 1)});
  if (object == nullptr) return;
  const auto service = object->body.as<k8s::Service>();
  for (const auto& one : service.status().load_balancer().ingress()) {
    add(one.ip().empty() ? one.hostname() : one.ip(), status);
  }
}

void add_nodes(const store::Store& store, k8s::IngressLoadBalancerStatus* status) {
  std::set<std::string> addresses;  // sorted: the same for whoever is the leader
  for (auto at = store.objects().lower_bound({Kind::node, "", ""});
       at != store.objects().end() && at->first.kind == Kind::node; ++at) {
    const auto node = at->second.body.as<k8s::Node>();
    const auto& conditions = node.status().conditions();
    const bool is_ready = std::any_of(conditions.begin(), conditions.end(), [](const auto& one) {
      return one.type() == "Ready" && one.status() == "True";
    });
    if (!is_ready || node.spec().unschedulable()) continue;
    for (const auto& address : node.status().addresses()) {
      if (address.type() == "InternalIP") addresses.insert(address.address());
    }
  }
  for (const std::string& address : addresses) add(address, status);
}

}  // namespace

k8s::IngressLoadBalancerStatus wanted_status(const StatusOptions& options,
                                             const store::Store& store) {
  k8s::IngressLoadBalancerStatus status;
  if (!options.addresses.empty()) {
    for (const std::string& address : options.addresses) add(address, &status);
  } else if (!options.publish_service.empty()) {
    add_service(options.publish_service, store, &status);
  } else if (options.from_nodes) {
    add_nodes(store, &status);
  }
  return status;
}

std::string text_of(const k8s::IngressLoadBalancerStatus& status) {
  std::string text;
  for (const auto& one : status.ingress()) text += one.ip() + '|' + one.hostname() + '\n';
  return text;
}

}  // namespace millrace::cluster
