// Which problems there are now, by what they come from, so that a change of one thing changes only
// what was said about it. One object is told of at most k8s::object_problems_max; the rest is
// counted, as in k8s::ProblemList.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/k8s/problem.h"

namespace millrace::model {

// Where problems come from; their order is the order in which they are told.
struct ProblemOrigin {
  enum class Kind : uint8_t { ingress_class, ingress, host, cluster_default, slice, service };
  Kind kind = Kind::ingress;
  std::string order;  // among those of one kind

  auto operator<=>(const ProblemOrigin&) const = default;
};

// What is told now and was not, and the reverse; each by object, then in the order of telling. A
// problem that only moved to another line is in neither.
struct ProblemChanges {
  std::vector<k8s::Problem> appeared;
  std::vector<k8s::Problem> solved;

  bool operator==(const ProblemChanges&) const = default;
  bool empty() const { return appeared.empty() && solved.empty(); }
};

class ProblemBook {
 public:
  // All that this origin says from now on, instead of what it said before.
  void set(const ProblemOrigin& origin, std::vector<k8s::Problem> problems);

  // Whether nothing is said of anything: then who has nothing to say need not name itself.
  bool empty() const { return said_.empty(); }
  std::vector<k8s::Problem> all() const;
  // Since they were taken the last time.
  ProblemChanges take_changes();
  void forget_changes() { told_before_.clear(); }

 private:
  // Of one origin: what can be told at most, and how many more there are by object.
  struct More {
    k8s::Problem example;  // of the worst severity
    size_t count = 0;
  };
  struct Said {
    std::vector<k8s::Problem> problems;
    std::map<std::string, More> more;  // by id
  };
  static std::string id_of(const k8s::Problem& problem) {
    return problem.object + '\n' + problem.place.file;
  }
  std::vector<k8s::Problem> told(const std::string& id) const;
  void touch(const std::string& id);

  std::map<ProblemOrigin, Said> said_;
  std::map<std::string, std::set<ProblemOrigin>> origins_;        // by id
  std::map<std::string, std::vector<k8s::Problem>> told_before_;  // of ids that were touched
};

}  // namespace millrace::model
