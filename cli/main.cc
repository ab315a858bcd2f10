// millrace: what an operator asks a running data plane and a running control plane, and tells the
// latter.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "cli/api_client.h"
#include "cli/connections.h"
#include "cli/control_verbs.h"
#include "cli/counters.h"
#include "cli/traffic.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::string folder = "/run/millrace";
  std::string state;
  std::string local;
  std::string remote;
  std::string sort;
  std::string output = "table";
  bool nonzero_only = false;
  ConnectionsOptions connections;
  std::string traffic_sort = "requests";
  std::string traffic_kind = "all";
  TrafficOptions traffic;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "millrace: %s\n", message.c_str());
  return exit_bad_use;
}

CLI::App* add_connections(CLI::App& app, Arguments& arguments) {
  CLI::App* verb = app.add_subcommand("connections", "one row a TCP connection");
  verb->add_option("--state", arguments.state, "only in this state, by its name in RFC 9293");
  verb->add_option("--local", arguments.local,
                   "only with this end of ours: address, prefix, address:port or :port");
  verb->add_option("--remote", arguments.remote, "only with this end of the peer's, likewise");
  verb->add_option("--sort", arguments.sort, "rtt, retransmits or queue; the greatest first")
      ->check(CLI::IsMember({"rtt", "retransmits", "queue"}));
  verb->add_option("--limit", arguments.connections.limit, "at most so many rows")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  return verb;
}

SortKey sort_key(const std::string& name) {
  if (name == "rtt") return SortKey::round_trip;
  if (name == "retransmits") return SortKey::retransmits;
  return name == "queue" ? SortKey::queue : SortKey::none;
}

int connections(Arguments& arguments) {
  ConnectionsOptions& options = arguments.connections;
  options.sort = sort_key(arguments.sort);
  options.folder = arguments.folder;
  options.json = arguments.output == "json";
  if (!arguments.state.empty()) {
    const auto state = parse_state(arguments.state);
    if (!state.ok()) return fail("--state: " + state.error());
    options.filter.state = *state;
  }
  if (!arguments.local.empty()) {
    const auto end = parse_end(arguments.local);
    if (!end.ok()) return fail("--local: " + end.error());
    options.filter.local = *end;
  }
  if (!arguments.remote.empty()) {
    const auto end = parse_end(arguments.remote);
    if (!end.ok()) return fail("--remote: " + end.error());
    options.filter.remote = *end;
  }
  return run_connections(options);
}

CLI::App* add_traffic(CLI::App& app, Arguments& arguments) {
  CLI::App* verb =
      app.add_subcommand("traffic", "requests, answers and times of each route and each service");
  verb->add_option("--kind", arguments.traffic_kind, "routes, services, statuses or all")
      ->check(CLI::IsMember({"routes", "services", "statuses", "all"}));
  verb->add_option("--over", arguments.traffic.over_seconds,
                   "what comes in so many seconds, not what has come since the start")
      ->check(CLI::Range(1, 3'600));
  verb->add_option("--sort", arguments.traffic_sort, "requests, errors or p99; the greatest first")
      ->check(CLI::IsMember({"requests", "errors", "p99"}));
  verb->add_option("--limit", arguments.traffic.limit, "at most so many rows of each kind")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--all", arguments.traffic.all, "also what nobody has asked for");
  verb->add_option("-o,--output", arguments.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  return verb;
}

int traffic(Arguments& arguments) {
  TrafficOptions& options = arguments.traffic;
  options.folder = arguments.folder;
  options.json = arguments.output == "json";
  const auto wants = [&](const char* kind) {
    return arguments.traffic_kind == kind || arguments.traffic_kind == "all";
  };
  options.routes = wants("routes");
  options.services = wants("services");
  options.statuses = wants("statuses");
  if (arguments.traffic_sort == "errors") options.sort = TrafficSort::errors;
  if (arguments.traffic_sort == "p99") options.sort = TrafficSort::p99;
  return run_traffic(options);
}

int start(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Millrace's command line: what is served, why, and what comes in."};
  app.name("millrace");
  app.add_option("--run", arguments.folder, "the folder of both programs' sockets")
      ->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();
  const CLI::App* listing = add_connections(app, arguments);
  const CLI::App* traffic_verb = add_traffic(app, arguments);
  CLI::App* counters = app.add_subcommand("counters", "every counter, a name and a number a line");
  counters->add_flag("--nonzero", arguments.nonzero_only, "without those that are 0");
  ControlVerbs control;
  control.add_to(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(error.what());
  }
  if (const auto code = control.run(arguments.folder)) return *code;
  if (listing->parsed()) return connections(arguments);
  if (traffic_verb->parsed()) return traffic(arguments);
  return run_counters(arguments.folder, arguments.nonzero_only);
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
  try {
    return millrace::cli::start(argc, argv);
  } catch (const std::exception& exception) {
    return millrace::cli::fail(exception.what());
  }
}
