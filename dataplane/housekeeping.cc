#include "dataplane/housekeeping.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <ctime>
#include <utility>

namespace millrace {
namespace {
constexpr int tick_ms = 100;
// How soon the worker's answer to a listing is looked for: this, with the size of a batch, is the
// pace of a listing and its share of the worker's time.
constexpr int batch_tick_ms = 1;
}  // namespace

Housekeeping::Housekeeping(const Parts& parts)
    : parts_(parts),
      in_force_line_([](const std::string& line) { spdlog::info(line); },
                     [](const std::string& line) { spdlog::debug(line); }),
      links_up_(parts.links.size(), false),
      guard_(parts.guard, *parts.counts),
      installed_{parts.cell.current().owner, parts.cell.current().traffic} {}

void Housekeeping::run(int signal_fd) {
  while (!is_over()) {
    on_tick();
    const int wait_ms = on_listings() ? batch_tick_ms : tick_ms;
    std::array<pollfd, 3> fds{{{parts_.server.fd(), POLLIN, 0},
                               {signal_fd, POLLIN, 0},
                               {parts_.listings.fd(), POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), wait_ms) < 0) continue;  // EINTR: the loop looks again
    if ((fds[1].revents & POLLIN) != 0 && on_signal(signal_fd)) break;
    if ((fds[0].revents & POLLIN) != 0) on_channel();
  }
  parts_.saver.stop();
  look_at_saving();
  in_force_line_.flush();
}

// True: stop now.
bool Housekeeping::on_signal(int signal_fd) {
  signalfd_siginfo info;
  if (read(signal_fd, &info, sizeof info) != sizeof info) return false;
  if (drain_end_ || parts_.drain_max <= Duration()) {
    spdlog::info("signal {}: stopping", info.ssi_signo);
    return true;
  }
  spdlog::info("signal {}: no new connections; what is open has {} s to end", info.ssi_signo,
               parts_.drain_max.count_ms() / 1'000);
  drain_end_ = clock_.now() + parts_.drain_max;
  // Half of the time for clients at rest to ask for the last time.
  parts_.mailbox.drain_idle_ms = parts_.drain_max.count_ms() / 2;
  wake_worker();
  return false;
}

bool Housekeeping::is_over() const {
  if (!drain_end_) return false;
  if (parts_.mailbox.drained.load(std::memory_order_relaxed)) {
    spdlog::info("everything that was open has ended");
    return true;
  }
  if (clock_.now() < *drain_end_) return false;
  spdlog::warn("stopping with connections that did not end in time");
  return true;
}

void Housekeeping::on_channel() {
  for (const shm::PublishOutcome& outcome : parts_.server.on_readable()) {
    if (!outcome.accepted) {
      spdlog::warn("snapshot refused, the table stays as it is: {}", outcome.refusal);
      parts_.stats.set_last_error(outcome.refusal);
      continue;
    }
    wake_worker();
    in_force_line_.say(clock_.now(),
                       "table version " + std::to_string(outcome.snapshot->version()) +
                           " is in force (epoch " + std::to_string(outcome.epoch) + ')');
    after_install(outcome);
    save_current();
  }
}

void Housekeeping::after_install(const shm::PublishOutcome& outcome) {
  guard::Installed next{outcome.snapshot, outcome.traffic, outcome.is_deliberate};
  guard_.installed(installed_, next, clock_.now());
  if (next.snapshot == installed_.snapshot) {
    installed_.is_deliberate |= outcome.is_deliberate;
    // What an operator chooses meanwhile is only said to do harm.
    if (verdict_ && outcome.is_deliberate) verdict_->is_to_act = false;
    return;
  }
  verdict_.reset();
  said_verdict_ = false;
  installed_ = std::move(next);
}

void Housekeeping::save_current() {
  parts_.saver.want(parts_.cell.window().front());
}

void Housekeeping::look_at_saving() {
  const std::string error = parts_.saver.take_error();
  if (error.empty()) return;
  // The log alone: the error of the stats page may be the guard's sentence, which the control plane
  // has not read yet.
  spdlog::warn("the last good table could not be saved, which is tried again: {}", error);
}

// Goes back by itself: whoever published the table may be gone by now.
void Housekeeping::watch_tables() {
  auto verdict = std::exchange(verdict_, std::nullopt);
  if (!verdict) verdict = guard_.turn(installed_, clock_.now());
  parts_.stats.set(0, parts_.first_guard_cell + 4, guard_.acquitted());
  parts_.stats.set(0, parts_.first_guard_cell + 5, guard_.watched());
  if (!verdict) return;
  const uint64_t back_to = verdict->before->version();
  if (!verdict->is_to_act) {
    parts_.stats.set(0, parts_.first_guard_cell + 3, ++guard_warnings_);
    spdlog::warn("table version {} does harm, and version {} before it did not: {}",
                 verdict->bad_version, back_to, verdict->sentence);
    return;
  }
  const auto epoch = parts_.cell.install(verdict->before);
  if (!epoch.ok()) {
    if (!said_verdict_) {
      spdlog::error("table version {} does harm ({}), but going back to version {} failed: {}",
                    verdict->bad_version, verdict->sentence, back_to, epoch.error());
    }
    said_verdict_ = true;
    verdict_ = std::move(verdict);  // again at the next tick, unless another table comes
    return;
  }
  wake_worker();
  spdlog::error("back to table version {} from version {} (epoch {}): {}", back_to,
                verdict->bad_version, *epoch, verdict->sentence);
  guard_.forget();
  const shm::InstalledSnapshot& current = parts_.cell.current();
  installed_ = {current.owner, current.traffic, false};
  save_current();
  parts_.stats.set_last_error(verdict->sentence);
  // The control plane reads it with the cells; a refusal that comes before it looks stands beside
  // it.
  parts_.stats.set_guard_reason(verdict->sentence);
  parts_.stats.set(0, parts_.first_guard_cell, verdict->bad_version);
  parts_.stats.set(0, parts_.first_guard_cell + 1, back_to);
  std::atomic_thread_fence(std::memory_order_release);
  parts_.stats.set(0, parts_.first_guard_cell + 2, ++guard_acts_);
}

// True while the worker's answer is awaited.
bool Housekeeping::on_listings() {
  const ListingServer::Outcome outcome = parts_.listings.turn(clock_.now());
  if (outcome.asked) wake_worker();
  const uint64_t stalled = parts_.listings.closed_count(ListingClose::stalled);
  if (stalled != stalled_readers_) {
    stalled_readers_ = stalled;
    spdlog::warn("a reader of connections did not move for {} s: closed",
                 ListingServer::stall_max.count_ms() / 1'000);
  }
  return outcome.under_way;
}

void Housekeeping::wake_worker() {
  const uint64_t one = 1;
  if (write(parts_.mailbox.wake.get(), &one, sizeof one) < 0) {
    spdlog::warn("the worker could not be woken; it looks by itself within 100 ms");
  }
}

void Housekeeping::watch_links() {
  for (size_t i = 0; i < parts_.links.size(); ++i) {
    const bool up = parts_.links[i]->link_up();
    if (up == links_up_[i]) continue;
    links_up_[i] = up;
    const std::string& name = parts_.links[i]->facts().name;
    if (up) {
      spdlog::info("port {}: the far end is there", name);
    } else {
      spdlog::warn("port {}: the far end is gone; what is sent to it is dropped", name);
    }
  }
}

void Housekeeping::on_tick() {
  parts_.cell.reclaim();
  in_force_line_.turn(clock_.now());
  watch_links();
  watch_tables();
  look_at_saving();
  const uint64_t applied = parts_.cell.applied_epoch();
  if (applied == parts_.cell.epoch() && applied != reported_epoch_) {
    reported_epoch_ = applied;
    parts_.stats.set_applied(applied, parts_.cell.current().view->version());
  }
  const auto second = static_cast<int64_t>(time(nullptr));
  if (second == last_second_) return;
  last_second_ = second;
  once_a_second();
}

void Housekeeping::once_a_second() {
  parts_.mailbox.unix_seconds.store(last_second_, std::memory_order_relaxed);
  if (parts_.access_log != nullptr) {
    parts_.stats.set(0, parts_.first_access_log_cell, parts_.access_log->lines_written());
    parts_.stats.set(0, parts_.first_access_log_cell + 1, parts_.access_log->lines_lost());
  }
  uint32_t cell = parts_.first_program_cell;
  for (const bpf::Redirect* program : parts_.programs) {
    for (uint64_t frames : program->counters()) parts_.stats.set(0, cell++, frames);
  }
}

}  // namespace millrace
