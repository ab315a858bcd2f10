// PcapPort: a port around a port that writes every frame it sees into a capture file which tcpdump
// and Wireshark read (draft-ietf-opsawg-pcap, nanosecond timestamps, link type Ethernet).
//
// A tool for finding out, not for running with: it writes to the file within the turn, through a
// buffer, and so may wait for the disk.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "dataplane/nic/port.h"

namespace millrace::nic {

class PcapPort final : public Port {
 public:
  static constexpr uint32_t magic_nanoseconds = 0xa1b23c4d;
  static constexpr uint64_t file_bytes_max_default = 64U << 20;

  // Begins a new file at path. inner outlives the decorator; arena is the one inner transmits from.
  // Once the file would grow beyond file_bytes_max, frames pass without being written.
  // time_of_origin_ns: wall time of Instant's origin, added to every timestamp; 0 in a simulation.
  // Error: the path and the system's reason.
  static Result<std::unique_ptr<PcapPort>> create(Port& inner, packet::Arena& arena,
                                                  const std::string& path,
                                                  uint64_t file_bytes_max = file_bytes_max_default,
                                                  uint64_t time_of_origin_ns = 0);

  uint64_t written_frames() const { return written_frames_; }
  uint64_t unwritten_frames() const { return unwritten_frames_; }  // the file was full, or failed
  // Puts what is buffered into the file; also done when the port goes.
  void sync() { std::fflush(file_.get()); }

  const PortFacts& facts() const override { return inner_.facts(); }
  const PortCounters& counters() const override { return inner_.counters(); }
  size_t receive(std::span<packet::Frame> frames, Instant now) override;
  void release(std::span<const packet::Frame> frames) override { inner_.release(frames); }
  size_t transmit_room() const override { return inner_.transmit_room(); }
  void transmit(std::span<const packet::TransmitFrame> frames, Instant now) override;
  void flush() override { inner_.flush(); }
  size_t reclaim(std::span<packet::SlotIndex> slots) override { return inner_.reclaim(slots); }
  int wait_fd() const override { return inner_.wait_fd(); }
  bool prepare_wait() override { return inner_.prepare_wait(); }
  void collect_statistics() override { inner_.collect_statistics(); }
  bool frames_conserved() const override { return inner_.frames_conserved(); }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  PcapPort(Port& inner, packet::Arena& arena, File file, uint64_t file_bytes_max,
           uint64_t time_of_origin_ns)
      : inner_(inner),
        arena_(arena),
        file_(std::move(file)),
        file_bytes_left_(file_bytes_max),
        time_of_origin_ns_(time_of_origin_ns) {}
  bool put(const void* bytes, size_t count);
  void write(ByteView frame, Instant at);

  Port& inner_;
  packet::Arena& arena_;
  File file_;
  uint64_t file_bytes_left_;
  uint64_t time_of_origin_ns_;
  uint64_t written_frames_ = 0;
  uint64_t unwritten_frames_ = 0;
};

}  // namespace millrace::nic
