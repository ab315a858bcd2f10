#include "dataplane/nic/dpdk_port.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace millrace::nic {
namespace {

constexpr uint16_t ring_frames_wanted = 1024;  // descriptors of a device that has rings
constexpr uint32_t transmit_frames = 2048;     // taken and not yet reclaimed; a power of two
constexpr uint32_t pool_cache_frames = 256;    // kept at hand for the worker's thread
constexpr uint16_t receive_room_bytes = packet::slot_bytes + RTE_PKTMBUF_HEADROOM;
constexpr uint32_t conserved_slack_frames = 2 * burst_frames_max;  // drivers refill in bursts
constexpr uint16_t queue = 0;
static_assert(dpdk_frame_bytes_max <= packet::slot_bytes);
static_assert((transmit_frames & (transmit_frames - 1)) == 0);

struct FreePool {
  void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using Pool = std::unique_ptr<rte_mempool, FreePool>;

uint32_t next_number() {
  static uint32_t number = 0;  // ports are opened by one thread, at start
  return number++;
}

std::string memif_arguments(const Memif& memif, const std::string& socket,
                            const std::optional<MacAddress>& mac) {
  return "role=" + std::string(memif.role == MemifRole::server ? "server" : "client") +
         ",socket=" + socket + ",socket-abstract=no,id=" + std::to_string(memif.id) +
         ",bsize=" + std::to_string(packet::slot_bytes) +
         ",rsize=" + std::to_string(__builtin_ctz(memif.ring_frames)) +
         (mac ? ",mac=" + to_text(*mac) : "");
}

}  // namespace

// Of one ethdev.
class EthernetPort final : public DpdkPort, private MemifGate::Driver {
 public:
  explicit EthernetPort(const DpdkPortOptions& options) : options_(options) {}
  ~EthernetPort() override { close(); }
  Status start(DpdkEnvironment& environment);

  const PortFacts& facts() const override { return facts_; }
  const PortCounters& counters() const override { return counters_; }
  size_t receive(std::span<packet::Frame> frames, Instant now) override;
  void release(std::span<const packet::Frame> frames) override;
  size_t transmit_room() const override { return transmit_frames - (taken_ - reclaimed_); }
  void transmit(std::span<const packet::TransmitFrame> frames, Instant now) override;
  void flush() override;
  size_t reclaim(std::span<packet::SlotIndex> slots) override;
  int wait_fd() const override { return -1; }
  bool prepare_wait() override;
  void collect_statistics() override;
  bool frames_conserved() const override;
  bool link_up() const override { return gate_ ? gate_->seems_open() : device_link_up(); }
  uint64_t link_ups() const override { return gate_ ? gate_->openings() : 0; }

 private:
  struct Sending {
    rte_mbuf* mbuf;  // resident; none for a device that copies
    packet::TransmitFrame frame;
  };

  Status find_device(DpdkEnvironment& environment);
  Status make_pools(DpdkEnvironment& environment);
  Status configure(DpdkEnvironment& environment);
  Status map_arena();
  Status run(DpdkEnvironment& environment);
  void close();
  void drop_unsent();
  void point_at(rte_mbuf* mbuf, const packet::TransmitFrame& frame) const;
  uint16_t send_resident(uint16_t count);
  uint16_t send_copied(uint16_t count);
  Error failed(const std::string& what, DpdkEnvironment& environment) const;
  bool usable() { return !gate_ || gate_->is_open(); }
  bool device_link_up() const;
  bool connect() override;
  void disconnect() override { rte_eth_dev_stop(id_); }
  bool connected() const override { return device_link_up(); }
  Sending& at(uint32_t place) { return sending_[place & (transmit_frames - 1)]; }
  const Sending& at(uint32_t place) const { return sending_[place & (transmit_frames - 1)]; }

  DpdkPortOptions options_;
  PortFacts facts_;
  PortCounters counters_;
  std::unique_ptr<MemifGate> gate_;  // of a memif
  std::string device_name_;          // DPDK's
  bool is_virtual_ = true;
  // Whether frames are copied within the call that sends them, so that their slots are done then.
  bool copies_ = false;
  uint16_t id_ = RTE_MAX_ETHPORTS;
  uint16_t receive_ring_frames_ = 0;  // what the device itself may hold

  Pool receive_pool_;
  Pool transmit_pool_;
  uint32_t receive_frame_count_ = 0;
  uint32_t lend_max_ = 0;
  uint32_t held_count_ = 0;
  uint64_t odd_frames_ = 0;       // too long, or in several buffers
  uint64_t linkless_frames_ = 0;  // to be sent while the far end was away

  // Positions that only rise (and start again at 0 when the ring is empty, which keeps to the part
  // of it that is in the cache):  reclaimed <= sent <= taken.
  std::array<Sending, transmit_frames> sending_{};
  uint32_t taken_ = 0;      // by transmit()
  uint32_t sent_ = 0;       // handed to the device, or dropped
  uint32_t reclaimed_ = 0;  // given back by reclaim()
};

Error EthernetPort::failed(const std::string& what, DpdkEnvironment& environment) const {
  const std::string line = environment.take_log_line();
  return Error{device_name_ + ": " + what + (line.empty() ? "" : " (" + line + ")")};
}

Status EthernetPort::find_device(DpdkEnvironment& environment) {
  std::string arguments;
  if (const auto* memif = std::get_if<Memif>(&options_.device)) {
    auto gate = MemifGate::create(memif->socket, memif->role, memif->id, memif->owner);
    if (!gate) return Error{gate.error()};
    gate_ = std::move(*gate);
    copies_ = true;
    device_name_ = "net_memif" + std::to_string(next_number());
    arguments = memif_arguments(*memif, gate_->driver_socket(), options_.mac);
  } else if (const auto* device = std::get_if<VirtualDevice>(&options_.device)) {
    const size_t comma = device->arguments.find(',');
    device_name_ = device->arguments.substr(0, comma);
    if (comma != std::string::npos) arguments = device->arguments.substr(comma + 1);
  } else {
    device_name_ = std::get<PciDevice>(options_.device).address;
    is_virtual_ = false;
  }
  if (is_virtual_) {
    // A memif server's driver makes its socket now: nobody else may connect to it.
    const mode_t mask = umask(S_IRWXG | S_IRWXO);
    const int error = rte_eal_hotplug_add("vdev", device_name_.c_str(), arguments.c_str());
    umask(mask);
    if (error != 0) {
      is_virtual_ = false;  // nothing to take away again
      return failed("cannot be made", environment);
    }
  }
  if (rte_eth_dev_get_port_by_name(device_name_.c_str(), &id_) != 0) {
    return failed("is no network device that DPDK knows", environment);
  }
  return Ok{};
}

Status EthernetPort::make_pools(DpdkEnvironment& environment) {
  const std::string number = std::to_string(id_);
  const int socket = rte_eth_dev_socket_id(id_);
  receive_frame_count_ = options_.receive_frames;
  lend_max_ = receive_frame_count_ - receive_frame_count_ / 4;
  // One thread takes and gives back: rings for one producer and one consumer.
  receive_pool_.reset(rte_pktmbuf_pool_create_by_ops(("receive_" + number).c_str(),
                                                     receive_frame_count_, pool_cache_frames, 0,
                                                     receive_room_bytes, socket, "ring_sp_sc"));
  transmit_pool_.reset(
      rte_pktmbuf_pool_create_by_ops(("transmit_" + number).c_str(), transmit_frames,
                                     copies_ ? pool_cache_frames : 0, 0, 0, socket, "ring_sp_sc"));
  if (!receive_pool_ || !transmit_pool_) {
    return failed(std::string("no memory for its frames: ") + rte_strerror(rte_errno), environment);
  }
  for (Sending& entry : sending_) {
    if (copies_) break;
    entry.mbuf = rte_pktmbuf_alloc(transmit_pool_.get());
    if (entry.mbuf == nullptr) return failed("no memory for its descriptors", environment);
    entry.mbuf->ol_flags = RTE_MBUF_F_EXTERNAL;
    entry.mbuf->buf_len = packet::slot_bytes;
    rte_mbuf_refcnt_set(entry.mbuf, 1);
  }
  return Ok{};
}

// A card reads the arena itself: the IOMMU must let it.
Status EthernetPort::map_arena() {
  const size_t page = 4096;
  const size_t bytes = size_t{options_.arena_slot_count} * packet::slot_bytes / page * page;
  if (rte_extmem_register(options_.arena_memory, bytes, nullptr,
                          static_cast<unsigned>(bytes / page), page) != 0 &&
      rte_errno != EEXIST) {
    return Error{device_name_ +
                 ": the transmit arena cannot be registered: " + rte_strerror(rte_errno)};
  }
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(id_, &info);
  if (rte_dev_dma_map(info.device, options_.arena_memory,
                      reinterpret_cast<uint64_t>(options_.arena_memory), bytes) != 0 &&
      rte_errno != ENOTSUP && rte_errno != EEXIST) {
    return Error{device_name_ + ": cannot read the transmit arena: " + rte_strerror(rte_errno)};
  }
  return Ok{};
}

Status EthernetPort::configure(DpdkEnvironment& environment) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0) {
    return failed(std::string("says nothing about itself: ") + rte_strerror(-error), environment);
  }
  rte_eth_conf conf{};
  // Only what the device says it has.
  conf.rxmode.offloads =
      info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
  if (const int error = rte_eth_dev_configure(id_, 1, 1, &conf); error != 0) {
    return failed(std::string("refuses one queue pair: ") + rte_strerror(-error), environment);
  }
  uint16_t receive_ring = ring_frames_wanted;
  uint16_t transmit_ring = ring_frames_wanted;
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &receive_ring, &transmit_ring);
  receive_ring_frames_ = gate_ ? 0 : receive_ring;
  if (uint32_t{receive_ring_frames_} > receive_frame_count_ / 4 && !is_virtual_) {
    return failed("fills " + std::to_string(receive_ring) +
                      " frames into its ring: four times as " + "many receive frames are needed",
                  environment);
  }
  const int socket = rte_eth_dev_socket_id(id_);
  int error =
      rte_eth_rx_queue_setup(id_, queue, receive_ring, socket, nullptr, receive_pool_.get());
  if (error == 0) error = rte_eth_tx_queue_setup(id_, queue, transmit_ring, socket, nullptr);
  if (error != 0) {
    return failed(std::string("refuses its queues: ") + rte_strerror(-error), environment);
  }
  if (options_.mac && !gate_) {
    rte_ether_addr address{};
    std::memcpy(address.addr_bytes, options_.mac->octets.data(), sizeof address.addr_bytes);
    if (rte_eth_dev_default_mac_addr_set(id_, &address) != 0) {
      return failed("does not take the address " + to_text(*options_.mac), environment);
    }
  }
  uint16_t device_mtu = options_.mtu;
  // A device without the notion of an MTU answers ENOTSUP, and takes what fits in its buffers.
  error = rte_eth_dev_set_mtu(id_, options_.mtu);
  if (error != 0 && error != -ENOTSUP) rte_eth_dev_get_mtu(id_, &device_mtu);
  facts_.mtu = std::min(options_.mtu, device_mtu);
  return Ok{};
}

// A memif client's driver starts when its server is there.
Status EthernetPort::run(DpdkEnvironment& environment) {
  const auto* memif = std::get_if<Memif>(&options_.device);
  if (memif == nullptr || memif->role == MemifRole::server) {
    if (const int error = rte_eth_dev_start(id_); error != 0) {
      return failed(std::string("does not start: ") + rte_strerror(-error), environment);
    }
  }
  if (memif == nullptr) return Ok{};
  if (memif->owner && memif->role == MemifRole::server &&
      chown(gate_->driver_socket().c_str(), *memif->owner, *memif->owner) != 0) {
    return failed("its socket cannot be given to user " + std::to_string(*memif->owner),
                  environment);
  }
  return gate_->start(*this);
}

Status EthernetPort::start(DpdkEnvironment& environment) {
  environment.take_log_line();
  if (Status found = find_device(environment); !found) return found;
  if (Status made = make_pools(environment); !made) return made;
  if (Status configured = configure(environment); !configured) return configured;
  if (std::holds_alternative<PciDevice>(options_.device)) {
    if (Status mapped = map_arena(); !mapped) return mapped;
  }
  if (Status running = run(environment); !running) return running;
  rte_ether_addr address{};
  if (rte_eth_macaddr_get(id_, &address) != 0) return failed("has no address", environment);
  std::memcpy(facts_.mac.octets.data(), address.addr_bytes, sizeof address.addr_bytes);
  facts_.name = options_.name.empty() ? device_name_ : options_.name;
  facts_.checksum_mode = options_.checksum_mode;
  return Ok{};
}

void EthernetPort::close() {
  if (gate_) gate_->stop();
  if (id_ != RTE_MAX_ETHPORTS) {
    rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
  }
  if (is_virtual_) rte_eal_hotplug_remove("vdev", device_name_.c_str());
}

bool EthernetPort::device_link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

bool EthernetPort::connect() {
  rte_eth_dev_stop(id_);
  return rte_eth_dev_start(id_) == 0;
}

size_t EthernetPort::receive(std::span<packet::Frame> frames, Instant) {
  if (!usable()) return 0;
  std::array<rte_mbuf*, burst_frames_max> burst;
  const auto wanted = static_cast<uint16_t>(
      std::min<size_t>({frames.size(), burst.size(), lend_max_ - held_count_}));
  const uint16_t count = rte_eth_rx_burst(id_, queue, burst.data(), wanted);
  size_t lent = 0;
  uint64_t bytes = 0;
  for (uint16_t i = 0; i < count; ++i) {
    rte_mbuf* mbuf = burst[i];
    if (i + 1 < count) __builtin_prefetch(burst[i + 1]);
    if (mbuf->nb_segs != 1 || mbuf->data_len > dpdk_frame_bytes_max) {
      rte_pktmbuf_free(mbuf);
      ++odd_frames_;
      ++counters_.receive_dropped_frames;
      continue;
    }
    packet::Frame& out = frames[lent++];
    out.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
    out.octets_behind = rte_pktmbuf_tailroom(mbuf);
    __builtin_prefetch(out.data);
    out.length = mbuf->data_len;
    out.checksum_verified =
        (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    out.token = reinterpret_cast<uint64_t>(mbuf);
    bytes += mbuf->data_len;
  }
  held_count_ += static_cast<uint32_t>(lent);
  counters_.received_frames += lent;
  counters_.received_bytes += bytes;
  return lent;
}

void EthernetPort::release(std::span<const packet::Frame> frames) {
  CHECK(frames.size() <= held_count_);
  held_count_ -= static_cast<uint32_t>(frames.size());
  std::array<rte_mbuf*, burst_frames_max> burst;
  while (!frames.empty()) {
    const size_t count = std::min(frames.size(), burst.size());
    for (size_t i = 0; i < count; ++i) burst[i] = reinterpret_cast<rte_mbuf*>(frames[i].token);
    rte_pktmbuf_free_bulk(burst.data(), static_cast<unsigned>(count));
    frames = frames.subspan(count);
  }
}

void EthernetPort::transmit(std::span<const packet::TransmitFrame> frames, Instant) {
  CHECK(frames.size() <= transmit_room());
  for (const packet::TransmitFrame& frame : frames) {
    CHECK(frame.slot < options_.arena_slot_count && frame.length != 0 &&
          uint32_t{frame.offset} + frame.length <= packet::slot_bytes);
    at(taken_++).frame = frame;
  }
}

void EthernetPort::drop_unsent() {
  const uint32_t dropped = taken_ - sent_;
  sent_ = taken_;
  linkless_frames_ += dropped;
  counters_.transmit_dropped_frames += dropped;
}

void EthernetPort::point_at(rte_mbuf* mbuf, const packet::TransmitFrame& frame) const {
  mbuf->buf_addr = options_.arena_memory + size_t{frame.slot} * packet::slot_bytes;
  rte_mbuf_iova_set(mbuf, reinterpret_cast<rte_iova_t>(mbuf->buf_addr));
  mbuf->data_off = frame.offset;
  mbuf->data_len = frame.length;
  mbuf->pkt_len = frame.length;
}

// The device's reference and ours: the slot is done when the device has dropped its own.
uint16_t EthernetPort::send_resident(uint16_t count) {
  std::array<rte_mbuf*, burst_frames_max> burst;
  for (uint16_t i = 0; i < count; ++i) {
    burst[i] = at(sent_ + i).mbuf;
    point_at(burst[i], at(sent_ + i).frame);
    rte_mbuf_refcnt_set(burst[i], 2);
  }
  const uint16_t went = rte_eth_tx_burst(id_, queue, burst.data(), count);
  for (uint16_t i = went; i < count; ++i) rte_mbuf_refcnt_set(burst[i], 1);
  return went;
}

// The device's reference alone: dropping one of two is a locked instruction, which waits here until
// the other core has let go of every line that the copy went to.
uint16_t EthernetPort::send_copied(uint16_t count) {
  std::array<rte_mbuf*, burst_frames_max> burst;
  auto* const taken = reinterpret_cast<void**>(burst.data());
  // As many as are under way at most, and none is by now.
  CHECK(rte_mempool_get_bulk(transmit_pool_.get(), taken, count) == 0);
  for (uint16_t i = 0; i < count; ++i) point_at(burst[i], at(sent_ + i).frame);
  const uint16_t went = rte_eth_tx_burst(id_, queue, burst.data(), count);
  if (went != count) rte_mempool_put_bulk(transmit_pool_.get(), taken + went, count - went);
  return went;
}

void EthernetPort::flush() {
  if (sent_ == taken_) return;
  if (!usable()) return drop_unsent();
  while (sent_ != taken_) {
    const auto count = static_cast<uint16_t>(std::min<size_t>(taken_ - sent_, burst_frames_max));
    const uint16_t went = copies_ ? send_copied(count) : send_resident(count);
    for (uint16_t i = 0; i < went; ++i) counters_.transmitted_bytes += at(sent_ + i).frame.length;
    sent_ += went;
    counters_.transmitted_frames += went;
    if (went != count) return;  // no room; tried again next turn
  }
}

size_t EthernetPort::reclaim(std::span<packet::SlotIndex> slots) {
  size_t count = 0;
  while (count < slots.size() && reclaimed_ != sent_ &&
         (copies_ || rte_mbuf_refcnt_read(at(reclaimed_).mbuf) == 1)) {
    slots[count++] = at(reclaimed_++).frame.slot;
  }
  if (reclaimed_ == taken_) reclaimed_ = sent_ = taken_ = 0;
  return count;
}

bool EthernetPort::prepare_wait() {
  flush();
  return false;
}

void EthernetPort::collect_statistics() {
  rte_eth_stats statistics{};
  if (rte_eth_stats_get(id_, &statistics) != 0) return;
  counters_.receive_dropped_frames =
      odd_frames_ + statistics.imissed + statistics.ierrors + statistics.rx_nombuf;
  counters_.transmit_dropped_frames = linkless_frames_ + statistics.oerrors;
}

bool EthernetPort::frames_conserved() const {
  const uint32_t free = rte_mempool_avail_count(receive_pool_.get());
  const uint32_t in_device_max =
      receive_ring_frames_ == 0 ? 0 : receive_ring_frames_ + conserved_slack_frames;
  if (free + held_count_ > receive_frame_count_) return false;
  if (receive_frame_count_ - free - held_count_ > in_device_max) return false;
  // Between two calls a device that copies has none of ours, and another only what is under way.
  if (copies_ && rte_mempool_avail_count(transmit_pool_.get()) != transmit_frames) return false;
  for (uint32_t place = 0; !copies_ && place < transmit_frames; ++place) {
    const uint16_t references = rte_mbuf_refcnt_read(sending_[place].mbuf);
    const uint32_t behind = (place - reclaimed_) & (transmit_frames - 1);
    const bool under_way = behind < sent_ - reclaimed_;
    if (under_way ? references - 1U > 1U : references != 1) return false;
  }
  return reclaimed_ <= sent_ && sent_ <= taken_ && taken_ - reclaimed_ <= transmit_frames;
}

namespace {

Status check(const DpdkPortOptions& options) {
  if (options.arena_memory == nullptr || options.arena_slot_count == 0) {
    return Error{"a DPDK port needs an arena to send from"};
  }
  if (options.mtu < dpdk_mtu_min || options.mtu > dpdk_mtu_max) {
    return Error{"the MTU must be from " + std::to_string(dpdk_mtu_min) + " to " +
                 std::to_string(dpdk_mtu_max)};
  }
  if (options.receive_frames < dpdk_receive_frames_min) {
    return Error{"needs at least " + std::to_string(dpdk_receive_frames_min) + " receive frames"};
  }
  const auto* memif = std::get_if<Memif>(&options.device);
  if (memif == nullptr) return Ok{};
  if (memif->socket.empty() || memif->socket.size() > memif_socket_bytes_max ||
      memif->socket.find(',') != std::string::npos) {
    return Error{"memif socket \"" + memif->socket + "\": must have 1 to " +
                 std::to_string(memif_socket_bytes_max) + " characters and no comma"};
  }
  const uint32_t ring = memif->ring_frames;
  if (ring < memif_ring_frames_min || ring > memif_ring_frames_max || (ring & (ring - 1)) != 0) {
    return Error{"a memif ring must have a power of two from " +
                 std::to_string(memif_ring_frames_min) + " to " +
                 std::to_string(memif_ring_frames_max) + " frames"};
  }
  return Ok{};
}

}  // namespace

Result<std::unique_ptr<DpdkPort>> DpdkPort::open(const DpdkPortOptions& options,
                                                 DpdkEnvironment& environment) {
  if (Status checked = check(options); !checked) return Error{checked.error()};
  auto port = std::make_unique<EthernetPort>(options);
  if (Status started = port->start(environment); !started) return Error{started.error()};
  return std::unique_ptr<DpdkPort>(std::move(port));
}

uint32_t dpdk_memory_mib(uint32_t port_count, uint32_t receive_frames_per_port) {
  constexpr size_t header_bytes = sizeof(rte_mbuf) + 2 * RTE_CACHE_LINE_SIZE;  // and the pool's
  constexpr size_t base_mib = 16;       // rings of devices, heaps, names
  constexpr size_t port_extra_mib = 2;  // alignment of the pools' chunks
  const size_t port_bytes = receive_frames_per_port * (header_bytes + receive_room_bytes) +
                            transmit_frames * header_bytes;
  return static_cast<uint32_t>(base_mib + port_count * ((port_bytes >> 20) + port_extra_mib));
}

}  // namespace millrace::nic
