// Decides which table the data plane is to have: the one that the objects ask for, unless an
// operator holds its routes (a rollback pins them to a version, a freeze to what is published) or
// the guard holds an implausible one back; and notes each table that goes out in the history.
//
// While routes are held, endpoints go on following the cluster, unless the freeze is one of
// endpoints too. What the objects ask for meanwhile waits, with its causes, and goes out when
// nothing holds it any more. A hold is on the disk before it is in force and outlives restarts.
//
// A version's number is the one that the data plane sees. Numbers only grow and may have gaps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "controlplane/history/history.h"
#include "controlplane/history/model_message.h"
#include "controlplane/publish/causes.h"
#include "controlplane/publish/guard_watch.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/publish/served_ingresses.h"
#include "controlplane/publish/shrink_guard.h"
#include "controlplane/store/store.h"

namespace millrace::publish {

struct Moment {
  Instant now;
  uint64_t unix_ms = 0;
};
std::string rfc3339(uint64_t unix_ms);  // "2026-11-28T13:26:16.042Z"
record::Cause cause_of(const store::Change& change);

// Objects whose changes wait to be published are named up to here; further ones are counted.
constexpr size_t causes_waiting_max = 10'000;
// While something is held, all of what is held and of what is asked for is looked at this often at
// most.
constexpr Duration settle_interval = Duration::seconds(1);
// The history's whole tables are written when nothing was published for so long.
constexpr Duration history_quiet_time = Duration::milliseconds(300);

class Rollout {
 public:
  // Goes on where the history ends. `publisher` must outlive it. reads_labels: namespaces decide
  // who owns which hosts.
  Rollout(Publisher* publisher, std::unique_ptr<history::History> history,
          const ShrinkLimits& limits, bool reads_labels = false);

  // What the objects ask for now, a complete view, and which of them changed since the last call.
  // Answers what is wrong with what goes out, all that is true now.
  std::vector<k8s::Problem> offer(model::Model asked, const std::vector<store::Change>& changes,
                                  const store::Store& objects, Moment at);
  // The same of a model that its owner keeps true, and which stays where it is until the next
  // offer; `delta` has led to it from what was offered the last time (null: unknown). Costs what
  // the delta concerns; while something is held, at most once in settle_interval what there is.
  std::vector<k8s::Problem> offer_live(const model::Model& asked, const model::ModelDelta* delta,
                                       const std::vector<store::Change>& changes,
                                       const store::Store& objects, Moment at);
  // The guard asks again, what was put off is looked at, or the history begins a file, when due()
  // has come; otherwise nothing.
  std::optional<std::vector<k8s::Problem>> turn(const store::Store& objects, Moment at);
  Instant due() const { return std::min({guard_.due(), settle_due_, file_due_}); }
  // After the publisher has acted: it may have had to take another number.
  void follow_number();

  // ---- the operator ----
  // Each answers a sentence about what was done. Error: why it was not. `objects` as in offer().
  Result<std::string> rollback(uint64_t version, const store::Store& objects, Moment at);
  Result<std::string> release(const store::Store& objects, Moment at);
  Result<std::string> freeze(bool endpoints, const store::Store& objects, Moment at);
  Result<std::string> unfreeze(const store::Store& objects, Moment at);
  // What is offered now or within accept_time is meant.
  std::string accept(const store::Store& objects, Moment at);

  // The data plane has gone back by itself from one version to another: its routes are pinned, as
  // by rollback(), until they are released. An operator's own pin stays and is published again.
  void guard_went_back(const GuardAct& act, const store::Store& objects, Moment at);

  // ---- what is ----
  const history::History& history() const { return *history_; }
  const record::Hold& hold() const { return hold_; }
  const ShrinkGuard& guard() const { return guard_; }
  bool holds_routes() const { return hold_.frozen() || hold_.pinned_version() != 0; }
  // By rollback(); not by the data plane's guard.
  bool is_pinned_by_operator() const {
    return hold_.pinned_version() != 0 && hold_.guard_bad_version() == 0;
  }
  bool has_published() const { return publisher_->wanted_version() != 0; }
  const model::Model& published() const { return publisher_->wanted_model(); }
  TableSize published_size() const { return published_size_; }
  // Ingresses that have begun or ceased to have a route in it that answers; see ServedIngresses.
  ServedIngresses::Changes take_served_changes() { return served_.take_changes(); }
  // What the objects ask for; nullptr before the first offer().
  const model::Model* asked() const { return asked_; }
  // Objects whose changes are not published yet.
  const std::map<k8s::ObjectKey, store::Change>& waiting() const { return waiting_; }
  uint64_t waiting_more() const { return waiting_more_; }
  std::string content_hash() const { return hash_.text(); }
  // What is wrong with what goes out, and what was taken back.
  const std::vector<k8s::Problem>& problems() const { return problems_; }
  // Sentences for the log since the last call.
  std::vector<Event> take_events();
  // What the guard says; empty when it holds nothing back.
  const std::string& held_back() const { return held_back_; }

 private:
  enum class Trigger : uint8_t { objects, rollback, release, unfreeze, accept, guard };
  static const char* to_text(Trigger trigger);

  void tell_of_guard();
  void settle(Trigger trigger, const store::Store& objects, Moment at);
  bool settle_table(Trigger trigger, const model::Model& table, const store::Store& objects,
                    Moment at);
  bool settle_live(const model::ModelDelta& delta, const store::Store& objects, Moment at);
  bool wait_held(const model::ModelDelta& delta, const std::vector<store::Change>& changes,
                 const store::Store& objects, Moment at);
  bool guard_holds(TableSize table, Moment at);
  bool publish(Trigger trigger, const model::Model& table, const store::Store& objects, Moment at);
  bool publish_change(Trigger trigger, const model::ModelDelta& change, const store::Store& objects,
                      Moment at);
  bool conclude(Trigger trigger, const Result<std::vector<k8s::Problem>>& refused,
                const model::ModelDelta& change, const store::Store& objects, Moment at);
  void begin_history_file();
  void say_complaints();
  void add_table_problems();
  void record(Trigger trigger, const model::ModelDelta& change, const store::Store& objects,
              Moment at);
  void take_causes(const model::ModelDelta& change, const store::Store& objects,
                   record::Version* version);
  void note(const std::vector<store::Change>& changes, const model::ModelDelta& delta,
            const store::Store& objects);
  void note_all(const std::vector<store::Change>& changes);
  void note(const store::Change& change);
  void keep_causes(Changed changed, const store::Store& objects);
  std::string keep_hold();
  void say(k8s::Severity severity, std::string sentence);

  Publisher* publisher_;
  std::unique_ptr<history::History> history_;
  ShrinkGuard guard_;
  const bool reads_labels_;
  record::Hold hold_;
  model::Model held_;                    // hold_.table
  const model::Model* asked_ = nullptr;  // the owner's, or own_asked_
  model::Model own_asked_;
  TableSize asked_size_;
  bool in_step_ = false;       // what is published is what is asked for
  history::ContentHash hash_;  // of published(); as the next two
  TableSize published_size_;
  ServedIngresses served_;
  Instant settled_at_;
  Instant settle_due_ = Instant::never();
  Instant file_due_ = Instant::never();  // of the history, if it stays quiet until then
  std::map<k8s::ObjectKey, store::Change> waiting_;
  uint64_t waiting_more_ = 0;
  uint64_t recorded_ = 0;  // number of the newest version noted
  std::string held_back_;  // what the guard said last; empty: nothing is held back
  std::vector<k8s::Problem> problems_;
  std::vector<Event> events_;
  bool resumed_ = false;
  bool rollback_waits_ = false;  // given before anything was offered
};

}  // namespace millrace::publish
