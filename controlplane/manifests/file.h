// One manifest file: its documents as objects, and what was wrong with the others.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"

namespace millrace::manifests {

// A manifest of 10,000 Ingresses has about 6 MB; an API server refuses objects above 1.5 MB.
constexpr size_t file_bytes_max = 32U << 20;

struct ParsedFile {
  std::vector<k8s::Object> objects;    // in the file's order; a key may stand there twice
  std::vector<k8s::Problem> problems;  // documents that are no object we can read
  bool holds_documents = false;        // false for a file of white space only
  bool broken() const { return !problems.empty(); }
};

// Reads every document of `text` (YAML, of which JSON is a part; several documents divided by
// "---"; `List` kinds are opened). Kinds that routing does not need are skipped in silence. A
// document that cannot be read is a problem and never keeps the others from being read. `file` is
// the name for places and messages.
ParsedFile parse_file(const std::string& file, std::string_view text);

}  // namespace millrace::manifests
