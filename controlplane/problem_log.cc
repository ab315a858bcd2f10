#include "controlplane/problem_log.h"

#include <spdlog/spdlog.h>

#include <utility>

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

}  // namespace

void log_line(k8s::Severity severity, const std::string& sentence) {
  spdlog::log(level_of(severity), "{}", sentence);
}

void ProblemLog::say(const std::vector<k8s::Problem>& problems) {
  std::map<std::string, std::string> present;
  for (const k8s::Problem& problem : problems) {
    // Without its line: a comment above an object moves it and solves nothing.
    const std::string identity = problem.place.file + ' ' + problem.object + ' ' + problem.sentence;
    if (!present.emplace(identity, problem.text()).second) continue;
    if (!said_.contains(identity)) log_line(problem.severity, problem.text());
  }
  for (const auto& [identity, text] : said_) {
    if (!present.contains(identity)) spdlog::info("solved: {}", text);
  }
  said_ = std::move(present);
}

}  // namespace millrace
