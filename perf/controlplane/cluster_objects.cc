#include "perf/controlplane/cluster_objects.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"

namespace millrace::perf {
namespace {

constexpr uint16_t pod_port = 8080;
constexpr int64_t first_creation_seconds = 1'700'000'000;

std::string name_space_of(uint32_t tenant) {
  return "tenant-" + std::to_string(tenant);
}

template <class Body>
k8s::Object object_of(k8s::Kind kind, uint32_t tenant, const std::string& name, Body body,
                      uint32_t generation) {
  body.mutable_metadata()->set_name(name);
  body.mutable_metadata()->set_namespace_(name_space_of(tenant));
  body.mutable_metadata()->set_resource_version(std::to_string(generation));
  body.mutable_metadata()->mutable_creation_timestamp()->set_seconds(first_creation_seconds +
                                                                     tenant % 1'000);
  return {{kind, name_space_of(tenant), name}, {}, k8s::Body(std::move(body))};
}

// 10.0.0.1 and on; none has an octet that is special.
std::string pod_address(uint32_t number) {
  return Ipv4Address::from_host_order((10U << 24) + number + 1).text();
}

}  // namespace

k8s::Object cluster_ingress(const ClusterSize& size, uint32_t tenant, uint32_t generation) {
  k8s::Ingress ingress;
  k8s::IngressRule* rule = ingress.mutable_spec()->add_rules();
  rule->set_host(size.one_host ? "shop.example" : name_space_of(tenant) + ".shop.example");
  const std::string prefix = size.one_host ? "/tenant-" + std::to_string(tenant) : "";
  for (uint32_t i = 0; i < size.paths; ++i) {
    k8s::HTTPIngressPath* path = rule->mutable_value()->mutable_http()->add_paths();
    const bool is_last = i + 1 == size.paths;
    path->set_path(prefix + (i == 0 ? "/" : "/api/v" + std::to_string(i)) +
                   (is_last && generation > 0 ? "-" + std::to_string(generation) : ""));
    path->set_path_type("Prefix");
    path->mutable_backend()->mutable_service()->set_name("web");
    path->mutable_backend()->mutable_service()->mutable_port()->set_name("http");
  }
  return object_of(k8s::Kind::ingress, tenant, "web", std::move(ingress), generation);
}

k8s::Object cluster_service(uint32_t tenant) {
  k8s::Service service;
  k8s::ServicePort* port = service.mutable_spec()->add_ports();
  port->set_name("http");
  port->set_port(80);
  return object_of(k8s::Kind::service, tenant, "web", std::move(service), 0);
}

k8s::Object cluster_slice(const ClusterSize& size, uint32_t tenant, uint32_t generation) {
  k8s::EndpointSlice slice;
  (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = "web";
  slice.set_address_type("IPv4");
  k8s::EndpointPort* port = slice.add_ports();
  port->set_name("http");
  port->set_port(pod_port);
  for (uint32_t i = 0; i < size.endpoints; ++i) {
    const bool is_last = i + 1 == size.endpoints;
    k8s::Endpoint* endpoint = slice.add_endpoints();
    endpoint->add_addresses(
        pod_address(tenant * size.endpoints + i + (is_last ? generation << 23 : 0)));
    endpoint->mutable_conditions()->set_ready(true);
  }
  return object_of(k8s::Kind::endpoint_slice, tenant, "web-abcde", std::move(slice), generation);
}

store::Store cluster_store(const ClusterSize& size) {
  std::vector<k8s::Object> objects;
  objects.reserve(size_t{3} * size.ingresses);
  for (uint32_t tenant = 0; tenant < size.ingresses; ++tenant) {
    objects.push_back(cluster_ingress(size, tenant));
    objects.push_back(cluster_service(tenant));
    objects.push_back(cluster_slice(size, tenant));
  }
  store::Store store;
  store.replace(std::move(objects));
  store.take_changes();
  return store;
}

}  // namespace millrace::perf
