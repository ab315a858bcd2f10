// Manifests checked by themselves, before anybody applies them: what `millrace validate` runs in a
// Git repository's pipeline. By the same reader and the same rules as the running control plane.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "controlplane/answers/answers.pb.h"
#include "controlplane/model/build.h"

namespace millrace::check {

struct File {
  std::string name;
  std::string text;
};

// Files, folders (their *.yaml, *.yml, *.json, at every depth, by name) and "-" (standard input).
// Error: one of them cannot be read.
Result<std::vector<File>> read_files(const std::vector<std::string>& paths);

struct ValidateOptions {
  model::Options model;
  bool is_partial = false;  // Services and endpoints are elsewhere: that they are missing is fine
  bool is_strict = false;   // a warning is as bad as an error
};

// `text`, if it is there: the table that these files would make, for people.
answer::Validation validate(const std::vector<File>& files, const ValidateOptions& options,
                            std::string* text);

}  // namespace millrace::check
