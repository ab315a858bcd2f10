#include "controlplane/k8s/problem_difference.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>

namespace millrace::k8s {

namespace {

using Problems = std::span<const Problem>;

// At which place it stands; difference_window when it is at none of the first.
size_t place_of(const Problem& wanted, Problems problems) {
  const Problems window = problems.first(std::min(difference_window, problems.size()));
  const auto at = std::find(window.begin(), window.end(), wanted);
  return at == window.end() ? difference_window : static_cast<size_t>(at - window.begin());
}

// Both without the end that they have in common: one run of any length that came or went leaves
// nothing behind it to be compared with a shifted list.
void cut_common_end(Problems* one, Problems* other) {
  while (!one->empty() && !other->empty() && one->back() == other->back()) {
    *one = one->first(one->size() - 1);
    *other = other->first(other->size() - 1);
  }
}

struct HashOf {
  size_t operator()(const Problem* one) const {
    const std::hash<std::string> hash;
    return hash(one->object) * 31 + hash(one->sentence);
  }
};
struct Same {
  bool operator()(const Problem* one, const Problem* other) const { return *one == *other; }
};

// Wherever they stand.
void compare_counts(Problems old, Problems young, ProblemDifference* differs) {
  std::unordered_map<const Problem*, size_t, HashOf, Same> counts;
  counts.reserve(old.size());
  for (const Problem& problem : old) ++counts[&problem];
  for (const Problem& problem : young) {
    const auto count = counts.find(&problem);
    if (count == counts.end() || count->second == 0) {
      differs->after.push_back(&problem);
    } else {
      --count->second;
    }
  }
  for (const Problem& problem : old) {
    size_t& count = counts[&problem];
    if (count == 0) continue;
    --count;
    differs->before.push_back(&problem);
  }
}

}  // namespace

ProblemDifference difference(const std::vector<Problem>& before,
                             const std::vector<Problem>& after) {
  ProblemDifference differs;
  Problems old = before;
  Problems young = after;
  cut_common_end(&old, &young);
  size_t misses = 0;  // in a row, as many at the end of both lists of what differs
  while (!old.empty() && !young.empty()) {
    const Problem& one = old.front();
    const Problem& other = young.front();
    if (one == other) {
      misses = 0;
      old = old.subspan(1);
      young = young.subspan(1);
      continue;
    }
    const size_t came = place_of(one, young);  // so many stand before it that it did not have
    const size_t went = place_of(other, old);
    misses = came == difference_window && went == difference_window ? misses + 1 : 0;
    if (came >= went) {
      differs.before.push_back(&one);
      old = old.subspan(1);
    }
    if (went >= came) {
      differs.after.push_back(&other);
      young = young.subspan(1);
    }
    if (misses < difference_misses_max) continue;
    differs.before.resize(differs.before.size() - misses);
    differs.after.resize(differs.after.size() - misses);
    compare_counts({old.data() - misses, old.size() + misses},
                   {young.data() - misses, young.size() + misses}, &differs);
    return differs;
  }
  for (const Problem& problem : old) differs.before.push_back(&problem);
  for (const Problem& problem : young) differs.after.push_back(&problem);
  return differs;
}

}  // namespace millrace::k8s
