// The command line of millrace-controlplane.
#pragma once

#include <sys/types.h>
#include <string>

#include "base/result.h"
#include "controlplane/model/build.h"

namespace millrace {

struct ControlPlaneConfig {
  std::string manifests;
  std::string socket = "/run/millrace/dataplane.sock";
  std::string log_level = "info";
  model::Options model;
  bool once = false;
  bool allow_empty = false;
};

// What to do after reading the command line.
struct CommandLine {
  ControlPlaneConfig config;
  bool exits = false;  // --help, --version or a mistake: print `text` and leave
  int exit_code = 0;   // 2 for a mistake
  std::string text;
};

CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace millrace
