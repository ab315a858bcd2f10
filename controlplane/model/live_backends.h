// Every Service port that routes lead to, with the Services and slices that say what is behind it.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/endpoints.h"
#include "controlplane/model/host_rules.h"
#include "controlplane/model/model.h"
#include "controlplane/model/problem_book.h"

namespace millrace::model {

struct LiveService;

// A key of the model's services.
struct LiveBackend {
  ServiceKey key;
  LiveService* service = nullptr;
  std::vector<const RouteOwner*> users;  // the oldest first; what is missing is told it
  bool is_left_out = false;              // of services_max
};

class LiveBackends {
 public:
  explicit LiveBackends(size_t services_max);
  ~LiveBackends();

  // Null: the object is gone.
  void take_service(const k8s::ObjectKey& key, const k8s::Object* object);
  void take_slice(const k8s::ObjectKey& key, const k8s::Object* object,
                  std::vector<k8s::Problem>* problems);

  // Once a user and key. The backend stays where it is until settle() after its last user left.
  LiveBackend* use(const ServiceKey& key, const RouteOwner* user);
  void leave(LiveBackend* backend, const RouteOwner* user);

  // What is now different from `before`, the model's services as they were at the last settle().
  std::vector<ServiceChange> settle(const std::vector<Service>& before, ProblemBook* problems);

 private:
  LiveService* find_or_make(const std::string& name_space, const std::string& name);
  void touch(LiveService* service);
  void share_places();
  void settle_one(LiveService* service, const std::vector<Service>& before, ProblemBook* problems,
                  std::vector<ServiceChange>* changes);
  std::vector<Service> resolve(LiveService* service, ProblemBook* problems);

  const size_t services_max_;
  std::unordered_map<std::string, std::unique_ptr<LiveService>> services_;  // by full_name()
  std::unordered_map<std::string, LiveService*> of_slice_;  // by full_name() of the slice
  std::vector<LiveService*> dirty_;
  size_t backend_count_ = 0;
  size_t left_out_count_ = 0;
};

}  // namespace millrace::model
