// The latest version of every object, by kind, namespace and name. Whoever reads the cluster (a
// folder, an API server) writes it, the model is built from it. The order of events leaves no trace
// in it: two stores that were told the same objects are equal. What changed on the way there is
// kept beside it, one change a key, until somebody takes it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controlplane/k8s/object.h"

namespace millrace::store {

enum class ChangeKind : uint8_t { added, updated, removed };
std::string_view to_text(ChangeKind kind);  // "added"

// What happened to one object since changes were taken the last time. An object that came and went
// in between left no trace, and one that went and came is updated.
struct Change {
  k8s::ObjectKey key;
  ChangeKind kind = ChangeKind::updated;
  // Of the object's newest state; for a removed one, of the last state known.
  std::string resource_version;
  std::string field_manager;
  k8s::Place place;

  auto operator<=>(const Change&) const = default;
};

class Store {
 public:
  using Objects = std::map<k8s::ObjectKey, k8s::Object>;

  // Each answers whether content changed; a new place alone is no change of content, yet kept.
  bool put(k8s::Object object);
  bool remove(const k8s::ObjectKey& key);
  // These and no others: a complete list of everything. One object a key, any order. Derived
  // objects (ObjectKey::is_derived) stay: whoever lists what there is knows nothing of them.
  bool replace(std::vector<k8s::Object> objects);
  // These and no others of this kind; of one namespace, or of all of them when it is empty.
  bool replace(k8s::Kind kind, const std::string& name_space, std::vector<k8s::Object> objects);

  const Objects& objects() const { return objects_; }
  const k8s::Object* find(const k8s::ObjectKey& key) const;  // null when there is none
  size_t size() const { return objects_.size(); }
  bool empty() const { return objects_.empty(); }

  // By key. Empty again behind it.
  std::vector<Change> take_changes();
  bool has_changes() const { return !changes_.empty(); }
  // What take_changes() would give.
  const std::map<k8s::ObjectKey, Change>& changes() const { return changes_; }

 private:
  void note(const k8s::Object& object, ChangeKind kind);
  Objects::iterator erase(Objects::iterator at);
  bool keep_only(Objects::iterator from, Objects::iterator to, std::vector<k8s::Object> objects);

  Objects objects_;
  std::map<k8s::ObjectKey, Change> changes_;
};

}  // namespace millrace::store
