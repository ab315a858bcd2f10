// The command line of millrace-controlplane.
#pragma once

#include <sys/types.h>
#include <string>

#include "base/result.h"
#include "controlplane/cluster/cluster_reporter.h"
#include "controlplane/cluster/cluster_source.h"
#include "controlplane/history/history.h"
#include "controlplane/model/build.h"
#include "controlplane/names/dns_client.h"
#include "controlplane/publish/shrink_guard.h"

namespace millrace {

struct ControlPlaneConfig {
  // Where objects come from: one of these three.
  std::string manifests;
  std::string kubeconfig;
  bool in_cluster = false;
  // Of a live cluster.
  std::string context;  // of the kubeconfig; empty: its current one
  cluster::ClusterOptions cluster;
  cluster::ReporterOptions reporter;

  std::string socket = "/run/millrace/dataplane.sock";
  std::string log_level = "info";
  std::string log_format = "text";  // or "json"
  model::Options model;
  names::DnsOptions dns;  // whom to ask, with model.serve_external_names
  std::string policy;     // file of host owners and quotas; empty: everybody may claim everything
  bool once = false;
  bool allow_empty = false;
  std::string state_directory;  // empty: "controlplane" beside `socket`
  std::string api_socket;       // empty: "controlplane.sock" beside `socket`
  std::string metrics_address;  // empty: no TCP at all
  history::Limits history;
  publish::ShrinkLimits shrink;

  std::string beside_socket(const std::string& name) const;
};

// What to do after reading the command line.
struct CommandLine {
  ControlPlaneConfig config;
  bool exits = false;  // --help, --version or a mistake: print `text` and leave
  int exit_code = 0;   // 2 for a mistake
  std::string text;
};

inline bool is_live_cluster(const ControlPlaneConfig& config) {
  return config.manifests.empty();
}

CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace millrace
