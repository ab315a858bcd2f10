// The latest version of every object, by kind, namespace and name. Whoever reads the cluster (the
// folder today) writes it, the model is built from it. The order of events leaves no trace: two
// stores that were told the same objects are equal.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "controlplane/k8s/object.h"

namespace millrace::store {

class Store {
 public:
  using Objects = std::map<k8s::ObjectKey, k8s::Object>;

  // Each answers whether content changed; a new place alone is no change of content, yet kept.
  bool put(k8s::Object object);
  bool remove(const k8s::ObjectKey& key);
  // These and no others: a complete list. One object a key, any order.
  bool replace(std::vector<k8s::Object> objects);

  const Objects& objects() const { return objects_; }
  size_t size() const { return objects_.size(); }
  bool empty() const { return objects_.empty(); }

 private:
  Objects objects_;
};

}  // namespace millrace::store
