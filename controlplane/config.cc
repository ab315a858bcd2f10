#include "controlplane/config.h"

#include <CLI/CLI.hpp>
#include <sstream>

namespace millrace {

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  ControlPlaneConfig& config = line.config;
  CLI::App app{
      "Reads a folder of Kubernetes manifests (Ingress, IngressClass, Service, EndpointSlice) and "
      "keeps the routing table of millrace-dataplane up to date with it."};
  app.name("millrace-controlplane");
  app.set_version_flag("--version", "millrace-controlplane 0.1.0");
  app.add_option("--manifests", config.manifests,
                 "Folder of manifests: *.yaml, *.yml, *.json, sub-folders included")
      ->type_name("DIR");
  app.add_option("--socket", config.socket, "Where millrace-dataplane listens")
      ->type_name("PATH")
      ->capture_default_str();
  app.add_option("--ingress-class", config.model.ingress_class,
                 "Class name that is ours even if no IngressClass says so")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--controller-name", config.model.controller_name,
                 "IngressClasses with this spec.controller are ours")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--accept-classless", config.model.accept_classless,
                 "Serve Ingresses that name no class when no IngressClass is the default")
      ->type_name("BOOL")
      ->capture_default_str();
  app.add_flag("--once", config.once,
               "Read, check, print the table and the problems, publish nothing; exit 1 when "
               "something is wrong");
  app.add_flag("--allow-empty", config.allow_empty,
               "Publish an empty table when the folder holds no objects at start");
  app.add_option("--log-level", config.log_level, "How much to say")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
    // Not required(): CLI11 would name it before a mistyped option, which is the likelier mistake.
    if (config.manifests.empty()) throw CLI::RequiredError("--manifests DIR");
  } catch (const CLI::Success& success) {
    std::ostringstream out;
    line.exits = true;
    line.exit_code = app.exit(success, out, out);
    line.text = out.str();
  } catch (const CLI::ParseError& error) {
    line.exits = true;
    line.exit_code = 2;
    line.text = std::string("millrace-controlplane: ") + error.what() + " (see --help)\n";
  }
  return line;
}

}  // namespace millrace
