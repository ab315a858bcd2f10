#include "cli/explain.h"

#include <cstdio>

#include "cli/api_client.h"
#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

namespace {

std::string candidate_text(const answer::Candidate& candidate) {
  std::string text =
      (candidate.host().empty() ? "*" : candidate.host()) + ' ' + candidate.path_type();
  if (!candidate.path().empty()) text += ' ' + candidate.path();
  return text + " -> " + candidate.backend() + "  (Ingress " + candidate.ingress() + " rule " +
         std::to_string(candidate.rule()) + " path " + std::to_string(candidate.path_index()) +
         ")\n      " + candidate.why() + '\n';
}

void print(const ExplainOptions& options, const answer::Explanation& answer) {
  std::printf("%s host \"%s\" path \"%s\", version %.0f\n", options.method.c_str(),
              answer.host().c_str(), answer.path().c_str(), answer.version());
  if (answer.status() != 0) std::printf("%u: ", answer.status());
  std::printf("%s\n", answer.sentence().c_str());
  if (answer.has_winner()) std::printf("  =>  %s", candidate_text(answer.winner()).c_str());
  for (const std::string& endpoint : answer.endpoints()) {
    std::printf("      endpoint %s\n", endpoint.c_str());
  }
  for (const answer::Candidate& other : answer.others()) {
    std::printf("  not %s", candidate_text(other).c_str());
  }
  if (answer.others_more() > 0) std::printf("  and %u rules more\n", answer.others_more());
  for (const std::string& note : answer.notes()) std::printf("note: %s\n", note.c_str());
}

}  // namespace

int run_explain(const ExplainOptions& options) {
  ApiQuestion question{options.folder, "GET", "/v1/explain", {{"url", options.url}}};
  question.query.emplace_back("method", options.method);
  for (const std::string& header : options.headers) question.query.emplace_back("header", header);
  answer::Explanation answer;
  const int code = ask(question, options.json, &answer);
  if (code != exit_fine) return code;
  if (!options.json) print(options, answer);
  return answer.status() == 0 ? exit_fine : exit_no;
}

}  // namespace millrace::cli
