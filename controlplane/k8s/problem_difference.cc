#include "controlplane/k8s/problem_difference.h"

#include <algorithm>
#include <span>

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

}  // namespace

ProblemDifference difference(const std::vector<Problem>& before,
                             const std::vector<Problem>& after) {
  ProblemDifference differs;
  Problems old = before;
  Problems young = after;
  cut_common_end(&old, &young);
  while (!old.empty() && !young.empty()) {
    const Problem& one = old.front();
    const Problem& other = young.front();
    if (one == other) {
      old = old.subspan(1);
      young = young.subspan(1);
      continue;
    }
    const size_t came = place_of(one, young);  // so many stand before it that it did not have
    const size_t went = place_of(other, old);
    if (came >= went) {
      differs.before.push_back(&one);
      old = old.subspan(1);
    }
    if (went >= came) {
      differs.after.push_back(&other);
      young = young.subspan(1);
    }
  }
  for (const Problem& problem : old) differs.before.push_back(&problem);
  for (const Problem& problem : young) differs.after.push_back(&problem);
  return differs;
}

}  // namespace millrace::k8s
