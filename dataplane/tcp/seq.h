// Sequence numbers are a type: 32 bits on a circle, compared by signed distance (RFC 9293 section
// 3.4). Two numbers more than 2^31 apart have no order, and no valid connection has such a pair.
#pragma once

#include <cstdint>

namespace millrace::tcp {

class Seq {
 public:
  constexpr Seq() = default;
  constexpr explicit Seq(uint32_t value) : value_(value) {}

  constexpr uint32_t value() const { return value_; }
  constexpr Seq operator+(uint32_t octets) const { return Seq(value_ + octets); }
  constexpr Seq operator-(uint32_t octets) const { return Seq(value_ - octets); }
  constexpr Seq& operator+=(uint32_t octets) {
    value_ += octets;
    return *this;
  }
  // Signed distance in octets.
  constexpr int32_t operator-(Seq other) const {
    return static_cast<int32_t>(value_ - other.value_);
  }

  constexpr bool operator==(const Seq&) const = default;
  constexpr bool operator<(Seq other) const { return *this - other < 0; }
  constexpr bool operator<=(Seq other) const { return *this - other <= 0; }
  constexpr bool operator>(Seq other) const { return *this - other > 0; }
  constexpr bool operator>=(Seq other) const { return *this - other >= 0; }

 private:
  uint32_t value_ = 0;
};

// Octets from `from` up to `to`, which must not lie before it.
inline constexpr uint32_t octets_between(Seq from, Seq to) {
  return to.value() - from.value();
}

inline constexpr Seq seq_max(Seq a, Seq b) {
  return a > b ? a : b;
}
inline constexpr Seq seq_min(Seq a, Seq b) {
  return a < b ? a : b;
}

}  // namespace millrace::tcp
