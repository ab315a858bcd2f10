// EndpointStates: what this core knows of endpoints by its own experience, by their stable ids: how
// many requests each has at this moment, and how many have failed one after the other. An endpoint
// with as many requests as it may have takes no other one, so that one that hangs cannot take
// everything there is; one that has failed too often in a row is left alone for a while (ejected),
// twice as long each time.
//
// Known are only endpoints about which there is something to know; an unknown one is free. When the
// table is full the next one round it that is at rest is forgotten, and where many in a row are
// busy a new one stays unknown, which limits nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "base/slab.h"
#include "base/time.h"

namespace millrace::upstream {

struct EndpointLimits {
  uint32_t endpoints = 16'384;                // known at the same time
  uint32_t requests_max = 4'096;              // of one endpoint; 0: no limit
  uint32_t failures_max = 5;                  // in a row; then it is ejected; 0: never
  Duration ejection = Duration::seconds(10);  // the first time
  Duration ejection_max = Duration::seconds(300);
};

class EndpointStates {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  EndpointStates(const EndpointLimits& limits, uint64_t seed);

  enum class Verdict : uint8_t { free, busy, ejected };
  struct Look {
    Verdict verdict = Verdict::free;
    uint32_t requests = 0;
    uint32_t record = none;  // unknown
  };
  Look look(uint64_t endpoint_id, Instant now) const;

  // A request goes to it. known: the record, if a look has found one. The record for the other
  // calls, until leave(); none: it stays unknown.
  uint32_t enter(uint64_t endpoint_id, uint32_t known = none);
  // The request is over. record: of enter(), none included, as for the following.
  void leave(uint32_t record);
  // It has answered: what failed before is forgotten.
  void succeeded(uint32_t record) {
    if (record != none && records_.at(record).failures != 0) forgive(record);
  }
  // It has not accepted a connection or not answered. True: with that it is ejected.
  bool failed(uint32_t record, Instant now);

  uint32_t count() const { return records_.in_use(); }
  size_t memory_bytes() const;

 private:
  struct State {
    uint64_t endpoint_id = 0;
    uint32_t requests = 0;
    uint16_t failures = 0;   // in a row, ejections aside
    uint16_t ejections = 0;  // in a row
    Instant ejected_until;
    uint32_t bucket_next = UINT32_MAX;
  };
  uint32_t& bucket_of(uint64_t endpoint_id) const;
  uint32_t find(uint64_t endpoint_id) const;
  uint32_t add(uint64_t endpoint_id);
  bool forget_one();
  void remove(uint32_t record);
  void forgive(uint32_t record);

  static constexpr uint32_t forget_looks_max = 256;

  EndpointLimits limits_;
  uint64_t seed_;
  Slab<State> records_;
  uint32_t hand_ = 0;  // the record that forget_one() has looked at last
  std::unique_ptr<uint32_t[]> buckets_;
  uint32_t bucket_mask_;
};

}  // namespace millrace::upstream
