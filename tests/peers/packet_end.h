// One interface of the impairment stage: frames in and out by the dozen (AF_PACKET).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/peers/delay_line.h"

namespace millrace::peers {

class PacketEnd {
 public:
  static constexpr size_t burst_max = 64;

  // Error: a sentence with the interface's name.
  static Result<PacketEnd> open(const std::string& interface);

  int fd() const { return fd_.get(); }
  // Frames that have come in, at most burst_max, valid until the next call. A frame that is longer
  // than DelayLine::frame_octets_max is left out and counted: an offload is still on.
  const std::vector<ByteView>& receive();
  // How many of the frames (burst_max at most) the link took.
  size_t send(const std::vector<ByteView>& frames);

  uint64_t too_long() const { return too_long_; }
  // Frames that the kernel had no room for since the last call.
  uint64_t missed();

 private:
  explicit PacketEnd(UniqueFd fd) : fd_(std::move(fd)), memory_(burst_max * octets_each) {}
  // One more than fits, to tell what is too long.
  static constexpr size_t octets_each = DelayLine::frame_octets_max + 1;

  UniqueFd fd_;
  std::vector<uint8_t> memory_;
  std::array<mmsghdr, burst_max> messages_{};
  std::array<iovec, burst_max> pieces_{};
  std::vector<ByteView> frames_;
  uint64_t too_long_ = 0;
};

}  // namespace millrace::peers
