#include "dataplane/tcp/syn_cookie.h"

#include <array>

namespace millrace::tcp {
namespace {

// What peers announce: the least we honour, IPv6's least, tunnels, PPPoE, Ethernet, jumbo frames.
constexpr std::array<uint16_t, 8> mss_steps = {536,   1'220, 1'340, 1'400,
                                               1'440, 1'452, 1'460, 8'960};

constexpr uint32_t mss_bits = 3;
constexpr uint32_t period_bits = 5;
constexpr uint32_t low_bits = mss_bits + period_bits;
constexpr uint32_t low_mask = (1U << low_bits) - 1;

constexpr uint32_t scale_mask = 0xf;
constexpr uint32_t scale_none = 0xf;  // shifts end at 14 (RFC 7323 section 2.3)
constexpr uint32_t sack_bit = 0x10;
constexpr uint32_t options_mask = 0x3f;

uint32_t mss_index_of(const Options& options) {
  uint32_t index = 0;
  while (options.has_mss && index + 1 < mss_steps.size() && mss_steps[index + 1] <= options.mss)
    ++index;
  return index;
}

}  // namespace

const HashKey& SynCookies::key_of(uint64_t at_period) {
  if (key_period_ != at_period) {
    key_ = {siphash24(master_, at_period, 1), siphash24(master_, at_period, 2)};
    key_period_ = at_period;
  }
  return key_;
}

uint64_t SynCookies::hash(const FlowKey& flow, Seq irs, uint64_t at_period, uint64_t mss_index) {
  const HashKey& key = key_of(at_period);
  const uint64_t addresses = word_of_addresses(flow, aliases_);
  const uint64_t rest =
      uint64_t{flow.local.port} << 48 | uint64_t{flow.remote.port} << 32 | irs.value();
  return siphash24(key, siphash24(key, addresses, rest), mss_index);
}

Seq SynCookies::make(const FlowKey& flow, Seq irs, const Options& options, Instant now) {
  const uint64_t at_period = period_of(now);
  made_any_ = true;
  period_of_last_ = at_period;
  const uint32_t index = mss_index_of(options);
  const auto proof = static_cast<uint32_t>(hash(flow, irs, at_period, index)) & ~low_mask;
  const auto low = static_cast<uint32_t>(at_period << mss_bits | index) & low_mask;
  // Masked by what does not depend on them, so that they can be read again.
  const auto mask = static_cast<uint32_t>(siphash24(master_, flow.remote.port, irs.value()));
  return Seq(proof | ((low ^ mask) & low_mask));
}

std::optional<uint16_t> SynCookies::check(const FlowKey& flow, Seq irs, Seq cookie, Instant now) {
  const auto mask = static_cast<uint32_t>(siphash24(master_, flow.remote.port, irs.value()));
  const uint32_t low = (cookie.value() ^ mask) & low_mask;
  const uint32_t index = low & ((1U << mss_bits) - 1);
  const uint64_t now_period = period_of(now);
  const uint64_t age = (now_period - (low >> mss_bits)) & ((1U << period_bits) - 1);
  if (age >= periods_valid || age > now_period) return std::nullopt;
  const auto proof = static_cast<uint32_t>(hash(flow, irs, now_period - age, index)) & ~low_mask;
  if (proof != (cookie.value() & ~low_mask)) return std::nullopt;
  return mss_steps[index];
}

uint32_t SynCookies::timestamp_with(const Options& options, uint32_t timestamp) {
  const uint32_t said =
      (options.has_window_scale ? options.window_scale & scale_mask : scale_none) |
      (options.sack_permitted ? sack_bit : 0);
  const uint32_t stamped = (timestamp & ~options_mask) | said;
  // Never ahead of the clock: the connection's own timestamps must not go backwards (RFC 7323
  // section 5.3).
  return static_cast<int32_t>(stamped - timestamp) > 0 ? stamped - options_mask - 1 : stamped;
}

Options SynCookies::options_in(uint32_t timestamp_echo) {
  Options options;
  options.has_timestamps = true;
  options.has_window_scale = (timestamp_echo & scale_mask) != scale_none;
  options.window_scale =
      static_cast<uint8_t>(options.has_window_scale ? timestamp_echo & scale_mask : 0);
  options.sack_permitted = (timestamp_echo & sack_bit) != 0;
  return options;
}

}  // namespace millrace::tcp
