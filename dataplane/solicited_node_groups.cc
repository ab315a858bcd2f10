#include "dataplane/solicited_node_groups.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace millrace {
namespace {

bool join_by_kernel(int fd, unsigned interface_index, const Ipv6Address& group) {
  ipv6_mreq request{};
  group.store(reinterpret_cast<uint8_t*>(&request.ipv6mr_multiaddr));
  request.ipv6mr_interface = interface_index;
  // Addresses with equal last 24 bits share a group, which a socket joins once.
  return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) == 0 ||
         errno == EADDRINUSE;
}

bool open_filter(int fd, unsigned interface_index, const Ipv6Address& group) {
  const MacAddress mac = group.multicast_mac();
  packet_mreq request{};
  request.mr_ifindex = static_cast<int>(interface_index);
  request.mr_type = PACKET_MR_MULTICAST;
  request.mr_alen = static_cast<unsigned short>(mac.octets.size());
  std::memcpy(request.mr_address, mac.octets.data(), mac.octets.size());
  return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) == 0;
}

// The socket with all memberships; none, and errno, when one was refused.
template <class Join>
UniqueFd join_all(UniqueFd fd, unsigned interface_index, const std::vector<Ipv6Address>& addresses,
                  Join join) {
  if (!fd) return fd;
  for (const Ipv6Address& address : addresses) {
    if (join(fd.get(), interface_index, address.solicited_node())) continue;
    const int error = errno;
    fd = UniqueFd();
    errno = error;
    break;
  }
  return fd;
}

}  // namespace

Result<SolicitedNodeGroups> SolicitedNodeGroups::join(const std::string& interface,
                                                      const std::vector<Ipv6Address>& addresses) {
  SolicitedNodeGroups groups;
  if (addresses.empty()) return groups;
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) return Error{"interface " + interface + ": not found in this network namespace"};

  groups.socket_ = join_all(UniqueFd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)), index,
                            addresses, join_by_kernel);
  if (groups.socket_) return groups;
  const std::string why = std::strerror(errno);
  // Protocol 0: this socket receives nothing.
  groups.socket_ = join_all(UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)), index,
                            addresses, open_filter);
  if (!groups.socket_) {
    return Error{"interface " + interface +
                 ": receiving neighbor solicitations: " + std::strerror(errno)};
  }
  groups.note_ = "the kernel has no IPv6 on " + interface + " (" + why +
                 "): a switch that snoops multicast listener reports may not deliver neighbor "
                 "solicitations";
  return groups;
}

}  // namespace millrace
