#include "cli/routes.h"

#include <algorithm>
#include <cstdio>

#include "cli/api_client.h"
#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

namespace {

constexpr uint32_t page_routes = 10'000;  // the most that the API gives at once

void print(const answer::Route& route) {
  std::string rule = route.shadowed() ? "  (shadowed) " : "";
  rule += route.path_type() + (route.path().empty() ? "" : ' ' + route.path());
  const std::string host = route.host().empty() ? "*" : route.host();
  std::printf("%-32s %-36s %-32s %9u %s rule %u\n", host.c_str(), rule.c_str(),
              route.backend().c_str(), route.endpoints(), route.ingress().c_str(), route.rule());
}

}  // namespace

int run_routes(const RoutesOptions& options) {
  answer::Routes all;
  uint32_t offset = options.offset;
  const uint32_t end = options.limit == 0 ? UINT32_MAX : offset + options.limit;
  if (!options.json) {
    std::printf("%-32s %-36s %-32s %9s %s\n", "HOST", "PATH", "BACKEND", "ENDPOINTS", "INGRESS");
  }
  // A table that is published between two pages is seen half; its number says so.
  while (offset < end) {
    ApiQuestion question{options.folder, "GET", "/v1/routes", {{"version", options.version}}};
    question.query.emplace_back("offset", std::to_string(offset));
    question.query.emplace_back("limit", std::to_string(std::min(page_routes, end - offset)));
    if (options.host) question.query.emplace_back("host", *options.host);
    answer::Routes page;
    const ApiAnswer answer = ask(question);
    if (answer.status != 200) return ask(question, options.json, &page);
    if (!answer::from_json(answer.body, &page)) return exit_bad_use;
    if (!options.json) {
      for (const answer::Route& route : page.routes()) print(route);
    } else if (all.routes_size() == 0) {
      all = page;
    } else {
      all.MergeFrom(page);
    }
    offset += static_cast<uint32_t>(page.routes_size());
    if (page.routes_size() == 0 || offset >= page.total()) break;
  }
  all.set_offset(options.offset);
  if (options.json) std::fputs(answer::to_json(all).c_str(), stdout);
  return exit_fine;
}

}  // namespace millrace::cli
