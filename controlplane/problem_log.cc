#include "controlplane/problem_log.h"

#include <map>
#include <string>

#include "controlplane/k8s/problem_difference.h"
#include "controlplane/log/structured_log.h"

namespace millrace {

namespace {

spdlog::level::level_enum level_of(k8s::Severity severity) {
  switch (severity) {
    case k8s::Severity::note: return spdlog::level::info;
    case k8s::Severity::warning: return spdlog::level::warn;
    case k8s::Severity::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

// Without its line: a comment above an object moves it and solves nothing.
std::string identity_of(const k8s::Problem& problem) {
  return problem.place.file + ' ' + problem.object + ' ' + problem.sentence;
}

void say_one(spdlog::level::level_enum level, const k8s::Problem& problem, const std::string& line,
             bool is_solved) {
  const std::string place = problem.place.text();
  log::line(level, line,
            {{"object", problem.object},
             {"reason", k8s::reason_of(problem)},
             {"place", place},
             {"problem", problem.sentence},
             {"state", is_solved ? "solved" : "open"}});
}

}  // namespace

void log_line(k8s::Severity severity, const std::string& sentence) {
  log::line(level_of(severity), sentence, {});
}

void ProblemLog::say(const k8s::SharedProblems& problems) {
  if (problems == said_) return;
  const k8s::ProblemDifference differs = k8s::difference(*said_, *problems);
  for (const k8s::Problem* problem : differs.after) {
    if (++open_[identity_of(*problem)] > 1) continue;
    say_one(level_of(problem->severity), *problem, problem->text(), false);
  }
  std::map<std::string, const k8s::Problem*> solved;  // in the order of what they are
  for (const k8s::Problem* problem : differs.before) {
    const auto open = open_.find(identity_of(*problem));
    // The first of several is the one that was said.
    solved.emplace(open->first, problem);
    if (--open->second == 0) open_.erase(open);
  }
  for (const auto& [identity, problem] : solved) {
    if (open_.contains(identity)) continue;
    say_one(spdlog::level::info, *problem, "solved: " + problem->text(), true);
  }
  said_ = problems;
}

}  // namespace millrace
