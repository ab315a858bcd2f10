// Writes `status.loadBalancer` of the Ingresses that are served: the addresses at which clients
// reach us (networking/v1 IngressLoadBalancerStatus). Each one only when it says something else,
// few at a time, by the leader.
//
// An object is looked at when there is a reason: it began or ceased to be served, it changed, what
// we did to it has rested. All of them only by who has become the leader, and when the addresses
// are others.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "controlplane/cluster/api_caller.h"
#include "controlplane/store/reporter.h"
#include "controlplane/store/store.h"

namespace millrace::cluster {

constexpr size_t status_requests_max = 8;  // under way at a time
constexpr Duration status_retry_first = Duration::seconds(1);
constexpr Duration status_retry_last = Duration::seconds(300);
// When it is not about one object (no answer, no rights, too many requests), nothing at all is
// written for so long at the most.
constexpr Duration status_hold_last = Duration::seconds(60);
// Objects that one turn looks at; the others wait for the next turn.
constexpr size_t status_looks_max = 500;

// Where the addresses come from: the first that is set.
struct StatusOptions {
  bool writes = true;
  std::vector<std::string> addresses;  // IP addresses or host names
  std::string publish_service;         // "namespace/name": what its own status says
  bool from_nodes = false;             // InternalIP of every node that is ready
};

using store::IngressName;

// What the options mean now; empty when nothing is known.
k8s::IngressLoadBalancerStatus wanted_status(const StatusOptions& options,
                                             const store::Store& store);

class StatusWriter {
 public:
  StatusWriter(ApiCaller* api, const StatusOptions& options) : api_(api), options_(options) {}
  ~StatusWriter();

  // What has changed since it was told the last time; its problems are none of ours.
  void tell(const store::Report& report, const store::Store& store);
  // While `may_write`; what is under way then goes on.
  void turn(Instant now, const store::Store& store, bool may_write);
  Instant due() const { return due_; }

  uint64_t written() const { return written_; }
  uint64_t failed() const { return failed_; }
  const std::string& failure() const { return failure_; }
  // How often an object was compared with what it should say.
  uint64_t looked_at() const { return looked_at_; }
  // Ingresses that something is known of beside what is served; for tests.
  size_t remembered() const { return work_.size() + dropped_.size() + look_.size(); }

 private:
  struct Work {
    HttpTransferId request = 0;
    Instant not_before;
    Duration pause = status_retry_first;
  };

  void forget_gone(const IngressName& name, const store::Store& store);
  void look_soon(const IngressName& name);
  void look_at_all();
  void follow_wanted(const store::Store& store);
  void rouse_rested(Instant now);
  bool look_at_served(const store::Store& store, Instant now, size_t* looks);
  bool look_at_named(const store::Store& store, Instant now, size_t* looks);
  bool look(const IngressName& name, const store::Store& store, Instant now);
  void write(const IngressName& name, const k8s::IngressLoadBalancerStatus& wanted);
  void take(const IngressName& name, const ApiAnswer& answer, bool clears, Instant now);
  void hold_back(Instant now);

  ApiCaller* api_;
  const StatusOptions options_;
  std::set<IngressName> served_;
  // Served before and no more: the address that we wrote is no longer true of them.
  std::set<IngressName> dropped_;
  std::map<IngressName, Work> work_;  // under way, or written a moment ago, or failed and waiting
  size_t under_way_ = 0;
  Instant rested_due_ = Instant::never();  // when some of work_ may be touched again
  // To be looked at, one after the other from next_look_ on and around, so that those that fail
  // each time do not keep the others waiting.
  std::set<IngressName> look_;
  IngressName next_look_;
  // All of served_ are being looked at, and next_served_ and those behind it wait for it.
  bool looks_at_all_ = true;
  IngressName next_served_;
  bool may_write_ = false;
  bool has_news_ = false;  // the addresses may be others
  k8s::IngressLoadBalancerStatus wanted_;
  std::string wanted_text_;  // empty: nothing is known
  Instant held_back_until_;
  Duration hold_ = status_retry_first;
  Instant due_ = Instant::never();
  uint64_t written_ = 0;
  uint64_t failed_ = 0;
  uint64_t looked_at_ = 0;
  std::string failure_;
};

}  // namespace millrace::cluster
