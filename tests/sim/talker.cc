#include "tests/sim/talker.h"

#include <algorithm>
#include <array>

namespace millrace::sim {

void Talker::turn(Instant now) {
  for (uint32_t left = tcp_.ready_count(); left > 0; --left) {
    const auto ready = tcp_.next_ready();
    if (!ready) break;
    on_ready(*ready, now);
  }
  for (Talk& talk : talks_) {
    if (talk.open && talk.paused_until <= now && !talk.done) {
      read(talk, now);
      finish(talk, now);
    }
  }
}

Talk* Talker::accept(const tcp::Ready& ready) {
  const uint16_t port = tcp_.remote(ready.id).port;
  const auto found = std::find(ports_->begin(), ports_->end(), port);
  if (found == ports_->end()) {
    failure_ = "a connection that nobody opened";
    return nullptr;
  }
  const auto number = static_cast<uint32_t>(found - ports_->begin());
  // Counted from 1, because 0 is what a connection has before it is accepted.
  tcp_.set_owner(ready.id, number + 1);
  opened(number, ready.id);
  talks_[number].was_accepted = true;
  return &talks_[number];
}

void Talker::on_ready(const tcp::Ready& ready, Instant now) {
  const bool is_new = (ready.events & tcp::event_accepted) != 0;
  if (!is_new && ready.owner == 0) {
    tcp_.abort(ready.id, now);  // one that was not accepted below
    return;
  }
  Talk* talk = is_new ? accept(ready) : &talks_[ready.owner - 1];
  if (talk == nullptr || !talk->open) return;
  if ((ready.events & tcp::event_aborted) != 0) {
    talk->failed = true;
    talk->open = false;
    tcp_.close(ready.id, now);
    return;
  }
  if ((ready.events & (tcp::event_accepted | tcp::event_connected)) != 0) {
    tcp_.set_nagle(ready.id, nagle_);
    tcp_.set_keepalive(ready.id, keepalive_, now);
  }
  write(*talk, now);
  finish(*talk, now);
}

bool Talker::is_reading_slowly() const {
  return std::any_of(talks_.begin(), talks_.end(),
                     [](const Talk& talk) { return talk.open && talk.plan.reading_pace < 1; });
}

void Talker::read(Talk& talk, Instant now) {
  if (!talk.paused_once && talk.plan.reading_pause > Duration() &&
      talk.received > talk.plan.octets_to_receive / 2) {
    talk.paused_once = true;
    talk.paused_until = now + talk.plan.reading_pause;
    return;
  }
  if (!random_.chance(talk.plan.reading_pace)) return;
  for (ByteView run = tcp_.readable(talk.id); !run.empty(); run = tcp_.readable(talk.id)) {
    const size_t part = random_.between(1, run.size());
    for (size_t i = 0; i < part; ++i) {
      if (run[i] != pattern_octet(talk.number, 1 - side_, talk.received + i) && failure_.empty()) {
        failure_ = "connection " + std::to_string(talk.number) + " side " + std::to_string(side_) +
                   ": octet " + std::to_string(talk.received + i) + " is wrong";
      }
    }
    talk.received += part;
    tcp_.consume(talk.id, part, now);
  }
  if (tcp_.at_end(talk.id)) talk.peer_ended = true;
}

void Talker::write(Talk& talk, Instant now) {
  if (talk.plan.waits_for_peer_end && !talk.peer_ended) return;
  std::array<uint8_t, 4'096> piece;
  while (talk.sent < talk.plan.octets_to_send) {
    const auto size = static_cast<size_t>(
        std::min<uint64_t>(talk.plan.octets_to_send - talk.sent, random_.between(1, piece.size())));
    for (size_t i = 0; i < size; ++i) piece[i] = pattern_octet(talk.number, side_, talk.sent + i);
    const size_t written = tcp_.write(talk.id, {piece.data(), size});
    talk.sent += written;
    if (written < size) return;
  }
  if (!talk.shut) {
    talk.shut = true;
    tcp_.shutdown(talk.id, now);
  }
}

void Talker::finish(Talk& talk, Instant now) {
  if (!talk.open) return;
  write(talk, now);
  if (!talk.shut || !talk.peer_ended) return;
  if (talk.received != talk.plan.octets_to_receive && failure_.empty()) {
    failure_ = "connection " + std::to_string(talk.number) + " side " + std::to_string(side_) +
               ": " + std::to_string(talk.received) + " octets instead of " +
               std::to_string(talk.plan.octets_to_receive);
  }
  talk.open = false;
  talk.done = true;
  tcp_.close(talk.id, now);
}

Instant Talker::next_event(Instant now) const {
  Instant next = Instant::never();
  for (const Talk& talk : talks_) {
    if (talk.open && talk.paused_until > now) next = std::min(next, talk.paused_until);
  }
  return next;
}

}  // namespace millrace::sim
