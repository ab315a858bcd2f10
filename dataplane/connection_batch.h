// A batch of connections for an operator: housekeeping asks for one, the worker fills it beside its
// other work, a bounded number of records a turn. One word says whose it is, so there is no lock:
//
//   housekeeping                          worker
//   ask(place): asked  ---------------->  turn(): a few records a turn, until it is full or the
//   sends message()    <----------------          table ends: answered
//   take_back(): idle
//
// A turn in which nobody asks costs one load. All memory is in here.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "base/time.h"
#include "dataplane/tcp/tcp.h"
#include "shm/listing_format.h"

namespace millrace {

class ConnectionBatch {
 public:
  // A turn's work ends at whichever of these comes first.
  static constexpr uint32_t records_per_turn_max = 64;
  static constexpr uint32_t places_per_turn_max = 256;  // free ones are looked at too
  // Of receive queues that are summed; the last connection's own may come on top.
  static constexpr uint32_t receive_slots_per_turn_max = 512;

  explicit ConnectionBatch(uint8_t worker) : worker_(worker) {}

  // ---- housekeeping's side ----
  bool is_idle() const { return state_.load(std::memory_order_acquire) == State::idle; }
  bool is_answered() const { return state_.load(std::memory_order_acquire) == State::answered; }
  // From this place of the table on. The batch is idle.
  void ask(uint32_t place);
  // Until take_back(). The batch is answered.
  const shm::ListingMessage& message() const {
    CHECK(is_answered());
    return message_;
  }
  void take_back();

  // ---- the worker's side ----
  bool is_asked() const { return state_.load(std::memory_order_acquire) == State::asked; }
  // Between two turns' worth of input, when no text lies in frames.
  void turn(const tcp::Tcp& tcp, Instant now) {
    if (is_asked()) [[unlikely]]
      fill(tcp, now);
  }

 private:
  enum class State : uint32_t { idle, asked, answered };

  // Never inlined: what it needs would weigh on every turn.
  [[gnu::noinline, gnu::cold]] void fill(const tcp::Tcp& tcp, Instant now);
  bool is_complete() const {
    return message_.header.count == shm::listing_records_max ||
           message_.header.next >= message_.header.capacity;
  }

  std::atomic<State> state_{State::idle};
  uint8_t worker_;
  shm::ListingMessage message_;
};

// What leaves the process about a connection.
shm::ConnectionRecord record_of(const tcp::Tcp& tcp, const tcp::Tcp::View& view, uint32_t place,
                                Instant now);

// An address as sixteen octets. The one place where what TCP calls a peer becomes what the operator
// calls it.
shm::ConnectionRecord::Address address_octets(const tcp::Tcp& tcp, Ipv4Address address);

}  // namespace millrace
