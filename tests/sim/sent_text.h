// SentText: what a server has sent its one client by when, and what it knew of its arrival: the
// measure of a hostile reader.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "dataplane/nic/sim_port.h"
#include "tests/sim/segment_frame.h"

namespace millrace::sim {

// Listens on both wires of a link that loses nothing but what is too long, and carries one
// connection. A sender cannot see
// what has arrived, only what is acknowledged: so the judge reads the acknowledgments as they reach
// the server, and knows which of them are nothing (of what was not sent yet), which are right, and
// which are early (of what is still on its way; RFC 5681 leaves the sender no way to tell).
class SentText final : public nic::SimListener {
 public:
  // mtu: of the path to the client, in octets of a datagram. What is longer loads nobody's queue,
  // and to send it again is no growth.
  explicit SentText(uint16_t mtu) : mtu_(mtu) {}

  void on_frame(size_t wire, Step step, Instant at, ByteView bytes) override;

  // "" when the sender has never sent more than slow start allows that counts octets (RFC 3465): an
  // initial window, what was acknowledged, and as much again in flight; and a tenth for what was
  // sent twice. However the acknowledgments were divided, repeated or invented.
  std::string judge_growth() const;
  // "" when it is never more than a tenth more than what honest ones had, and an initial window.
  // From the first early acknowledgment on, honest ones are also looked at when they had
  // acknowledged as much: then the hostile one is ahead of them in time.
  // by_time: else only those are looked at, because something was lost, and when a loss is found is
  // nobody's gain.
  std::string judge_against(const std::array<SentText, 2>& honest, bool by_time) const;

 private:
  struct Sum {  // when a segment with text was sent; in octets from the begin of the stream
    Instant at;
    uint64_t sent = 0;  // repetitions counted
    uint64_t acknowledged = 0;
    bool was_early = false;  // an acknowledgment came before what it is of, by now
  };
  void on_text(Step step, Instant at, const tcp::Segment& segment);
  void on_acknowledgment(const tcp::Segment& segment);
  // From the first octet of the stream; a transfer is shorter than 2^31 octets.
  int64_t offset_of(tcp::Seq seq) const;
  uint64_t sent_by(Instant instant) const;
  uint64_t sent_when_acknowledged(uint64_t octets) const;

  uint16_t mtu_;
  std::vector<Sum> by_;
  std::optional<tcp::Seq> begin_;  // of the server's text; nothing before its SYN
  Sum now_;
  int64_t sent_to_ = 0;     // the end of what was sent
  int64_t arrived_to_ = 0;  // and of what has arrived
};

}  // namespace millrace::sim
