// ExchangeNotes: what a worker remembers of each exchange for the access log, one note a session,
// and hands to the log thread when the exchange is over. Where no log is wanted there are no notes,
// and every call is one compare.
//
// An exchange has one note and one record: whatever way it ends, end() comes before its session is
// released. The texts are copied when the head is there: later its octets are gone.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/time.h"
#include "dataplane/access_log/access_record.h"
#include "dataplane/access_log/record_ring.h"
#include "dataplane/http/message.h"

namespace millrace::access_log {

class ExchangeNotes {
 public:
  // ring: outlives this; nullptr: no log is wanted.
  ExchangeNotes(RecordRing* ring, uint32_t sessions);

  bool wanted() const { return ring_ != nullptr; }

  // Who asks. peer: who has connected, with its port, where the client is not the same.
  struct Asker {
    std::string_view client;
    std::string_view peer;
    uint16_t port = 0;
    std::string_view request_id;
  };
  // A head is whole, or will never be: from here on until end() the exchange is under way. head:
  // nullptr if it cannot be read.
  void begin(uint32_t session, const Asker& asker, const http::RequestHead* head, Instant began,
             Instant now) {
    if (wanted()) begin_note(session, asker, head, began, now);
  }
  bool is_open(uint32_t session) const { return wanted() && open_[session]; }

  // The rule that matched, and its service. Before the endpoint, with each attempt.
  struct Route {
    std::string_view ingress_namespace, ingress_name;
    std::string_view service_namespace, service_name, service_port;
  };
  void routed(uint32_t session, const Route& route);
  void attempted(uint32_t session, uint32_t address, uint16_t port, bool reused, Instant now) {
    if (!is_open(session)) return;
    AccessRecord& record = notes_[session].record;
    record.endpoint_address = address;
    record.endpoint_port = port;
    record.reused = reused;
    record.connected_ns = reused ? now.since_origin_ns() : 0;
    ++record.attempts;
  }
  void connected(uint32_t session, Instant now) {
    if (is_open(session)) notes_[session].record.connected_ns = now.since_origin_ns();
  }
  // The head of a final answer, or a 101, was sent to the client.
  void responded(uint32_t session, uint16_t status, Instant now) {
    if (!is_open(session)) return;
    notes_[session].record.status = status;
    notes_[session].record.responded_ns = now.since_origin_ns();
  }
  // The answer is ours.
  void give_reason(uint32_t session, LocalReason reason) {
    if (is_open(session)) notes_[session].record.reason = reason;
  }
  // What ends the exchange, said where it is known; the first word counts.
  void blame(uint32_t session, ExchangeEnd end) {
    if (!is_open(session)) return;
    AccessRecord& record = notes_[session].record;
    if (record.end == ExchangeEnd::aborted) record.end = end;
  }
  // False: the ring is full and the record is lost. Nothing is under way: nothing to hand over.
  bool end(uint32_t session, uint64_t request_octets, uint64_t response_octets, bool keep_alive,
           Instant now) {
    return !is_open(session) || end_note(session, request_octets, response_octets, keep_alive, now);
  }

  size_t memory_bytes() const {
    return wanted() ? size_t{sessions_} * (sizeof(Note) + sizeof(bool)) : 0;
  }

 private:
  struct Note {
    AccessRecord record;
    char texts[all_text_bytes_max()];
  };
  static_assert(offsetof(Note, texts) == sizeof(AccessRecord), "handed over in one piece");

  void begin_note(uint32_t session, const Asker& asker, const http::RequestHead* head,
                  Instant began, Instant now);
  bool end_note(uint32_t session, uint64_t request_octets, uint64_t response_octets,
                bool keep_alive, Instant now);

  RecordRing* ring_;
  uint32_t sessions_;
  // What nobody has written to takes no memory yet: the system gives pages when they are touched.
  std::unique_ptr<Note[]> notes_;
  std::unique_ptr<bool[]> open_;  // which of them are under way
};

}  // namespace millrace::access_log
