// Names that wait for their turn, each once, the one that waits longest first.
#pragma once

#include <cstdint>
#include <map>

#include "controlplane/store/reporter.h"

namespace millrace::cluster {

class NameQueue {
 public:
  // Where it stands already, it stays.
  void add(const store::IngressName& name) {
    if (turn_of_.try_emplace(name, turns_).second) names_.emplace(turns_++, name);
  }
  void erase(const store::IngressName& name) {
    const auto at = turn_of_.find(name);
    if (at == turn_of_.end()) return;
    names_.erase(at->second);
    turn_of_.erase(at);
  }
  bool empty() const { return names_.empty(); }
  size_t size() const { return names_.size(); }
  // Not of an empty one.
  const store::IngressName& first() const { return names_.begin()->second; }
  const store::IngressName& newest() const { return names_.rbegin()->second; }

 private:
  std::map<uint64_t, store::IngressName> names_;  // by their turn
  std::map<store::IngressName, uint64_t> turn_of_;
  uint64_t turns_ = 0;
};

}  // namespace millrace::cluster
