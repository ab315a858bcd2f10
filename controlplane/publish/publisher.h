// Brings the newest table to the data plane, through its absences and ours.
//
// One connection at a time, made anew after a pause that doubles from reconnect_first to
// reconnect_last, with jitter. The data plane's hello says which version it has: when it is not the
// table we want there (it was restarted, we were, somebody else published), the table is published;
// versions always go on from the highest one seen, so a control plane that was killed does not
// start at 1 again. An identical table is never published twice to the same data plane. A refused
// table is not sent again until it changes or the data plane comes back; the old one stays there.
//
// No clock and no loop of its own: main.cc polls fd() and calls.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "controlplane/compile/live_table.h"
#include "controlplane/k8s/problem.h"
#include "shm/channel.h"

namespace millrace::publish {

constexpr Duration reconnect_first = Duration::milliseconds(50);
constexpr Duration reconnect_last = Duration::seconds(2);
// A data plane that says neither hello nor accepted for this long is connected to anew.
constexpr Duration answer_time_max = Duration::seconds(10);
// A refusal may pass (a worker that hangs), so it is asked again this often; it is said once.
constexpr Duration refused_retry = Duration::seconds(5);

enum class EventKind : uint8_t { other, refused, accepted };

// A line for the log.
struct Event {
  k8s::Severity severity = k8s::Severity::note;
  std::string sentence;
  EventKind kind = EventKind::other;
};

class Publisher {
 public:
  Publisher(std::string socket_path, shm::ChannelPeers peers, uint64_t seed);

  // What was wanted last by a process before this one, to be called before the first want(): when
  // that asks for the same table, it keeps number and slots, so a data plane that has it is sent
  // nothing.
  void resume(uint64_t version, model::Model model, compile::SlotTable slots);
  // Numbers go on behind this one; likewise.
  void number_after(uint64_t version);

  // The table that the data plane is to have from now on. Answers the routes that the format could
  // not take. Error: the table as a whole cannot be built; the one before stays wanted.
  Result<std::vector<k8s::Problem>> want(model::Model model);
  // The same by what differs from wanted_model(); behind the first want(), and only if it is not
  // empty. Costs what the difference concerns.
  Result<std::vector<k8s::Problem>> want_change(const model::ModelDelta& change);

  // What the format refuses of what is wanted.
  std::vector<k8s::Problem> problems() const { return table_.problems(); }

  // Whether what is wanted from now on is an operator's choice, which the data plane's guard leaves
  // alone; beside the want() that it belongs to.
  void set_deliberate(bool is_deliberate) { is_deliberate_ = is_deliberate; }
  // What is wanted once more, under the next number; behind the first want().
  void want_anew();

  // The data plane has gone back to this version by itself: what is wanted is not there any more.
  // To be followed by another want(), or want_anew(): the number that is wanted is spent.
  void went_back(uint64_t version) {
    applied_version_ = version;
    applied_is_ours_ = false;
  }

  // Connects or publishes when it is time to. To be called whenever due() has come and after
  // want(), on_readable() and on_writable().
  void turn(Instant now);
  void on_readable(Instant now);
  void on_writable(Instant now);

  int fd() const { return client_ ? client_->fd() : -1; }
  bool wants_write() const { return client_ && client_->wants_write(); }
  Instant due() const { return due_; }  // Instant::never() while only the data plane can act

  std::vector<Event> take_events();

  bool is_connected() const { return client_ != nullptr; }
  // 0 before the first want(). May grow without one: when the data plane has, or had, another table
  // under that number.
  uint64_t wanted_version() const { return wanted_ ? wanted_->version : 0; }
  // Before the first want(): what resume() said.
  const model::Model& wanted_model() const { return model_; }
  const compile::SlotTable& wanted_slots() const { return table_.slots(); }
  bool data_plane_has_wanted() const;
  // The data plane's last refusal of what is wanted; empty when it has not refused.
  const std::string& refusal() const { return refusal_; }
  // The version that the connected data plane has said to have; 0 while there is none.
  uint64_t applied_version() const { return applied_version_; }
  // The newest table of ours that a data plane has taken, also when it has gone back since or
  // another one is wanted by now; 0: none.
  uint64_t taken_version() const { return taken_version_; }
  uint64_t applied_epoch() const { return applied_epoch_; }
  // Of the connected data plane's stats page, for shm::StatsReader::map(); -1 when there is none.
  int stats_page_fd() const { return stats_page_.get(); }

 private:
  void adopt(uint64_t version);
  void connect(Instant now);
  void disconnect(Instant now, const std::string& reason);
  void take(std::vector<shm::ChannelEvent> events, Instant now);
  void take_hello(const shm::ChannelHello& hello);
  bool is_wanted(const shm::ChannelHello& hello) const;
  void refuse(const std::string& sentence, Instant now);
  void back_off(Instant now);
  void publish(Instant now);
  void say(k8s::Severity severity, std::string sentence);

  const std::string socket_path_;
  const shm::ChannelPeers peers_;
  Random random_;
  std::unique_ptr<shm::ChannelClient> client_;

  model::Model model_;        // of wanted_; see resume()
  compile::LiveTable table_;  // of model_
  uint64_t resumed_version_ = 0;
  std::optional<shm::BuiltSnapshot> wanted_;  // nothing before the first want()
  uint64_t highest_version_ = 0;              // ever seen or given
  uint64_t applied_version_ = 0;
  uint64_t taken_version_ = 0;
  uint64_t applied_epoch_ = 0;
  UniqueFd stats_page_;
  uint64_t in_flight_version_ = 0;  // 0: no request under way
  bool is_deliberate_ = false;      // wanted_ is
  bool wanted_is_refused_ = false;  // by the data plane that is connected
  std::string refusal_;             // the last one said
  bool applied_is_ours_ = false;    // applied_version_ is wanted_'s content, not a namesake

  Duration pause_ = reconnect_first;
  Instant due_;             // of the next connect, or of the answer that is waited for
  bool said_away_ = false;  // an absence is said once
  std::vector<Event> events_;
};

}  // namespace millrace::publish
