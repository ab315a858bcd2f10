#include "perf/load/kernel_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace millrace::load {
namespace {

constexpr Duration scan_interval = Duration::milliseconds(slow_reader_interval_ms);
constexpr uint64_t pause_ns = 100'000'000;  // after a failure
constexpr double credit_max = 256;
constexpr size_t buffer_bytes = 256 * 1024;
constexpr int slow_receive_buffer_bytes = 4'096;

sockaddr_in as_sockaddr(Ipv4Address address, uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_addr.s_addr = htonl(address.host_order());
  made.sin_port = htons(port);
  return made;
}

}  // namespace

KernelClient::KernelClient(const ClientOptions& options, RequestText request,
                           Expectation expectation, Figures& figures, nic::PortCounters& counters,
                           int epoll_fd, Instant start)
    : options_(options),
      request_(std::move(request)),
      figures_(figures),
      counters_(counters),
      check_(std::move(expectation), figures),
      schedule_(options.pace, options.rate_per_second, options.seed),
      random_(options.seed + 1),
      epoll_fd_(epoll_fd),
      sockets_(size_t{options.connections} + options.idle_connections + options.slow_clients),
      idle_(static_cast<uint32_t>(sockets_.size())),
      unused_(static_cast<uint32_t>(sockets_.size())),
      buffer_(buffer_bytes),
      now_(start),
      credit_at_(start) {
  // The silent ones stand first, so that those of one request find them standing.
  for (uint32_t index = options.connections; index < sockets_.size(); ++index) unused_.push(index);
  for (uint32_t index = 0; index < options.connections; ++index) unused_.push(index);
}

KernelClient::~KernelClient() {
  for (Socket& socket : sockets_) {
    if (socket.fd >= 0) ::close(socket.fd);
  }
}

KernelClient::Kind KernelClient::kind_of(uint32_t index) const {
  if (index < options_.connections) return Kind::worker;
  return index < options_.connections + options_.idle_connections ? Kind::idle : Kind::slow;
}

uint32_t KernelClient::turn(Instant now) {
  now_ = now;
  if (stopping_) return 0;
  if (now >= next_scan_) look_for_timeouts();
  uint32_t moved = open_due();
  if (ready_) {
    moved += send_due();
  } else {
    check_ready();
  }
  return moved;
}

Instant KernelClient::next_deadline() const {
  if (!ready_ || !unused_.empty()) return now_;
  return std::min(schedule_.next(), next_scan_);
}

uint64_t KernelClient::unsent() const {
  if (schedule_.next() > now_) return 0;
  const auto late_ns = static_cast<double>((now_ - schedule_.next()).count_ns());
  return static_cast<uint64_t>(late_ns * schedule_.rate_per_second() / 1e9) + 1;
}

// ---- opening -----------------------------------------------------------------------------------

uint32_t KernelClient::open_due() {
  const auto elapsed = static_cast<double>((now_ - credit_at_).count_ns()) / 1e9;
  credit_at_ = now_;
  credit_ = std::min(credit_ + elapsed * options_.connects_per_second_max, credit_max);
  uint32_t opened = 0;
  while (!unused_.empty() && credit_ >= 1) {
    if (is_short() && kind_of(unused_.front()) == Kind::worker) {
      if (!ready_ || schedule_.is_open()) break;
    } else {
      credit_ -= 1;
    }
    open(unused_.pop(), now_);
    ++opened;
  }
  return opened;
}

void KernelClient::open(uint32_t index, Instant since) {
  Socket& s = sockets_[index];
  s.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ++s.generation;
  s.check = Connection{};
  s.state = State::syn_sent;
  s.since_ns = since.since_origin_ns();
  s.deadline_ns = now_.since_origin_ns() + uint64_t{options_.response_timeout_ms} * 1'000'000;
  if (is_short() && kind_of(index) == Kind::worker) ++busy_;
  if (s.fd < 0) {
    fail(index, LoadError::local_limit);
    return;
  }
  const int on = 1;
  setsockopt(s.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (kind_of(index) == Kind::slow) {
    s.check.set(flag_slow_reader);
    setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &slow_receive_buffer_bytes,
               sizeof slow_receive_buffer_bytes);
  }
  bool bound = true;
  if (!options_.first_address.is_zero()) {
    // The kernel chooses the port when it knows the target: 64,000 for each source.
    setsockopt(s.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    const uint32_t nth = next_source_++ % options_.address_count;
    const sockaddr_in source =
        as_sockaddr(Ipv4Address::from_host_order(options_.first_address.host_order() + nth), 0);
    bound = bind(s.fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) == 0;
  }
  epoll_event wanted{};
  wanted.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  wanted.data.u64 = uint64_t{s.generation & 0x7fffffffU} << 32 | index;
  const sockaddr_in target = as_sockaddr(options_.target.address, options_.target.port);
  const bool started =
      bound && epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, s.fd, &wanted) == 0 &&
      (connect(s.fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0 ||
       errno == EINPROGRESS);
  if (!started)
    fail(index, errno == ECONNREFUSED ? LoadError::connect_refused : LoadError::local_limit);
}

void KernelClient::connected(uint32_t index) {
  Socket& s = sockets_[index];
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(s.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    fail(index, error == ETIMEDOUT || error == EHOSTUNREACH ? LoadError::connect_timeout
                                                            : LoadError::connect_refused);
    return;
  }
  ++figures_.new_connections;
  ++open_;
  s.state = State::idle;
  const bool short_one = is_short() && kind_of(index) == Kind::worker;
  figures_.connect_latency.record(now_.since_origin_ns() - s.since_ns);
  if (short_one) {
    ask(index, Instant::from_ns(s.since_ns));
  } else if (kind_of(index) == Kind::slow) {
    ask(index, now_);
  } else if (kind_of(index) == Kind::worker) {
    make_idle(index);
  }
}

void KernelClient::check_ready() {
  const uint64_t wanted = sockets_.size() - (is_short() ? options_.connections : 0);
  if (open_ < wanted) return;
  ready_ = true;
  schedule_.start(now_);
  if (schedule_.is_open()) return;
  while (!idle_.empty()) {
    const uint32_t index = idle_.pop();
    sockets_[index].in_idle = false;
    if (sockets_[index].state == State::idle) ask(index, now_);
  }
}

// ---- asking ------------------------------------------------------------------------------------

void KernelClient::make_idle(uint32_t index) {
  Socket& s = sockets_[index];
  s.state = State::idle;
  if (ready_ && !schedule_.is_open()) {
    ask(index, now_);
  } else if (!s.in_idle) {
    s.in_idle = true;
    idle_.push(index);
  }
}

uint32_t KernelClient::send_due() {
  uint32_t sent = 0;
  while (schedule_.next() <= now_) {
    const Instant due = schedule_.next();
    if (is_short()) {
      if (unused_.empty() || kind_of(unused_.front()) != Kind::worker) return sent;
      open(unused_.pop(), due);
    } else {
      if (idle_.empty()) return sent;
      const uint32_t index = idle_.pop();
      sockets_[index].in_idle = false;
      if (sockets_[index].state != State::idle) continue;
      ask(index, due);
    }
    if (now_ - due > Duration::nanoseconds(late_send_ns_min)) ++figures_.late_sends;
    schedule_.advance();
    ++sent;
  }
  return sent;
}

void KernelClient::ask(uint32_t index, Instant due) {
  Socket& s = sockets_[index];
  s.since_ns = due.since_origin_ns();
  s.deadline_ns = now_.since_origin_ns() + uint64_t{options_.response_timeout_ms} * 1'000'000;
  s.check.variant =
      options_.host_count == 1 ? 0 : static_cast<uint32_t>(random_.below(options_.host_count));
  s.state = State::waiting;
  s.request_sent = 0;
  ++figures_.requests;
  send_more(index);
}

void KernelClient::send_more(uint32_t index) {
  Socket& s = sockets_[index];
  while (s.request_sent < request_.bytes()) {
    const uint32_t piece =
        std::min(request_.bytes() - s.request_sent, BodyPattern::piece_bytes_max);
    request_.write(buffer_.data(), s.check.variant, s.request_sent, piece);
    const ssize_t count = send(s.fd, buffer_.data(), piece, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) fail(index, LoadError::reset);
      return;
    }
    s.request_sent += static_cast<uint32_t>(count);
    counters_.transmitted_bytes += static_cast<uint64_t>(count);
  }
}

// ---- receiving ---------------------------------------------------------------------------------

void KernelClient::event(uint32_t index, uint32_t generation, uint32_t events, Instant now) {
  now_ = now;
  Socket& s = sockets_[index];
  if ((s.generation & 0x7fffffffU) != generation || s.fd < 0) return;
  if (s.state == State::syn_sent) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    connected(index);
  } else if ((events & EPOLLOUT) != 0 && s.state == State::waiting) {
    send_more(index);
  }
  if (s.fd < 0 || s.state == State::syn_sent) return;
  // A slow client reads when its time comes; only an end is told it at once.
  const bool ends = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (s.check.is(flag_slow_reader) && !ends) return;
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0 || ends) receive(index, SIZE_MAX);
}

void KernelClient::receive(uint32_t index, size_t bytes_max) {
  Socket& s = sockets_[index];
  const uint32_t generation = s.generation;
  while (s.fd >= 0 && s.generation == generation && bytes_max > 0) {
    const size_t wanted = std::min(buffer_.size(), bytes_max);
    const ssize_t count = recv(s.fd, buffer_.data(), wanted, 0);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) fail(index, LoadError::reset);
      return;
    }
    if (count == 0) {
      peer_closed(index);
      return;
    }
    counters_.received_bytes += static_cast<uint64_t>(count);
    bytes_max -= static_cast<size_t>(count);
    if (s.state != State::waiting) {
      fail(index, LoadError::malformed);
      return;
    }
    const ByteView text(buffer_.data(), static_cast<size_t>(count));
    size_t taken = 0;
    const Progress progress = check_.take(s.check, text, &taken);
    if (progress == Progress::broken) {
      close(index, true);
      return;
    }
    if (taken < text.size()) {
      fail(index, LoadError::malformed);
      return;
    }
    if (progress == Progress::done) answered(index);
  }
}

void KernelClient::peer_closed(uint32_t index) {
  if (sockets_[index].state == State::waiting) {
    fail(index, LoadError::closed_early);
    return;
  }
  ++figures_.closed_by_peer;
  close(index, false);
}

void KernelClient::answered(uint32_t index) {
  Socket& s = sockets_[index];
  if (!s.check.is(flag_slow_reader)) figures_.latency.record(now_.since_origin_ns() - s.since_ns);
  const bool once = is_short() && kind_of(index) == Kind::worker;
  s.state = State::idle;
  if (once || s.check.is(flag_close_announced)) {
    if (once) --busy_;
    close(index, false);
  } else if (kind_of(index) == Kind::slow) {
    ask(index, now_);
  } else {
    make_idle(index);
  }
}

// ---- ending ------------------------------------------------------------------------------------

void KernelClient::fail(uint32_t index, LoadError error) {
  figures_.count(error);
  close(index, true);
}

void KernelClient::close(uint32_t index, bool pause) {
  Socket& s = sockets_[index];
  if (s.state == State::idle || s.state == State::waiting) --open_;
  const bool was_busy = s.state == State::syn_sent || s.state == State::waiting;
  if (was_busy && is_short() && kind_of(index) == Kind::worker) --busy_;
  if (s.fd >= 0) ::close(s.fd);
  s.fd = -1;
  s.state = State::closed;
  check_.forget(s.check);
  if (pause) {
    s.deadline_ns = now_.since_origin_ns() + pause_ns;
    paused_.push_back(index);
  } else {
    unused_.push(index);
  }
}

// Ten times a second; also what slow clients read.
void KernelClient::look_for_timeouts() {
  next_scan_ = now_ + scan_interval;
  const uint64_t now_ns = now_.since_origin_ns();
  std::erase_if(paused_, [&](uint32_t index) {
    if (sockets_[index].deadline_ns > now_ns) return false;
    unused_.push(index);
    return true;
  });
  for (uint32_t index = 0; index < sockets_.size(); ++index) {
    Socket& s = sockets_[index];
    if (s.state == State::waiting && s.check.is(flag_slow_reader)) {
      s.deadline_ns = now_ns + uint64_t{options_.response_timeout_ms} * 1'000'000;
      receive(index, slow_reader_bytes);
    } else if ((s.state == State::waiting || s.state == State::syn_sent) &&
               s.deadline_ns <= now_ns) {
      fail(index, s.state == State::waiting ? LoadError::timeout : LoadError::connect_timeout);
    }
  }
}

void KernelClient::stop() {
  stopping_ = true;
  schedule_.stop();
  for (Socket& s : sockets_) {
    if (s.fd >= 0) ::close(s.fd);
    s.fd = -1;
  }
  open_ = 0;
}

}  // namespace millrace::load
