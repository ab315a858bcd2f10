#include "shm/sealed_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace millrace::shm {
namespace {

constexpr int seals_needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr size_t memfd_name_bytes_max = 200;  // the kernel takes 249

constexpr size_t huge_page_bytes = size_t{2} << 20;
// A memory file has small pages. What is larger than this is copied into huge ones: a lookup in a
// table of a million routes is a tenth of a request faster for it, and the sender may let go of its
// own.
constexpr size_t copied_bytes_min = 8 * huge_page_bytes;

Error system_error(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

}  // namespace

Result<UniqueFd> seal_into_memfd(ByteView bytes, const std::string& name) {
  const std::string short_name = name.substr(0, memfd_name_bytes_max);
  UniqueFd fd(::memfd_create(short_name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return system_error("cannot create memory file " + short_name);
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t count = ::write(fd.get(), bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("cannot fill memory file " + short_name);
    written += static_cast<size_t>(count);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, seals_needed) != 0) {
    return system_error("cannot seal memory file " + short_name);
  }
  return fd;
}

MappedBytes::MappedBytes(MappedBytes&& other) noexcept
    : start_(std::exchange(other.start_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedBytes& MappedBytes::operator=(MappedBytes&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(size_, other.size_);
  return *this;
}

MappedBytes::~MappedBytes() {
  if (start_ != nullptr) ::munmap(start_, size_);
}

Result<MappedBytes> MappedBytes::map_sealed(int fd, uint64_t bytes_max) {
  // The seals come first: only behind them do size and content stand still.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return Error{"the descriptor is not a memory file that can be sealed"};
  if ((seals & seals_needed) != seals_needed) {
    return Error{"the memory file is not sealed against shrinking, growing, writing and unsealing"};
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error("cannot read the memory file's size");
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  if (size == 0 || size > bytes_max) {
    return Error{"the memory file has " + std::to_string(size) + " bytes, allowed are 1 to " +
                 std::to_string(bytes_max)};
  }
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (start == MAP_FAILED) return system_error("cannot map the memory file");
  MappedBytes mapped(start, size);
  if (size < copied_bytes_min) return mapped;
  Result<MappedBytes> copy = copy_of(mapped.view());
  return copy.ok() ? std::move(copy) : Result<MappedBytes>(std::move(mapped));
}

Result<MappedBytes> MappedBytes::copy_of(ByteView bytes) {
  if (bytes.empty()) return Error{"there are no bytes to copy"};
  void* start =
      ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return system_error("cannot map memory for a snapshot");
  // A large table in small pages costs a page walk for every line that a lookup touches. Where the
  // system gives no huge pages, it stays at that.
  if (bytes.size() >= huge_page_bytes) ::madvise(start, bytes.size(), MADV_HUGEPAGE);
  std::memcpy(start, bytes.data(), bytes.size());
  if (::mprotect(start, bytes.size(), PROT_READ) != 0) {
    ::munmap(start, bytes.size());
    return system_error("cannot make a snapshot's memory read-only");
  }
  return MappedBytes(start, bytes.size());
}

}  // namespace millrace::shm
