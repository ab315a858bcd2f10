// YAML into a protobuf message, guided by the message's descriptor: the rules that an API server's
// decoder keeps, with the line and the field named in every refusal.
//
// - A field is found by its JSON name; fields the message does not declare are skipped.
// - Quoted scalars are strings. Plain scalars are what YAML takes them for: `port: "80"` is a
// string
//   where a number belongs and `name: 80` a number where a string belongs, both are errors.
// - null leaves a field unset.
// - The same field twice in one mapping is an error: readers disagree on which one counts.
#pragma once

#include <cstddef>
#include <string>

#include <google/protobuf/message.h>
#include <yaml-cpp/node/node.h>

#include "base/result.h"

namespace millrace::manifests {

// What one file may hold after its aliases are followed; a small file can name a large one.
constexpr size_t file_values_max = 2'000'000;

// A refusal: where and why. `line` counts from 1 in the text that was loaded.
struct FieldError {
  int line = 0;
  std::string field;  // "spec.rules[0].http.paths[1].backend.service.port.number"
  std::string sentence;
};

// Counts what is read, across all documents of one file.
struct ValueBudget {
  size_t left = file_values_max;
};

// Fills `message` from the mapping `node`. Returns true, or false with `error` filled; then the
// message holds what was read before the error and must not be used.
bool read_message(const YAML::Node& node, google::protobuf::Message* message, ValueBudget* budget,
                  FieldError* error);

// The line of a node, from 1; 0 when yaml-cpp does not know it.
int line_of(const YAML::Node& node);

}  // namespace millrace::manifests
