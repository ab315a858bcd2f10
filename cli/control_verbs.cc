#include "cli/control_verbs.h"

#include "cli/status.h"

namespace millrace::cli {

CLI::App* ControlVerbs::add(CLI::App* app, const char* name, const char* description) {
  CLI::App* verb = app->add_subcommand(name, description);
  verb->add_option("-o,--output", output_, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  return verb;
}

void ControlVerbs::add_to(CLI::App* app) {
  app_ = app;
  add(app, "status", "what is published, pinned, frozen, queued, held back, and what is wrong");

  CLI::App* history = add(app, "history", "the versions that were published; of one, its causes");
  history->add_option("version", history_.version, "this one, with its causes and what it changed");
  history->add_option("--limit", history_.limit, "at most so many versions")
      ->check(CLI::Range(1, 1'000));

  CLI::App* diff = add(app, "diff", "what differs between two tables; 1 when something does");
  diff->add_option("tables", diff_.names,
                   "two of: a version's number, live, queued; with --against-cluster: files")
      ->required();
  diff->add_flag("--against-cluster", diff_.against_cluster,
                 "what would change if these files were applied to the running cluster");

  CLI::App* routes = add(app, "routes", "the rules and where each leads");
  routes->add_option("--version", routes_.version, "of a version, or of: live, queued")
      ->capture_default_str();
  routes->add_option("--host", host_, "only of this host, as the rule has it");
  routes->add_option("--limit", routes_.limit, "at most so many; 0: all");
  routes->add_option("--offset", routes_.offset, "beginning behind so many");

  CLI::App* explain = add(app, "explain", "which rule answers a URL, and why no other one does");
  explain->add_option("url", explain_.url, "http://shop.example/cart")->required();
  explain->add_option("--method", explain_.method, "the request's method")->capture_default_str();
  explain->add_option("--header", explain_.headers, "a field of the request, \"Name: value\"")
      ->allow_extra_args(false);

  CLI::App* rollback = add(app, "rollback", "pins the routes of a version, until release");
  rollback->add_option("version", rollback_version_, "whose routes")->required();
  add(app, "release", "what the objects ask for is published again");
  CLI::App* freeze = add(app, "freeze", "what is published stays; changes are queued");
  freeze->add_flag("--endpoints", freeze_endpoints_, "endpoints too, which go on otherwise");
  add(app, "unfreeze", "what is queued is published");
  add(app, "accept", "what is held back as implausible is meant");

  CLI::App* validate = add(app, "validate", "checks manifests; needs no control plane");
  validate->add_option("files", validate_.paths, "files, folders, - for standard input")
      ->required();
  validate->add_flag("--partial", validate_.options.is_partial,
                     "Services and endpoints are elsewhere: it is fine that they are missing");
  validate->add_flag("--strict", validate_.options.is_strict, "a warning counts like an error");
  validate->add_flag("--table", validate_.show_table, "also print the table that they make");
  validate->add_option("--ingress-class", validate_.options.model.ingress_class, "our class")
      ->capture_default_str();
  validate
      ->add_option("--controller-name", validate_.options.model.controller_name,
                   "IngressClasses with this spec.controller are ours")
      ->capture_default_str();
  validate
      ->add_option("--accept-classless", validate_.options.model.accept_classless,
                   "serve Ingresses without a class when no IngressClass is the default")
      ->capture_default_str();
  validate->add_flag("--external-names", validate_.options.model.serve_external_names,
                     "Services of type ExternalName are served; DNS is not asked here");
}

std::optional<int> ControlVerbs::run(const std::string& folder) {
  const auto is = [&](const char* name) { return app_->got_subcommand(name); };
  const bool json = output_ == "json";
  history_.folder = diff_.folder = routes_.folder = explain_.folder = folder;
  history_.json = diff_.json = routes_.json = explain_.json = validate_.json = json;
  if (is("status")) return run_status(folder, json);
  if (is("history")) return run_history(history_);
  if (is("diff")) return run_diff(diff_);
  if (is("routes")) {
    if (app_->get_subcommand("routes")->count("--host") > 0) routes_.host = host_;
    return run_routes(routes_);
  }
  if (is("explain")) return run_explain(explain_);
  if (is("validate")) return run_validate(validate_);
  if (is("rollback")) {
    return run_hold({folder, "rollback", {{"version", std::to_string(rollback_version_)}}, json});
  }
  if (is("freeze")) {
    const std::string endpoints = freeze_endpoints_ ? "true" : "false";
    return run_hold({folder, "freeze", {{"endpoints", endpoints}}, json});
  }
  for (const char* verb : {"release", "unfreeze", "accept"}) {
    if (is(verb)) return run_hold({folder, verb, {}, json});
  }
  return std::nullopt;
}

}  // namespace millrace::cli
