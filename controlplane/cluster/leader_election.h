// One of several control planes writes status and Events: who holds a Lease
// (coordination.k8s.io/v1), as client-go's leaderelection does it, so that it is understood by
// whoever looks.
//
// The data plane never depends on it: routes are published by every control plane to its own node.
//
// Clocks of nodes differ, so another one's renewTime is never compared with our time: a Lease is
// free when we have seen it unchanged for as long as it is to last.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/time.h"
#include "controlplane/cluster/api.pb.h"
#include "controlplane/cluster/api_caller.h"

namespace millrace::cluster {

// Seconds and nanoseconds since 1970, from whoever may read a clock.
using WallClock = std::function<google::protobuf::Timestamp()>;

struct LeaderOptions {
  std::string name_space = "millrace";
  std::string lease = "millrace-controlplane";
  std::string identity;  // no two alike: host and a random number
  Duration lease_duration = Duration::seconds(15);
  Duration renew_deadline = Duration::seconds(10);  // less than lease_duration
  Duration retry_period = Duration::seconds(2);
};

class LeaderElection {
 public:
  LeaderElection(ApiCaller* api, const LeaderOptions& options, WallClock wall_clock, uint64_t seed);
  ~LeaderElection();

  Instant due() const { return request_ == 0 ? due_ : Instant::never(); }
  void turn(Instant now);

  // From the answer that made us the holder until renew_deadline behind the last good one: shorter
  // than the Lease lasts for everybody else, so two never write at a time.
  bool is_leader(Instant now) const { return leads_until_ > now && !wants_release_; }
  const std::string& holder() const { return holder_; }  // as last seen; empty: nobody
  uint64_t transitions() const { return transitions_; }  // how often we became it

  // Gives the Lease back, so that another need not wait for its end. We lead no more from now on:
  // the other one may begin before we hear that it was given back.
  void release(Instant now);
  bool released() const { return is_released_; }
  // Why the last try failed; empty when it did not.
  const std::string& failure() const { return failure_; }

 private:
  void ask();
  void take(const ApiAnswer& answer, Instant now);
  void consider(Lease lease, Instant now);
  void write(const Lease& lease, bool is_new, Instant now);
  void take_written(const ApiAnswer& answer, Instant asked_at, Instant now);
  void give_back(Instant now);
  void fail(const std::string& reason, Instant now);
  std::string target() const;
  void wait(Duration span, Instant now);

  ApiCaller* api_;
  const LeaderOptions options_;
  WallClock wall_clock_;
  Random random_;
  Instant due_;
  HttpTransferId request_ = 0;
  Instant leads_until_;
  std::string observed_;       // the Lease's spec, serialized
  Instant observed_at_;        // when it became that
  std::optional<Lease> ours_;  // what we wrote last, with its resourceVersion
  std::string holder_;
  uint64_t transitions_ = 0;
  bool holds_ = false;  // as far as we know; for how long is another question
  bool wants_release_ = false;
  bool is_releasing_ = false;  // the request under way gives it back
  bool is_released_ = false;
  std::string failure_;
};

}  // namespace millrace::cluster
