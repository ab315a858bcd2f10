// Which connections an operator wants to see.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "shm/listing_format.h"

namespace millrace::cli {

// One end of a connection: an address, a prefix, a port, or an address with a port.
struct EndFilter {
  shm::ConnectionRecord::Address address{};
  uint32_t prefix_bits = 0;  // of the sixteen octets; 0: any address
  std::optional<uint16_t> port;

  bool matches(const shm::ConnectionRecord::Address& other, uint16_t other_port) const;
};

// "10.0.0.1", "10.0.0.0/8", "10.0.0.1:80", ":80", "2001:db8::1", "2001:db8::/32",
// "[2001:db8::1]:80".
Result<EndFilter> parse_end(const std::string& text);

// By its RFC name, in any case.
Result<shm::ConnectionState> parse_state(const std::string& text);

struct ConnectionFilter {
  std::optional<shm::ConnectionState> state;
  std::optional<EndFilter> local;
  std::optional<EndFilter> remote;

  bool matches(const shm::ConnectionRecord& record) const;
};

}  // namespace millrace::cli
