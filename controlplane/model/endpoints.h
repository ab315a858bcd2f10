// From a backend to the addresses behind it: Service port -> EndpointSlice port of the same name ->
// endpoints (core/v1 Service, discovery/v1 EndpointSlice).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/model.h"

namespace millrace::model {

// What an object of the cluster says, and where it was read.
struct HeldObject {
  k8s::Place place;
  k8s::Body body;
};

// The name of the Service that an EndpointSlice belongs to; nothing when it has none.
std::optional<std::string> service_of_slice(const k8s::Body& slice);

// Services with their slices, one after the other: into the messages of one the next is read.
// A Service of type ExternalName leads to the addresses of its derived slice alone
// (k8s/external_name.h), by the port that its own ports or, if it has none, the backend names.
class EndpointResolver {
 public:
  // False: Services of type ExternalName are missing, with a problem.
  explicit EndpointResolver(bool serve_external_names)
      : serve_external_names_(serve_external_names) {}

  // From now on it is about this one. Slices by name. All three outlive what is asked about it.
  void begin(const HeldObject& service, const std::map<std::string, HeldObject>& slices,
             std::vector<k8s::Problem>* problems);

  // What a backend leads to; to be asked once for each key's names, with the oldest Ingress that
  // names it. A Service, a port or endpoints that are missing leave the list empty, with a problem.
  std::vector<Endpoint> resolve(const ServiceKey& key, const k8s::Object& user);

 private:
  struct Slice {
    const std::string& name_space;
    const std::string& name;
    const k8s::Place& place;
    const k8s::EndpointSlice& content;
  };

  // What is said of a backend that leads to nothing.
  struct Missing {
    k8s::Severity severity;
    std::string sentence;
  };

  void read();

  std::optional<Missing> look_up(const ServiceKey& key, std::vector<Endpoint>* endpoints);
  std::optional<Missing> look_up_slices(const ServiceKey& key, const std::string& port_name,
                                        std::vector<Endpoint>* endpoints);
  std::optional<Missing> look_up_name(const ServiceKey& key, const k8s::ServicePort* port,
                                      std::vector<Endpoint>* endpoints);

  const k8s::ServicePort* find_port(const std::string& port) const;
  bool is_usable(const Slice& slice);
  void collect(const Slice& slice, const std::string& port_name, std::vector<Endpoint>* found);
  void add_endpoints(const Slice& slice, uint16_t port, std::vector<Endpoint>* found);
  void add_address(const Slice& slice, const std::string& text, const Endpoint& conditions,
                   std::vector<Endpoint>* found);
  void report(k8s::Severity severity, const Slice& slice, std::string sentence,
              k8s::Reason reason = k8s::Reason::by_severity);

  const bool serve_external_names_;
  const HeldObject* service_ = nullptr;
  const std::map<std::string, HeldObject>* slices_ = nullptr;
  std::vector<k8s::Problem>* problems_ = nullptr;
  bool is_read_ = false;
  k8s::Service service_content_;
  std::vector<k8s::EndpointSlice> slice_contents_;  // in the order of slices_; those behind are old
  std::set<std::string> unusable_slices_;           // said once a slice
  bool said_failure_ = false;                       // of DNS
};

// Makes one of each address and port in `found`: a pod may be in two slices while it moves from one
// to the other, and either may lag, so the better word counts.
void merge_endpoints(std::vector<Endpoint>* found);

// The rule of discovery/v1 for draining: the ready endpoints; when there is none, those that serve
// while they terminate, so that a rollout of the last pod loses nothing.
std::vector<Endpoint> choose_endpoints(std::vector<Endpoint> found);

}  // namespace millrace::model
