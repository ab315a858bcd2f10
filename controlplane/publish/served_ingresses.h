// Which Ingresses have a route in a table, kept true by what changes in it.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"

namespace millrace::publish {

class ServedIngresses {
 public:
  using Name = std::pair<std::string, std::string>;  // namespace and name

  ServedIngresses() = default;
  explicit ServedIngresses(const model::Model& table);

  // `change`: from the table that was counted so far.
  void apply(const model::ModelDelta& change);
  // With a route that answers; a shadowed one is none.
  std::set<Name> names() const;

 private:
  enum class Step { add, remove };
  void count(const model::Route& route, Step step);
  void count(const model::Host& host, Step step);

  std::map<Name, size_t> routes_;  // of each that has any
};

}  // namespace millrace::publish
