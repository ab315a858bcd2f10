#include "dataplane/nic/pcap_port.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace millrace::nic {
namespace {

// The file's own records, in the host's byte order: the magic number tells readers which.
struct FileHeader {
  uint32_t magic = PcapPort::magic_nanoseconds;
  uint16_t version_major = 2;
  uint16_t version_minor = 4;
  uint32_t reserved[2] = {0, 0};
  uint32_t snapshot_bytes = 65'535;
  uint32_t link_type = 1;  // LINKTYPE_ETHERNET
};
static_assert(sizeof(FileHeader) == 24);

struct RecordHeader {
  uint32_t seconds;
  uint32_t nanoseconds;
  uint32_t captured_bytes;
  uint32_t original_bytes;
};
static_assert(sizeof(RecordHeader) == 16);

}  // namespace

Result<std::unique_ptr<PcapPort>> PcapPort::create(Port& inner, packet::Arena& arena,
                                                   const std::string& path, uint64_t file_bytes_max,
                                                   uint64_t time_of_origin_ns) {
  File file(std::fopen(path.c_str(), "wbe"));
  if (!file) {
    return Error{"capture file " + path + ": " + std::strerror(errno)};
  }
  std::unique_ptr<PcapPort> port(
      new PcapPort(inner, arena, std::move(file), file_bytes_max, time_of_origin_ns));
  const FileHeader header;
  if (!port->put(&header, sizeof header)) {
    return Error{"capture file " + path + ": no room for its header: " + std::strerror(errno)};
  }
  return port;
}

bool PcapPort::put(const void* bytes, size_t count) {
  if (count > file_bytes_left_) return false;
  file_bytes_left_ -= count;
  return std::fwrite(bytes, 1, count, file_.get()) == count;
}

void PcapPort::write(ByteView frame, Instant at) {
  // Whole records only: a reader takes half a one for a broken file.
  if (sizeof(RecordHeader) + frame.size() > file_bytes_left_) {
    ++unwritten_frames_;
    return;
  }
  const uint64_t time_ns = time_of_origin_ns_ + at.since_origin_ns();
  const auto bytes = static_cast<uint32_t>(frame.size());
  const RecordHeader header{static_cast<uint32_t>(time_ns / 1'000'000'000U),
                            static_cast<uint32_t>(time_ns % 1'000'000'000U), bytes, bytes};
  if (put(&header, sizeof header) && put(frame.data(), frame.size())) {
    ++written_frames_;
    return;
  }
  file_bytes_left_ = 0;  // the disk refused: what follows would not be readable
  ++unwritten_frames_;
}

size_t PcapPort::receive(std::span<packet::Frame> frames, Instant now) {
  const size_t count = inner_.receive(frames, now);
  for (const packet::Frame& frame : frames.first(count)) write(frame.bytes(), now);
  return count;
}

void PcapPort::transmit(std::span<const packet::TransmitFrame> frames, Instant now) {
  for (const packet::TransmitFrame& frame : frames) write(arena_.frame_bytes(frame), now);
  inner_.transmit(frames, now);
}

}  // namespace millrace::nic
