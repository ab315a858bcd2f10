#include "shm/stats_page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <new>

// glibc 2.36 has it; older kernel headers beside it may not.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace millrace::shm {
namespace {

constexpr int reads_of_error_max = 16;  // then the writer is writing for ever, or lies

size_t page_bytes(uint32_t worker_count) {
  return sizeof(StatsHeader) + worker_count * sizeof(StatsBlock);
}

bool is_counter_name(std::string_view name) {
  return !name.empty() && name.size() < stats_name_bytes_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

uint64_t unix_now_ns() {
  timespec at{};
  clock_gettime(CLOCK_REALTIME, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(at.tv_nsec);
}

std::string errno_text() {
  return std::strerror(errno);
}

char printable(char c) {
  return c >= ' ' && c < 0x7f ? c : '?';
}

// Text that ends at its first zero, or at the field's end.
std::string field_text(const char* field, size_t size) {
  std::string text;
  for (size_t i = 0; i < size && field[i] != '\0'; ++i) text += printable(field[i]);
  return text;
}

}  // namespace

StatsPage::StatsPage(UniqueFd fd, void* memory, size_t size)
    : fd_(std::move(fd)),
      memory_(memory),
      size_(size),
      header_(static_cast<StatsHeader*>(memory)),
      blocks_(reinterpret_cast<StatsBlock*>(static_cast<uint8_t*>(memory) + sizeof(StatsHeader))) {}

StatsPage::~StatsPage() {
  ::munmap(memory_, size_);
}

Result<std::unique_ptr<StatsPage>> StatsPage::create(std::span<const std::string_view> names,
                                                     uint32_t worker_count) {
  CHECK(worker_count >= 1 && worker_count <= stats_workers_max);
  CHECK(names.size() <= stats_counters_max);
  CHECK(std::all_of(names.begin(), names.end(), is_counter_name));
  UniqueFd fd(::memfd_create("millrace-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const size_t size = page_bytes(worker_count);
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return Error{"cannot create the stats page: " + errno_text()};
  }
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return Error{"cannot map the stats page: " + errno_text()};
  std::unique_ptr<StatsPage> page(new StatsPage(std::move(fd), memory, size));
  // From here on the size stands and nobody else gets a writable mapping; ours stays.
  if (::fcntl(page->fd(), F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return Error{"cannot seal the stats page: " + errno_text()};
  }
  StatsHeader* header = new (memory) StatsHeader{};
  header->abi = stats_abi;
  header->pid = static_cast<uint32_t>(::getpid());
  header->start_time_unix_ns = unix_now_ns();
  header->worker_count = worker_count;
  header->counter_count = static_cast<uint32_t>(names.size());
  for (uint32_t worker = 0; worker < worker_count; ++worker) {
    for (size_t i = 0; i < names.size(); ++i) {
      StatsCell* cell = new (&page->blocks_[worker].cells[i]) StatsCell{};
      std::memcpy(cell->name, names[i].data(), names[i].size());
    }
  }
  header->magic = stats_magic;
  return page;
}

void StatsPage::set_applied(uint64_t epoch, uint64_t version) {
  header_->applied_version.store(version, std::memory_order_relaxed);
  header_->applied_epoch.store(epoch, std::memory_order_release);
}

namespace {

void write_text(std::string_view sentence, StatsText* shared) {
  char text[stats_error_bytes_max] = {};
  const size_t length = std::min<size_t>(sentence.size(), stats_error_bytes_max - 1);
  std::transform(sentence.begin(), sentence.begin() + static_cast<ptrdiff_t>(length), text,
                 printable);
  std::atomic<uint64_t>& sequence = shared->sequence;
  const uint64_t before = sequence.load(std::memory_order_relaxed);
  // The words are stored with release so that none of them can be seen before the odd sequence.
  sequence.store(before + 1, std::memory_order_relaxed);
  for (size_t i = 0; i < shared->words.size(); ++i) {
    uint64_t word;
    std::memcpy(&word, text + i * sizeof word, sizeof word);
    shared->words[i].store(word, std::memory_order_release);
  }
  sequence.store(before + 2, std::memory_order_release);
}

}  // namespace

void StatsPage::set_last_error(std::string_view sentence) {
  write_text(sentence, &header_->last_error);
}

void StatsPage::set_guard_reason(std::string_view sentence) {
  write_text(sentence, &header_->guard_reason);
}

StatsReader::StatsReader(const void* memory, size_t size, uint32_t worker_count,
                         uint32_t counter_count)
    : memory_(memory), size_(size), worker_count_(worker_count), counter_count_(counter_count) {}

StatsReader::~StatsReader() {
  ::munmap(const_cast<void*>(memory_), size_);
}

Result<std::unique_ptr<StatsReader>> StatsReader::map(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Error{"stats page refused: not a memory file sealed against shrinking"};
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return Error{"cannot read the stats page's size: " + errno_text()};
  const size_t size = static_cast<size_t>(info.st_size);
  if (size < page_bytes(1) || size > page_bytes(stats_workers_max)) {
    return Error{"stats page refused: its size is out of bounds"};
  }
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Error{"cannot map the stats page: " + errno_text()};
  // Read once: the page may change under us.
  const StatsHeader* header = static_cast<const StatsHeader*>(memory);
  const uint32_t workers = *const_cast<const volatile uint32_t*>(&header->worker_count);
  const uint32_t counters = *const_cast<const volatile uint32_t*>(&header->counter_count);
  std::unique_ptr<StatsReader> reader(new StatsReader(memory, size, workers, counters));
  if (header->magic != stats_magic) return Error{"stats page refused: magic is wrong"};
  if (header->abi != stats_abi) {
    return Error{"stats page refused: abi is not the one this build reads"};
  }
  if (workers < 1 || workers > stats_workers_max || counters > stats_counters_max ||
      size != page_bytes(workers)) {
    return Error{"stats page refused: worker_count or counter_count is out of bounds"};
  }
  return reader;
}

namespace {

std::string read_text(const StatsText& shared) {
  char text[stats_error_bytes_max];
  for (int i = 0; i < reads_of_error_max; ++i) {
    const uint64_t before = shared.sequence.load(std::memory_order_acquire);
    for (size_t word = 0; word < shared.words.size(); ++word) {
      const uint64_t value = shared.words[word].load(std::memory_order_acquire);
      std::memcpy(text + word * sizeof value, &value, sizeof value);
    }
    const uint64_t after = shared.sequence.load(std::memory_order_relaxed);
    if (before == after && before % 2 == 0) return field_text(text, sizeof text);
  }
  return "";
}

}  // namespace

StatsReading StatsReader::read() const {
  const StatsHeader& header = *static_cast<const StatsHeader*>(memory_);
  const StatsBlock* blocks = reinterpret_cast<const StatsBlock*>(
      static_cast<const uint8_t*>(memory_) + sizeof(StatsHeader));
  StatsReading reading;
  reading.pid = header.pid;
  reading.start_time_unix_ns = header.start_time_unix_ns;
  reading.applied_epoch = header.applied_epoch.load(std::memory_order_acquire);
  reading.applied_version = header.applied_version.load(std::memory_order_relaxed);
  reading.last_error = read_text(header.last_error);
  reading.guard_reason = read_text(header.guard_reason);
  for (uint32_t i = 0; i < counter_count_; ++i) {
    StatsReading::Counter counter;
    counter.name = field_text(blocks[0].cells[i].name, stats_name_bytes_max);
    for (uint32_t worker = 0; worker < worker_count_; ++worker) {
      const uint64_t value = blocks[worker].cells[i].value.load(std::memory_order_relaxed);
      counter.per_worker.push_back(value);
      counter.sum += value;
    }
    reading.counters.push_back(std::move(counter));
  }
  return reading;
}

}  // namespace millrace::shm
