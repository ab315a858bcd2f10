#include "dataplane/nic/xdp_interface.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace millrace::nic {
namespace {

class ControlSocket {
 public:
  explicit ControlSocket(const std::string& interface)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    std::memcpy(request_.ifr_name, interface.data(), interface.size());
  }
  ControlSocket(const ControlSocket&) = delete;
  ~ControlSocket() {
    if (fd_ >= 0) close(fd_);
  }
  bool ask(unsigned long what) { return fd_ >= 0 && ioctl(fd_, what, &request_) == 0; }
  bool ask_ethtool(void* command) {
    request_.ifr_data = static_cast<char*>(command);
    return ask(SIOCETHTOOL);
  }
  const ifreq& answer() const { return request_; }

 private:
  int fd_;
  ifreq request_{};
};

}  // namespace

Result<InterfaceFacts> query_interface(const std::string& name) {
  const auto failed = [&name](const char* what) {
    return Error{"interface " + name + ": " + what + ": " + std::strerror(errno)};
  };
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return Error{"interface " + name + ": not a possible interface name"};
  }
  InterfaceFacts facts;
  facts.name = name;
  facts.index = if_nametoindex(name.c_str());
  if (facts.index == 0) {
    return Error{"interface " + name + ": not found in this network namespace"};
  }
  ControlSocket control(name);
  if (!control.ask(SIOCGIFHWADDR)) return failed("hardware address");
  if (control.answer().ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return Error{"interface " + name + ": is not Ethernet"};
  }
  std::memcpy(facts.mac.octets.data(), control.answer().ifr_hwaddr.sa_data,
              facts.mac.octets.size());
  if (!control.ask(SIOCGIFMTU)) return failed("MTU");
  facts.mtu = static_cast<uint16_t>(std::clamp(control.answer().ifr_mtu, 0, 65535));

  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (control.ask_ethtool(&driver)) facts.driver = driver.driver;
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (control.ask_ethtool(&channels)) {
    facts.queue_count = std::max(1U, channels.combined_count + channels.rx_count);
  }
  return facts;
}

}  // namespace millrace::nic
