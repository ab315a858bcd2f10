// What a port must know about its network interface. Asked by ioctl and never read from /sys: a
// process that joined a network namespace may still see another one's /sys.
#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace millrace::nic {

struct InterfaceFacts {
  std::string name;
  uint32_t index = 0;
  MacAddress mac;
  uint16_t mtu = 0;          // bytes of IP packet
  std::string driver;        // "veth", "ixgbe", ...; empty when the driver does not say
  uint32_t queue_count = 1;  // receive queues in use
};

// In the network namespace of the calling thread. Error: which interface and the kernel's reason.
Result<InterfaceFacts> query_interface(const std::string& name);

}  // namespace millrace::nic
