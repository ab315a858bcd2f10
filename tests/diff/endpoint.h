// One of the two stacks that are compared: datagrams in and out, and one connection's application.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace millrace::diff {

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // A new listener on port 80 is there; no connection is.
  virtual void begin(uint64_t seed) = 0;
  virtual void device_in(ByteView datagram) = 0;
  // All that was sent since the last call, acknowledgments that were only delayed included.
  virtual std::vector<std::vector<uint8_t>> device_out() = 0;
  // The same, when something should come: waits for it as long as an acknowledgment may be delayed.
  virtual std::vector<std::vector<uint8_t>> device_out_later(uint16_t peer_port) {
    (void)peer_port;
    return device_out();
  }
  // Challenges that its limit has withheld so far; the kernel's is turned off.
  virtual int64_t challenges_withheld() { return 0; }
  // Between two steps: what is limited by time may happen again.
  virtual void rest() = 0;
  // The application of the one connection; false where there is none (yet).
  virtual bool accept() = 0;
  virtual size_t read_all(std::string* text) = 0;
  virtual size_t write(ByteView text) = 0;
  virtual void shutdown() = 0;
  virtual void close() = 0;
  // RFC 9293's name; "NONE" when there is no connection, or its application is gone.
  virtual std::string state() = 0;
};

// The kernel's TCP behind a TUN device, in a network namespace of this process's own. nullptr with
// *error when that cannot be made (it needs root).
std::unique_ptr<Endpoint> make_linux(std::string* error);
std::unique_ptr<Endpoint> make_millrace();

inline constexpr uint32_t stack_address = 0x0a00'0001;  // 10.0.0.1/24
inline constexpr uint16_t listen_port = 80;

}  // namespace millrace::diff
