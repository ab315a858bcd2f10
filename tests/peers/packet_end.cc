#include "tests/peers/packet_end.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace millrace::peers {
namespace {
// 40 ms of 500 Mbit/s, three times over: nobody may lose a frame that the seed did not choose.
constexpr int buffer_bytes = 64 << 20;
}  // namespace

Result<PacketEnd> PacketEnd::open(const std::string& interface) {
  const auto failed = [&interface] { return Error{interface + ": " + std::strerror(errno)}; };
  // Bound before the protocol is named, so that no frame of another interface comes in between.
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed();
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof buffer_bytes);
  const int yes = 1;
  setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
  setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (at.sll_ifindex == 0) return Error{interface + ": no such interface"};
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return failed();
  return PacketEnd(std::move(fd));
}

const std::vector<ByteView>& PacketEnd::receive() {
  frames_.clear();
  for (size_t i = 0; i < burst_max; ++i) {
    pieces_[i] = {memory_.data() + i * octets_each, octets_each};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_iov = &pieces_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
  const int count = recvmmsg(fd_.get(), messages_.data(), burst_max, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < count; ++i) {
    const size_t octets = messages_[static_cast<size_t>(i)].msg_len;
    if (octets > DelayLine::frame_octets_max) {
      ++too_long_;
      continue;
    }
    frames_.emplace_back(memory_.data() + static_cast<size_t>(i) * octets_each, octets);
  }
  return frames_;
}

size_t PacketEnd::send(const std::vector<ByteView>& frames) {
  const size_t count = std::min(frames.size(), burst_max);
  for (size_t i = 0; i < count; ++i) {
    pieces_[i] = {const_cast<uint8_t*>(frames[i].data()), frames[i].size()};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_iov = &pieces_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
  size_t sent = 0;
  while (sent < count) {
    const int now = sendmmsg(fd_.get(), messages_.data() + sent,
                             static_cast<unsigned>(count - sent), MSG_DONTWAIT);
    if (now <= 0) break;
    sent += static_cast<size_t>(now);
  }
  return sent;
}

uint64_t PacketEnd::missed() {
  tpacket_stats stats{};
  socklen_t length = sizeof stats;
  const int code = getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &length);
  return code == 0 ? stats.tp_drops : 0;
}

}  // namespace millrace::peers
