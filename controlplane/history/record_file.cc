#include "controlplane/history/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstring>

namespace millrace::history {

namespace {

constexpr uint32_t record_magic = 0x52484c4dU;  // "MLHR"

struct RecordHeader {
  uint32_t magic;
  uint32_t reserved;
  uint64_t bytes;
  uint64_t hash;  // of `bytes` and the content, so that a wrong length is found out too
};
static_assert(sizeof(RecordHeader) == record_header_bytes);

Error error_of(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

uint64_t hash_of(std::string_view content) {
  return XXH3_64bits_withSeed(content.data(), content.size(), content.size());
}

Status read_all(int fd, uint64_t offset, char* to, size_t bytes) {
  while (bytes > 0) {
    const ssize_t count = ::pread(fd, to, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return error_of("cannot be read");
    if (count == 0) return Error{"has become shorter"};
    to += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<size_t>(count);
  }
  return Ok{};
}

Status write_all(int fd, uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return error_of("cannot be written");
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return Ok{};
}

// The content's length when a whole record begins at `offset`.
bool is_record(std::string_view file, uint64_t offset, uint64_t* bytes) {
  RecordHeader header{};
  if (file.size() - offset < sizeof header) return false;
  std::memcpy(&header, file.data() + offset, sizeof header);
  const uint64_t rest = file.size() - offset - sizeof header;
  if (header.magic != record_magic || header.reserved != 0 || header.bytes > rest ||
      header.bytes > record_bytes_max) {
    return false;
  }
  if (hash_of(file.substr(offset + sizeof header, header.bytes)) != header.hash) return false;
  *bytes = header.bytes;
  return true;
}

Result<std::string> content_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return error_of("cannot be read");
  if (!S_ISREG(status.st_mode)) return Error{"is not a regular file"};
  if (static_cast<uint64_t>(status.st_size) > record_file_bytes_max) {
    return Error{"is larger than " + std::to_string(record_file_bytes_max) + " bytes"};
  }
  std::string content(static_cast<size_t>(status.st_size), '\0');
  const Status read = read_all(fd, 0, content.data(), content.size());
  if (!read) return Error{read.error()};
  return content;
}

std::string framed(std::string_view content) {
  const RecordHeader header{record_magic, 0, content.size(), hash_of(content)};
  std::string record(sizeof header + content.size(), '\0');
  std::memcpy(record.data(), &header, sizeof header);
  std::memcpy(record.data() + sizeof header, content.data(), content.size());
  return record;
}

}  // namespace

Result<RecordScan> scan_records(int fd) {
  const Result<std::string> file = content_of(fd);
  if (!file) return Error{file.error()};
  constexpr std::string_view magic("MLHR", 4);
  RecordScan scan;
  uint64_t at = 0;
  while (at < file->size()) {
    uint64_t bytes = 0;
    if (is_record(*file, at, &bytes)) {
      scan.records.push_back({at, bytes});
      at = scan.end = scan.records.back().end();
      continue;
    }
    // Forward to the next whole record.
    uint64_t next = at;
    do {
      const size_t found = file->find(magic, next + 1);
      next = found == std::string::npos ? file->size() : found;
    } while (next < file->size() && !is_record(*file, next, &bytes));
    scan.damage.push_back({at, next - at});
    at = next;
  }
  return scan;
}

Result<std::string> read_record(int fd, const RecordPlace& place) {
  std::string bytes(sizeof(RecordHeader) + place.bytes, '\0');
  const Status read = read_all(fd, place.offset, bytes.data(), bytes.size());
  if (!read) return Error{read.error()};
  uint64_t length = 0;
  if (!is_record(bytes, 0, &length) || length != place.bytes) {
    return Error{"is damaged at offset " + std::to_string(place.offset)};
  }
  return bytes.substr(sizeof(RecordHeader));
}

Result<RecordPlace> append_record(int fd, uint64_t end, std::string_view content) {
  if (content.size() > record_bytes_max || end > record_file_bytes_max - record_bytes_max) {
    return Error{"a record of " + std::to_string(content.size()) + " bytes is too large"};
  }
  const Status written = write_all(fd, end, framed(content));
  if (written) return RecordPlace{end, content.size()};
  // A part of it may be there; a file that cannot even be cut is found out when it is read.
  const int ignored [[maybe_unused]] = ::ftruncate(fd, static_cast<off_t>(end));
  return Error{written.error()};
}

Status replace_file(const std::string& folder, const std::string& name, std::string_view content) {
  const std::string path = folder + '/' + name;
  const std::string temporary = path + ".tmp";
  {
    const UniqueFd fd(::open(temporary.c_str(),
                             O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                             S_IRUSR | S_IWUSR));
    if (!fd) return error_of(temporary + " cannot be made");
    const Status written = write_all(fd.get(), 0, framed(content));
    if (!written) return Error{temporary + ' ' + written.error()};
    if (::fsync(fd.get()) != 0) return error_of(temporary + " cannot be synced");
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return error_of(path + " cannot be replaced");
  return sync_folder(folder);
}

Result<std::string> read_file(const std::string& folder, const std::string& name) {
  const std::string path = folder + '/' + name;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) return std::string();
  if (!fd) return error_of(path + " cannot be opened");
  const Result<RecordScan> scan = scan_records(fd.get());
  if (!scan) return Error{path + ' ' + scan.error()};
  if (scan->records.size() != 1 || !scan->damage.empty()) return Error{path + " is damaged"};
  return read_record(fd.get(), scan->records.front());
}

Status sync_folder(const std::string& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return error_of(folder + " cannot be synced");
  return Ok{};
}

}  // namespace millrace::history
