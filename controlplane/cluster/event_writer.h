// Problems of objects as Events beside them (events.k8s.io/v1), so that `kubectl describe` shows
// them. Each once: an Event's name is a hash of what it says about which object, so after a
// restart, and from whoever is the leader, the server answers that it is there already. Bounded in
// all directions: an object that flaps cannot make a storm, and notes, of which every object of a
// cluster may have one, stand behind what is wrong.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "controlplane/cluster/api_caller.h"
#include "controlplane/cluster/leader_election.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/store/store.h"

namespace millrace::cluster {

constexpr size_t event_requests_max = 4;  // under way at a time
// What is beyond is counted and not said; of notes once more as many.
constexpr size_t events_waiting_max = 5'000;
// So many at once, and one more each event_interval.
constexpr size_t event_burst = 50;
constexpr Duration event_interval = Duration::milliseconds(100);
// The same about the same object is said again after this at the earliest: an API server keeps
// Events for an hour.
constexpr Duration event_again_after = Duration::seconds(3'600);
constexpr Duration note_again_after = Duration::seconds(86'400);
// So many different ones about one object within that time: a sentence with a number in it may be
// another one every second. Of notes, which are remembered for longer, as many beside them.
constexpr size_t events_of_object_max = 16;
constexpr int event_tries_max = 5;  // in a row; then it is the Event, not the server
constexpr Duration event_hold_first = Duration::seconds(1);  // when the server does not answer
constexpr Duration event_hold_last = Duration::seconds(60);
constexpr size_t events_remembered_max = 50'000;
constexpr size_t notes_remembered_max = events_remembered_max / 2;
constexpr size_t event_note_bytes_max = 1'024;  // events.k8s.io/v1 Event.note

// Events about objects without a namespace lie in the namespace "default".
enum class EventScope : uint8_t { all_objects, objects_of_namespaces };

class EventWriter {
 public:
  // `instance`: which control plane says it. `scope`: about what else nothing is written.
  EventWriter(ApiCaller* api, std::string instance, WallClock wall_clock,
              EventScope scope = EventScope::all_objects);
  ~EventWriter();

  // Problems that are true now: all of them, or those that were not when it was told before. What
  // has no Event, or an expired one, gets one.
  void tell(const std::vector<k8s::Problem>& problems, const store::Store& store, Instant now);
  void turn(Instant now, bool may_write);
  Instant due() const;

  uint64_t written() const { return written_; }
  uint64_t failed() const { return failed_; }
  uint64_t left_out() const { return left_out_; }
  const std::string& failure() const { return failure_; }

 private:
  struct Waiting {
    std::string name_space;
    std::string body;  // an Event in protobuf
    std::string identity;
    bool is_note = false;
    int tries = 0;
  };
  struct Said {
    Instant again_at;  // from then on it may be said again
    std::string uid;   // of the object
    bool is_note = false;
  };
  using Queue = std::deque<Waiting>;

  Event event_of(const k8s::Problem& problem, const k8s::Object& object, std::string name) const;
  bool has_room(bool is_note, const std::string& uid) const;
  void say(const k8s::Problem& problem, const store::Store& store, Instant now);
  Queue& queue_of(bool is_note) { return is_note ? notes_waiting_ : waiting_; }
  void drop_waiting(Queue* queue);
  void forget_old(Instant now);
  void forget(std::map<std::string, Said>::iterator said);
  void take(const ApiAnswer& answer, const Waiting& asked, Instant now);

  ApiCaller* api_;
  const std::string instance_;
  WallClock wall_clock_;
  const EventScope scope_;
  std::map<std::string, Said> said_;  // by the Event's name
  // How many of these, by the object's uid and whether they are notes.
  std::map<std::pair<std::string, bool>, size_t> said_of_;
  size_t notes_said_ = 0;                      // among said_
  Instant first_again_at_ = Instant::never();  // no later than the first of said_
  Queue waiting_;
  Queue notes_waiting_;
  std::map<std::string, HttpTransferId> under_way_;  // by the Event's name
  size_t tokens_ = event_burst;
  Instant refilled_;
  Instant held_back_until_;
  Duration hold_ = event_hold_first;
  uint64_t written_ = 0;
  uint64_t failed_ = 0;
  uint64_t left_out_ = 0;
  std::string failure_;
};

}  // namespace millrace::cluster
