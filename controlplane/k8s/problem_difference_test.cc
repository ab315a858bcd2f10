#include "controlplane/k8s/problem_difference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace millrace::k8s {
namespace {

Problem problem(uint64_t number) {
  return {Severity::note, {}, "Ingress shop/i" + std::to_string(number), "has no endpoints"};
}

std::vector<Problem> problems(uint64_t count) {
  std::vector<Problem> all;
  for (uint64_t i = 0; i < count; ++i) all.push_back(problem(i));
  return all;
}

std::map<Problem, int> counted(const std::vector<Problem>& all) {
  std::map<Problem, int> counts;
  for (const Problem& one : all) ++counts[one];
  return counts;
}

TEST(ProblemDifference, NothingDiffersFromItself) {
  const ProblemDifference differs = difference(problems(100), problems(100));
  EXPECT_TRUE(differs.before.empty());
  EXPECT_TRUE(differs.after.empty());
}

TEST(ProblemDifference, OfTenThousandOnlyTheFewThatDifferInTheirOrder) {
  const std::vector<Problem> before = problems(10'000);
  std::vector<Problem> after = before;
  after.insert(after.begin() + 9'000, {problem(90'001), problem(90'002)});
  after.insert(after.begin() + 6'000, {problem(60'001), problem(60'002)});
  after[5'000].sentence = "has one endpoint";
  after.erase(after.begin() + 10, after.begin() + 13);
  const ProblemDifference differs = difference(before, after);
  ASSERT_EQ(differs.before.size(), 4u);
  EXPECT_EQ(differs.before[0], &before[10]);
  EXPECT_EQ(differs.before[3], &before[5'000]);
  ASSERT_EQ(differs.after.size(), 5u);
  EXPECT_EQ(differs.after[0]->sentence, "has one endpoint");
  EXPECT_EQ(*differs.after[1], problem(60'001));
  EXPECT_EQ(*differs.after[2], problem(60'002));
  EXPECT_EQ(*differs.after[4], problem(90'002));
}

TEST(ProblemDifference, ALongRunThatWentLeavesTheRestAlone) {
  const std::vector<Problem> before = problems(10'000);
  std::vector<Problem> after = before;
  after.erase(after.begin() + 100, after.begin() + 1'100);
  EXPECT_EQ(difference(before, after).before.size(), 1'000u);
  EXPECT_EQ(difference(before, after).after.size(), 0u);
  EXPECT_EQ(difference(after, before).after.size(), 1'000u);
}

TEST(ProblemDifference, LongRunsAtSeveralPlacesLeaveTheRestAlone) {
  const std::vector<Problem> before = problems(10'000);
  std::vector<Problem> after = before;
  after.erase(after.begin() + 9'000, after.begin() + 9'100);
  for (uint64_t i = 0; i < 50; ++i) after.insert(after.begin() + 5'000, problem(50'000 + i));
  after.erase(after.begin() + 100, after.begin() + 120);
  after[50].sentence = "has one endpoint";
  const ProblemDifference differs = difference(before, after);
  ASSERT_EQ(differs.before.size(), 121u);
  EXPECT_EQ(differs.before[0], &before[50]);
  EXPECT_EQ(differs.before[1], &before[100]);
  EXPECT_EQ(differs.before[120], &before[9'099]);
  ASSERT_EQ(differs.after.size(), 51u);
  EXPECT_EQ(differs.after[0], &after[50]);
  EXPECT_EQ(*differs.after[50], problem(50'000));
  std::vector<Problem> reversed(before.rbegin(), before.rend());
  EXPECT_TRUE(difference(before, reversed).before.empty());
}

// Whatever happened to a list: what is taken out and put in leads from one to the other.
TEST(ProblemDifference, LeadsFromAnyListToAnyOther) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    const auto any = [&] {
      std::vector<Problem> all;
      for (uint64_t left = random.between(0, 60); left > 0; --left) {
        all.push_back(problem(random.between(0, 30)));
      }
      return all;
    };
    const std::vector<Problem> before = any();
    const std::vector<Problem> after = any();
    const ProblemDifference differs = difference(before, after);
    std::map<Problem, int> counts = counted(before);
    for (const Problem* one : differs.before) --counts[*one];
    for (const Problem* one : differs.after) ++counts[*one];
    std::erase_if(counts, [](const auto& one) { return one.second == 0; });
    ASSERT_EQ(counts, counted(after)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace::k8s
