#include "controlplane/cluster/secret_places.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace millrace::cluster {

store::SecretNames share_places(const store::SecretNames& names, const store::SecretNames& held,
                                size_t places_max) {
  if (names.size() <= places_max) return names;
  struct Wanted {
    std::vector<std::pair<std::string, std::string>> held;
    std::vector<std::pair<std::string, std::string>> others;
    size_t count() const { return held.size() + others.size(); }
  };
  std::map<std::string, Wanted> wanted;
  for (const auto& name : names) {
    Wanted& of_namespace = wanted[name.first];
    (held.contains(name) ? of_namespace.held : of_namespace.others).push_back(name);
  }
  // Who wants least is served first: what it leaves of its share the others divide.
  std::vector<const Wanted*> by_count;
  for (const auto& [name_space, one] : wanted) by_count.push_back(&one);
  std::stable_sort(by_count.begin(), by_count.end(),
                   [](const Wanted* a, const Wanted* b) { return a->count() < b->count(); });
  store::SecretNames places;
  for (size_t i = 0; i < by_count.size(); ++i) {
    const Wanted& one = *by_count[i];
    size_t left = std::min(one.count(), (places_max - places.size()) / (by_count.size() - i));
    for (const auto* list : {&one.held, &one.others}) {
      const size_t taken = std::min(left, list->size());
      places.insert(list->begin(), list->begin() + static_cast<ptrdiff_t>(taken));
      left -= taken;
    }
  }
  return places;
}

}  // namespace millrace::cluster
