// XdpPort: one AF_XDP socket on one receive queue of an interface whose XDP program (bpf::Redirect)
// hands it our frames.
//
// A receive frame is in one of three places: with the kernel (fill ring, receive ring or between
// them), held by the worker, or free here. The port keeps a byte per frame that says which, so a
// frame given back twice or never lent is found on the spot.
//
// Transmit works in copy mode on any driver: the kernel sends a part of the ring per system call
// and answers EAGAIN while more is left, so a kick stays owed until the ring is empty, and the
// worker is not let to sleep before.
//
// The program is told what waits in the receive ring, so that SYNs stay out of one that is half
// full: the rest is for the connections that there are.
//
// After open() the port needs no capability. It does not outlive the Redirect.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "bpf/redirect_loader.h"
#include "dataplane/nic/port.h"
#include "dataplane/nic/xdp_socket.h"
#include "dataplane/nic/xdp_umem.h"

namespace millrace::nic {

inline constexpr uint32_t receive_frames_min = 64;
// The longest frame that fits behind the kernel's XDP headroom; facts().mtu never promises more.
inline constexpr uint32_t xdp_frame_bytes_max = millrace_receive_frame_bytes_max;

struct XdpPortOptions {
  std::string name;  // for logs and counters; the interface's name when empty
  uint32_t queue = 0;
  uint32_t receive_frames = 4096;             // claimed from the UMEM, at least receive_frames_min
  std::optional<ChecksumMode> checksum_mode;  // default: verify_or_partial on veth, else verify
};

class XdpPort final : public Port {
 public:
  // Opens the socket, binds it to the interface's queue (waiting up to a second for a killed
  // predecessor's to go) and enters it into the program's map. umem outlives the port, and its
  // first port outlives no other one's use: a worker closes all its ports together. Errors name
  // interface and queue: queue missing, queue taken, no frames left, no privilege.
  static Result<std::unique_ptr<XdpPort>> open(const XdpPortOptions& options, XdpUmem& umem,
                                               bpf::Redirect& redirect);
  XdpPort(const XdpPort&) = delete;
  XdpPort& operator=(const XdpPort&) = delete;
  ~XdpPort() override = default;

  const PortFacts& facts() const override { return facts_; }
  const PortCounters& counters() const override { return counters_; }
  size_t receive(std::span<packet::Frame> frames, Instant now) override;
  void release(std::span<const packet::Frame> frames) override;
  size_t transmit_room() const override;
  void transmit(std::span<const packet::TransmitFrame> frames, Instant now) override;
  void flush() override;
  size_t reclaim(std::span<packet::SlotIndex> slots) override;
  int wait_fd() const override { return socket_->fd(); }
  bool prepare_wait() override;
  bool frames_conserved() const override;

  void collect_statistics() override;

  bool zero_copy() const { return zero_copy_; }
  // How often the kernel refused a kick for good (link down, interface gone).
  uint64_t failed_kicks() const { return failed_kicks_; }

 private:
  enum class Place : uint8_t { kernel, held, free };

  XdpPort(XdpUmem& umem, uint32_t receive_frames);
  int bind(uint32_t interface_index, uint32_t queue, bool native, XdpUmem& umem);
  void after_bind();
  uint32_t frame_index(uint64_t address) const;
  void put_free(uint32_t frame);
  void refill();
  void wake_receive();
  bool transmit_pending() const;

  PortFacts facts_;
  PortCounters counters_;
  uint64_t oversized_frames_ = 0;
  uint64_t failed_kicks_ = 0;
  bool zero_copy_ = false;
  bool in_dropped_chain_ = false;  // the last receive descriptor promised a continuation
  bool kick_worth_retrying_ = false;

  uint8_t* memory_;
  uint64_t arena_address_;
  uint32_t arena_slot_count_;

  std::unique_ptr<XdpSocket> socket_;
  bpf::QueueProgress progress_;

  uint32_t first_frame_;
  uint32_t frame_count_;
  uint32_t lend_max_;  // three quarters: the rest always stays with the port
  uint32_t kernel_count_ = 0;
  uint32_t held_count_ = 0;
  uint32_t free_count_ = 0;
  uint32_t transmit_outstanding_ = 0;  // given to the kernel, not reclaimed
  std::unique_ptr<Place[]> place_;
  std::unique_ptr<uint32_t[]> free_;
};

}  // namespace millrace::nic
