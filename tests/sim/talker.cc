#include "tests/sim/talker.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace millrace::sim {
namespace {

// Eight octets of the pattern, those from 8 * index on.
uint64_t pattern_word(uint32_t number, size_t side, uint64_t index) {
  uint64_t mixed = index * 0x9e3779b97f4a7c15U + number * 0xbf58476d1ce4e5b9U + side;
  mixed ^= mixed >> 29;
  mixed *= 0x94d049bb133111ebU;
  return mixed;
}

}  // namespace

void write_pattern(uint32_t number, size_t side, uint64_t offset, ByteSpan out) {
  size_t at = 0;
  while (at < out.size()) {
    const uint64_t word = pattern_word(number, side, (offset + at) / 8);
    const size_t skipped = (offset + at) % 8;
    const size_t count = std::min(8 - skipped, out.size() - at);
    std::memcpy(&out[at], reinterpret_cast<const uint8_t*>(&word) + skipped, count);
    at += count;
  }
}

size_t matching_octets(uint32_t number, size_t side, uint64_t offset, ByteView text) {
  std::array<uint8_t, 2'048> expected;
  size_t matching = 0;
  while (matching < text.size()) {
    const size_t count = std::min(text.size() - matching, expected.size());
    write_pattern(number, side, offset + matching, {expected.data(), count});
    const auto part = text.subspan(matching, count);
    if (std::memcmp(part.data(), expected.data(), count) != 0) {
      const auto differs = std::mismatch(part.begin(), part.end(), expected.begin()).first;
      return matching + static_cast<size_t>(differs - part.begin());
    }
    matching += count;
  }
  return matching;
}

std::optional<uint32_t> newest_with_port(const std::vector<uint16_t>& ports, uint16_t port) {
  const auto found = std::find(ports.rbegin(), ports.rend(), port);
  if (found == ports.rend()) return {};
  return static_cast<uint32_t>(ports.rend() - found - 1);
}

void Talker::opened(uint32_t number, tcp::ConnId id, Instant now) {
  Talk& talk = talks_[number];
  talk.id = id;
  talk.open = true;
  talk.moved_at = now;
  tcp_.set_nagle(id, talk.plan.nagle);
  tcp_.set_keepalive(id, talk.plan.keepalive, now);
  next_event_ = std::min(next_event_, next_event_of(talk));
}

void Talker::turn(Instant now) {
  for (uint32_t left = tcp_.ready_count(); left > 0; --left) {
    const auto ready = tcp_.next_ready();
    if (!ready) break;
    on_ready(*ready, now);
  }
  next_event_ = Instant::never();
  for (Talk& talk : talks_) {
    if (talk.open) act(talk, now);
    if (talk.open) next_event_ = std::min(next_event_, next_event_of(talk));
  }
}

Talk* Talker::accept(const tcp::Ready& ready, Instant now) {
  const uint16_t port = tcp_.remote(ready.id).port;
  const auto found = newest_with_port(*ports_, port);
  if (!found) {
    failure_ = "a connection that nobody opened";
    return nullptr;
  }
  const uint32_t number = *found;
  // Counted from 1, because 0 is what a connection has before it is accepted.
  tcp_.set_owner(ready.id, number + 1);
  opened(number, ready.id, now);
  talks_[number].stood = true;
  return &talks_[number];
}

void Talker::on_ready(const tcp::Ready& ready, Instant now) {
  const bool is_new = (ready.events & tcp::event_accepted) != 0;
  Talk* talk = is_new ? accept(ready, now) : &talks_[ready.owner - 1];
  if (talk == nullptr || !talk->open) return;
  if ((ready.events & tcp::event_connected) != 0) talk->stood = true;
  if ((ready.events & tcp::event_aborted) != 0) {
    talk->failed = true;
    talk->open = false;
    tcp_.close(ready.id, now);
    return;
  }
  talk->waits_for_room = false;
}

void Talker::act(Talk& talk, Instant now) {
  note_acknowledged(talk, now);
  if (talk.stood) read(talk, now);
  write(talk, now);
  finish(talk, now);
  if (talk.open) lose_patience(talk, now);
}

void Talker::note_acknowledged(Talk& talk, Instant now) {
  const uint32_t acknowledged = tcp_.find(talk.id)->snd_una.value();
  if (acknowledged == talk.acknowledged) return;
  talk.acknowledged = acknowledged;
  talk.moved_at = now;
}

void Talker::read(Talk& talk, Instant now) {
  if (now < talk.reads_at) return;
  const bool half_way = talk.received > talk.plan.octets_to_receive / 2;
  if (!talk.paused_once && talk.plan.reading_pause > Duration() && half_way) {
    talk.paused_once = true;
    talk.reads_at = now + talk.plan.reading_pause;
    return;
  }
  uint64_t left = talk.plan.reading_octets_max;
  bool read_some = false;
  for (ByteView run = tcp_.readable(talk.id); !run.empty(); run = tcp_.readable(talk.id)) {
    read_some = true;
    if (!read_run(talk, run, &left, now)) break;
  }
  if (read_some) {
    talk.moved_at = now;
    talk.reads_at = now + talk.plan.reading_gap;
  }
  if (tcp_.at_end(talk.id)) talk.peer_ended = true;
}

// False when this look is over.
bool Talker::read_run(Talk& talk, ByteView run, uint64_t* left, Instant now) {
  const auto part = static_cast<size_t>(std::min<uint64_t>(random_.between(1, run.size()), *left));
  if (compares_) {
    const size_t matching = matching_octets(talk.number, 1 - side_, talk.received, run.first(part));
    if (matching < part)
      fail(talk, "octet " + std::to_string(talk.received + matching) + " is wrong");
    if (talk.received + part > talk.plan.octets_to_receive)
      fail(talk, "more octets than were sent");
  }
  talk.received += part;
  tcp_.consume(talk.id, part, now);
  *left -= part;
  return *left > 0;
}

void Talker::write(Talk& talk, Instant now) {
  if (talk.shut || talk.waits_for_room || now < talk.writes_at) return;
  if (talk.plan.waits_for_peer_end && !talk.peer_ended) return;
  std::array<uint8_t, 4'096> piece;
  uint64_t left = talk.plan.writing_octets_max;
  while (talk.sent < talk.plan.octets_to_send && left > 0) {
    const auto size = static_cast<size_t>(
        std::min({talk.plan.octets_to_send - talk.sent, left, random_.between(1, piece.size())}));
    write_pattern(talk.number, side_, talk.sent, {piece.data(), size});
    const size_t written = tcp_.write(talk.id, {piece.data(), size});
    if (written > 0) talk.moved_at = now;
    talk.sent += written;
    left -= written;
    if (written < size) {
      talk.waits_for_room = true;
      return;
    }
  }
  talk.writes_at = now + talk.plan.writing_gap;
  if (talk.sent < talk.plan.octets_to_send) return;
  talk.shut = true;
  tcp_.shutdown(talk.id, now);
}

bool Talker::may_close(const Talk& talk) const {
  if (!talk.shut || !talk.peer_ended) return false;
  if (!talk.plan.closes_late) return true;
  const tcp::State state = tcp_.find(talk.id)->state;
  return state == tcp::State::time_wait || state == tcp::State::closed;
}

void Talker::finish(Talk& talk, Instant now) {
  if (!may_close(talk)) return;
  if (compares_ && talk.received != talk.plan.octets_to_receive) {
    fail(talk, std::to_string(talk.received) + " octets instead of " +
                   std::to_string(talk.plan.octets_to_receive));
  }
  talk.open = false;
  talk.done = true;
  tcp_.close(talk.id, now);
}

void Talker::lose_patience(Talk& talk, Instant now) {
  if (talk.plan.patience == Duration() || now - talk.moved_at < talk.plan.patience) return;
  talk.failed = talk.gave_up = true;
  talk.open = false;
  tcp_.abort(talk.id, now);
}

Instant Talker::next_event_of(const Talk& talk) const {
  Instant next = Instant::never();
  if (talk.plan.patience > Duration()) next = talk.moved_at + talk.plan.patience;
  const bool waits_to_read =
      talk.stood && !talk.peer_ended && (!tcp_.readable(talk.id).empty() || tcp_.at_end(talk.id));
  if (waits_to_read) next = std::min(next, talk.reads_at);
  const bool may_write = !talk.plan.waits_for_peer_end || talk.peer_ended;
  if (!talk.shut && !talk.waits_for_room && may_write) next = std::min(next, talk.writes_at);
  return next;
}

void Talker::fail(const Talk& talk, const std::string& why) {
  if (!failure_.empty()) return;
  failure_ =
      "connection " + std::to_string(talk.number) + " side " + std::to_string(side_) + ": " + why;
}

}  // namespace millrace::sim
