// Which Ingresses have a route in a table, kept true by what changes in it.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/model/delta.h"
#include "controlplane/model/model.h"

namespace millrace::publish {

class ServedIngresses {
 public:
  using Name = std::pair<std::string, std::string>;  // namespace and name

  // In the order of names.
  struct Changes {
    std::vector<Name> began;   // to be served
    std::vector<Name> ceased;  // to be served
  };

  // This table instead of the one that was counted so far.
  void replace(const model::Model& table);
  // `change`: from the table that was counted so far.
  void apply(const model::ModelDelta& change);
  // With a route that answers; a shadowed one is none.
  std::set<Name> names() const;
  // What is served now was told by a process before this one.
  void begin_journal() { journal_.emplace(); }
  // From what names() was when they were taken the last time to what it is now. The first time all
  // of it began; and what the journal began with and is no more has ceased.
  Changes take_changes();

 private:
  enum class Step { add, remove };
  void count(const model::Route& route, Step step);
  void count(const model::Host& host, Step step);

  void note(const Name& name, Step step);

  std::map<Name, size_t> routes_;  // of each that has any
  // What was added or removed since it was taken, one entry a name: what came back is none. Kept
  // only from its beginning on, or for who has taken once.
  std::optional<std::map<Name, Step>> journal_;
  bool was_taken_ = false;
};

}  // namespace millrace::publish
