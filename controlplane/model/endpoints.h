// From a backend to the addresses behind it: Service port -> EndpointSlice port of the same name ->
// endpoints (core/v1 Service, discovery/v1 EndpointSlice).
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/k8s/objects.pb.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/model.h"
#include "controlplane/store/store.h"

namespace millrace::model {

class EndpointResolver {
 public:
  EndpointResolver(const store::Store& objects, k8s::ProblemList* problems);

  // What a backend of `user` leads to; asked once for each key, with the first Ingress that names
  // it. A Service, a port or endpoints that are missing leave the list empty, with a problem.
  Service resolve(const ServiceKey& key, const k8s::Object& user);

 private:
  using Name = std::pair<std::string, std::string>;  // namespace, name

  const k8s::ServicePort* find_port(const k8s::Object& object, const std::string& port) const;
  bool is_usable(const k8s::Object& slice);
  void collect(const k8s::Object& slice, const std::string& port_name,
               std::map<SocketAddress, Endpoint>* found);
  void add_address(const k8s::Object& slice, const std::string& text, const Endpoint& conditions,
                   std::map<SocketAddress, Endpoint>* found);

  k8s::ProblemList* problems_;
  std::map<Name, const k8s::Object*> services_;
  std::map<Name, std::vector<const k8s::Object*>> slices_;  // by the Service they belong to
  std::map<const k8s::Object*, bool> slice_usable_;         // said once a slice
};

// The rule of discovery/v1 for draining: the ready endpoints; when there is none, those that serve
// while they terminate, so that a rollout of the last pod loses nothing.
std::vector<Endpoint> choose_endpoints(const std::map<SocketAddress, Endpoint>& found);

}  // namespace millrace::model
