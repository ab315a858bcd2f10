// Every Service port that routes lead to, with the Services and slices that say what is behind it.
#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/parallel.h"
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

// A namespace and a name in it.
struct FullName {
  std::string_view name_space;
  std::string_view name;

  auto operator<=>(const FullName&) const = default;
};

class LiveBackends {
 public:
  LiveBackends(size_t services_max, bool serve_external_names);
  ~LiveBackends();

  // How many Services and slices are to come.
  void reserve(size_t services, size_t slices);
  // Null: the object is gone.
  void take_service(const k8s::ObjectKey& key, const k8s::Object* object);
  // owner: the name of the Service that it belongs to; nothing: of none.
  void take_slice(const k8s::ObjectKey& key, const k8s::Object* object,
                  const std::optional<std::string>& owner, std::vector<k8s::Problem>* problems);

  // Once a user and key. The backend stays where it is until settle() after its last user left.
  LiveBackend* use(ServiceKey key, const RouteOwner* user);
  void leave(LiveBackend* backend, const RouteOwner* user);

  // What is now different from `before`, the model's services as they were at the last settle().
  std::vector<ServiceChange> settle(const std::vector<Service>& before, ProblemBook* problems);
  // The first settle(): all the model's services, each by itself on one of the threads.
  std::vector<Service> settle_all(Threads threads, ProblemBook* problems);

 private:
  struct ByName {
    using is_transparent = void;
    size_t operator()(const FullName& name) const;
    size_t operator()(const std::unique_ptr<LiveService>& service) const;
    bool operator()(const FullName& left, const std::unique_ptr<LiveService>& right) const;
    bool operator()(const std::unique_ptr<LiveService>& left, const FullName& right) const;
    bool operator()(const std::unique_ptr<LiveService>& left,
                    const std::unique_ptr<LiveService>& right) const;
  };
  // By the hash of the slice's full name.
  using SliceOwners = std::unordered_multimap<size_t, LiveService*>;

  LiveService* find_or_make(const FullName& name);
  SliceOwners::iterator find_slice(const FullName& slice, size_t hash, const std::string& name);
  void begin_settling();
  void touch(LiveService* service);
  void share_places();
  void settle_one(LiveService* service, const std::vector<Service>& before, ProblemBook* problems,
                  std::vector<ServiceChange>* changes);
  std::vector<k8s::Problem> resolve(const LiveService& service, EndpointResolver* resolver,
                                    Service* services) const;

  const size_t services_max_;
  const bool serve_external_names_;
  std::unordered_set<std::unique_ptr<LiveService>, ByName, ByName> services_;
  SliceOwners of_slice_;
  std::vector<LiveService*> dirty_;
  size_t last_found_ = 0;  // into dirty_, if it is as long
  size_t backend_count_ = 0;
  size_t left_out_count_ = 0;
};

}  // namespace millrace::model
