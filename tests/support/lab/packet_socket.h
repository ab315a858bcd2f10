// A raw Ethernet end for tests: sends and sees whole frames on one interface (AF_PACKET).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "tests/support/lab/namespace.h"

namespace millrace::lab {

class PacketSocket {
 public:
  PacketSocket(const Namespace& inside, const std::string& interface);
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;
  ~PacketSocket();

  // False when the link has no room now.
  bool send(ByteView frame);
  // The next frame that came in (none of our own), empty when there is none now.
  std::vector<uint8_t> receive();

 private:
  int fd_;
};

}  // namespace millrace::lab
