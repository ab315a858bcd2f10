// How a segment's bytes are laid: sections one behind the other, and its pool of strings. Part of
// the writer (snapshot_writer.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shm/snapshot_format.h"

namespace millrace::shm {

class SegmentBytes {
 public:
  // bytes_expected: of all sections; a guess that saves growing.
  template <class Header>
  SegmentBytes(const Header&, uint64_t bytes_expected) {
    bytes_.reserve(sizeof(Header) + bytes_expected);
    bytes_.resize(sizeof(Header), 0);
  }

  template <class Record>
  Section append(const std::vector<Record>& records) {
    return append_bytes(records.data(), records.size() * sizeof(Record), records.size());
  }
  Section append(const std::string& strings) {
    return append_bytes(strings.data(), strings.size(), strings.size());
  }
  template <class Header>
  std::vector<uint8_t> finish(Header& header) {
    header.common.total_bytes = bytes_.size();
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }
  uint64_t size() const { return bytes_.size(); }

 private:
  Section append_bytes(const void* from, size_t size, size_t count) {
    const Section section{static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(count)};
    const uint8_t* first = static_cast<const uint8_t*>(from);
    if (size != 0) bytes_.insert(bytes_.end(), first, first + size);
    bytes_.resize((bytes_.size() + 7) & ~size_t{7}, 0);
    return section;
  }
  std::vector<uint8_t> bytes_;
};

class StringPool {
 public:
  // For what the validator hashes or compares: laid one behind the other, never shared.
  StringRef add_text(std::string_view text) {
    const StringRef ref{static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(text.size())};
    bytes_ += text;
    return ref;
  }
  // For names that come again and again; `name` outlives the pool.
  StringRef add_name(std::string_view name) {
    if (name.empty()) return {0, 0};
    const auto found = names_.find(name);
    if (found != names_.end()) return found->second;
    const StringRef ref = add_text(name);
    names_.emplace(name, ref);
    return ref;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  std::unordered_map<std::string_view, StringRef> names_;  // of strings that outlive the pool
};

}  // namespace millrace::shm
