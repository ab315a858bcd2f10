// Writes `status.loadBalancer` of the Ingresses that are served: the addresses at which clients
// reach us (wanted_status.h). Each one only when it says something else, few at a time, by the
// leader.
//
// An object is looked at when there is a reason: it began or ceased to be served, it changed, what
// we did to it has rested. All of them only by who has become the leader, and when the addresses
// are others.
//
// What fails may be the fault of the object (an admission webhook that is away) or of the server.
// While others are written well it is the object's: it waits alone, longer and longer. While
// nothing is written well everything waits; only what was told meanwhile is tried, one now and
// then.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/time.h"
#include "controlplane/cluster/api_caller.h"
#include "controlplane/cluster/name_queue.h"
#include "controlplane/cluster/wanted_status.h"
#include "controlplane/store/reporter.h"
#include "controlplane/store/store.h"

namespace millrace::cluster {

constexpr size_t status_requests_max = 8;  // under way at a time
// Of those: for what was written or failed before; the rest is left to what was not yet tried.
constexpr size_t status_retries_max = 7;
constexpr Duration status_retry_first = Duration::seconds(1);
constexpr Duration status_retry_last = Duration::seconds(300);
// While nothing is written well (no answer, no rights, too many requests), nothing is tried for so
// long at the most.
constexpr Duration status_hold_last = Duration::seconds(60);
// But for one request so often at most, about what was told and not yet tried.
constexpr Duration status_probe_interval = Duration::seconds(5);
// Objects that one turn looks at; the others wait for the next turn.
constexpr size_t status_looks_max = 500;
// How long after its answer, or after it got none, the watch may come to tell what a request wrote:
// longer than a request takes, plus what a watch may lag behind.
constexpr Duration status_settle_time = Duration::seconds(60);
static_assert(status_settle_time > api_time_max);
// Addresses that were the wanted ones and still count as ours where nothing is served any more.
constexpr size_t status_texts_max = 16;

using store::IngressName;

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
  // Of the one that failed last, until it is well.
  const std::string& failure() const { return failure_; }
  // How often an object was compared with what it should say.
  uint64_t looked_at() const { return looked_at_; }
  // How often the addresses were made of the store.
  uint64_t addresses_read() const { return addresses_read_; }
  // Ingresses that something is known of beside what is served; for tests.
  size_t remembered() const {
    return work_.size() + dropped_.size() + told_.size() + again_.size() + suspects_.size();
  }

 private:
  // Where the next name to be looked at comes from.
  enum class Source : uint8_t { told, served, again };

  struct Work {
    HttpTransferId request = 0;
    bool is_retry = false;    // the request
    bool has_failed = false;  // since it was well
    Instant sent_at;
    Instant not_before;  // never: until somebody is written well, or nothing is held back any more
    Duration pause = status_retry_first;
    Instant shows_until;  // until then the watch may come to tell an address that we wrote
    Instant lost_until;   // until then a request that was not answered well may take effect

    Instant may_show_until() const { return std::max(shows_until, lost_until); }
  };

  void forget_gone(const IngressName& name, const store::Store& store);
  void forget_work(const IngressName& name);
  void lead(Instant now);
  void look_at_all();
  void follow_wanted(const store::Store& store);
  void rouse_rested(Instant now);
  void rouse_suspects(Instant now);
  Instant rested_due() const;
  Instant probe(const store::Store& store, Instant now);
  bool look_around(const store::Store& store, Instant now);
  bool look_at_next(Source source, const store::Store& store, Instant now);
  const IngressName* next_of(Source source);
  void done(Source source, const IngressName& name);
  bool look(const IngressName& name, bool is_retry, const store::Store& store, Instant now);
  bool says_ours(const std::string& text) const;
  bool has_place(bool is_retry) const;
  void settle(const IngressName& name, Instant now);
  void is_well(const IngressName& name);
  void write(const IngressName& name, bool clears, bool is_retry, Instant now);
  void take(const IngressName& name, const ApiAnswer& answer, bool clears, Instant now);
  void take_failure(const IngressName& name, const ApiAnswer& answer, bool clears, Instant now);
  void rest(const IngressName& name, Work* work, Instant now);
  void server_is_well(Instant now);
  void put_namespace_off(const std::string& name_space);
  void hold_back(Instant now);

  ApiCaller* api_;
  const StatusOptions options_;
  std::set<IngressName> served_;
  // Served before and no more: the address that we wrote is no longer true of them.
  std::set<IngressName> dropped_;
  std::map<IngressName, Work> work_;  // under way, or written a moment ago, or failed and waiting
  size_t under_way_ = 0;
  size_t retries_under_way_ = 0;
  NameQueue told_;  // to be looked at, because something was told of them
  // All of served_ are being looked at, around from pass_begin_; next_served_ is the next one.
  bool looks_at_all_ = true;
  bool has_wrapped_ = false;
  IngressName pass_begin_;
  IngressName next_served_;
  NameQueue again_;     // those that have rested, or were put off
  NameQueue suspects_;  // failed since anybody was written well: perhaps it is the server
  size_t next_source_ = 0;
  std::set<std::pair<Instant, IngressName>> resting_;  // by when they are looked at again
  Instant roused_at_;
  bool may_write_ = false;
  Instant leads_since_;
  bool addresses_may_differ_ = true;
  k8s::IngressLoadBalancerStatus wanted_;
  std::string wanted_text_;        // empty: nothing is known
  std::deque<std::string> texts_;  // of wanted_ now and before, the newest first
  Instant held_back_until_;
  Duration hold_ = status_retry_first;
  Instant probe_due_;
  Instant well_at_;  // when somebody was written well the last time
  Instant due_ = Instant::never();
  uint64_t written_ = 0;
  uint64_t failed_ = 0;
  uint64_t looked_at_ = 0;
  uint64_t addresses_read_ = 0;
  IngressName failure_of_;
  std::string failure_;
};

}  // namespace millrace::cluster
