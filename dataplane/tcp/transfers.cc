// Lending transfer records: a connection has one while anything is under way on it, and none at
// rest.
#include <cstring>

#include "base/check.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {

// Makes sure that the connection has a record. False, counted, when only the reserve is left.
bool Tcp::engage(uint32_t index, Connection& c, uint32_t reserve_count) {
  if (c.transfer != Connection::no_transfer) return true;
  const auto is_short = [&] {
    return transfers_.in_use() + reserve_count >= transfers_.capacity();
  };
  if (is_short()) release_at_rest();
  if (is_short()) {
    counters_.add(Counter::tcp_transfer_table_full);
    return false;
  }
  const auto id = transfers_.acquire();
  c.transfer = id.index;
  // However it goes on: one look whether the record can go again.
  wheel_.arm_no_later_than(index, wheel_.hand() + rest_before_release);
  Transfer& t = transfers_.at(id.index);
  t.connection = index;
  t.snd_nxt = t.snd_max = t.send_end = t.limited_until = c.snd_una;
  // Of a connection that stands: it lies behind, where nothing is compared with it any more.
  t.iss = c.snd_una - 1;
  if (!c.retransmit_deadline.is_never()) t.timer_purpose = Transfer::TimerPurpose::keepalive;
  return true;
}

bool Tcp::is_at_rest(const Connection& c) const {
  const Transfer& t = transfer(c);
  return c.state == State::established && c.snd_una == t.snd_max && t.is_empty() &&
         c.ack_deadline.is_never() && !egress_links_.linked(c.transfer);
}

// A pause between two bursts is no rest: what the record has learned of the reader (its window's
// tuning) would be lost. So it stays for a while, unless records are short.
void Tcp::disengage_if_at_rest(Connection& c, Instant now) {
  if (c.transfer == Connection::no_transfer || !is_at_rest(c)) return;
  const bool scarce = transfers_.in_use() > transfers_.capacity() / 4 * 3;
  const Duration idle =
      c.last_sent.is_never() ? rest_before_release : c.last_sent.until(Tick::at_or_before(now));
  if (!scarce && idle >= Duration() && idle < rest_before_release) return;
  const uint32_t index = transfer(c).connection;
  count_acknowledged(c);
  drop_transfer(c);
  start_keepalive(index, c, now);
}

// When records are short: the next ones round the table whose connections are at rest go early.
void Tcp::release_at_rest() {
  constexpr uint32_t looks_max = 64;
  for (uint32_t look = 0; look < looks_max; ++look) {
    rest_hand_ = rest_hand_ + 1 < transfers_.capacity() ? rest_hand_ + 1 : 0;
    if (!transfers_.live_at(rest_hand_)) continue;
    Connection& c = at(transfers_.at(rest_hand_).connection);
    if (!is_at_rest(c)) continue;
    if (!c.keepalive) c.retransmit_deadline = Tick::never();
    count_acknowledged(c);
    drop_transfer(c);
    return;
  }
}

void Tcp::drop_transfer(Connection& c) {
  if (c.transfer == Connection::no_transfer) return;
  Transfer& t = transfer(c);
  records_.drop_all(t.send_queue);
  records_.drop_all(t.receive_queue);
  return_reassembly(t);
  return_repair(t);
  records_.drop_all(t.kept);
  if (egress_links_.linked(c.transfer)) egress_links_.remove(egress_[c.path.port()], c.transfer);
  if (starved_links_.linked(c.transfer)) starved_links_.remove(starved_, c.transfer);
  transfers_.release(transfers_.id_at(c.transfer));
  c.transfer = Connection::no_transfer;
}

size_t Tcp::memory_bytes() const {
  return size_t{connections_.capacity()} *
             (Slab<Connection>::bytes_per_record() + TimerWheel::bytes_per_timer() +
              IndexLinks::bytes_per_record) +
         size_t{transfers_.capacity()} *
             (Slab<Transfer>::bytes_per_record() + 2 * IndexLinks::bytes_per_record) +
         size_t{repairs_.capacity()} * Slab<Repair>::bytes_per_record() +
         board_pages_.memory_bytes() +
         size_t{reassemblies_.capacity()} * Slab<Reassembly>::bytes_per_record() +
         flows_.memory_bytes() + time_wait_.memory_bytes() + records_.memory_bytes();
}

void Tcp::keep_sent(ConnId id) {
  Connection& c = connections_[id];
  if (!engage(id.index, c, 0)) return;  // then nothing can be had back
  Transfer& t = transfer(c);
  t.flags.keep_sent = true;
  t.kept_from = t.send_end;
  t.kept_is_whole = true;
}

void Tcp::forget_sent(ConnId id) {
  Connection& c = connections_[id];
  if (c.transfer == Connection::no_transfer) return;
  Transfer& t = transfer(c);
  t.flags.keep_sent = false;
  records_.drop_all(t.kept);
}

// Of the send queue's head, whose text is acknowledged.
void Tcp::keep_head(Transfer& t) {
  const SlotIndex slot = records_.unlink_front(t.send_queue);
  records_.push_back(t.kept, slot);
}

size_t Tcp::peek_sent(ConnId id, ByteSpan out) const {
  const Connection& c = *connections_.find(id);
  if (c.transfer == Connection::no_transfer) return 0;
  const Transfer& t = transfer(c);
  if (!t.flags.keep_sent || !t.kept_is_whole) return 0;
  size_t filled = 0;
  for (const SlotChain* chain : {&t.kept, &t.send_queue}) {
    for (SlotIndex slot = chain->head; slot != slot_none; slot = records_[slot].next) {
      // An acknowledgment of a part has moved the range, but not the octets.
      const SlotRecord& record = records_[slot];
      const size_t octets = size_t{record.offset} + record.length;
      if (record.seq - record.offset < t.kept_from) continue;
      if (octets > out.size() - filled) return 0;
      std::memcpy(out.data() + filled, records_.payload(slot), octets);
      filled += octets;
    }
  }
  return filled;
}

}  // namespace millrace::tcp
