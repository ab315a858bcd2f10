#include "controlplane/problem_log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <ctime>
#include <map>
#include <sstream>

#include "base/random.h"
#include "controlplane/log/structured_log.h"

namespace millrace {
namespace {

using k8s::Problem;

class ProblemLogTest : public ::testing::Test {
 protected:
  ProblemLogTest() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(out_));
    logger->set_formatter(log::make_formatter(log::Format::text));
    spdlog::set_default_logger(logger);
  }
  ~ProblemLogTest() override { spdlog::set_default_logger(before_); }

  // The lines without their time.
  std::string said(std::vector<Problem> problems) {
    log_.say(std::make_shared<const std::vector<Problem>>(std::move(problems)));
    std::istringstream lines(out_.str());
    out_.str("");
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      text += line.substr(line.find(' ') + 1) + '\n';
    }
    return text;
  }

  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream out_;
  ProblemLog log_;
};

// What a log says that looks at all of them each time.
class PlainLog {
 public:
  std::string said(const std::vector<Problem>& problems) {
    std::string text;
    std::map<std::string, Problem> present;
    for (const Problem& one : problems) {
      const std::string identity = one.place.file + ' ' + one.object + ' ' + one.sentence;
      if (!present.emplace(identity, one).second || said_.contains(identity)) continue;
      text += std::string(one.severity == k8s::Severity::error     ? "error "
                          : one.severity == k8s::Severity::warning ? "warning "
                                                                   : "info ") +
              one.text() + '\n';
    }
    for (const auto& [identity, one] : said_) {
      if (!present.contains(identity)) text += "info solved: " + one.text() + '\n';
    }
    said_ = std::move(present);
    return text;
  }

 private:
  std::map<std::string, Problem> said_;
};

Problem problem(const std::string& object, const std::string& sentence, int line = 1) {
  return {k8s::Severity::error, {"a.yaml", line}, object, sentence};
}

TEST_F(ProblemLogTest, EachIsSaidWhenItAppearsAndWhenItIsSolved) {
  const Problem one = problem("Ingress shop/a", "x");
  EXPECT_EQ(said({one, problem("Ingress shop/b", "y"), one}),
            "error a.yaml:1: Ingress shop/a: x\nerror a.yaml:1: Ingress shop/b: y\n");
  EXPECT_EQ(said({problem("Ingress shop/a", "x", 7), problem("Ingress shop/c", "z")}),
            "error a.yaml:1: Ingress shop/c: z\ninfo solved: a.yaml:1: Ingress shop/b: y\n")
      << "one twice and one on another line are the same";
  EXPECT_EQ(said({}),
            "info solved: a.yaml:7: Ingress shop/a: x\ninfo solved: a.yaml:1: Ingress shop/c: z\n");
}

// Problems that come, go, move, double and change their line and severity.
TEST_F(ProblemLogTest, AnyRowOfProblemsIsLoggedAsByWhoLooksAtAll) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Random random(seed);
    log_ = ProblemLog();
    PlainLog plain;
    std::vector<Problem> problems;
    for (int step = 0; step < 40; ++step) {
      if (random.chance(0.1)) problems.clear();
      for (uint64_t left = random.between(0, 6); left > 0; --left) {
        const auto at =
            problems.begin() + static_cast<std::ptrdiff_t>(random.between(0, problems.size()));
        if (at != problems.end() && random.chance(0.4)) {
          problems.erase(at);
          continue;
        }
        Problem one = problem("Ingress shop/i" + std::to_string(random.between(0, 30)), "x",
                              static_cast<int>(random.between(1, 3)));
        one.severity = static_cast<k8s::Severity>(random.between(0, 2));
        problems.insert(at, std::move(one));
      }
      ASSERT_EQ(said(problems), plain.said(problems)) << "seed " << seed << " step " << step;
    }
  }
}

TEST_F(ProblemLogTest, TenThousandThatStayCostAFractionOfLookingAtAll) {
  std::vector<Problem> problems;
  for (int i = 0; i < 10'000; ++i) {
    problems.push_back(problem("Ingress shop/i" + std::to_string(i), "has no endpoints at all"));
  }
  std::vector<Problem> others = problems;
  others[5'000].sentence = "is refused";
  const k8s::SharedProblems lists[] = {std::make_shared<const std::vector<Problem>>(problems),
                                       std::make_shared<const std::vector<Problem>>(others)};
  PlainLog plain;
  log_.say(lists[1]);
  plain.said(*lists[1]);
  const auto ticks_of = [&](const auto& say) {
    const std::clock_t began = std::clock();
    for (int i = 0; i < 20; ++i) say(lists[i % 2]);
    return std::clock() - began;
  };
  const std::clock_t ours = ticks_of([&](const auto& list) { log_.say(list); });
  const std::clock_t looks_at_all = ticks_of([&](const auto& list) { plain.said(*list); });
  EXPECT_LT(ours * 4, looks_at_all);
}

}  // namespace
}  // namespace millrace
