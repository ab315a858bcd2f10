#include "controlplane/store/store.h"

#include <set>
#include <utility>

#include <google/protobuf/util/message_differencer.h>

namespace millrace::store {

namespace {

const google::protobuf::Message& message_of(const k8s::AnyObject& object) {
  return std::visit([](const auto& body) -> const google::protobuf::Message& { return body; },
                    object);
}

bool same_content(const k8s::Object& left, const k8s::Object& right) {
  return left.body == right.body || google::protobuf::util::MessageDifferencer::Equals(
                                        message_of(*left.body), message_of(*right.body));
}

}  // namespace

bool Store::put(k8s::Object object) {
  const auto at = objects_.find(object.key);
  if (at == objects_.end()) {
    objects_.emplace(object.key, std::move(object));
    return true;
  }
  const bool changed = !same_content(at->second, object);
  at->second = std::move(object);
  return changed;
}

bool Store::remove(const k8s::ObjectKey& key) {
  return objects_.erase(key) > 0;
}

bool Store::replace(std::vector<k8s::Object> objects) {
  bool changed = false;
  std::set<k8s::ObjectKey> listed;
  for (k8s::Object& object : objects) {
    listed.insert(object.key);
    changed |= put(std::move(object));
  }
  for (auto at = objects_.begin(); at != objects_.end();) {
    const bool stays = listed.contains(at->first);
    changed |= !stays;
    at = stays ? std::next(at) : objects_.erase(at);
  }
  return changed;
}

}  // namespace millrace::store
