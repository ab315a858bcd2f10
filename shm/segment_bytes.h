// How a segment's bytes are laid: sections one behind the other, and its pool of strings. Part of
// the writer (snapshot_writer.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shm/snapshot_format.h"
#include "shm/snapshot_input.h"

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
  void reserve(size_t bytes) { bytes_.reserve(bytes); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Names that come again and again, laid into a pool at their first mention.
class PooledNames {
 public:
  PooledNames(const NameTable& names, StringPool& pool) : names_(names), pool_(pool) {}

  StringRef operator()(uint32_t number) {
    const uint64_t hash = hash_finish(number);  // no two numbers have the same
    const uint32_t known = index_.find(hash, [](uint32_t) { return true; });
    if (known != index_none) return refs_[known];
    const std::string_view name = names_[number];
    index_.add(hash, static_cast<uint32_t>(refs_.size()));
    refs_.push_back(name.empty() ? StringRef{0, 0} : pool_.add_text(name));
    return refs_.back();
  }

 private:
  const NameTable& names_;
  StringPool& pool_;
  IndexTable index_;
  std::vector<StringRef> refs_;
};

}  // namespace millrace::shm
