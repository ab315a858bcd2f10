// SYN cookies (RFC 4987 section 3.6): when as many handshakes are under way as there is room for,
// the next SYN is answered without remembering it. What must be known when the third segment comes
// is in the initial sequence number itself, which only whoever has received it can acknowledge:
//
//   31                       8 7        3 2     0
//   |  24 bits of a PRF       | period   | MSS   |     the low 8 bits are masked with another PRF
//
// The PRF is over addresses, ports, the peer's initial sequence number, the MSS and the period; its
// key is another one in each period. So a guess is right once in 2^24, and a cookie is good for one
// to two periods.
//
// With timestamps the low 6 bits of the SYN-ACK's TSval, which every later segment of the peer
// echoes, hold what else was agreed on. Without them there is no window scaling, and no SACK.
#pragma once

#include <cstdint>
#include <optional>

#include "base/hash.h"
#include "base/time.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/seq.h"

namespace millrace::tcp {

class SynCookies {
 public:
  static constexpr Duration period = Duration::seconds(64);

  explicit SynCookies(const HashKey& master, const net::Ipv6Aliases* aliases = nullptr)
      : master_(master), aliases_(aliases) {}

  // The sequence number of a SYN-ACK to a SYN with these options and sequence number irs.
  Seq make(const FlowKey& flow, Seq irs, const Options& options, Instant now);
  // The MSS that the peer announced (or one a little smaller), if cookie was made for this flow and
  // irs in this period or the one before.
  std::optional<uint16_t> check(const FlowKey& flow, Seq irs, Seq cookie, Instant now);
  // Whether a cookie was made so lately that one may come back.
  bool may_return(Instant now) const {
    return made_any_ && period_of(now) - period_of_last_ < periods_valid;
  }

  // options folded into the low bits of a timestamp that is not later than `timestamp`.
  static uint32_t timestamp_with(const Options& options, uint32_t timestamp);
  // What such a timestamp says. Its MSS is not there.
  static Options options_in(uint32_t timestamp_echo);

 private:
  static constexpr uint64_t periods_valid = 2;

  static uint64_t period_of(Instant now) {
    return now.since_origin_ns() / static_cast<uint64_t>(period.count_ns());
  }
  uint64_t hash(const FlowKey& flow, Seq irs, uint64_t at_period, uint64_t mss_index);
  const HashKey& key_of(uint64_t at_period);

  HashKey master_;
  const net::Ipv6Aliases* aliases_;
  HashKey key_;  // of key_period_
  uint64_t key_period_ = UINT64_MAX;
  bool made_any_ = false;
  uint64_t period_of_last_ = 0;
};

}  // namespace millrace::tcp
