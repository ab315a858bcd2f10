// What differs between two lists of problems, by one comparison of each problem where little does:
// of ten thousand a change makes or solves a few, and who follows them need not look at the others.
// In time linear in the lists, whatever happened to them.
#pragma once

#include <cstddef>
#include <vector>

#include "controlplane/k8s/problem.h"

namespace millrace::k8s {

// Two that differ are looked for in the other list over so many places; not found there, both
// count as different.
constexpr size_t difference_window = 16;
// So many such pairs in a row: some longer run came or went. From the first of them on the lists
// are compared by a count of each problem, wherever it stands.
constexpr size_t difference_misses_max = 16;

// What stands in one list and was not found in the other, in the order of its list. A problem of
// one list answers for one of the other. Where some changed places, one may be in both: who must
// not take it for news looks whether it is. Points into the lists.
struct ProblemDifference {
  std::vector<const Problem*> before;
  std::vector<const Problem*> after;
};

ProblemDifference difference(const std::vector<Problem>& before, const std::vector<Problem>& after);

}  // namespace millrace::k8s
