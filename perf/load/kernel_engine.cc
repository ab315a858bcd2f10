#include "perf/load/kernel_engine.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace millrace::load {
namespace {

constexpr int events_max = 256;
constexpr uint64_t descriptors_spare = 64;

// As many descriptors as there are connections.
Status raise_descriptor_limit(uint64_t wanted) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) return Ok{};
  limit.rlim_max = std::max<rlim_t>(limit.rlim_max, wanted);
  limit.rlim_cur = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return Ok{};
  return Error{"so many connections need " + std::to_string(wanted) +
               " descriptors: raise the limit (ulimit -n, fs.nr_open)"};
}

}  // namespace

Result<std::unique_ptr<Engine>> KernelEngine::make(const Options& options, Instant start) {
  std::unique_ptr<KernelEngine> made(new KernelEngine);
  made->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!made->epoll_) return Error{"epoll: " + std::string(std::strerror(errno))};
  if (options.client) {
    const ClientOptions& client = *options.station.client;
    const Status raised =
        raise_descriptor_limit(uint64_t{client.connections} + client.idle_connections +
                               client.slow_clients + descriptors_spare);
    if (!raised.ok()) return Error{raised.error()};
    made->client_.emplace(client, *options.station.request, options.station.expectation,
                          made->figures_, made->counters_, made->epoll_.get(), start);
  }
  if (options.backend) {
    // As many as there may be; what is missing shows as refused connections.
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    made->backend_.emplace(*options.station.response, options.station.backend->connections_max,
                           made->figures_, made->counters_, made->epoll_.get());
    const Status listening = made->backend_->listen(options.listen, options.listen_port_count);
    if (!listening.ok()) return Error{listening.error()};
  }
  made->window_begin_.at = start;
  return std::unique_ptr<Engine>(std::move(made));
}

uint32_t KernelEngine::turn(Instant now) {
  now_ = now;
  uint32_t moved = take_events(now, timespec{0, 0});
  if (client_) moved += client_->turn(now);
  return moved;
}

uint32_t KernelEngine::take_events(Instant now, const timespec& timeout) {
  std::array<epoll_event, events_max> events;
  const int count = epoll_pwait2(epoll_.get(), events.data(), events_max, &timeout, nullptr);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    const uint64_t mark = event.data.u64;
    const auto index = static_cast<uint32_t>(mark);
    const auto generation = static_cast<uint32_t>(mark >> 32) & 0x7fffffffU;
    if ((mark & kernel_backend_mark) != 0) {
      backend_->event(index, generation, event.events);
    } else {
      client_->event(index, generation, event.events, now);
    }
  }
  return count > 0 ? static_cast<uint32_t>(count) : 0;
}

// The epoll's own descriptor is readable when an event waits.
void KernelEngine::wait(Instant now, Instant until, bool watch_input) {
  if (until <= now) return;
  std::array<pollfd, 2> fds = {{{epoll_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
  const int64_t span_ns = (until - now).count_ns();
  const timespec timeout{span_ns / 1'000'000'000, span_ns % 1'000'000'000};
  ppoll(fds.data(), watch_input ? 2 : 1, &timeout, nullptr);
}

Instant KernelEngine::next_deadline() {
  return client_ ? client_->next_deadline() : Instant::never();
}

uint64_t KernelEngine::connections_open() const {
  if (client_) return client_->connections_open();
  return backend_ ? backend_->connections_open() : 0;
}

Gauges KernelEngine::gauges(Instant now) {
  Gauges gauges;
  gauges.at = now;
  gauges.cpu_ns = process_cpu_ns();
  gauges.port = counters_;
  gauges.connections_open = connections_open();
  if (client_) {
    gauges.unsent = client_->unsent();
    gauges.offered_per_second = client_->rate_per_second();
  }
  return gauges;
}

void KernelEngine::begin_window(Instant now) {
  window_begin_ = gauges(now);
  figures_ = Figures();
}

std::string KernelEngine::window_json(Instant now) {
  return to_json(figures_, window_begin_, gauges(now));
}

}  // namespace millrace::load
