#include "controlplane/cluster/leader_election.h"

#include <algorithm>
#include <utility>

namespace millrace::cluster {

namespace {

constexpr char api_version[] = "coordination.k8s.io/v1";
constexpr char kind[] = "Lease";
constexpr int http_not_found = 404;
constexpr int http_conflict = 409;

}  // namespace

LeaderElection::LeaderElection(ApiCaller* api, const LeaderOptions& options, WallClock wall_clock,
                               uint64_t seed)
    : api_(api), options_(options), wall_clock_(std::move(wall_clock)), random_(seed) {
  CHECK(options_.renew_deadline < options_.lease_duration);
}

LeaderElection::~LeaderElection() {
  api_->cancel(request_);
}

std::string LeaderElection::target() const {
  return "/apis/coordination.k8s.io/v1/namespaces/" + options_.name_space + "/leases/" +
         options_.lease;
}

void LeaderElection::turn(Instant now) {
  if (request_ != 0 || now < due_ || is_released_) return;
  if (wants_release_) return give_back(now);
  ask();
}

void LeaderElection::release(Instant now) {
  if (wants_release_) return;
  wants_release_ = true;
  due_ = now;
}

void LeaderElection::give_back(Instant now) {
  if (!ours_ || !holds_) {
    is_released_ = true;
    return;
  }
  // client-go writes it so: a second that nobody holds.
  Lease lease = *ours_;
  lease.mutable_spec()->set_holder_identity("");
  lease.mutable_spec()->set_lease_duration_seconds(1);
  is_releasing_ = true;
  write(lease, false, now);
}

void LeaderElection::ask() {
  ApiRequest request{"GET", target(), "", "", options_.renew_deadline / 2};
  request_ = api_->call(std::move(request), [this](const ApiAnswer& answer, Instant now) {
    request_ = 0;
    take(answer, now);
  });
}

void LeaderElection::take(const ApiAnswer& answer, Instant now) {
  if (wants_release_) return;
  if (answer.http_status == http_not_found) {
    Lease lease;
    lease.mutable_metadata()->set_name(options_.lease);
    lease.mutable_metadata()->set_namespace_(options_.name_space);
    lease.mutable_spec()->set_lease_transitions(-1);  // the first holder makes it 0
    consider(std::move(lease), now);
    return;
  }
  Lease lease;
  if (!answer.ok()) return fail(answer.reason(), now);
  if (!answer.encoding || !decode_message(*answer.encoding, answer.body, &lease)) {
    return fail("the Lease cannot be read", now);
  }
  consider(std::move(lease), now);
}

void LeaderElection::consider(Lease lease, Instant now) {
  failure_.clear();
  const std::string seen = lease.spec().SerializeAsString();
  if (seen != observed_) {
    observed_ = seen;
    observed_at_ = now;
  }
  holder_ = lease.spec().holder_identity();
  const bool is_ours = holder_ == options_.identity;
  holds_ = is_ours;
  if (!is_ours) leads_until_ = Instant();
  const Duration lasts = Duration::seconds(std::max(lease.spec().lease_duration_seconds(), 1));
  if (!is_ours && !holder_.empty() && now < observed_at_ + lasts) {
    return wait(options_.retry_period, now);
  }
  LeaseSpec* spec = lease.mutable_spec();
  const google::protobuf::Timestamp wall_now = wall_clock_();
  if (!is_ours) {
    *spec->mutable_acquire_time() = wall_now;
    spec->set_lease_transitions(spec->lease_transitions() + 1);
  }
  spec->set_holder_identity(options_.identity);
  spec->set_lease_duration_seconds(static_cast<int>(options_.lease_duration.count_ms() / 1000));
  *spec->mutable_renew_time() = wall_now;
  write(lease, lease.metadata().resource_version().empty(), now);
}

// With its resourceVersion, so that of two who write at once only one succeeds.
void LeaderElection::write(const Lease& lease, bool is_new, Instant now) {
  std::string where = target();
  if (is_new) where = where.substr(0, where.rfind('/'));
  ApiRequest request{is_new ? "POST" : "PUT", where, protobuf_content_type,
                     encode_message(api_version, kind, lease), options_.renew_deadline / 2};
  request_ = api_->call(std::move(request),
                        [this, asked_at = now](const ApiAnswer& answer, Instant answered_at) {
                          request_ = 0;
                          take_written(answer, asked_at, answered_at);
                        });
}

void LeaderElection::take_written(const ApiAnswer& answer, Instant asked_at, Instant now) {
  if (is_releasing_) {
    is_released_ = true;  // tried; its end comes by itself
    return;
  }
  Lease written;
  if (answer.http_status == http_conflict) return wait(options_.retry_period, now);
  if (!answer.ok()) return fail(answer.reason(), now);
  if (!answer.encoding || !decode_message(*answer.encoding, answer.body, &written)) {
    return fail("the Lease cannot be read", now);
  }
  const bool is_new = leads_until_ <= now;
  // From when we asked, not from when it was answered: the others count from what they saw.
  leads_until_ = asked_at + options_.renew_deadline;
  if (is_new && is_leader(now)) ++transitions_;
  holds_ = true;
  holder_ = options_.identity;
  observed_ = written.spec().SerializeAsString();
  observed_at_ = now;
  ours_ = std::move(written);
  wait(options_.retry_period, now);
}

void LeaderElection::fail(const std::string& reason, Instant now) {
  failure_ = "Lease " + options_.name_space + '/' + options_.lease + ": " + reason;
  wait(options_.retry_period, now);
}

// Up to a fifth longer, so that many who wait do not ask in step.
void LeaderElection::wait(Duration span, Instant now) {
  if (wants_release_) return;
  const auto span_ns = static_cast<uint64_t>(span.count_ns());
  due_ =
      now + Duration::nanoseconds(static_cast<int64_t>(random_.between(span_ns, span_ns * 6 / 5)));
}

}  // namespace millrace::cluster
