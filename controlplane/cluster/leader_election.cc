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

LeaderElection::LeaderElection(Api* api, const LeaderOptions& options, WallClock wall_clock,
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
  now_ = now;
  if (request_ != 0 || now < due_ || is_released_) return;
  if (wants_release_) {
    if (!ours_ || !is_leader(now)) {
      is_released_ = true;
      return;
    }
    // client-go writes it so: a second that nobody holds.
    Lease lease = *ours_;
    lease.mutable_spec()->set_holder_identity("");
    lease.mutable_spec()->set_lease_duration_seconds(1);
    write(lease, false);
    return;
  }
  ask();
}

void LeaderElection::release(Instant now) {
  if (wants_release_) return;
  wants_release_ = true;
  due_ = now;
}

void LeaderElection::ask() {
  request_ = api_->call({"GET", target(), "", ""}, [this](const ApiAnswer& answer) {
    request_ = 0;
    take(answer);
  });
}

void LeaderElection::take(const ApiAnswer& answer) {
  if (answer.http_status == http_not_found) {
    Lease lease;
    lease.mutable_metadata()->set_name(options_.lease);
    lease.mutable_metadata()->set_namespace_(options_.name_space);
    lease.mutable_spec()->set_lease_transitions(-1);  // the first holder makes it 0
    consider(std::move(lease));
    return;
  }
  Lease lease;
  if (!answer.ok()) return fail(answer.reason());
  if (!answer.encoding || !decode_message(*answer.encoding, answer.body, &lease)) {
    return fail("the Lease cannot be read");
  }
  consider(std::move(lease));
}

void LeaderElection::consider(Lease lease) {
  failure_.clear();
  const std::string seen = lease.spec().SerializeAsString();
  if (seen != observed_) {
    observed_ = seen;
    observed_at_ = now_;
  }
  holder_ = lease.spec().holder_identity();
  const bool is_ours = holder_ == options_.identity;
  if (!is_ours) leads_until_ = Instant();
  const Duration lasts = Duration::seconds(std::max(lease.spec().lease_duration_seconds(), 1));
  if (!is_ours && !holder_.empty() && now_ < observed_at_ + lasts) {
    return wait(options_.retry_period);
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
  write(lease, lease.metadata().resource_version().empty());
}

// With its resourceVersion, so that of two who write at once only one succeeds.
void LeaderElection::write(const Lease& lease, bool is_new) {
  std::string where = target();
  if (is_new) where = where.substr(0, where.rfind('/'));
  const Instant asked_at = now_;
  request_ = api_->call({is_new ? "POST" : "PUT", where, protobuf_content_type,
                         encode_message(api_version, kind, lease)},
                        [this, asked_at](const ApiAnswer& answer) {
                          request_ = 0;
                          take_written(answer, asked_at);
                        });
}

void LeaderElection::take_written(const ApiAnswer& answer, Instant asked_at) {
  if (wants_release_) {
    is_released_ = true;  // tried; its end comes by itself
    leads_until_ = Instant();
    return;
  }
  Lease written;
  if (answer.http_status == http_conflict) return wait(options_.retry_period);
  if (!answer.ok()) return fail(answer.reason());
  if (!answer.encoding || !decode_message(*answer.encoding, answer.body, &written)) {
    return fail("the Lease cannot be read");
  }
  const bool is_new = leads_until_ <= now_;
  // From when we asked, not from when it was answered: the others count from what they saw.
  leads_until_ = asked_at + options_.renew_deadline;
  if (is_new && is_leader(now_)) ++transitions_;
  holder_ = options_.identity;
  observed_ = written.spec().SerializeAsString();
  observed_at_ = now_;
  ours_ = std::move(written);
  wait(options_.retry_period);
}

void LeaderElection::fail(const std::string& reason) {
  failure_ = "Lease " + options_.name_space + '/' + options_.lease + ": " + reason;
  wait(options_.retry_period);
}

// Up to a fifth longer, so that many who wait do not ask in step.
void LeaderElection::wait(Duration span) {
  const auto span_ns = static_cast<uint64_t>(span.count_ns());
  due_ =
      now_ + Duration::nanoseconds(static_cast<int64_t>(random_.between(span_ns, span_ns * 6 / 5)));
}

}  // namespace millrace::cluster
