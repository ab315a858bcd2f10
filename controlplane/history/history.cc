#include "controlplane/history/history.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "controlplane/history/model_message.h"

namespace millrace::history {

namespace {

constexpr char log_prefix[] = "history-";
constexpr char log_suffix[] = ".log";
constexpr char hold_name[] = "hold";
constexpr size_t log_files_max = 10'000;
constexpr int lock_tries_max = 40;
constexpr unsigned lock_pause_us = 50'000;

std::string log_name(uint64_t number) {
  char name[64];
  std::snprintf(name, sizeof name, "%s%020llu%s", log_prefix,
                static_cast<unsigned long long>(number), log_suffix);
  return name;
}

uint64_t number_of(double value) {
  return value >= 1 && value < 9e15 ? static_cast<uint64_t>(value) : 0;
}

// What an entry says of slots.
void take_slots(const record::Service& service, std::map<model::ServiceKey, uint32_t>* slots,
                const model::ServiceKey& key) {
  if (service.slot() != 0) (*slots)[key] = service.slot();
}

}  // namespace

Result<std::unique_ptr<History>> History::open(const std::string& folder, const Limits& limits) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Error{folder + ": " + error.message()};
  std::unique_ptr<History> history(new History(limits));
  history->folder_ = folder;
  const Status locked = history->lock();
  if (!locked) return Error{locked.error()};
  std::vector<std::string> names;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.starts_with(log_prefix) && name.ends_with(log_suffix)) names.push_back(name);
  }
  if (error) return Error{folder + ": " + error.message()};
  std::sort(names.begin(), names.end());
  if (names.size() > log_files_max) {
    return Error{folder + " holds more than " + std::to_string(log_files_max) + " history files"};
  }
  for (const std::string& name : names) {
    history->read_log(folder + '/' + name, &name == &names.back());
  }
  history->mark_restorable();
  history->last_number_ = history->newest_number();
  return history;
}

std::unique_ptr<History> History::in_memory(const Limits& limits) {
  return std::unique_ptr<History>(new History(limits));
}

Status History::lock() {
  const std::string path = folder_ + "/lock";
  lock_ =
      UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!lock_) return Error{path + ": " + std::strerror(errno)};
  // One that was killed a moment ago may not be quite gone.
  for (int tries = 0; ::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (tries == lock_tries_max) return Error{folder_ + " is in use by another control plane"};
    ::usleep(lock_pause_us);
  }
  return Ok{};
}

void History::read_log(const std::string& path, bool is_last) {
  auto file = std::make_shared<File>();
  file->path = path;
  file->fd = UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file->fd) return complain(path + " cannot be opened: " + std::strerror(errno));
  const Result<RecordScan> scan = scan_records(file->fd.get());
  if (!scan) return complain(path + ' ' + scan.error());
  file->end = scan->end;
  for (const Damage& damage : scan->damage) {
    const bool is_torn = damage.offset >= scan->end;
    complain(path + ": " + std::to_string(damage.bytes) + " bytes at offset " +
             std::to_string(damage.offset) +
             (is_torn ? " are half a record; they are left out" : " are damaged and left out"));
    // A version that is behind it is not reached from the keyframe before it.
    if (is_torn && is_last && ::ftruncate(file->fd.get(), static_cast<off_t>(scan->end)) != 0) {
      complain(path + " cannot be cut: " + std::strerror(errno));
    }
  }
  for (const RecordPlace& place : scan->records) {
    Indexed where{{}, file, place};
    Result<record::Entry> entry = read_entry(where);
    if (!entry) {
      complain(path + ' ' + entry.error());
      file->is_whole = false;
      continue;
    }
    take_entry(file, place, std::move(*entry));
  }
  files_.push_back(std::move(file));
}

void History::take_entry(const std::shared_ptr<File>& file, const RecordPlace& place,
                         record::Entry entry) {
  if (entry.has_renumbering()) {
    const bool is_known = !index_.empty() && index_.back().file == file &&
                          index_.back().version.number() == entry.renumbering().from();
    if (!is_known) return;
    index_.back().version.add_earlier_numbers(entry.renumbering().from());
    index_.back().version.set_number(entry.renumbering().to());
    return;
  }
  Indexed indexed{std::move(*entry.mutable_version()), file, place};
  indexed.is_keyframe = entry.has_keyframe();
  // The last version of the file before, once more: begin_file().
  if (indexed.is_keyframe && !index_.empty() &&
      index_.back().version.number() == indexed.version.number()) {
    index_.pop_back();
  }
  const bool follows = !index_.empty() && index_.back().file == file &&
                       index_.back().version.number() == indexed.version.previous();
  indexed.is_chained = indexed.is_keyframe || (follows && index_.back().is_chained);
  file->is_whole = indexed.is_chained;
  if (indexed.is_keyframe) file->keyframe_bytes = place.bytes;
  ++file->versions;
  index_.push_back(std::move(indexed));
}

// A version is restorable from its keyframe, or from the next version when that is.
void History::mark_restorable() {
  for (size_t i = index_.size(); i-- > 0;) {
    const bool from_next = i + 1 < index_.size() && index_[i + 1].version.restorable() &&
                           index_[i + 1].version.previous() == index_[i].version.number();
    index_[i].version.set_restorable(index_[i].is_chained || from_next);
  }
}

std::optional<size_t> History::place_of(uint64_t number) const {
  const auto wanted = static_cast<double>(number);
  for (size_t i = index_.size(); i-- > 0;) {
    const record::Version& version = index_[i].version;
    const auto& earlier = version.earlier_numbers();
    if (version.number() == wanted ||
        std::find(earlier.begin(), earlier.end(), wanted) != earlier.end()) {
      return i;
    }
  }
  return std::nullopt;
}

const record::Version* History::find(uint64_t number) const {
  const auto place = place_of(number);
  return place ? &index_[*place].version : nullptr;
}

uint64_t History::newest_number() const {
  return index_.empty() ? 0 : number_of(index_.back().version.number());
}

uint64_t History::bytes() const {
  uint64_t sum = 0;
  for (const auto& file : files_) sum += file->end;
  return sum;
}

Result<record::Entry> History::read_entry(const Indexed& indexed) const {
  const Result<std::string> bytes = read_record(indexed.file->fd.get(), indexed.place);
  if (!bytes) return Error{bytes.error()};
  record::Entry entry;
  if (!entry.ParseFromString(*bytes)) {
    return Error{"has a record at offset " + std::to_string(indexed.place.offset) +
                 " that is none of ours"};
  }
  return entry;
}

// From the nearest keyframe: forward where the chain holds, else back from the next version.
Result<History::Table> History::table_at(size_t place) const {
  size_t from = place;
  while (from < index_.size() && !index_[from].is_chained) ++from;
  if (from == index_.size() || !index_[place].version.restorable()) {
    return Error{"what version " + std::to_string(number_of(index_[place].version.number())) +
                 " is made of is damaged"};
  }
  size_t first = from;
  while (!index_[first].is_keyframe) --first;
  Table table;
  const auto step = [&](size_t i, bool backwards) -> Status {
    Result<record::Entry> entry = read_entry(index_[i]);
    if (!entry) return Error{index_[i].file->path + ' ' + entry.error()};
    if (index_[i].is_keyframe && !backwards) {
      Result<model::Model> model = from_message(entry->keyframe());
      if (!model) return Error{model.error()};
      table.model = std::move(*model);
      for (int s = 0; s < entry->keyframe().services_size(); ++s) {
        take_slots(entry->keyframe().services(s), &table.slots,
                   table.model.services[static_cast<size_t>(s)].key);
      }
      return Ok{};
    }
    Result<model::ModelDelta> delta = from_message(entry->delta());
    if (!delta) return Error{delta.error()};
    if (backwards) *delta = model::reversed(std::move(*delta));
    if (!fits(*delta, table.model)) return Error{"its records contradict one another"};
    model::apply(*delta, &table.model);
    for (size_t s = 0; s < delta->services.size(); ++s) {
      const record::ServiceChange& change = entry->delta().services(static_cast<int>(s));
      if (!delta->services[s].after) table.slots.erase(delta->services[s].key);
      if (!backwards) take_slots(change.after(), &table.slots, delta->services[s].key);
    }
    return Ok{};
  };
  for (size_t i = first; i <= from; ++i) {
    const Status done = step(i, false);
    if (!done) return Error{done.error()};
  }
  for (size_t i = from; i > place; --i) {
    const Status done = step(i, true);
    if (!done) return Error{done.error()};
  }
  if (ContentHash(table.model).text() != index_[place].version.content_hash()) {
    return Error{"what was put together has another hash than was noted"};
  }
  table.number = number_of(index_[place].version.number());
  return table;
}

Result<model::Model> History::model_at(uint64_t number) const {
  const auto place = place_of(number);
  if (!place) return Error{"there is no version " + std::to_string(number) + " in the history"};
  Result<Table> table = table_at(*place);
  if (!table) return Error{table.error()};
  return std::move(table->model);
}

Result<model::ModelDelta> History::change_of(uint64_t number) const {
  const auto place = place_of(number);
  if (!place) return Error{"there is no version " + std::to_string(number) + " in the history"};
  const Result<record::Entry> entry = read_entry(index_[*place]);
  if (!entry) return Error{index_[*place].file->path + ' ' + entry.error()};
  return from_message(entry->delta());
}

std::optional<History::Table> History::newest_table() const {
  if (index_.empty()) return std::nullopt;
  Result<Table> table = table_at(index_.size() - 1);
  if (!table) return std::nullopt;
  return std::move(*table);
}

void History::append(record::Version version, const model::ModelDelta& change,
                     const model::Model& after, const compile::SlotTable& slots) {
  const uint64_t number = number_of(version.number());
  version.set_previous(static_cast<double>(std::exchange(last_number_, number)));
  version.set_restorable(true);
  record::Entry entry;
  *entry.mutable_version() = std::move(version);
  entry.mutable_version()->clear_restorable();
  *entry.mutable_delta() = to_message(change, &slots);
  const bool begins_file = files_.empty() || !files_.back()->is_whole || is_full(full_files_max);
  const Status written = write(std::move(entry), begins_file, after, slots);
  if (!written && std::exchange(is_writing_, false)) {
    complain("the history cannot be written: " + written.error() +
             "; tables go on being published");
  }
  if (written) is_writing_ = true;
  prune();
  mark_restorable();
}

bool History::wants_file() const {
  return !index_.empty() && newest_number() == last_number_ &&
         index_.back().file == files_.back() && is_full(1);
}

// Half of all versions are the most for one file, because only whole files go.
bool History::is_full(size_t times) const {
  const File& newest = *files_.back();
  const size_t half = std::max<size_t>(limits_.versions_max / 2, 1);
  return newest.versions >= std::min(times * file_versions_full, half) ||
         newest.end - newest.keyframe_bytes >
             times * std::max(newest.keyframe_bytes, file_bytes_min);
}

void History::begin_file(const model::Model& newest, const compile::SlotTable& slots) {
  if (!wants_file()) return;
  Result<record::Entry> entry = read_entry(index_.back());
  if (!entry) return complain(index_.back().file->path + ' ' + entry.error());
  // What it is called by now.
  *entry->mutable_version() = index_.back().version;
  entry->mutable_version()->clear_restorable();
  const Status begun = write(std::move(*entry), true, newest, slots);
  if (!begun && !cannot_begin_) {
    complain("the history cannot begin a file: " + begun.error() + "; the one before it grows");
  }
  cannot_begin_ = !begun;
  prune();
  mark_restorable();
  // The whole table was a message of tens of MB; malloc would keep the holes that it leaves.
  entry = Error{""};
  malloc_trim(0);
}

Status History::write(record::Entry entry, bool begins_file, const model::Model& after,
                      const compile::SlotTable& slots) {
  if (begins_file) {
    auto file = make_file(number_of(entry.version().number()));
    if (!file) return Error{file.error()};
    *entry.mutable_keyframe() = to_message(after, &slots);
    files_.push_back(std::move(*file));
  }
  const std::shared_ptr<File> file = files_.back();
  const auto place = append_record(file->fd.get(), file->end, entry.SerializeAsString());
  if (!place) {
    // A gap would be taken for the version before: the next one begins a file.
    file->is_whole = false;
    // One that holds nothing stays for nobody: a disk that is full for long would leave one, open,
    // for each version.
    if (begins_file) {
      files_.pop_back();
      if (!file->path.empty()) ::unlink(file->path.c_str());
    }
    return Error{file->path + ' ' + place.error()};
  }
  file->end = place->end();
  take_entry(file, *place, std::move(entry));
  return Ok{};
}

Result<std::shared_ptr<History::File>> History::make_file(uint64_t number) {
  auto file = std::make_shared<File>();
  if (folder_.empty()) {
    file->fd = UniqueFd(::memfd_create("millrace-history", MFD_CLOEXEC));
    if (!file->fd) return Error{std::string("no memory: ") + std::strerror(errno)};
    return file;
  }
  // What is complete is on the disk before something is built on it.
  if (!files_.empty()) ::fdatasync(files_.back()->fd.get());
  file->path = folder_ + '/' + log_name(number);
  file->fd = UniqueFd(::open(
      file->path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!file->fd) return Error{file->path + ": " + std::strerror(errno)};
  const Status synced = sync_folder(folder_);
  if (!synced) {
    ::unlink(file->path.c_str());  // it would stay for each version while this goes on
    return Error{synced.error()};
  }
  return file;
}

void History::prune() {
  while (files_.size() > 1 &&
         (index_.size() > limits_.versions_max || bytes() > limits_.bytes_max)) {
    const std::shared_ptr<File> oldest = files_.front();
    files_.pop_front();
    if (!oldest->path.empty()) ::unlink(oldest->path.c_str());
    while (!index_.empty() && index_.front().file == oldest) index_.pop_front();
  }
}

void History::renumber(uint64_t number) {
  const uint64_t before = std::exchange(last_number_, number);
  if (before == 0 || newest_number() != before) return;  // it could not be written either
  record::Entry entry;
  entry.mutable_renumbering()->set_from(index_.back().version.number());
  entry.mutable_renumbering()->set_to(static_cast<double>(number));
  const std::shared_ptr<File> file = index_.back().file;
  const auto place = append_record(file->fd.get(), file->end, entry.SerializeAsString());
  if (!place) {
    file->is_whole = false;
    complain("the history cannot be written: " + file->path + ' ' + place.error());
  } else {
    file->end = place->end();
  }
  index_.back().version.add_earlier_numbers(index_.back().version.number());
  index_.back().version.set_number(static_cast<double>(number));
}

std::vector<std::string> History::take_complaints() {
  return std::exchange(complaints_, {});
}

Result<record::Hold> History::read_hold() const {
  if (folder_.empty()) return hold_in_memory_;
  const Result<std::string> bytes = read_file(folder_, hold_name);
  if (!bytes) return Error{bytes.error()};
  record::Hold hold;
  if (!hold.ParseFromString(*bytes)) return Error{folder_ + '/' + hold_name + " is none of ours"};
  return hold;
}

Status History::write_hold(const record::Hold& hold) {
  hold_in_memory_ = hold;
  if (folder_.empty()) return Ok{};
  return replace_file(folder_, hold_name, hold.SerializeAsString());
}

}  // namespace millrace::history
