#include "cli/validate.h"

#include <cstdio>

#include "cli/api_client.h"
#include "cli/diff.h"

namespace millrace::cli {

int run_validate(const ValidateVerb& verb) {
  const auto files = check::read_files(verb.paths);
  if (!files) {
    std::fprintf(stderr, "millrace: %s\n", files.error().c_str());
    return exit_bad_use;
  }
  std::string table;
  const answer::Validation answer = check::validate(*files, verb.options, &table);
  if (verb.json) {
    std::fputs(answer::to_json(answer).c_str(), stdout);
    return answer.valid() ? exit_fine : exit_no;
  }
  for (const answer::Problem& problem : answer.problems()) {
    std::puts(problem_text(problem).c_str());
  }
  if (verb.show_table) std::fputs(table.c_str(), stdout);
  std::printf("%s: %u objects, %u errors, %u warnings, %u notes\n",
              answer.valid() ? "valid" : "not valid", answer.objects(), answer.errors(),
              answer.warnings(), answer.notes());
  return answer.valid() ? exit_fine : exit_no;
}

}  // namespace millrace::cli
