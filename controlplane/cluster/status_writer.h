// Writes `status.loadBalancer` of the Ingresses that are served: the addresses at which clients
// reach us (networking/v1 IngressLoadBalancerStatus). Each one only when it says something else,
// few at a time, by the leader.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "controlplane/cluster/api_caller.h"
#include "controlplane/store/store.h"

namespace millrace::cluster {

constexpr size_t status_requests_max = 8;  // under way at a time
constexpr Duration status_retry_first = Duration::seconds(1);
constexpr Duration status_retry_last = Duration::seconds(300);
// When it is not about one object (no answer, no rights, too many requests), nothing at all is
// written for so long at the most.
constexpr Duration status_hold_last = Duration::seconds(60);

// Where the addresses come from: the first that is set.
struct StatusOptions {
  bool writes = true;
  std::vector<std::string> addresses;  // IP addresses or host names
  std::string publish_service;         // "namespace/name": what its own status says
  bool from_nodes = false;             // InternalIP of every node that is ready
};

using IngressName = std::pair<std::string, std::string>;  // namespace, name

// What the options mean now; empty when nothing is known.
k8s::IngressLoadBalancerStatus wanted_status(const StatusOptions& options,
                                             const store::Store& store);

class StatusWriter {
 public:
  StatusWriter(ApiCaller* api, const StatusOptions& options) : api_(api), options_(options) {}
  ~StatusWriter();

  void serve(std::set<IngressName> served, Instant now);
  // While `may_write`; what is under way then goes on.
  void turn(Instant now, const store::Store& store, bool may_write);
  Instant due() const { return due_; }

  uint64_t written() const { return written_; }
  uint64_t failed() const { return failed_; }
  const std::string& failure() const { return failure_; }
  // Ingresses that something is known of beside what is served; for tests.
  size_t remembered() const { return work_.size() + dropped_.size(); }

 private:
  struct Work {
    HttpTransferId request = 0;
    Instant not_before;
    Duration pause = status_retry_first;
  };

  bool write_served(const store::Store& store, Instant now);
  bool write_dropped(const store::Store& store, Instant now);
  bool write(const IngressName& name, const k8s::IngressLoadBalancerStatus& wanted,
             const store::Store& store, Instant now);
  void end_pass(Instant now);
  void forget_gone(const store::Store& store);
  void take(const IngressName& name, const ApiAnswer& answer, bool clears, Instant now);
  void hold_back(Instant now);

  ApiCaller* api_;
  const StatusOptions options_;
  std::set<IngressName> served_;
  // Served before and no more: the address that we wrote is no longer true of them.
  std::set<IngressName> dropped_;
  std::map<IngressName, Work> work_;  // under way, or written a moment ago, or failed and waiting
  size_t under_way_ = 0;
  // Everything is compared in passes. One goes on where it stopped, so that with ten thousand to
  // write not all are looked at again with each answer.
  bool in_pass_ = false;
  IngressName next_served_;
  k8s::IngressLoadBalancerStatus wanted_;  // of this pass
  bool has_news_ = false;                  // since the last pass
  Instant held_back_until_;
  Duration hold_ = status_retry_first;
  Instant due_ = Instant::never();
  uint64_t written_ = 0;
  uint64_t failed_ = 0;
  std::string failure_;
};

}  // namespace millrace::cluster
