// Tables for the guard's tests, in a line each.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shm/snapshot_test_support.h"
#include "shm/snapshot_writer.h"

namespace millrace::guard::testing {

struct TableRoute {
  std::string host;
  std::string path;
  std::string service;  // its slot is that of the first mention in `slots`
  shm::PathType type = shm::PathType::prefix;
  std::string ingress = "web";
};

// Tables that follow one another: a service keeps its slot.
class Tables {
 public:
  // Endpoints of a service from now on, "10.0.0.1:80".
  void endpoints(const std::string& service, std::vector<std::string> addresses) {
    endpoints_[service] = std::move(addresses);
  }
  void policy(const std::string& service, const shm::ServicePolicyInput& policy) {
    policies_[service] = policy;
  }

  std::shared_ptr<const shm::Snapshot> make(const std::vector<TableRoute>& routes,
                                            const std::string& cluster_default = "") {
    shm::SnapshotBuilder builder;
    for (const TableRoute& route : routes) {
      shm::RouteSource source;
      source.service_slot = slot_of(route.service);
      source.ingress_namespace = "shop";
      source.ingress_name = route.ingress;
      const auto added = route.path.empty()
                             ? builder.set_host_default(route.host, source)
                             : builder.add_route(route.host, route.path, route.type, source);
      CHECK(added.ok());
    }
    if (!cluster_default.empty()) {
      shm::RouteSource source;
      source.service_slot = slot_of(cluster_default);
      source.ingress_namespace = "shop";
      source.ingress_name = "all";
      CHECK(builder.set_cluster_default(source).ok());
    }
    for (const auto& [name, slot] : slots_) {
      shm::ServiceInput service;
      service.slot = slot;
      service.service_namespace = "shop";
      service.service_name = name;
      service.port = "80";
      service.policy = policies_[name];
      const auto known = endpoints_.find(name);
      const std::vector<std::string> usual = {"10.0." + std::to_string(slot) + ".1:8080"};
      for (const std::string& text : known == endpoints_.end() ? usual : known->second) {
        const size_t colon = text.find(':');
        const auto address = Ipv4Address::parse(text.substr(0, colon));
        const auto port = static_cast<uint16_t>(std::stoi(text.substr(colon + 1)));
        CHECK(address.has_value());
        const uint64_t id =
            (uint64_t{slot} + 1) << 48 | uint64_t{address->host_order()} << 16 | port;
        service.endpoints.push_back({id, *address, port});
      }
      CHECK(builder.add_service(service).ok());
    }
    return shm::testing::open_builder(builder, ++version_);
  }

 private:
  uint32_t slot_of(const std::string& service) {
    return slots_.try_emplace(service, static_cast<uint32_t>(slots_.size()) + 1).first->second;
  }

  uint64_t version_ = 0;
  std::map<std::string, uint32_t> slots_;
  std::map<std::string, std::vector<std::string>> endpoints_;
  std::map<std::string, shm::ServicePolicyInput> policies_;
};

}  // namespace millrace::guard::testing
