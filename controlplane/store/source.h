// Where objects come from: a folder of manifests, an API server. A source has no thread and no loop
// of its own: the control loop polls fd() and calls turn(); the source writes what it learned into
// the store.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/store/store.h"

namespace millrace::store {

using SecretNames = std::set<std::pair<std::string, std::string>>;  // namespace and name

class Source {
 public:
  virtual ~Source() = default;

  // One descriptor that becomes readable when there is something to do; an epoll descriptor when
  // the source has several.
  virtual int fd() const = 0;
  // When turn() is to be called at the latest although fd() is quiet; Instant::never() for no such
  // time.
  virtual Instant due(Instant now) const = 0;
  // To be called when fd() is readable or due() has come, and never blocks for long. Puts what has
  // changed into `store`, which nobody else writes.
  virtual void turn(Instant now, Store* store) = 0;

  // Whether the store holds a complete view: every kind has been listed at least once. Nothing may
  // be published before. Never goes back to false.
  virtual bool has_synced() const = 0;
  // What is wrong with the source and with objects that could not be read; all that is true now,
  // not only what is new.
  virtual std::vector<k8s::Problem> problems() const = 0;
  // The operator's word (SIGHUP) that a shrinking which a guard holds back is meant.
  virtual void accept_removals() = 0;
  // Secrets are read only where they are named: these from now on. Those that are not among them
  // any more leave the store. To be called when the names have changed; a source without Secrets
  // has nothing to do.
  virtual void watch_secrets(const SecretNames&, Store*) {}
  // Grows whenever why_unknown() says something else of one of them than before.
  virtual uint64_t secrets_news() const { return 0; }
  // Nothing: it has been looked at, and the store has it or it does not exist. Else why not, or
  // empty while the first look is under way.
  virtual std::optional<std::string> why_unknown(const std::string& /*name_space*/,
                                                 const std::string& /*secret*/) const {
    return std::nullopt;
  }
  // For the log and for status: "folder /etc/millrace/manifests".
  virtual std::string name() const = 0;
};

}  // namespace millrace::store
