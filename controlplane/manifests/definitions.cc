#include "controlplane/manifests/definitions.h"

#include <algorithm>
#include <utility>

namespace millrace::manifests {

using k8s::Object;
using k8s::ObjectKey;

void Definitions::set(const std::string& file, std::vector<Object> objects, size_t fresh_count) {
  const auto at = files_.try_emplace(file).first;
  take_out(*at);
  missing_count_ -= at->second.missing ? 1 : 0;
  at->second = {std::move(objects), fresh_count, false};
  add(*at);
}

void Definitions::set_missing(const std::string& file, bool missing) {
  const auto at = files_.find(file);
  if (at == files_.end() || at->second.missing == missing) return;
  take_out(*at);
  at->second.missing = missing;
  missing_count_ += missing ? 1 : -1;
  add(*at);
}

void Definitions::remove(const std::string& file) {
  const auto at = files_.find(file);
  if (at == files_.end()) return;
  take_out(*at);
  missing_count_ -= at->second.missing ? 1 : 0;
  files_.erase(at);
}

const std::vector<Object>& Definitions::of(const std::string& file) const {
  static const std::vector<Object> none;
  const auto at = files_.find(file);
  return at == files_.end() ? none : at->second.objects;
}

void Definitions::add(const Entry& file) {
  const auto comes_first = [](const Entry* name, const Definition& other) {
    return name->first < other.file->first;
  };
  const std::vector<Object>& objects = file.second.objects;
  for (size_t i = 0; i < objects.size(); ++i) {
    AllOfKey& all = by_key_[objects[i].key];
    all.insert(std::upper_bound(all.begin(), all.end(), &file, comes_first), {&file, i});
    note(objects[i].key, &all);
  }
}

void Definitions::take_out(const Entry& file) {
  for (const Object& object : file.second.objects) {
    const auto at = by_key_.find(object.key);
    if (at == by_key_.end()) continue;  // it stands twice in this file, and is out already
    AllOfKey& all = at->second;
    std::erase_if(all, [&](const Definition& one) { return one.file == &file; });
    note(object.key, &all);
    if (all.empty()) by_key_.erase(at);
  }
}

void Definitions::note(const ObjectKey& key, const AllOfKey* all) {
  changed_.insert(key);
  size_t said = 0;
  for (auto at = all->begin(); at != all->end() && said < 2; ++at) said += at->is_said_now();
  if (said > 1) {
    contested_.insert(key);
  } else {
    contested_.erase(key);
  }
}

const Object* Definitions::find(const ObjectKey& key) const {
  const auto at = by_key_.find(key);
  if (at == by_key_.end()) return nullptr;
  const auto said = std::find_if(at->second.begin(), at->second.end(),
                                 [](const Definition& one) { return one.is_said_now(); });
  return said != at->second.end() ? &said->object() : &at->second.front().object();
}

bool Definitions::is_only_in(const ObjectKey& key, const std::string& file) const {
  const auto at = by_key_.find(key);
  return at == by_key_.end() ||
         std::all_of(at->second.begin(), at->second.end(),
                     [&](const Definition& one) { return one.file->first == file; });
}

std::set<ObjectKey> Definitions::take_changed() {
  return std::exchange(changed_, {});
}

void Definitions::tell_contested(k8s::ProblemList* problems) const {
  for (const ObjectKey& key : contested_) {
    const Object* counts = nullptr;
    for (const Definition& one : by_key_.at(key)) {
      if (!one.is_said_now()) continue;
      if (counts == nullptr) {
        counts = &one.object();
        continue;
      }
      problems->add({k8s::Severity::warning, one.object().place, key.text(),
                     "is defined at " + counts->place.text() +
                         " too, which counts because it comes first; this one is left out"});
    }
  }
}

}  // namespace millrace::manifests
