// Files of records, one behind the other, each with its length and a hash of its bytes. A record is
// there whole or not at all: what a kill or a power cut tore at the end, and what was damaged
// between, is skipped and named, and every other record is found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::history {

constexpr uint64_t record_bytes_max = uint64_t{1} << 30;
constexpr uint64_t record_file_bytes_max = uint64_t{2} << 30;

constexpr uint64_t record_header_bytes = 24;

struct RecordPlace {
  uint64_t offset = 0;  // of its header
  uint64_t bytes = 0;   // of its content

  uint64_t end() const { return offset + record_header_bytes + bytes; }
};

struct Damage {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

struct RecordScan {
  std::vector<RecordPlace> records;
  std::vector<Damage> damage;
  uint64_t end = 0;  // behind the last whole record
};

// Error: it cannot be read, or is larger than record_file_bytes_max.
Result<RecordScan> scan_records(int fd);
// Error: it cannot be read, or is no longer what was scanned.
Result<std::string> read_record(int fd, const RecordPlace& place);
// Writes at `end`, which is the file's end. Error: nothing was added; what was written of it is cut
// off again.
Result<RecordPlace> append_record(int fd, uint64_t end, std::string_view content);

// ---- small files that are replaced whole
// -----------------------------------------------------------

// FOLDER/NAME holds one record, the old one or the new one whatever happens on the way: written
// beside it, synced, renamed, the folder synced.
Status replace_file(const std::string& folder, const std::string& name, std::string_view content);
// Nothing in it when there is no such file. Error: it is damaged or cannot be read.
Result<std::string> read_file(const std::string& folder, const std::string& name);
Status sync_folder(const std::string& folder);

}  // namespace millrace::history
