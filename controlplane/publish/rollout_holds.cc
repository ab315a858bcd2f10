// What holds a table: an operator's word, and the data plane's guard.
#include <utility>

#include "controlplane/publish/rollout.h"

namespace millrace::publish {

using k8s::Severity;

// Empty, or what the answer must add.
std::string Rollout::keep_hold() {
  if (!holds_routes()) held_ = {};
  *hold_.mutable_table() = history::to_message(held_, nullptr);
  if (!holds_routes()) hold_.Clear();
  const Status kept = history_->write_hold(hold_);
  if (kept) return "";
  say(Severity::error, "what is held cannot be kept for a restart: " + kept.error());
  return "; it cannot be kept for a restart: " + kept.error();
}

Result<std::string> Rollout::rollback(uint64_t version, const store::Store& objects, Moment at) {
  Result<model::Model> table = history_->model_at(version);
  if (!table) return Error{table.error()};
  held_ = std::move(*table);
  // By the number that it has now.
  const double number = history_->find(version)->number();
  hold_.set_pinned_version(number);
  hold_.set_pinned_time(rfc3339(at.unix_ms));
  hold_.clear_guard_bad_version();
  hold_.clear_guard_sentence();
  hold_.clear_guard_causes();
  const std::string kept = keep_hold();
  settle(Trigger::rollback, objects, at);
  std::string text = "the routes of version " + std::to_string(static_cast<uint64_t>(number)) +
                     " are pinned until `millrace release`";
  text += asked_ ? ", published as version " + std::to_string(publisher_->wanted_version())
                 : "; they go out when everything has been listed";
  say(Severity::note, "rollback: " + text);
  return text + kept;
}

Result<std::string> Rollout::release(const store::Store& objects, Moment at) {
  if (hold_.pinned_version() == 0) return Error{"nothing is pinned"};
  hold_.clear_pinned_version();
  hold_.clear_pinned_time();
  hold_.clear_guard_bad_version();
  hold_.clear_guard_sentence();
  hold_.clear_guard_causes();
  // Still frozen: what is published stays.
  if (hold_.frozen()) held_ = published();
  const std::string kept = keep_hold();
  settle(Trigger::release, objects, at);
  std::string text = hold_.frozen()
                         ? "released; still frozen"
                         : "released; version " + std::to_string(publisher_->wanted_version()) +
                               " follows the objects again";
  say(Severity::note, text);
  return text + kept;
}

void Rollout::guard_went_back(const GuardAct& act, const store::Store& objects, Moment at) {
  Result<model::Model> table = history_->model_at(act.back_to_version);
  // A number that ours had once is, in the data plane, another one's table.
  if (table &&
      history_->find(act.back_to_version)->number() != static_cast<double>(act.back_to_version)) {
    table = Error{"it is of another history"};
  }
  const std::string what = "the data plane went back from version " +
                           std::to_string(act.bad_version) + " to version " +
                           std::to_string(act.back_to_version) + ": " + act.sentence;
  if (is_pinned_by_operator()) {
    publisher_->went_back(act.back_to_version);
    if (has_published()) publisher_->want_anew();
    say(Severity::error, what + "; the routes of version " +
                             std::to_string(static_cast<uint64_t>(hold_.pinned_version())) +
                             " stay pinned, as an operator said, and go out again");
    return;
  }
  if (!table) {
    say(Severity::error,
        what + "; its routes cannot be pinned (" + table.error() +
            "), so the next change of any object is published with the routes that "
            "failed");
    return;
  }
  publisher_->went_back(act.back_to_version);
  held_ = std::move(*table);
  hold_.set_pinned_version(history_->find(act.back_to_version)->number());
  hold_.set_pinned_time(rfc3339(at.unix_ms));
  hold_.set_guard_bad_version(static_cast<double>(act.bad_version));
  hold_.set_guard_sentence(act.sentence);
  hold_.clear_guard_causes();
  if (const auto* bad = history_->find(act.bad_version)) {
    for (const record::Cause& cause : bad->causes()) *hold_.add_guard_causes() = cause;
  }
  const std::string kept = keep_hold();
  const uint64_t before = publisher_->wanted_version();
  settle(Trigger::guard, objects, at);
  // The same table, which the data plane had and left.
  if (has_published() && publisher_->wanted_version() == before) publisher_->want_anew();
  say(Severity::error, what + "; the routes of version " + std::to_string(act.back_to_version) +
                           " are pinned until `millrace release`" + kept);
}

// Said of every object whose change was in that version, so that their authors hear of it.
void Rollout::tell_of_guard() {
  if (hold_.guard_bad_version() == 0) return;
  const std::string sentence =
      "version " + std::to_string(static_cast<uint64_t>(hold_.guard_bad_version())) +
      " was taken back: " + hold_.guard_sentence() + "; the routes of version " +
      std::to_string(static_cast<uint64_t>(hold_.pinned_version())) +
      " answer until `millrace release`";
  for (const record::Cause& cause : hold_.guard_causes()) {
    std::string object = cause.kind() + ' ';
    if (!cause.name_space().empty()) object += cause.name_space() + '/';
    problems_.push_back({Severity::error, {}, object + cause.name(), sentence});
  }
  if (hold_.guard_causes().empty()) problems_.push_back({Severity::error, {}, "", sentence});
}

Result<std::string> Rollout::freeze(bool endpoints, const store::Store& objects, Moment at) {
  if (!has_published()) return Error{"nothing is published yet that could be frozen"};
  if (!holds_routes() || endpoints) held_ = published();
  hold_.set_frozen(true);
  hold_.set_endpoints_frozen(endpoints);
  hold_.set_frozen_time(rfc3339(at.unix_ms));
  hold_.set_frozen_version(static_cast<double>(publisher_->wanted_version()));
  const std::string kept = keep_hold();
  settle(Trigger::objects, objects, at);
  std::string text = "version " + std::to_string(publisher_->wanted_version()) + " is frozen, " +
                     (endpoints ? "endpoints too" : "endpoints go on following the cluster") +
                     "; changes wait until `millrace unfreeze`";
  say(Severity::note, text);
  return text + kept;
}

Result<std::string> Rollout::unfreeze(const store::Store& objects, Moment at) {
  if (!hold_.frozen()) return Error{"nothing is frozen"};
  hold_.clear_frozen();
  hold_.clear_endpoints_frozen();
  hold_.clear_frozen_time();
  hold_.clear_frozen_version();
  const std::string kept = keep_hold();
  settle(Trigger::unfreeze, objects, at);
  std::string text = "no longer frozen; ";
  text += holds_routes() ? "still pinned"
                         : "version " + std::to_string(publisher_->wanted_version()) +
                               " follows the objects again";
  say(Severity::note, text);
  return text + kept;
}

std::string Rollout::accept(const store::Store& objects, Moment at) {
  const bool was_held = guard_.is_holding();
  guard_.accept(at.now);
  if (was_held) settle(Trigger::accept, objects, at);
  return was_held ? "accepted; published as version " + std::to_string(publisher_->wanted_version())
                  : "nothing is held back; what comes within " +
                        std::to_string(accept_time.count_ms() / 1'000) + " s is taken as it is";
}

}  // namespace millrace::publish
