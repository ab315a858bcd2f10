#include "controlplane/store/store.h"

#include <set>
#include <utility>

namespace millrace::store {

std::string_view to_text(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::added: return "added";
    case ChangeKind::updated: return "updated";
    case ChangeKind::removed: return "removed";
  }
  return "";
}

bool Store::put(k8s::Object object) {
  const auto at = objects_.find(object.key);
  if (at == objects_.end()) {
    note(object, ChangeKind::added);
    objects_.emplace(object.key, std::move(object));
    return true;
  }
  const bool changed = at->second.body != object.body;
  if (changed) note(object, ChangeKind::updated);
  at->second = std::move(object);
  return changed;
}

bool Store::remove(const k8s::ObjectKey& key) {
  const auto at = objects_.find(key);
  if (at == objects_.end()) return false;
  erase(at);
  return true;
}

Store::Objects::iterator Store::erase(Objects::iterator at) {
  note(at->second, ChangeKind::removed);
  return objects_.erase(at);
}

bool Store::replace(std::vector<k8s::Object> objects) {
  return keep_only(objects_.begin(), objects_.end(), std::move(objects));
}

bool Store::replace(k8s::Kind kind, const std::string& name_space,
                    std::vector<k8s::Object> objects) {
  // The order of keys is kind, namespace, name: what is replaced lies together.
  const k8s::ObjectKey first{kind, name_space, ""};
  const auto is_inside = [&](const k8s::ObjectKey& key) {
    return key.kind == kind && (name_space.empty() || key.name_space == name_space);
  };
  const auto from = objects_.lower_bound(first);
  auto to = from;
  while (to != objects_.end() && is_inside(to->first)) ++to;
  return keep_only(from, to, std::move(objects));
}

// Of [from, to) only what `objects` has stays, and what is derived; then all of `objects` is put.
bool Store::keep_only(Objects::iterator from, Objects::iterator to,
                      std::vector<k8s::Object> objects) {
  std::set<k8s::ObjectKey> listed;
  for (const k8s::Object& object : objects) listed.insert(object.key);
  bool changed = false;
  while (from != to) {
    const bool stays = from->first.is_derived() || listed.contains(from->first);
    changed |= !stays;
    from = stays ? std::next(from) : erase(from);
  }
  for (k8s::Object& object : objects) changed |= put(std::move(object));
  return changed;
}

const k8s::Object* Store::find(const k8s::ObjectKey& key) const {
  const auto at = objects_.find(key);
  return at == objects_.end() ? nullptr : &at->second;
}

void Store::note(const k8s::Object& object, ChangeKind kind) {
  Change change{object.key, kind, object.body.resource_version(), object.field_manager,
                object.place};
  const auto [at, is_new] = changes_.try_emplace(object.key, change);
  if (is_new) return;
  const ChangeKind before = at->second.kind;
  if (before == ChangeKind::added && kind == ChangeKind::removed) {
    changes_.erase(at);
    return;
  }
  if (before == ChangeKind::added) change.kind = ChangeKind::added;
  if (before == ChangeKind::removed) change.kind = ChangeKind::updated;
  at->second = std::move(change);
}

std::vector<Change> Store::take_changes() {
  std::vector<Change> taken;
  taken.reserve(changes_.size());
  for (auto& [key, change] : changes_) taken.push_back(std::move(change));
  changes_.clear();
  return taken;
}

}  // namespace millrace::store
