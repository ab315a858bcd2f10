#include "controlplane/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

namespace millrace {

namespace {

void add_cluster_options(CLI::App& app, ControlPlaneConfig* config) {
  app.add_option("--kubeconfig", config->kubeconfig,
                 "Watch the cluster that this file says how to reach")
      ->type_name("FILE");
  app.add_option("--context", config->context, "Context of the kubeconfig instead of its own")
      ->type_name("NAME");
  app.add_flag("--in-cluster", config->in_cluster,
               "Watch the cluster whose pod this is, as its service account");
  app.add_option("--watch-namespace", config->cluster.namespaces,
                 "Only this namespace; may be given more than once")
      ->type_name("NAME");
  app.add_flag("--tls-secrets", config->cluster.watch_secrets,
               "Look at the TLS Secrets that Ingresses name and say what is wrong with their "
               "certificates; needs rights to read these Secrets");
  app.add_option("--status-address", config->reporter.status.addresses,
                 "What to write to status.loadBalancer of Ingresses: an IP address or host name; "
                 "may be given more than once")
      ->type_name("ADDRESS");
  app.add_option("--publish-service", config->reporter.status.publish_service,
                 "Write the addresses that this Service of type LoadBalancer has")
      ->type_name("NAMESPACE/NAME");
  app.add_flag("--status-from-nodes", config->reporter.status.from_nodes,
               "Write the InternalIP of every node that is ready");
  app.add_option("--events", config->reporter.writes_events,
                 "Write Events about objects that are refused, shadowed or degraded")
      ->type_name("BOOL")
      ->capture_default_str();
  app.add_option("--lease-namespace", config->reporter.leader.name_space,
                 "Where the Lease lies that says who writes status and Events")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--lease-name", config->reporter.leader.lease, "Name of that Lease")
      ->type_name("NAME")
      ->capture_default_str();
}

void add_name_options(CLI::App* app, ControlPlaneConfig* config, std::string* dns_server) {
  app->add_flag("--external-names", config->model.serve_external_names,
                "Serve Services of type ExternalName by the IPv4 addresses that DNS gives; whoever "
                "may write a Service then reaches what this node reaches");
  app->add_option("--dns-server", *dns_server,
                  "Ask this DNS server for them instead of those of /etc/resolv.conf")
      ->type_name("ADDRESS:PORT");
}

void check_name_options(ControlPlaneConfig* config, const std::string& dns_server) {
  if (dns_server.empty()) return;
  config->dns.server = SocketAddress::parse(dns_server);
  if (!config->dns.server) {
    throw CLI::ValidationError("--dns-server",
                               k8s::quote(dns_server) + " is no ADDRESS:PORT, such as 10.0.0.2:53");
  }
  if (!config->model.serve_external_names) {
    throw CLI::ValidationError("--dns-server", "nothing is asked for without --external-names");
  }
}

// What lies outside the namespaces that are watched would silently never be seen.
void check_namespaces(const ControlPlaneConfig& config) {
  const std::vector<std::string>& namespaces = config.cluster.namespaces;
  if (namespaces.empty()) return;
  if (config.reporter.status.from_nodes) {
    throw CLI::ValidationError("--status-from-nodes",
                               "nodes belong to no namespace, so it excludes --watch-namespace; "
                               "--status-address and --publish-service do not");
  }
  const std::string& service = config.reporter.status.publish_service;
  const std::string name_space = service.substr(0, service.find('/'));
  if (!service.empty() &&
      std::find(namespaces.begin(), namespaces.end(), name_space) == namespaces.end()) {
    throw CLI::ValidationError("--publish-service", "namespace " + k8s::quote(name_space) +
                                                        " is not watched; give it to "
                                                        "--watch-namespace as well");
  }
}

void check_cluster_options(ControlPlaneConfig* config) {
  const auto check_name = [](const char* option, const std::string& name) {
    if (!k8s::is_dns_subdomain(name)) {
      throw CLI::ValidationError(option, k8s::quote(name) + " is no name of Kubernetes");
    }
  };
  for (const std::string& name : config->cluster.namespaces) check_name("--watch-namespace", name);
  check_name("--lease-namespace", config->reporter.leader.name_space);
  check_name("--lease-name", config->reporter.leader.lease);
  const std::string& service = config->reporter.status.publish_service;
  if (!service.empty()) {
    const size_t slash = service.find('/');
    if (slash == std::string::npos) {
      throw CLI::ValidationError("--publish-service",
                                 k8s::quote(service) + " is not NAMESPACE/NAME");
    }
    check_name("--publish-service", service.substr(0, slash));
    check_name("--publish-service", service.substr(slash + 1));
  }
  check_namespaces(*config);
  config->cluster.watches_nodes = config->reporter.status.from_nodes;
  if (!config->cluster.namespaces.empty()) {
    config->reporter.event_scope = cluster::EventScope::objects_of_namespaces;
  }
}

void add_state_options(CLI::App* app, ControlPlaneConfig* config, double* shrink_seconds) {
  app->add_option("--state-directory", config->state_directory,
                  "Where the history, pins and freezes are kept; default: `controlplane` beside "
                  "the socket")
      ->type_name("DIR");
  app->add_option("--api-socket", config->api_socket,
                  "Where `millrace` asks; default: `controlplane.sock` beside the socket")
      ->type_name("PATH");
  app->add_option("--metrics-address", config->metrics_address,
                  "Serve /metrics, /healthz and /readyz there, such as 127.0.0.1:9100; default: "
                  "nowhere")
      ->type_name("ADDRESS:PORT");
  app->add_option("--history-versions", config->history.versions_max,
                  "At most so many versions are kept")
      ->type_name("NUMBER")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app->add_option("--history-bytes", config->history.bytes_max,
                  "And at most so many bytes of them, or the newest file's if that is more")
      ->type_name("NUMBER")
      ->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 40))
      ->capture_default_str();
  app->add_option("--shrink-share", config->shrink.share_max,
                  "A table that loses more than this share of its routes or endpoints is held back")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("--shrink-confirmations", config->shrink.confirmations,
                  "Until so many looks have said the same; 0: nothing is held back")
      ->type_name("NUMBER")
      ->check(CLI::Range(0, 1'000))
      ->capture_default_str();
  app->add_option("--shrink-interval", *shrink_seconds, "Seconds between two of these looks")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 3'600.0))
      ->capture_default_str();
}

}  // namespace

std::string ControlPlaneConfig::beside_socket(const std::string& name) const {
  const size_t slash = socket.rfind('/');
  return slash == std::string::npos ? name : socket.substr(0, slash + 1) + name;
}

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  ControlPlaneConfig& config = line.config;
  double shrink_seconds = static_cast<double>(config.shrink.interval.count_ms()) / 1'000;
  CLI::App app{
      "Watches a Kubernetes cluster, or reads a folder of its manifests (Ingress, IngressClass, "
      "Service, EndpointSlice), and keeps the routing table of millrace-dataplane up to date."};
  app.name("millrace-controlplane");
  app.set_version_flag("--version", "millrace-controlplane 0.1.0");
  app.add_option("--manifests", config.manifests,
                 "Folder of manifests: *.yaml, *.yml, *.json, sub-folders included")
      ->type_name("DIR");
  add_cluster_options(app, &config);
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
  // A folder of manifests is written for us; a cluster may have other controllers.
  auto* classless = app.add_option(
      "--accept-classless", config.model.accept_classless,
      "Serve Ingresses that name no class when no IngressClass is the default (with --manifests "
      "true unless said otherwise, with a cluster false)");
  classless->type_name("BOOL");
  app.add_option("--policy", config.policy,
                 "File that says which namespaces may claim which hosts, and how much")
      ->type_name("FILE");
  app.add_flag("--once", config.once,
               "Read, check, print the table and the problems, publish nothing; exit 1 when "
               "something is wrong");
  app.add_flag("--allow-empty", config.allow_empty,
               "Publish an empty table when the folder holds no objects at start");
  std::string dns_server;
  add_name_options(&app, &config, &dns_server);
  add_state_options(&app, &config, &shrink_seconds);
  app.add_option("--log-level", config.log_level, "How much to say")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", config.log_format, "For people or for collectors of logs")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
    config.shrink.interval = Duration::milliseconds(static_cast<int64_t>(shrink_seconds * 1'000));
    // Not required(): CLI11 would name it before a mistyped option, which is the likelier mistake.
    const int sources = !config.manifests.empty() + !config.kubeconfig.empty() + config.in_cluster;
    if (sources == 0) {
      throw CLI::RequiredError("one of --manifests DIR, --kubeconfig FILE and --in-cluster");
    }
    if (sources > 1) {
      throw CLI::ValidationError("--manifests, --kubeconfig and --in-cluster exclude one another");
    }
    if (!is_live_cluster(config) && config.cluster.watch_secrets) {
      throw CLI::ValidationError("--tls-secrets", "no Secret is read from a folder of manifests");
    }
    check_name_options(&config, dns_server);
    check_cluster_options(&config);
    if (is_live_cluster(config) && classless->count() == 0) config.model.accept_classless = false;
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
