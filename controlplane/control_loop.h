// The control plane's one thread: folder -> store -> model -> publisher, driven by poll.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "controlplane/config.h"
#include "controlplane/manifests/folder.h"
#include "controlplane/manifests/folder_watch.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/store/store.h"

namespace millrace {

class ControlLoop {
 public:
  // Opens the folder and reads it completely. Error: it cannot be read.
  static Result<ControlLoop> open(const ControlPlaneConfig& config, uint64_t seed);

  // --once: the table and the problems as text. `is_clean`: no warning and no error among them.
  std::string report(bool* is_clean) const;

  // Runs until SIGTERM or SIGINT, read from `signal_fd` (a signalfd). SIGHUP accepts the removals
  // that the folder's guard holds back.
  void run(int signal_fd);

 private:
  ControlLoop(const ControlPlaneConfig& config, manifests::FolderWatch watch, uint64_t seed);

  void look(Instant now);
  void rebuild();
  void say_problems(const std::vector<k8s::Problem>& problems);
  void say_events();
  bool take_signals(int signal_fd);
  int timeout_ms(Instant now) const;

  ControlPlaneConfig config_;
  manifests::Folder folder_;
  manifests::FolderWatch watch_;
  store::Store store_;
  publish::Publisher publisher_;
  std::vector<k8s::Problem> folder_problems_;
  // Problems that are in the log and not solved yet: what they are -> what was said.
  std::map<std::string, std::string> said_;
  bool folder_is_lost_ = false;
  bool may_publish_ = false;  // the folder has held an object, or may be empty
  bool said_empty_ = false;
};

}  // namespace millrace
