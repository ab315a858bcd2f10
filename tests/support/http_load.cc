#include "tests/support/http_load.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "base/check.h"

namespace millrace::support {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;
constexpr uint64_t scan_interval_ns = 10'000'000;
constexpr uint64_t reopen_pause_ns =
    10'000'000;  // after a failed open, so a dead server costs little
constexpr uint32_t receive_bytes = 64 * 1024;
constexpr uint32_t complaints_max = 5;
constexpr uint64_t stdin_mark = UINT64_MAX;

uint64_t nanoseconds(double seconds) {
  return static_cast<uint64_t>(seconds * static_cast<double>(second_ns));
}

}  // namespace

HttpLoad::HttpLoad(const LoadOptions& options, LoadRows rows)
    : options_(options),
      rows_(std::move(rows)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      connections_(options.connections),
      buffer_(receive_bytes) {
  CHECK(epoll_ >= 0);
}

HttpLoad::~HttpLoad() {
  for (Connection& connection : connections_) {
    if (connection.fd >= 0) ::close(connection.fd);
  }
  ::close(epoll_);
}

uint64_t HttpLoad::now_ns() const {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<uint64_t>(at.tv_sec) * second_ns + static_cast<uint64_t>(at.tv_nsec);
}

void HttpLoad::run() {
  start_ns_ = now_ns();
  if (options_.seconds > 0) end_ns_ = start_ns_ + nanoseconds(options_.seconds);
  if (options_.control) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u64 = stdin_mark;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &wanted);
  }
  for (uint32_t index = 0; index < connections_.size(); ++index) open(index);
  std::array<epoll_event, 256> events{};
  for (uint64_t now = now_ns(); !finished(now); now = now_ns()) {
    send_due();
    const int64_t wait = wait_ns(now_ns());
    const timespec limit{wait / static_cast<int64_t>(second_ns),
                         wait % static_cast<int64_t>(second_ns)};
    const int ready =
        epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &limit, nullptr);
    for (int i = 0; i < ready; ++i) {
      const uint64_t mark = events[static_cast<size_t>(i)].data.u64;
      if (mark == stdin_mark) {
        read_commands();
        continue;
      }
      const auto index = static_cast<uint32_t>(mark);
      if (connections_[index].generation == mark >> 32) {
        event(index, events[static_cast<size_t>(i)].events);
      }
    }
    look_for_timeouts(now_ns());
  }
  const uint64_t stopped = std::min(now_ns(), end_ns_);
  report_.seconds = static_cast<double>(stopped - start_ns_) / static_cast<double>(second_ns);
  if (options_.rate > 0) {
    const auto due = static_cast<uint64_t>(report_.seconds * options_.rate);
    const uint64_t asked = options_.requests == 0 ? due : std::min(due, options_.requests);
    report_.unsent = asked > sent_ ? asked - sent_ : 0;
  }
  print_line();
}

bool HttpLoad::finished(uint64_t now) const {
  return !may_send(now) && outstanding_ == 0;
}

bool HttpLoad::may_send(uint64_t now) const {
  return !stopping_ && now < end_ns_ && (options_.requests == 0 || sent_ < options_.requests);
}

void HttpLoad::open(uint32_t index) {
  Connection& connection = connections_[index];
  connection.fd = socket(options_.target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(connection.fd >= 0);
  const int on = 1;
  setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ++connection.generation;
  connection.phase = Phase::connecting;
  connection.deadline_ns = now_ns() + nanoseconds(options_.timeout_seconds);
  epoll_event wanted{};
  // Edge-triggered for all of it: a connection is registered once in its life.
  wanted.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  wanted.data.u64 = uint64_t{connection.generation} << 32 | index;
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &wanted) == 0);
  const auto* target = reinterpret_cast<const sockaddr*>(&options_.target);
  if (connect(connection.fd, target, options_.target_bytes) != 0 && errno != EINPROGRESS) {
    fail(connection, std::strerror(errno));
  }
}

void HttpLoad::close(Connection& connection, uint64_t reopen_ns) {
  if (connection.phase == Phase::waiting) --outstanding_;
  ::close(connection.fd);
  connection.fd = -1;
  connection.phase = Phase::closed;
  connection.deadline_ns = reopen_ns;
}

void HttpLoad::event(uint32_t index, uint32_t events) {
  if (connections_[index].phase == Phase::connecting) {
    connected(index);
  }
  if (connections_[index].phase == Phase::closed) return;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    receive(index, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
  }
}

void HttpLoad::connected(uint32_t index) {
  Connection& connection = connections_[index];
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    fail(connection, std::strerror(error));
    return;
  }
  ++report_.opened;
  make_idle(index);
}

void HttpLoad::receive(uint32_t index, bool hung_up) {
  Connection& connection = connections_[index];
  const uint32_t generation = connection.generation;
  while (connection.phase == Phase::waiting || connection.phase == Phase::idle) {
    const ssize_t size = recv(connection.fd, buffer_.data(), buffer_.size(), 0);
    if (size < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      const bool asked = connection.phase == Phase::waiting;
      ++report_.broken;
      if (asked) {
        fail(connection, std::strerror(errno));
      } else {
        close(connection, 0);
      }
      return;
    }
    if (size == 0) {
      peer_closed(index);
      return;
    }
    if (connection.phase == Phase::idle) {
      ++report_.broken;
      fail(connection, "bytes that nobody asked for");
      return;
    }
    const std::string_view bytes(buffer_.data(), static_cast<size_t>(size));
    const uint32_t taken = connection.reader.take(bytes);
    if (connection.reader.state() == ResponseReader::State::malformed || taken < bytes.size()) {
      fail(connection, "malformed response");
      return;
    }
    if (connection.reader.state() == ResponseReader::State::done) answered(index);
    if (connection.generation != generation) return;
    // Less than asked for: the socket is empty, and what comes later raises a new edge.
    if (!hung_up && bytes.size() < buffer_.size()) return;
  }
}

void HttpLoad::peer_closed(uint32_t index) {
  Connection& connection = connections_[index];
  if (connection.phase == Phase::idle) {
    ++report_.broken;
    close(connection, 0);
    return;
  }
  connection.reader.end_of_stream();
  if (connection.reader.state() == ResponseReader::State::done) {
    answered(index);
    return;
  }
  ++report_.broken;
  fail(connection,
       connection.reader.any_bytes() ? "closed within the response" : "closed without a response");
}

void HttpLoad::answered(uint32_t index) {
  Connection& connection = connections_[index];
  const uint64_t now = now_ns();
  ++report_.requests;
  check_answer(connection);
  if (connection.due_ns >= start_ns_ + nanoseconds(options_.warmup_seconds)) {
    latencies_.record(now - connection.due_ns);
  }
  if (options_.close_each || connection.reader.close_announced()) {
    close(connection, 0);
    if (may_send(now)) open(index);
    return;
  }
  --outstanding_;
  make_idle(index);
}

void HttpLoad::check_answer(const Connection& connection) {
  const Row& row = rows_.rows()[connection.row];
  // A request that was on its way while the expectation changed may be answered by either table.
  const AnswerSet expected = connection.expected_at_send | row.expected;
  const int status = connection.reader.status();
  const std::string_view tag = connection.reader.tag();
  if ((rows_.answer(status, tag) & expected) != 0) return;
  if (status == 200) {
    ++report_.wrong_backend;
    complain(connection, "wrong backend", std::string(tag));
  } else {
    ++report_.failed;
    complain(connection, "failed", "status " + std::to_string(status));
  }
}

void HttpLoad::fail(Connection& connection, const char* why) {
  // An open that fails counts as a failed request: somebody wanted to ask something.
  ++report_.requests;
  ++report_.failed;
  complain(connection, "failed", why);
  close(connection, now_ns() + reopen_pause_ns);
}

void HttpLoad::complain(const Connection& connection, const char* kind, const std::string& what) {
  if (++complaints_ > complaints_max) return;
  const double at = static_cast<double>(now_ns() - start_ns_) / static_cast<double>(second_ns);
  if (connection.phase == Phase::waiting) {
    const Row& row = rows_.rows()[connection.row];
    std::fprintf(stderr, "http_load: %.3f s: %s: %s%s: %s\n", at, kind, row.host.c_str(),
                 row.path.c_str(), what.c_str());
  } else {
    std::fprintf(stderr, "http_load: %.3f s: %s: no request under way: %s\n", at, kind,
                 what.c_str());
  }
}

void HttpLoad::make_idle(uint32_t index) {
  Connection& connection = connections_[index];
  connection.phase = Phase::idle;
  connection.deadline_ns = UINT64_MAX;
  if (options_.rate > 0) {
    idle_.push_back({index, connection.generation});
    return;
  }
  const uint64_t now = now_ns();
  if (may_send(now)) send(index, now);
}

void HttpLoad::send_due() {
  if (options_.rate <= 0) return;
  while (!idle_.empty()) {
    const uint64_t now = now_ns();
    const uint64_t due =
        start_ns_ + static_cast<uint64_t>(static_cast<double>(sent_) *
                                          (static_cast<double>(second_ns) / options_.rate));
    if (due > now || due >= end_ns_ || !may_send(now)) return;
    const IdleConnection next = idle_.front();
    idle_.pop_front();
    const Connection& connection = connections_[next.index];
    if (connection.generation == next.generation && connection.phase == Phase::idle) {
      send(next.index, due);
    }
  }
}

void HttpLoad::send(uint32_t index, uint64_t due_ns) {
  Connection& connection = connections_[index];
  connection.row = next_row_;
  next_row_ = next_row_ + 1 < rows_.rows().size() ? next_row_ + 1 : 0;
  const Row& row = rows_.rows()[connection.row];
  connection.phase = Phase::waiting;
  connection.expected_at_send = row.expected;
  connection.due_ns = due_ns;
  connection.deadline_ns = now_ns() + nanoseconds(options_.timeout_seconds);
  connection.reader.start();
  ++sent_;
  ++outstanding_;
  const ssize_t size = ::send(connection.fd, row.request.data(), row.request.size(), MSG_NOSIGNAL);
  if (size == static_cast<ssize_t>(row.request.size())) return;
  ++report_.broken;
  fail(connection, size < 0 ? std::strerror(errno) : "request not sent whole");
}

void HttpLoad::look_for_timeouts(uint64_t now) {
  if (now < next_scan_ns_) return;
  next_scan_ns_ = now + scan_interval_ns;
  for (uint32_t index = 0; index < connections_.size(); ++index) {
    Connection& connection = connections_[index];
    if (now < connection.deadline_ns) continue;
    switch (connection.phase) {
      case Phase::closed:
        if (may_send(now)) open(index);
        break;
      case Phase::connecting: fail(connection, "no connection within the time limit"); break;
      case Phase::waiting:
        ++report_.broken;
        fail(connection, "no answer within the time limit");
        break;
      case Phase::idle: break;
    }
  }
}

int64_t HttpLoad::wait_ns(uint64_t now) const {
  uint64_t until = std::min(next_scan_ns_, end_ns_);
  if (options_.rate > 0 && !idle_.empty()) {
    const uint64_t due =
        start_ns_ + static_cast<uint64_t>(static_cast<double>(sent_) *
                                          (static_cast<double>(second_ns) / options_.rate));
    until = std::min(until, due);
  }
  return until > now ? static_cast<int64_t>(until - now) : (now >= end_ns_ ? 1'000'000 : 0);
}

void HttpLoad::read_commands() {
  const ssize_t size = read(STDIN_FILENO, buffer_.data(), buffer_.size());
  if (size <= 0) {  // whoever gave the commands is gone
    epoll_ctl(epoll_, EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
    stop();
    return;
  }
  commands_.append(buffer_.data(), static_cast<size_t>(size));
  for (size_t end = commands_.find('\n'); end != std::string::npos; end = commands_.find('\n')) {
    command(std::string_view(commands_).substr(0, end));
    commands_.erase(0, end + 1);
  }
}

void HttpLoad::command(std::string_view line) {
  bool understood = true;
  if (line.starts_with("expect ")) {
    understood = rows_.set(line.substr(7));
  } else if (line == "report") {
    print_line();
    return;
  } else if (line == "stop") {
    stop();
    return;
  } else {
    understood = false;
  }
  std::puts(understood ? "ok" : "not understood");
  std::fflush(stdout);
}

void HttpLoad::print_line() const {
  const double seconds = report_.seconds > 0 ? report_.seconds
                                             : static_cast<double>(now_ns() - start_ns_) /
                                                   static_cast<double>(second_ns);
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1'000.0; };
  std::printf(
      "requests=%llu failed=%llu wrong_backend=%llu p50_us=%.1f p99_us=%.1f max_us=%.1f "
      "mean_us=%.1f broken=%llu opened=%llu unsent=%llu seconds=%.2f rate=%.0f\n",
      static_cast<unsigned long long>(report_.requests),
      static_cast<unsigned long long>(report_.failed),
      static_cast<unsigned long long>(report_.wrong_backend), us(latencies_.quantile_ns(0.50)),
      us(latencies_.quantile_ns(0.99)), us(latencies_.max_ns()), us(latencies_.mean_ns()),
      static_cast<unsigned long long>(report_.broken),
      static_cast<unsigned long long>(report_.opened),
      static_cast<unsigned long long>(report_.unsent), seconds,
      seconds > 0 ? static_cast<double>(report_.requests) / seconds : 0.0);
  std::fflush(stdout);
}

}  // namespace millrace::support
