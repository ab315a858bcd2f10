#include "cli/diff.h"

#include <cstdio>

#include "cli/api_client.h"
#include "controlplane/check/validate.h"

namespace millrace::cli {

namespace {

std::string side_text(const answer::RouteSide& side) {
  return side.backend() + " (Ingress " + side.ingress() + " rule " + std::to_string(side.rule()) +
         ")";
}

std::string route_text(const answer::RouteChange& change) {
  const char mark = change.change() == "added" ? '+' : change.change() == "removed" ? '-' : '~';
  std::string text = std::string(1, mark) + ' ' + (change.host().empty() ? "*" : change.host()) +
                     ' ' + change.path_type();
  if (!change.path().empty()) text += ' ' + change.path();
  if (change.shadowed()) text += " (shadowed)";
  text += "  ";
  if (change.has_before()) text += side_text(change.before());
  if (change.has_before() && change.has_after()) text += " -> ";
  if (change.has_after()) text += side_text(change.after());
  return text + '\n';
}

int diff_versions(const DiffOptions& options) {
  if (options.names.size() != 2) {
    std::fputs("millrace: diff wants two tables, such as `diff 11 12` or `diff live queued`\n",
               stderr);
    return exit_bad_use;
  }
  answer::Diff diff;
  const int code = ask(
      {options.folder, "GET", "/v1/diff", {{"from", options.names[0]}, {"to", options.names[1]}}},
      options.json, &diff);
  if (code != exit_fine) return exit_bad_use;
  if (!options.json) std::fputs(diff_text(diff).c_str(), stdout);
  return diff.equal() ? exit_fine : exit_no;
}

int diff_against_cluster(const DiffOptions& options) {
  const auto files = check::read_files(options.names);
  if (!files || options.names.empty()) {
    std::fprintf(stderr, "millrace: %s\n", files ? "no files are named" : files.error().c_str());
    return exit_bad_use;
  }
  answer::PlanRequest request;
  for (const check::File& file : *files) {
    answer::PlanRequest::File* one = request.add_files();
    one->set_name(file.name);
    one->set_text(file.text);
  }
  answer::Plan plan;
  const int code =
      ask({options.folder, "POST", "/v1/plan", {}, answer::to_json(request)}, options.json, &plan);
  if (code != exit_fine) return exit_bad_use;
  bool has_errors = false;
  for (const answer::Problem& problem : plan.problems()) {
    has_errors |= problem.severity() == "error";
    if (!options.json) std::puts(problem_text(problem).c_str());
  }
  if (!options.json) std::fputs(diff_text(plan.diff()).c_str(), stdout);
  return plan.diff().equal() && !has_errors ? exit_fine : exit_no;
}

}  // namespace

std::string diff_text(const answer::Diff& diff) {
  if (diff.equal()) return "no difference\n";
  std::string text;
  for (const answer::RouteChange& change : diff.routes()) text += route_text(change);
  if (diff.routes_more() > 0)
    text += "and " + std::to_string(diff.routes_more()) + " routes more\n";
  for (const answer::ServiceChange& change : diff.services()) {
    const bool is_changed = change.change() == "changed";
    text += is_changed ? '~' : change.change() == "added" ? '+' : '-';
    text += " service " + change.service() + ' ';
    for (const std::string& endpoint : change.endpoints_added()) text += " +" + endpoint;
    for (const std::string& endpoint : change.endpoints_removed()) text += " -" + endpoint;
    text += '\n';
  }
  if (diff.services_more() > 0) {
    text += "and " + std::to_string(diff.services_more()) + " services more\n";
  }
  return text;
}

std::string cause_text(const record::Cause& cause) {
  std::string text = cause.kind() + ' ';
  if (!cause.name_space().empty()) text += cause.name_space() + '/';
  text += cause.name() + ' ' + cause.change();
  std::string details;
  const auto add = [&](const std::string& detail) {
    if (!detail.empty()) details += (details.empty() ? "" : ", ") + detail;
  };
  if (!cause.resource_version().empty()) add("resourceVersion " + cause.resource_version());
  add(cause.field_manager());
  add(cause.place());
  return details.empty() ? text : text + " (" + details + ')';
}

std::string problem_text(const answer::Problem& problem) {
  std::string text = problem.severity() + ": ";
  if (!problem.place().empty()) text += problem.place() + ": ";
  if (!problem.object().empty()) text += problem.object() + ": ";
  return text + problem.sentence();
}

int run_diff(const DiffOptions& options) {
  return options.against_cluster ? diff_against_cluster(options) : diff_versions(options);
}

}  // namespace millrace::cli
