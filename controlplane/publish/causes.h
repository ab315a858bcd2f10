// Which objects a difference between two tables can come from: an object that changed and is not
// among them changed nothing that is served, and is no cause of a version.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "controlplane/model/delta.h"
#include "controlplane/store/store.h"

namespace millrace::publish {

// What is known of the objects that are asked about.
enum class Changed : uint8_t {
  just_now,  // each of them has changed with the difference
  perhaps,   // any of them may be as it was: after a restart every object is new
};

class Causes {
 public:
  // reads_labels: hosts are owned by labels of namespaces.
  Causes(const model::ModelDelta& change, Changed changed, bool reads_labels);

  bool contains(const k8s::ObjectKey& key, const store::Store& objects) const;
  // Whether the endpoints of this Service, of one of its ports at least, are others than before.
  bool moves(const std::string& name_space, const std::string& service) const {
    return services_.contains({name_space, service});
  }

 private:
  using Name = std::pair<std::string, std::string>;

  void add(const model::HostChange& host);
  void add(const model::Route& route) {
    ingresses_.emplace(route.source.name_space, route.source.ingress);
  }
  bool contains_slice(const k8s::ObjectKey& key, const store::Store& objects) const;
  static bool has_any(const std::set<Name>& names, const std::string& name_space);

  const Changed changed_;
  const bool reads_labels_;
  std::set<Name> ingresses_;
  std::set<Name> services_;
  bool has_bare_host_ = false;
};

}  // namespace millrace::publish
