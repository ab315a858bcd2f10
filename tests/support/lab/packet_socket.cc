#include "tests/support/lab/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

namespace millrace::lab {
namespace {
constexpr int receive_buffer_bytes = 8 << 20;
constexpr size_t frame_bytes_max = 65536;
}  // namespace

PacketSocket::PacketSocket(const Namespace& inside, const std::string& interface) : fd_(-1) {
  const Namespace::Entered entered(inside);
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
  CHECK(fd_ >= 0);
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  const int yes = 1;
  setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  CHECK(at.sll_ifindex != 0);
  CHECK(bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
}

PacketSocket::~PacketSocket() {
  close(fd_);
}

bool PacketSocket::send(ByteView frame) {
  return ::send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
}

std::vector<uint8_t> PacketSocket::receive() {
  std::vector<uint8_t> frame(frame_bytes_max);
  const ssize_t count = recv(fd_, frame.data(), frame.size(), 0);
  frame.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return frame;
}

}  // namespace millrace::lab
