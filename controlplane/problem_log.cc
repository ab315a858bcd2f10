#include "controlplane/problem_log.h"

#include <utility>

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

void ProblemLog::say(const std::vector<k8s::Problem>& problems) {
  std::map<std::string, k8s::Problem> present;
  for (const k8s::Problem& problem : problems) {
    // Without its line: a comment above an object moves it and solves nothing.
    const std::string identity = problem.place.file + ' ' + problem.object + ' ' + problem.sentence;
    if (!present.emplace(identity, problem).second || said_.contains(identity)) continue;
    say_one(level_of(problem.severity), problem, problem.text(), false);
  }
  for (const auto& [identity, problem] : said_) {
    if (present.contains(identity)) continue;
    say_one(spdlog::level::info, problem, "solved: " + problem.text(), true);
  }
  said_ = std::move(present);
}

}  // namespace millrace
