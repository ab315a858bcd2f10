#include "controlplane/model/problem_book.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace millrace::model {

namespace {

using k8s::object_problems_max;
using k8s::Problem;

// What is told of one object while its origins are walked in their order.
struct Count {
  Problem first;  // its object and place, and the worst severity
  size_t count = 0;
};

void count(const Problem& problem, size_t times, Count* counted) {
  if (counted->count == 0) counted->first = {problem.severity, problem.place, problem.object, {}};
  counted->first.severity = std::max(counted->first.severity, problem.severity);
  counted->count += times;
}

void tell_rest(const Count& counted, std::vector<Problem>* told) {
  if (counted.count <= object_problems_max) return;
  Problem rest = counted.first;
  rest.sentence = "and " + std::to_string(counted.count - object_problems_max) + " more problems";
  told->push_back(std::move(rest));
}

// A new line is no news.
bool same_news(const Problem& left, const Problem& right) {
  return left.severity == right.severity && left.object == right.object &&
         left.place.file == right.place.file && left.sentence == right.sentence;
}

// What of `problems` is not in `others`; each of the others answers for one.
std::vector<Problem> missing_in(const std::vector<Problem>& problems, std::vector<Problem> others) {
  std::vector<Problem> missing;
  for (const Problem& problem : problems) {
    const auto found = std::find_if(others.begin(), others.end(), [&](const Problem& other) {
      return same_news(problem, other);
    });
    if (found == others.end()) {
      missing.push_back(problem);
    } else {
      others.erase(found);
    }
  }
  return missing;
}

}  // namespace

void ProblemBook::set(const ProblemOrigin& origin, std::vector<Problem> problems) {
  const auto before = said_.find(origin);
  if (before == said_.end() && problems.empty()) return;
  if (before != said_.end()) {
    std::set<std::string> ids;
    for (const Problem& problem : before->second.problems) ids.insert(id_of(problem));
    for (const std::string& id : ids) {
      touch(id);
      const auto origins = origins_.find(id);
      origins->second.erase(origin);
      if (origins->second.empty()) origins_.erase(origins);
    }
    said_.erase(before);
  }
  if (problems.empty()) return;
  Said& said = said_[origin];
  std::map<std::string, size_t> counts;
  for (Problem& problem : problems) {
    const std::string id = id_of(problem);
    if (++counts[id] > object_problems_max) {
      More& more = said.more[id];
      if (more.count++ == 0 || more.example.severity < problem.severity) {
        more.example = std::move(problem);
      }
      continue;
    }
    touch(id);
    origins_[id].insert(origin);
    said.problems.push_back(std::move(problem));
  }
}

void ProblemBook::touch(const std::string& id) {
  if (!told_before_.contains(id)) told_before_.emplace(id, told(id));
}

std::vector<Problem> ProblemBook::told(const std::string& id) const {
  std::vector<Problem> told;
  const auto origins = origins_.find(id);
  if (origins == origins_.end()) return told;
  Count counted;
  for (const ProblemOrigin& origin : origins->second) {
    const Said& said = said_.at(origin);
    for (const Problem& problem : said.problems) {
      if (id_of(problem) != id) continue;
      count(problem, 1, &counted);
      if (counted.count <= object_problems_max) told.push_back(problem);
    }
    const auto more = said.more.find(id);
    if (more != said.more.end()) count(more->second.example, more->second.count, &counted);
  }
  tell_rest(counted, &told);
  return told;
}

std::vector<Problem> ProblemBook::all() const {
  std::vector<Problem> told;
  std::vector<Count> counts;  // in the order of their first problem
  std::unordered_map<std::string, size_t> index;
  const auto counted = [&](const std::string& id) -> Count& {
    const auto [at, is_new] = index.try_emplace(id, counts.size());
    if (is_new) counts.emplace_back();
    return counts[at->second];
  };
  for (const auto& [origin, said] : said_) {
    for (const Problem& problem : said.problems) {
      Count& one = counted(id_of(problem));
      count(problem, 1, &one);
      if (one.count <= object_problems_max) told.push_back(problem);
    }
    for (const auto& [id, more] : said.more) count(more.example, more.count, &counted(id));
  }
  for (const Count& one : counts) tell_rest(one, &told);
  return told;
}

ProblemChanges ProblemBook::take_changes() {
  ProblemChanges changes;
  for (const auto& [id, before] : std::exchange(told_before_, {})) {
    const std::vector<Problem> after = told(id);
    for (Problem& problem : missing_in(after, before)) {
      changes.appeared.push_back(std::move(problem));
    }
    for (Problem& problem : missing_in(before, after)) changes.solved.push_back(std::move(problem));
  }
  return changes;
}

}  // namespace millrace::model
