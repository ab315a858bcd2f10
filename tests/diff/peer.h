// A stack under comparison: datagrams in, datagrams out, and the calls of one application with at
// most one connection. The tester holds two of these and says the same to both.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/diff/wire.h"

namespace millrace::diff {

// What the application got from reading everything.
struct Reading {
  Octets octets;
  bool ended = false;   // the peer's FIN
  bool broken = false;  // reset, refused or timed out
};

class Peer {
 public:
  virtual ~Peer() = default;

  // A new dialogue with a remote end that was never heard of before; `listens` or connects.
  virtual void begin(SocketAddress remote, bool listens) = 0;
  // The dialogue is over: nothing of it may stay behind.
  virtual void end() = 0;

  virtual void deliver(const Octets& datagram) = 0;
  // The application. Without a connection, or after close(), nothing happens.
  virtual Reading read() = 0;
  virtual void write(ByteView octets) = 0;
  virtual void shutdown() = 0;
  virtual void close() = 0;
  virtual void abort() = 0;
  // Lets pass what a stack puts off for some milliseconds (delayed acknowledgments), but no
  // retransmission timer.
  virtual void settle() = 0;

  // Whether the application was given a connection (or has begun one), and not closed it yet.
  virtual bool has_connection() const = 0;
  // The number of an acknowledgment that is owed, but waits for a timer behind which lies that of a
  // retransmission.
  virtual std::optional<uint32_t> owed_acknowledgment() const = 0;
  // What it says of its state, for reports and for the classes of known differences.
  virtual std::string state() const = 0;
  // Segments to the remote end of this dialogue, in order, since the last call.
  virtual std::vector<WireSegment> take_sent() = 0;
};

inline const SocketAddress stack_address{Ipv4Address::from_octets(10, 77, 0, 1), 80};

}  // namespace millrace::diff
