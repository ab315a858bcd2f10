// A cluster in which everything happens at random and often collides: for tests that compare two
// ways to the same table.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "controlplane/store/store.h"

namespace millrace::model::testing {

class RandomCluster {
 public:
  explicit RandomCluster(uint64_t seed) : random_(seed) {}

  // One to four objects come, change or go.
  void step(store::Store* store);
  // Each object of the store once, in a random order.
  std::vector<k8s::Object> shuffled(const store::Store& store);

 private:
  void change_one(store::Store* store);
  k8s::Object object(k8s::ObjectKey key, k8s::AnyObject body);
  k8s::AnyObject body_of(const k8s::ObjectKey& key);
  k8s::Ingress ingress();
  void annotate(k8s::Ingress* ingress);
  void fill(k8s::IngressBackend* backend);
  k8s::IngressClass ingress_class();
  k8s::Service service();
  k8s::EndpointSlice slice();
  // One of the texts between spaces.
  std::string pick(const char* texts);

  Random random_;
};

}  // namespace millrace::model::testing
