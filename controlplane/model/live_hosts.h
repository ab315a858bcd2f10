// Every host that rules make known, with what they ask for of it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/parallel.h"
#include "controlplane/model/delta.h"
#include "controlplane/model/host_rules.h"
#include "controlplane/model/model.h"
#include "controlplane/model/problem_book.h"

namespace millrace::model {

struct LiveHost {
  std::string name;
  HostRules rules;
  size_t mentions = 0;  // Ingresses with a rule for it
  bool is_dirty = false;
};

class LiveHosts {
 public:
  // How many are to come.
  void reserve(size_t hosts);
  LiveHost* find_or_make(const std::string& name);
  // What is asked of it has changed. A host without mentions is gone at the next settle().
  void touch(LiveHost* host);

  // What is now different from `before`, the model's hosts as they were at the last settle().
  std::vector<HostChange> settle(const std::vector<Host>& before, ProblemBook* problems);
  // The first settle(): all the model's hosts, each by itself on one of the threads.
  std::vector<Host> settle_all(Threads threads, ProblemBook* problems);

 private:
  // By their own names.
  struct ByName {
    using is_transparent = void;
    static std::string_view name_of(std::string_view name) { return name; }
    static std::string_view name_of(const std::unique_ptr<LiveHost>& host) { return host->name; }
    template <class Named>
    size_t operator()(const Named& one) const {
      return std::hash<std::string_view>()(name_of(one));
    }
    template <class Left, class Right>
    bool operator()(const Left& left, const Right& right) const {
      return name_of(left) == name_of(right);
    }
  };
  void sort_dirty();

  std::unordered_set<std::unique_ptr<LiveHost>, ByName, ByName> hosts_;
  std::vector<LiveHost*> dirty_;
};

}  // namespace millrace::model
