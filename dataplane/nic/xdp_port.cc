#include "dataplane/nic/xdp_port.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "dataplane/nic/xdp_interface.h"

namespace millrace::nic {
namespace {

constexpr uint32_t ethernet_header_bytes = 14;
constexpr int kicks_per_flush_max = 2;
// XDP_MAX_TX_SKB_BUDGET and XDP_PKT_CONTD: newer than Debian's 6.1 headers.
constexpr int so_max_tx_skb_budget = 9;
constexpr uint32_t option_continued = 1U << 0;

uint32_t in_ring(const uint32_t* producer, const uint32_t* consumer) {
  return __atomic_load_n(producer, __ATOMIC_ACQUIRE) - __atomic_load_n(consumer, __ATOMIC_ACQUIRE);
}

}  // namespace

XdpPort::XdpPort(XdpUmem& umem, uint32_t receive_frames)
    : memory_(umem.data()),
      arena_address_(umem.arena_address()),
      arena_slot_count_(umem.arena_slot_count()),
      first_frame_(umem.claim_receive_frames(receive_frames)),
      frame_count_(receive_frames),
      lend_max_(receive_frames - receive_frames / 4),
      place_(std::make_unique<Place[]>(receive_frames)),
      free_(std::make_unique<uint32_t[]>(receive_frames)) {
  for (uint32_t frame = 0; frame < frame_count_; ++frame) put_free(frame_count_ - 1 - frame);
}

int XdpPort::bind(uint32_t interface_index, uint32_t queue, bool native, XdpUmem& umem) {
  socket_ = umem.take_owner();
  if (!socket_) {
    socket_ = std::make_unique<XdpSocket>();
    if (const int error = socket_->open(); error != 0) return error;
  }
  if (const int error = socket_->open_rings(umem.rings()); error != 0) return error;
  // A driver's zero-copy path never sees a generic program.
  const auto flags = static_cast<uint16_t>(XDP_USE_NEED_WAKEUP | (native ? 0 : XDP_COPY));
  return socket_->bind(interface_index, queue, flags, umem.owner_fd());
}

void XdpPort::after_bind() {
  // One call may then send the whole ring instead of 32 frames; older kernels refuse, and live with
  // more calls.
  const uint32_t budget = socket_->transmit.size;
  setsockopt(socket_->fd(), SOL_XDP, so_max_tx_skb_budget, &budget, sizeof budget);
  xdp_options socket_options{};
  socklen_t bytes = sizeof socket_options;
  zero_copy_ = getsockopt(socket_->fd(), SOL_XDP, XDP_OPTIONS, &socket_options, &bytes) == 0 &&
               (socket_options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  refill();
}

Result<std::unique_ptr<XdpPort>> XdpPort::open(const XdpPortOptions& options, XdpUmem& umem,
                                               bpf::Redirect& redirect) {
  const std::string& interface = redirect.facts().interface;
  const auto failed = [&](const std::string& what) {
    return Error{"interface " + interface + " queue " + std::to_string(options.queue) + ": " +
                 what};
  };
  Result<InterfaceFacts> link = query_interface(interface);
  if (!link) return Error{link.error()};
  if (options.queue >= link->queue_count) {
    return failed("does not exist, the interface has " + std::to_string(link->queue_count));
  }
  if (options.receive_frames < receive_frames_min) {
    return failed("needs at least " + std::to_string(receive_frames_min) + " receive frames");
  }
  if (options.receive_frames > umem.unclaimed_receive_frames()) {
    return failed("wants " + std::to_string(options.receive_frames) + " receive frames, " +
                  std::to_string(umem.unclaimed_receive_frames()) + " are left");
  }
  std::unique_ptr<XdpPort> port(new XdpPort(umem, options.receive_frames));
  const int error = port->bind(link->index, options.queue, redirect.facts().native, umem);
  if (error == EBUSY) return failed("another AF_XDP socket is bound to it");
  if (error == EPERM) return failed("no privilege: needs root or CAP_NET_RAW");
  if (error == ENETDOWN) return failed("the interface is down");
  if (error != 0) return failed(std::string("binding the socket: ") + std::strerror(error));
  port->after_bind();

  PortFacts& facts = port->facts_;
  facts.name = options.name.empty() ? interface : options.name;
  facts.mac = link->mac;
  facts.mtu = static_cast<uint16_t>(
      std::min<uint32_t>(link->mtu, xdp_frame_bytes_max - ethernet_header_bytes));
  facts.checksum_mode = options.checksum_mode.value_or(
      link->driver == "veth" ? ChecksumMode::verify_or_partial : ChecksumMode::verify);
  if (Status steered = redirect.set_socket(options.queue, port->socket_->fd()); !steered) {
    return Error{steered.error()};
  }
  port->progress_ = redirect.hold_openings_back(
      options.queue, std::min(options.receive_frames, port->socket_->receive.size) / 2);
  return port;
}

uint32_t XdpPort::frame_index(uint64_t address) const {
  const uint64_t frame = address / packet::slot_bytes;
  CHECK(frame >= first_frame_ && frame - first_frame_ < frame_count_);
  return static_cast<uint32_t>(frame - first_frame_);
}

void XdpPort::put_free(uint32_t frame) {
  place_[frame] = Place::free;
  free_[free_count_++] = frame;
}

// Every free frame that the fill ring has room for goes back to the kernel.
void XdpPort::refill() {
  const uint32_t count = std::min(free_count_, xsk_prod_nb_free(&socket_->fill, free_count_));
  uint32_t at = 0;
  if (count == 0 || xsk_ring_prod__reserve(&socket_->fill, count, &at) != count) return;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t frame = free_[--free_count_];
    place_[frame] = Place::kernel;
    *xsk_ring_prod__fill_addr(&socket_->fill, at + i) =
        uint64_t{first_frame_ + frame} * packet::slot_bytes;
  }
  kernel_count_ += count;
  xsk_ring_prod__submit(&socket_->fill, count);
}

// A driver that ran dry says so in the fill ring and waits for a call.
void XdpPort::wake_receive() {
  if (!xsk_ring_prod__needs_wakeup(&socket_->fill)) return;
  ++counters_.kicks;
  recvfrom(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

size_t XdpPort::receive(std::span<packet::Frame> frames, Instant) {
  const auto wanted =
      static_cast<uint32_t>(std::min<size_t>(frames.size(), lend_max_ - held_count_));
  uint32_t at = 0;
  const uint32_t count = xsk_ring_cons__peek(&socket_->receive, wanted, &at);
  if (count == 0) {
    wake_receive();
    return 0;
  }
  size_t lent = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const xdp_desc& descriptor = *xsk_ring_cons__rx_desc(&socket_->receive, at + i);
    const uint32_t frame = frame_index(descriptor.addr);
    CHECK(place_[frame] == Place::kernel);
    const bool continued = (descriptor.options & option_continued) != 0;
    // A packet in several buffers is longer than anything we announce: all its parts go back.
    if (continued || in_dropped_chain_ || descriptor.len > xdp_frame_bytes_max) {
      in_dropped_chain_ = continued;
      if (!continued) ++counters_.receive_dropped_frames, ++oversized_frames_;
      put_free(frame);
      continue;
    }
    place_[frame] = Place::held;
    packet::Frame& out = frames[lent++];
    out.data = memory_ + descriptor.addr;
    out.length = static_cast<uint16_t>(descriptor.len);
    out.checksum_verified = false;
    out.octets_behind = static_cast<uint16_t>(
        packet::slot_bytes - descriptor.addr % packet::slot_bytes - descriptor.len);
    out.token = descriptor.addr;
    bytes += descriptor.len;
  }
  xsk_ring_cons__release(&socket_->receive, count);
  progress_.took(in_ring(socket_->receive.producer, socket_->receive.consumer));
  kernel_count_ -= count;
  held_count_ += static_cast<uint32_t>(lent);
  counters_.received_frames += lent;
  counters_.received_bytes += bytes;
  if (lent != count) refill();
  return lent;
}

void XdpPort::release(std::span<const packet::Frame> frames) {
  for (const packet::Frame& lent : frames) {
    const uint32_t frame = frame_index(lent.token);
    CHECK(place_[frame] == Place::held);
    put_free(frame);
  }
  held_count_ -= static_cast<uint32_t>(frames.size());
  refill();
}

size_t XdpPort::transmit_room() const {
  return socket_->transmit.size - in_ring(socket_->transmit.producer, socket_->transmit.consumer);
}

void XdpPort::transmit(std::span<const packet::TransmitFrame> frames, Instant) {
  const auto count = static_cast<uint32_t>(frames.size());
  uint32_t at = 0;
  if (count == 0) return;
  CHECK(xsk_ring_prod__reserve(&socket_->transmit, count, &at) == count);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const packet::TransmitFrame& frame = frames[i];
    // The kernel skips a bad descriptor without ever completing it: the slot would be lost.
    CHECK(frame.slot < arena_slot_count_ && frame.length != 0 &&
          uint32_t{frame.offset} + frame.length <= packet::slot_bytes);
    xdp_desc& descriptor = *xsk_ring_prod__tx_desc(&socket_->transmit, at + i);
    descriptor.addr = arena_address_ + uint64_t{frame.slot} * packet::slot_bytes + frame.offset;
    descriptor.len = frame.length;
    descriptor.options = 0;
    bytes += frame.length;
  }
  xsk_ring_prod__submit(&socket_->transmit, count);
  transmit_outstanding_ += count;
  counters_.transmitted_frames += count;
  counters_.transmitted_bytes += bytes;
}

bool XdpPort::transmit_pending() const {
  return in_ring(socket_->transmit.producer, socket_->transmit.consumer) != 0;
}

// In copy mode the call itself sends, a budget of frames at a time; with zero copy it wakes the
// driver, which asks for it by the ring's flag.
void XdpPort::flush() {
  kick_worth_retrying_ = false;
  for (int call = 0; call < kicks_per_flush_max && transmit_pending(); ++call) {
    if (!xsk_ring_prod__needs_wakeup(&socket_->transmit)) return;
    ++counters_.kicks;
    if (sendto(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) {
      kick_worth_retrying_ = !zero_copy_ && transmit_pending();
      return;
    }
    if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR) {
      ++failed_kicks_;  // link down or interface gone; tried again next turn, no reason to spin
      return;
    }
    kick_worth_retrying_ = true;
  }
  kick_worth_retrying_ = kick_worth_retrying_ && transmit_pending();
}

size_t XdpPort::reclaim(std::span<packet::SlotIndex> slots) {
  uint32_t at = 0;
  const uint32_t count =
      xsk_ring_cons__peek(&socket_->completion, static_cast<uint32_t>(slots.size()), &at);
  if (count == 0) return 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t address = *xsk_ring_cons__comp_addr(&socket_->completion, at + i);
    CHECK(address >= arena_address_);
    const uint64_t slot = (address - arena_address_) / packet::slot_bytes;
    CHECK(slot < arena_slot_count_);
    slots[i] = static_cast<packet::SlotIndex>(slot);
  }
  xsk_ring_cons__release(&socket_->completion, count);
  CHECK(count <= transmit_outstanding_);
  transmit_outstanding_ -= count;
  return count;
}

// Kicked here, although a poll of the socket would send as well: the poll does not say when it
// could not.
bool XdpPort::prepare_wait() {
  if (transmit_pending()) flush();
  wake_receive();
  // Also said without a take: what the kernel has lost behind the program would else wait for ever.
  const uint32_t waiting = in_ring(socket_->receive.producer, socket_->receive.consumer);
  progress_.took(waiting);
  return kick_worth_retrying_ || waiting != 0;
}

bool XdpPort::frames_conserved() const {
  uint32_t kernel = 0;
  uint32_t held = 0;
  uint32_t free = 0;
  for (uint32_t frame = 0; frame < frame_count_; ++frame) {
    if (place_[frame] == Place::kernel) ++kernel;
    if (place_[frame] == Place::held) ++held;
    if (place_[frame] == Place::free) ++free;
  }
  const bool places_agree = kernel == kernel_count_ && held == held_count_ && free == free_count_ &&
                            kernel + held + free == frame_count_;
  // The kernel may hold frames between its rings, so the rings show at most what it has. The
  // receive ring is read first: a frame that moves on meanwhile is then missed, never seen twice.
  const uint32_t in_receive_ring = in_ring(socket_->receive.producer, socket_->receive.consumer);
  const uint32_t in_receive_rings =
      in_receive_ring + in_ring(socket_->fill.producer, socket_->fill.consumer);
  const uint32_t in_transmit_rings =
      in_ring(socket_->completion.producer, socket_->completion.consumer);
  return places_agree && in_receive_rings <= kernel_count_ &&
         in_transmit_rings <= transmit_outstanding_;
}

void XdpPort::collect_statistics() {
  xdp_statistics statistics{};
  socklen_t bytes = sizeof statistics;
  if (getsockopt(socket_->fd(), SOL_XDP, XDP_STATISTICS, &statistics, &bytes) != 0) return;
  counters_.receive_dropped_frames = oversized_frames_ + statistics.rx_dropped +
                                     statistics.rx_ring_full + statistics.rx_fill_ring_empty_descs;
  counters_.transmit_dropped_frames = statistics.tx_invalid_descs;
}

}  // namespace millrace::nic
