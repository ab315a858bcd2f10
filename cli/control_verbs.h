// The verbs that ask the control plane, and those that do its work on files: their options.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/diff.h"
#include "cli/explain.h"
#include "cli/history.h"
#include "cli/hold.h"
#include "cli/routes.h"
#include "cli/validate.h"

namespace millrace::cli {

class ControlVerbs {
 public:
  void add_to(CLI::App* app);
  // The exit status of the verb that was named; nothing when it is none of these.
  std::optional<int> run(const std::string& folder);

 private:
  CLI::App* add(CLI::App* app, const char* name, const char* description);

  std::string output_ = "table";
  HistoryOptions history_;
  DiffOptions diff_;
  RoutesOptions routes_;
  std::string host_;
  ExplainOptions explain_;
  ValidateVerb validate_;
  uint64_t rollback_version_ = 0;
  bool freeze_endpoints_ = false;
  CLI::App* app_ = nullptr;
};

}  // namespace millrace::cli
