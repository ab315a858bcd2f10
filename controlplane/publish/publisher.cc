#include "controlplane/publish/publisher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace millrace::publish {

using k8s::Severity;

Publisher::Publisher(std::string socket_path, shm::ChannelPeers peers, uint64_t seed)
    : socket_path_(std::move(socket_path)), peers_(std::move(peers)), random_(seed) {}

void Publisher::resume(uint64_t version, model::Model model, compile::SlotTable slots) {
  CHECK(!wanted_);
  resumed_version_ = version;
  highest_version_ = std::max(highest_version_, version);
  model_ = std::move(model);
  table_.begin_with(std::move(slots));
}

void Publisher::number_after(uint64_t version) {
  highest_version_ = std::max(highest_version_, version);
}

Result<std::vector<k8s::Problem>> Publisher::want(model::Model model) {
  const bool is_known = (wanted_ || resumed_version_ != 0) && model == model_;
  if (wanted_) {
    if (is_known) return table_.problems();
    return want_change(model::difference(model_, model));
  }
  const auto made = table_.reset(model);
  if (!made) return Error{made.error()};
  model_ = std::move(model);
  adopt(is_known ? resumed_version_ : highest_version_ + 1);
  return table_.problems();
}

Result<std::vector<k8s::Problem>> Publisher::want_change(const model::ModelDelta& change) {
  CHECK(wanted_);
  model::apply(change, &model_);
  const auto made = table_.update(model_, change);
  if (!made) {
    model::apply(model::reversed(change), &model_);
    return Error{made.error()};
  }
  adopt(highest_version_ + 1);
  return table_.problems();
}

void Publisher::adopt(uint64_t version) {
  wanted_ = table_.snapshot(version);
  highest_version_ = std::max(highest_version_, version);
  if (wanted_is_refused_) due_ = Instant::never();
  wanted_is_refused_ = false;
  // The hello may have come before this process knew what it wants.
  applied_is_ours_ = client_ != nullptr && client_->hello() && is_wanted(*client_->hello());
  if (applied_is_ours_) taken_version_ = std::max(taken_version_, wanted_->version);
}

void Publisher::want_anew() {
  CHECK(wanted_);
  adopt(highest_version_ + 1);
}

// A version is only a number: another control plane may have given it to another table. Ours is
// there when every segment of it is there too.
bool Publisher::is_wanted(const shm::ChannelHello& hello) const {
  return hello.version == wanted_->version &&
         std::all_of(wanted_->segments.begin(), wanted_->segments.end(),
                     [&](const shm::BuiltSegment& segment) {
                       return std::find(hello.segment_ids.begin(), hello.segment_ids.end(),
                                        segment.id) != hello.segment_ids.end();
                     });
}

void Publisher::turn(Instant now) {
  if (client_ == nullptr) {
    if (now >= due_) connect(now);
  } else if (now >= due_ && wanted_is_refused_) {
    wanted_is_refused_ = false;
  } else if (now >= due_) {
    disconnect(now,
               "it has not answered for " + std::to_string(answer_time_max.count_ms()) + " ms");
  }
  if (client_ != nullptr && client_->ready() && wanted_ && !wanted_is_refused_ &&
      !data_plane_has_wanted()) {
    publish(now);
  }
}

void Publisher::connect(Instant now) {
  auto client = shm::ChannelClient::connect(socket_path_, peers_);
  if (!client) {
    if (!said_away_) say(Severity::warning, "the data plane is not there: " + client.error());
    said_away_ = true;
    return back_off(now);
  }
  client_ = std::move(*client);
  due_ = now + answer_time_max;  // for the hello
}

void Publisher::disconnect(Instant now, const std::string& reason) {
  if (!said_away_) say(Severity::warning, "the data plane is gone: " + reason);
  said_away_ = true;
  client_.reset();
  stats_page_.reset();
  applied_version_ = 0;
  applied_epoch_ = 0;
  in_flight_version_ = 0;
  applied_is_ours_ = false;
  wanted_is_refused_ = false;
  back_off(now);
}

void Publisher::back_off(Instant now) {
  // Between half and all of the pause, so that many nodes do not come back in step.
  const uint64_t pause_ns = static_cast<uint64_t>(pause_.count_ns());
  due_ = now + Duration::nanoseconds(static_cast<int64_t>(random_.between(pause_ns / 2, pause_ns)));
  pause_ = std::min(pause_ * 2, reconnect_last);
}

void Publisher::on_readable(Instant now) {
  if (client_ != nullptr) take(client_->on_readable(), now);
}

void Publisher::on_writable(Instant now) {
  if (client_ != nullptr) take(client_->on_writable(), now);
}

void Publisher::take(std::vector<shm::ChannelEvent> events, Instant now) {
  for (shm::ChannelEvent& event : events) {
    switch (event.kind) {
      case shm::ChannelEvent::Kind::hello:
        take_hello(event.hello);
        stats_page_ = std::move(event.stats_page);
        break;
      case shm::ChannelEvent::Kind::accepted:
        applied_version_ = event.version;
        applied_epoch_ = event.epoch;
        applied_is_ours_ = wanted_ && event.version == wanted_->version;
        taken_version_ = std::max(taken_version_, event.version);
        in_flight_version_ = 0;
        refusal_.clear();
        pause_ = reconnect_first;
        due_ = Instant::never();
        say(Severity::note, "the data plane took version " + std::to_string(event.version) +
                                " as epoch " + std::to_string(event.epoch));
        events_.back().kind = EventKind::accepted;
        break;
      case shm::ChannelEvent::Kind::refused:
        // A table that was wanted meanwhile has not been refused yet.
        if (wanted_ && in_flight_version_ == wanted_->version) {
          refuse("the data plane refused version " + std::to_string(in_flight_version_) + ": " +
                     event.message,
                 now);
        }
        in_flight_version_ = 0;
        break;
      case shm::ChannelEvent::Kind::closed: return disconnect(now, event.message);
    }
  }
}

void Publisher::take_hello(const shm::ChannelHello& hello) {
  said_away_ = false;
  refusal_.clear();
  due_ = Instant::never();
  applied_version_ = hello.version;
  applied_epoch_ = hello.epoch;
  applied_is_ours_ = wanted_ && is_wanted(hello);
  if (applied_is_ours_) taken_version_ = std::max(taken_version_, hello.version);
  highest_version_ = std::max(highest_version_, hello.version);
  say(Severity::note, "connected to the data plane at " + socket_path_ + ": it has version " +
                          std::to_string(hello.version) + ", epoch " + std::to_string(hello.epoch));
}

bool Publisher::data_plane_has_wanted() const {
  return wanted_ && applied_is_ours_ && applied_version_ == wanted_->version;
}

void Publisher::publish(Instant now) {
  // Versions only grow: one that the data plane has had, or has had another table under, is
  // stepped over.
  if (wanted_->version <= applied_version_) {
    wanted_ = table_.snapshot(++highest_version_);
  }
  const Status sent = client_->publish(*wanted_, is_deliberate_);
  if (!sent) {
    return refuse(
        "version " + std::to_string(wanted_->version) + " cannot be published: " + sent.error(),
        now);
  }
  in_flight_version_ = wanted_->version;
  due_ = now + answer_time_max;
}

void Publisher::refuse(const std::string& sentence, Instant now) {
  wanted_is_refused_ = true;
  due_ = now + refused_retry;
  if (sentence == refusal_) return;
  refusal_ = sentence;
  say(Severity::error,
      sentence + "; the data plane keeps version " + std::to_string(applied_version_));
  events_.back().kind = EventKind::refused;
}

void Publisher::say(Severity severity, std::string sentence) {
  events_.push_back({severity, std::move(sentence)});
}

std::vector<Event> Publisher::take_events() {
  return std::exchange(events_, {});
}

}  // namespace millrace::publish
