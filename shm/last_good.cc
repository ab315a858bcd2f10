#include "shm/last_good.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "shm/channel.h"

namespace millrace::shm {
namespace {

// The file: FileHeader | FilePart[part_count] | the parts, one behind the other. Part 0 is the
// root, the others are the segments in the directory's order. Every part is a multiple of 8 bytes
// long.
constexpr uint64_t file_magic = 0x31454c49464c4c4dU;  // "MLLFILE1"
constexpr uint32_t file_abi = 1;
constexpr uint32_t file_parts_max = 1 + segment_ids_max;
constexpr uint64_t file_bytes_max = uint64_t{4} << 30;

struct FileHeader {
  uint64_t magic;
  uint32_t abi;
  uint32_t part_count;
  uint64_t total_bytes;
};
static_assert(sizeof(FileHeader) == 24);

struct FilePart {
  uint64_t offset;  // from the file's first byte
  uint64_t bytes;
};
static_assert(sizeof(FilePart) == 16);

Error file_error(const std::string& what, const std::string& path) {
  return Error{what + " " + path + ": " + std::strerror(errno)};
}

Status write_all(int fd, ByteView bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error("cannot write", path);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return Ok{};
}

template <class Record>
ByteView bytes_of(const Record& record) {
  return {reinterpret_cast<const uint8_t*>(&record), sizeof record};
}

Status write_file(int fd, const std::string& path, const Snapshot& snapshot) {
  std::vector<ByteView> parts{snapshot.root_bytes()};
  for (const SegmentMemory& segment : snapshot.segments()) parts.push_back(segment->view());
  std::vector<FilePart> table;
  uint64_t at = sizeof(FileHeader) + parts.size() * sizeof(FilePart);
  for (ByteView part : parts) {
    table.push_back({at, part.size()});
    at += part.size();
  }
  const FileHeader header{file_magic, file_abi, static_cast<uint32_t>(parts.size()), at};
  Status status = write_all(fd, bytes_of(header), path);
  for (size_t i = 0; status.ok() && i < table.size(); ++i) {
    status = write_all(fd, bytes_of(table[i]), path);
  }
  for (size_t i = 0; status.ok() && i < parts.size(); ++i) status = write_all(fd, parts[i], path);
  if (status.ok() && ::fsync(fd) != 0) return file_error("cannot sync", path);
  return status;
}

Status sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return file_error("cannot sync folder", folder);
  return Ok{};
}

Result<std::vector<uint8_t>> read_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return file_error("cannot open", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return file_error("cannot read", path);
  if (!S_ISREG(info.st_mode)) return Error{path + " is not a regular file"};
  if (static_cast<uint64_t>(info.st_size) > file_bytes_max) return Error{path + " is too large"};
  std::vector<uint8_t> bytes(static_cast<size_t>(info.st_size));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error("cannot read", path);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

// The parts' places, each exactly where the one before ends.
Result<std::vector<ByteView>> split(ByteView bytes) {
  if (bytes.size() < sizeof(FileHeader)) return Error{"too short for its header"};
  FileHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != file_magic) return Error{"magic is not a last-good file's"};
  if (header.abi != file_abi) {
    return Error{"abi " + std::to_string(header.abi) + " is not the one this build reads"};
  }
  if (header.total_bytes != bytes.size()) return Error{"total_bytes is not its size"};
  if (header.part_count < 2 || header.part_count > file_parts_max) {
    return Error{"part_count is out of bounds"};
  }
  uint64_t at = sizeof header + uint64_t{header.part_count} * sizeof(FilePart);
  if (at > bytes.size()) return Error{"too short for its parts"};
  std::vector<ByteView> parts;
  for (uint32_t i = 0; i < header.part_count; ++i) {
    FilePart part{};
    std::memcpy(&part, bytes.data() + sizeof header + i * sizeof part, sizeof part);
    if (part.offset != at || part.bytes == 0 || part.bytes > bytes.size() - at) {
      return Error{"part " + std::to_string(i) + ": offset or size is wrong"};
    }
    parts.push_back(bytes.subspan(at, part.bytes));
    at += part.bytes;
  }
  if (at != bytes.size()) return Error{"there are bytes behind the last part"};
  return parts;
}

}  // namespace

Status save_last_good(const std::string& path, const Snapshot& snapshot) {
  const std::string temporary = path + ".tmp";
  {
    const UniqueFd fd(::open(temporary.c_str(),
                             O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                             S_IRUSR | S_IWUSR));
    if (!fd) return file_error("cannot create", temporary);
    const Status written = write_file(fd.get(), temporary, snapshot);
    if (!written.ok()) {
      ::unlink(temporary.c_str());
      return written;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const Error error = file_error("cannot replace", path);
    ::unlink(temporary.c_str());
    return error;
  }
  return sync_folder_of(path);
}

Result<std::shared_ptr<const Snapshot>> load_last_good(const std::string& path) {
  const Result<std::vector<uint8_t>> bytes = read_file(path);
  if (!bytes.ok()) return Error{"last good snapshot: " + bytes.error()};
  const Result<std::vector<ByteView>> parts = split(*bytes);
  if (!parts.ok()) return Error{"last good snapshot " + path + ": " + parts.error()};
  Result<std::shared_ptr<const Snapshot>> snapshot =
      Snapshot::from_bytes(parts->front(), std::span(*parts).subspan(1));
  if (!snapshot.ok()) return Error{"last good snapshot " + path + ": " + snapshot.error()};
  return snapshot;
}

}  // namespace millrace::shm
