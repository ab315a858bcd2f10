#include "perf/load/client.h"

#include <algorithm>

namespace millrace::load {
namespace {

constexpr uint32_t pause_after_failure_ms = 100;
constexpr uint32_t handshakes_max = 1'024;  // SYNs that wait for an answer while standing ones open
constexpr double credit_max = 256;          // a burst of SYNs
constexpr uint32_t closing_ms_max = 3'000;  // for the peer's FIN
constexpr Duration stop_patience = Duration::seconds(2);

// RFC 9293 section 3.4.1: a clock, here of 64 ns, and something of the connection's own. An
// attacker is no concern of a load generator's.
uint32_t initial_seq(Instant now, uint32_t index) {
  return static_cast<uint32_t>(now.since_origin_ns() >> 6) + index * 0x9e3779b9U;
}

}  // namespace

Client::Client(const ClientOptions& options, RequestText request, Expectation expectation,
               Output& output, uint16_t mss, Figures& figures, Instant start)
    : options_(options),
      request_(std::move(request)),
      figures_(figures),
      sender_(output, {options.timestamps, mss, options.places()}),
      check_(std::move(expectation), figures),
      schedule_(options.pace, options.rate_per_second, options.seed),
      random_(options.seed + 1),
      places_(options.places()),
      records_(places_),
      idle_(options.connections),
      unused_(places_),
      pause_(places_, pause_after_failure_ms),
      now_(start),
      credit_at_(start) {
  // The silent ones stand first, so that those of one request find them standing.
  for (uint32_t index = 0; index < places_; ++index) {
    if (kind_of(index) != Kind::worker) unused_.push(index);
  }
  for (uint32_t index = 0; index < places_; ++index) {
    if (kind_of(index) == Kind::worker) unused_.push(index);
  }
}

Client::Kind Client::kind_of(uint32_t index) const {
  const bool kept = options_.lifetime == Lifetime::keepalive;
  const uint32_t idle_first = kept ? options_.connections : 0;
  if (index < idle_first) return Kind::worker;
  if (index < idle_first + options_.idle_connections) return Kind::idle;
  if (index < idle_first + options_.idle_connections + options_.slow_clients) return Kind::slow;
  return Kind::worker;
}

Flow Client::flow_of(uint32_t index) const {
  Flow flow;
  flow.local_address = options_.first_address.host_order() + index / ports_per_address;
  flow.local_port = static_cast<uint16_t>(client_port_first + index % ports_per_address);
  flow.remote_address = options_.target.address.host_order();
  flow.remote_port = options_.target.port;
  flow.remote_mac = next_hop_;
  return flow;
}

void Client::pump(Connection& c, uint32_t index) {
  sender_.pump(c, index, flow_of(index), [this, &c](uint8_t* to, uint32_t seq, uint32_t bytes) {
    return request_.write(to, c.variant, request_.bytes() - (c.send_end - seq), bytes);
  });
}

void Client::send_again(Connection& c, uint32_t index) {
  sender_.send_again(c, flow_of(index), [this, &c](uint8_t* to, uint32_t seq, uint32_t bytes) {
    return request_.write(to, c.variant, request_.bytes() - (c.send_end - seq), bytes);
  });
}

void Client::begin_turn(Instant now) {
  now_ = now;
  sender_.begin(now);
}

void Client::turn() {
  run_acks();
  run_watch();
  run_ready();
  if (stopping_) {
    stop_some();
    return;
  }
  if (!knows_next_hop_) return;
  open_due();
  if (ready_) {
    send_due();
  } else {
    check_ready();
  }
}

// ---- opening -----------------------------------------------------------------------------------

bool Client::open_credit() {
  return credit_ >= 1 && handshakes_ < handshakes_max && sender_.output().room() > 0;
}

// What is to stand is opened at a bounded rate; connections of one request follow the schedule.
void Client::open_due() {
  const auto elapsed = static_cast<double>((now_ - credit_at_).count_ns()) / 1e9;
  credit_at_ = now_;
  credit_ = std::min(credit_ + elapsed * options_.connects_per_second_max, credit_max);
  for (uint32_t i = 0; i < queue_steps_per_turn_max && pause_.is_due(sender_.now_ms()); ++i) {
    const uint32_t index = pause_.pop();
    records_[index].unset(flag_in_pause);
    unused_.push(index);
  }
  const bool pooled = options_.lifetime == Lifetime::request;
  while (!unused_.empty() && open_credit()) {
    if (pooled && kind_of(unused_.front()) == Kind::worker) {
      if (!ready_ || schedule_.is_open() || busy_ >= options_.connections) return;
      // In a closed loop of short connections their rate is what is measured.
      credit_ += 1;
    }
    credit_ -= 1;
    open(unused_.pop(), now_);
  }
}

void Client::open(uint32_t index, Instant since) {
  Connection& c = records_[index];
  const Kind kind = kind_of(index);
  sender_.begin_connection(c, State::syn_sent, initial_seq(now_, index));
  ++standing_;
  ++handshakes_;
  c.since_ns = since.since_origin_ns();
  if (options_.lifetime == Lifetime::request && kind == Kind::worker) {
    ++busy_;
    // When the SYN left, for the latency of connecting alone; since_ns is the request's.
    c.incoming_left = static_cast<uint32_t>((now_ - since).count_ns() / 1'000);
  }
  if (kind == Kind::slow) c.set(flag_slow_reader);
  sender_.send_syn(c, flow_of(index), syn);
  sender_.look_after(c, index);
}

void Client::open_later(Connection& c, uint32_t index) {
  if (c.is(flag_in_pause)) return;
  c.set(flag_in_pause);
  pause_.push(index, sender_.now_ms());
}

void Client::take_syn_sent(Connection& c, uint32_t index, const Segment& segment) {
  const bool acceptable = segment.has(ack) && segment.ack == c.send_next;
  if (segment.has(rst)) {
    if (acceptable) fail(c, index, LoadError::connect_refused, false);
    return;
  }
  if (segment.has(ack) && !acceptable) {
    // Something of an earlier connection of this place (RFC 9293 section 3.5.2).
    sender_.answer_stranger(flow_of(index), segment);
    return;
  }
  if (!segment.has(syn) || !acceptable) return;
  sender_.take_syn(c, segment);
  c.send_unacknowledged = segment.ack;
  c.retries_and_duplicates = 0;
  c.progress_ms = sender_.now_ms();
  c.set(flag_ack_now);
  ++figures_.new_connections;
  ++open_;
  --handshakes_;
  const uint64_t syn_late_ns = uint64_t{c.incoming_left} * 1'000;
  c.incoming_left = 0;
  figures_.connect_latency.record(now_.since_origin_ns() - c.since_ns - syn_late_ns);
  established(c, index);
}

void Client::established(Connection& c, uint32_t index) {
  if (stopping_) {
    finish(c, index);
    return;
  }
  const Kind kind = kind_of(index);
  c.state = State::idle;
  if (kind == Kind::slow) {
    c.since_ns = c.receive_next + slow_reader_bytes;
    ask(c, index, now_);
  } else if (kind == Kind::worker && options_.lifetime == Lifetime::request) {
    ask(c, index, Instant::from_ns(c.since_ns));
  } else if (kind == Kind::worker) {
    make_idle(c, index);
  } else {
    pump(c, index);  // the acknowledgment
  }
}

// ---- asking ------------------------------------------------------------------------------------

void Client::make_idle(Connection& c, uint32_t index) {
  c.state = State::idle;
  if (ready_ && !stopping_ && !schedule_.is_open()) {
    ask(c, index, now_);
    return;
  }
  if (!c.is(flag_in_idle)) {
    c.set(flag_in_idle);
    idle_.push(index);
  }
  if (c.is(flag_ack_now)) pump(c, index);
}

void Client::ask(Connection& c, uint32_t index, Instant due) {
  if (!c.is(flag_slow_reader)) c.since_ns = due.since_origin_ns();
  c.variant =
      options_.host_count == 1 ? 0 : static_cast<uint32_t>(random_.below(options_.host_count));
  c.state = State::waiting;
  c.send_end = c.send_next + request_.bytes();
  c.progress_ms = sender_.now_ms();
  ++figures_.requests;
  ++outstanding_;
  pump(c, index);
}

// Open loop: whatever is due leaves if a connection is free; else it stays due.
void Client::send_due() {
  while (schedule_.next() <= now_ && sender_.output().room() > 0) {
    if (!send_on_some_connection(schedule_.next())) return;
    if (now_ - schedule_.next() > Duration::nanoseconds(late_send_ns_min)) ++figures_.late_sends;
    schedule_.advance();
  }
}

uint64_t Client::unsent() const {
  if (schedule_.next() > now_) return 0;
  const auto late_ns = static_cast<double>((now_ - schedule_.next()).count_ns());
  return static_cast<uint64_t>(late_ns * schedule_.rate_per_second() / 1e9) + 1;
}

bool Client::send_on_some_connection(Instant due) {
  if (options_.lifetime == Lifetime::request) {
    if (busy_ >= options_.connections || unused_.empty()) return false;
    if (kind_of(unused_.front()) != Kind::worker) return false;
    open(unused_.pop(), due);
    return true;
  }
  while (!idle_.empty()) {
    const uint32_t index = idle_.pop();
    Connection& c = records_[index];
    c.unset(flag_in_idle);
    if (c.state != State::idle) continue;  // it ended meanwhile
    ask(c, index, due);
    return true;
  }
  return false;
}

void Client::check_ready() {
  const uint64_t standing_wanted =
      (options_.lifetime == Lifetime::keepalive ? options_.connections : 0U) +
      uint64_t{options_.idle_connections} + options_.slow_clients;
  if (open_ < standing_wanted) return;
  ready_ = true;
  schedule_.start(now_);
  if (schedule_.is_open()) return;
  // A closed loop begins on all of them; those without room follow by the ready queue.
  while (!idle_.empty()) {
    const uint32_t index = idle_.pop();
    Connection& c = records_[index];
    c.unset(flag_in_idle);
    if (c.state == State::idle) ask(c, index, now_);
  }
}

// ---- receiving ---------------------------------------------------------------------------------

void Client::take(Connection& c, uint32_t index, Segment& segment) {
  switch (c.state) {
    case State::closed: sender_.answer_stranger(flow_of(index), segment); return;
    case State::syn_sent: take_syn_sent(c, index, segment); return;
    case State::syn_received:
    case State::idle:
    case State::waiting:
    case State::closing: take_standing(c, index, segment); return;
  }
}

void Client::take_standing(Connection& c, uint32_t index, Segment& segment) {
  if (segment.has(rst)) {
    // RFC 9293 section 3.10.7.4: only a reset that lies exactly where we are.
    if (segment.seq != c.receive_next) return;
    if (c.state == State::closing) {
      closed(c, index);
    } else {
      fail(c, index, LoadError::reset, false);
    }
    return;
  }
  if (segment.has(syn)) {
    // Our acknowledgment of the SYN-ACK was lost, or this is somebody else's (RFC 5961).
    c.set(flag_ack_now);
    pump(c, index);
    return;
  }
  const AckEffect effect = sender_.take_ack(c, segment);
  if (effect == AckEffect::unacceptable) return;
  if (effect == AckEffect::send_again) send_again(c, index);
  if (segment.text_bytes > 0 || segment.has(fin) || segment.seq != c.receive_next) {
    take_text(c, index, segment);
  } else if (segment.timestamps) {
    c.timestamp_echo = segment.timestamp_value;
  }
  if (c.state == State::closed) return;
  pump(c, index);
  if (c.state == State::closing) settle_closing(c, index);
}

void Client::take_text(Connection& c, uint32_t index, Segment& segment) {
  if (!sender_.take_in_order(c, &segment)) return;
  uint32_t left = segment.text_bytes;
  const uint8_t* text = segment.text;
  if (left > 0 && c.state == State::waiting) {
    size_t taken = 0;
    const Progress progress = check_.take(c, {text, left}, &taken);
    if (progress == Progress::no_room) return;
    sender_.consumed(c, index, static_cast<uint32_t>(taken));
    left -= static_cast<uint32_t>(taken);
    c.progress_ms = sender_.now_ms();
    if (progress == Progress::broken) {
      abandon(c, index, true);  // counted already
      return;
    }
    if (progress == Progress::done) answered(c, index);
  }
  if (left > 0) {
    if (c.state == State::closing) {
      sender_.consumed(c, index, left);  // nobody reads it any more
    } else {
      // More than was asked for. (A connection that asked again in answered() has no answer yet.)
      fail(c, index, LoadError::malformed, true);
      return;
    }
  }
  if (segment.has(fin)) take_fin(c, index);
}

void Client::take_fin(Connection& c, uint32_t index) {
  ++c.receive_next;
  c.set(flag_peer_fin | flag_ack_now);
  if (c.state == State::waiting) {
    fail(c, index, LoadError::closed_early, true);
  } else if (c.state == State::idle) {
    ++figures_.closed_by_peer;
    finish(c, index);
  }
}

void Client::answered(Connection& c, uint32_t index) {
  --outstanding_;
  if (c.is(flag_slow_reader)) {
    if (c.is(flag_close_announced) || stopping_) {
      finish(c, index);
    } else {
      c.state = State::idle;
      ask(c, index, now_);
    }
    return;
  }
  figures_.latency.record(now_.since_origin_ns() - c.since_ns);
  const bool once = options_.lifetime == Lifetime::request;
  if (once || c.is(flag_close_announced) || stopping_) {
    if (once) --busy_;
    finish(c, index);
    return;
  }
  make_idle(c, index);
}

// ---- ending ------------------------------------------------------------------------------------

// Our FIN, behind all that was sent.
void Client::finish(Connection& c, uint32_t index) {
  if (c.state != State::closing) --open_;
  c.state = State::closing;
  c.set(flag_fin_wanted);
  c.progress_ms = sender_.now_ms();
  pump(c, index);
  sender_.look_after(c, index);
}

void Client::settle_closing(Connection& c, uint32_t index) {
  const bool fin_acknowledged = c.send_unacknowledged == c.send_max && c.send_max == c.send_end + 1;
  if (fin_acknowledged && c.is(flag_peer_fin) && !c.is(flag_ack_now)) closed(c, index);
}

void Client::fail(Connection& c, uint32_t index, LoadError error, bool reset) {
  figures_.count(error);
  abandon(c, index, reset);
}

void Client::abandon(Connection& c, uint32_t index, bool reset) {
  if (reset) sender_.send_reset(c, flow_of(index));
  if (c.state == State::waiting) --outstanding_;
  if (c.state == State::syn_sent) --handshakes_;
  if (c.state == State::idle || c.state == State::waiting) --open_;
  const bool was_busy = c.state == State::syn_sent || c.state == State::waiting;
  if (was_busy && options_.lifetime == Lifetime::request && kind_of(index) == Kind::worker) --busy_;
  check_.forget(c);
  c.state = State::closed;
  --standing_;
  open_later(c, index);
}

void Client::closed(Connection& c, uint32_t index) {
  check_.forget(c);
  c.state = State::closed;
  --standing_;
  unused_.push(index);
}

void Client::stop() {
  stopping_ = true;
  schedule_.stop();
  stop_deadline_ = now_ + stop_patience;
}

// As many places a turn as there is room for. Connections end when they are idle; those that are
// still asking when patience is over are reset.
void Client::stop_some() {
  if (stop_at_ == places_ && standing_ > 0 && now_ >= stop_deadline_) {
    stop_deadline_ = Instant::never();
    stop_by_reset_ = true;
    stop_at_ = 0;
  }
  while (stop_at_ < places_ && sender_.output().room() > 2) {
    const uint32_t index = stop_at_++;
    Connection& c = records_[index];
    if (c.state == State::closed) continue;
    if (stop_by_reset_ || c.state == State::syn_sent) {
      abandon(c, index, true);
    } else if (c.state == State::idle) {
      finish(c, index);
    }
  }
}

// ---- queues ------------------------------------------------------------------------------------

void Client::run_ready() {
  IndexQueue& queue = sender_.ready();
  // Each once at most: whoever is still not done stands at the end again.
  for (uint32_t left = queue.size(); left > 0 && sender_.output().room() > 0; --left) {
    const uint32_t index = queue.pop();
    Connection& c = records_[index];
    c.unset(flag_in_ready);
    if (c.state == State::closed || c.state == State::syn_sent) continue;
    pump(c, index);
    if (c.state == State::closing) settle_closing(c, index);
  }
}

void Client::run_acks() {
  DelayQueue& queue = sender_.acks();
  for (uint32_t i = 0; i < queue_steps_per_turn_max && queue.is_due(sender_.now_ms()) &&
                       sender_.output().room() > 0;
       ++i) {
    const uint32_t index = queue.pop();
    Connection& c = records_[index];
    c.unset(flag_in_ack_queue);
    if (c.state == State::closed || !c.is(flag_ack_owed)) continue;
    c.set(flag_ack_now);
    pump(c, index);
  }
}

void Client::run_watch() {
  DelayQueue& queue = sender_.watch();
  constexpr uint32_t ahead = 8;
  for (uint32_t i = 0; i < queue_steps_per_turn_max && queue.is_due(sender_.now_ms()); ++i) {
    if (queue.size() > ahead) __builtin_prefetch(&records_[queue.index_behind(ahead)]);
    const uint32_t index = queue.pop();
    Connection& c = records_[index];
    c.unset(flag_in_watch);
    watch(c, index);
  }
}

// Looked at every watch_interval_ms while something is expected.
void Client::watch(Connection& c, uint32_t index) {
  const uint32_t silent_ms = sender_.now_ms() - c.progress_ms;
  if (c.state == State::closed) return;
  if (c.state == State::syn_sent) {
    if (sender_.is_due_again(c)) {
      c.send_next = c.send_max;
      if (Sender::gave_up(c) || now_.since_origin_ns() / 1'000'000 - c.since_ns / 1'000'000 >
                                    options_.response_timeout_ms) {
        fail(c, index, LoadError::connect_timeout, false);
        return;
      }
      ++figures_.retransmits;
      sender_.send_syn(c, flow_of(index), syn);
    }
    sender_.look_after(c, index);
    return;
  }
  if (c.is(flag_slow_reader) && c.state == State::waiting) {
    c.since_ns = c.receive_next + slow_reader_bytes;
    c.set(flag_ack_now);
    pump(c, index);
  }
  if (sender_.is_due_again(c)) {
    if (Sender::gave_up(c)) {
      fail(c, index, LoadError::gave_up, true);
      return;
    }
    send_again(c, index);
  }
  if (c.state == State::waiting) {
    if (silent_ms > options_.response_timeout_ms) {
      fail(c, index, LoadError::timeout, true);
      return;
    }
    sender_.look_after(c, index);
  } else if (c.state == State::closing) {
    if (silent_ms > closing_ms_max) {
      sender_.send_reset(c, flow_of(index));
      closed(c, index);
      return;
    }
    sender_.look_after(c, index);
  } else if (Sender::has_unacknowledged(c)) {
    sender_.look_after(c, index);
  }
}

Instant Client::next_deadline() {
  if (stopping_ || !ready_ || !sender_.ready().empty() || !unused_.empty()) return now_;
  const auto due = [this](const DelayQueue& queue) {
    if (queue.empty()) return Instant::never();
    const auto wait_ms = static_cast<int32_t>(queue.next_due_ms() - sender_.now_ms());
    return now_ + Duration::milliseconds(std::max(wait_ms, 0));
  };
  return std::min({schedule_.next(), due(sender_.acks()), due(sender_.watch()), due(pause_)});
}

}  // namespace millrace::load
