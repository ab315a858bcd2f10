// The history: every table that was published, as a version with its causes and its difference to
// the one before, and so many whole tables between them that each version can be put together.
//
// On disk: files history-NUMBER.log, NUMBER being the first version in it. A file begins with that
// version's whole table (a keyframe); behind it come differences, until they are more than the
// keyframe or file_versions_full. Then the caller begins the next one when it has the time
// (begin_file), or append() does when there are several times as many. A difference holds both
// sides, so where a record is damaged the versions behind it are reached from the next file's
// keyframe, backwards.
//
// Beyond versions_max or bytes_max the oldest file goes. The newest one stays whatever it takes.
//
// A record is written before its table is sent, so a version that the data plane has is known here
// after a kill at any moment. It is written to the kernel, not synced: a power cut may cost the
// last seconds, which a file's hashes then show.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "controlplane/compile/slot_table.h"
#include "controlplane/history/record.pb.h"
#include "controlplane/history/record_file.h"
#include "controlplane/model/delta.h"

namespace millrace::history {

constexpr size_t file_versions_full = 128;
constexpr uint64_t file_bytes_min = 1U << 20;  // differences of less make no new keyframe
constexpr size_t full_files_max = 4;           // so much of what fills a file goes into one at most
constexpr size_t causes_named_max = 100;       // of a version; the rest is counted

struct Limits {
  size_t versions_max = 1'000;
  uint64_t bytes_max = 256U << 20;
};

class History {
 public:
  // Reads what is in `folder`, which is made if it is not there; nobody else may have it open.
  // Damage is no error, see take_complaints().
  static Result<std::unique_ptr<History>> open(const std::string& folder, const Limits& limits);
  // One that ends with the process.
  static std::unique_ptr<History> in_memory(const Limits& limits);

  // Empty: in memory.
  const std::string& folder() const { return folder_; }

  // Oldest first. Pointers and references stay until the next append().
  size_t size() const { return index_.size(); }
  const record::Version& at(size_t place) const { return index_[place].version; }
  // By its number or one that it had earlier; nullptr when it is not (or no longer) there.
  const record::Version* find(uint64_t number) const;
  uint64_t newest_number() const;  // 0: empty
  uint64_t bytes() const;

  // Error: it is not there, or what it is made of is damaged.
  Result<model::Model> model_at(uint64_t number) const;
  // What was changed by it.
  Result<model::ModelDelta> change_of(uint64_t number) const;

  struct Table {
    uint64_t number = 0;
    model::Model model;
    std::map<model::ServiceKey, uint32_t> slots;
  };
  // The newest version's; nothing when there is none or it cannot be put together.
  std::optional<Table> newest_table() const;

  // One more version; `change` leads from the version before to `after`. When it cannot be written,
  // that is a complaint, and the version is missing here; the next one can be written again.
  void append(record::Version version, const model::ModelDelta& change, const model::Model& after,
              const compile::SlotTable& slots);
  // Whether the newest file is full.
  bool wants_file() const;
  // Begins the next file ahead of the append() that would have to, with the newest version's whole
  // table, `newest`: 10,000 Ingresses take some 0.1 s. That version then stands in both files. When
  // it cannot be written, that is a complaint, once until it can.
  void begin_file(const model::Model& newest, const compile::SlotTable& slots);
  // The newest version has another number now.
  void renumber(uint64_t number);

  // What went wrong since the last call, a sentence each. `is_writing`: the last write succeeded.
  std::vector<std::string> take_complaints();
  bool is_writing() const { return is_writing_; }

  // What an operator has said, kept in the same folder. A damaged file is an Error.
  Result<record::Hold> read_hold() const;
  Status write_hold(const record::Hold& hold);

 private:
  struct File {
    std::string path;  // empty: in memory
    UniqueFd fd;
    uint64_t end = 0;
    uint64_t keyframe_bytes = 0;
    size_t versions = 0;
    bool is_whole = false;  // what is appended can be reached from its keyframe
  };
  struct Indexed {
    record::Version version;
    std::shared_ptr<File> file;
    RecordPlace place;
    bool is_keyframe = false;
    bool is_chained = false;  // reached from its file's keyframe
  };

  explicit History(const Limits& limits) : limits_(limits) {}

  Status lock();
  void read_log(const std::string& path, bool is_last);
  void take_entry(const std::shared_ptr<File>& file, const RecordPlace& place, record::Entry entry);
  Result<std::shared_ptr<File>> make_file(uint64_t number);
  bool is_full(size_t times) const;
  Status write(record::Entry entry, bool begins_file, const model::Model& after,
               const compile::SlotTable& slots);
  void prune();
  void mark_restorable();
  Result<record::Entry> read_entry(const Indexed& indexed) const;
  Result<Table> table_at(size_t place) const;
  std::optional<size_t> place_of(uint64_t number) const;
  void complain(std::string sentence) { complaints_.push_back(std::move(sentence)); }

  Limits limits_;
  std::string folder_;
  UniqueFd lock_;
  std::deque<std::shared_ptr<File>> files_;  // oldest first
  std::deque<Indexed> index_;                // oldest first
  std::vector<std::string> complaints_;
  record::Hold hold_in_memory_;
  uint64_t last_number_ = 0;  // of the last append(), written or not
  bool is_writing_ = true;
  bool cannot_begin_ = false;  // a file, when begin_file() tried last
};

}  // namespace millrace::history
