#include "shm/traffic_page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <new>

#include "base/check.h"

// glibc 2.36 has it; older kernel headers beside it may not.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace millrace::shm {
namespace {

constexpr int reads_of_name_max = 16;  // then the writer is writing for ever, or lies

size_t page_bytes(uint32_t row_count, uint32_t worker_count) {
  return sizeof(TrafficHeader) +
         row_count * (sizeof(TrafficName) + size_t{worker_count} * sizeof(TrafficValues));
}

TrafficName* names_of(void* memory) {
  return reinterpret_cast<TrafficName*>(static_cast<uint8_t*>(memory) + sizeof(TrafficHeader));
}
const TrafficName* names_of(const void* memory) {
  return names_of(const_cast<void*>(memory));
}
TrafficValues* values_of(void* memory, uint32_t row_count, uint32_t worker) {
  return reinterpret_cast<TrafficValues*>(names_of(memory) + row_count) +
         size_t{worker} * row_count;
}
const TrafficValues* values_of(const void* memory, uint32_t row_count, uint32_t worker) {
  return values_of(const_cast<void*>(memory), row_count, worker);
}

std::string errno_text() {
  return std::strerror(errno);
}

// See TrafficWriter::add.
uint64_t value(const std::atomic<uint64_t>& cell) {
  return cell.load(std::memory_order_acquire);
}

// The name's text, its kind and its generation, at one moment; false while it is being written.
bool read_name(const TrafficName& name, TrafficReading& reading) {
  for (int i = 0; i < reads_of_name_max; ++i) {
    const uint32_t before = name.generation.load(std::memory_order_acquire);
    char text[traffic_name_bytes_max];
    for (size_t word = 0; word < name.text.size(); ++word) {
      const uint64_t octets = name.text[word].load(std::memory_order_acquire);
      std::memcpy(text + word * sizeof octets, &octets, sizeof octets);
    }
    const uint32_t kind = name.kind.load(std::memory_order_acquire);
    const uint32_t after = name.generation.load(std::memory_order_relaxed);
    if (before != after || before % 2 != 0) continue;
    if (kind < static_cast<uint32_t>(TrafficKind::route) ||
        kind > static_cast<uint32_t>(TrafficKind::status_class)) {
      return false;
    }
    reading.kind = static_cast<TrafficKind>(kind);
    reading.generation = before;
    for (size_t at = 0; at < sizeof text && text[at] != '\0'; ++at) {
      reading.name += text[at] >= ' ' && text[at] < 0x7f ? text[at] : '?';
    }
    return true;
  }
  return false;
}

// What one worker has counted for the name; nothing, if it has not yet or no longer.
void add_values(const TrafficValues& values, TrafficReading& sum) {
  if (value(values.generation) != sum.generation) return;
  TrafficReading reading = sum;
  for (size_t i = 0; i < reading.answers.size(); ++i)
    reading.answers[i] += value(values.answers[i]);
  for (size_t i = 0; i < reading.times.size(); ++i) reading.times[i] += value(values.times[i]);
  reading.ours += value(values.ours);
  reading.broken_off += value(values.broken_off);
  reading.retries += value(values.retries);
  reading.request_octets += value(values.request_octets);
  reading.response_octets += value(values.response_octets);
  reading.time_us_sum += value(values.time_us_sum);
  if (values.generation.load(std::memory_order_relaxed) == sum.generation) sum = std::move(reading);
}

}  // namespace

void TrafficWriter::begin_anew(TrafficValues& values, uint32_t generation) {
  values.generation.store(0, std::memory_order_relaxed);
  for (auto& cell : values.answers) cell.store(0, std::memory_order_release);
  for (auto& cell : values.times) cell.store(0, std::memory_order_release);
  for (auto* cell : {&values.ours, &values.broken_off, &values.retries, &values.request_octets,
                     &values.response_octets, &values.time_us_sum}) {
    cell->store(0, std::memory_order_release);
  }
  values.generation.store(generation, std::memory_order_release);
}

TrafficPage::TrafficPage(UniqueFd fd, void* memory, size_t size, uint32_t row_count,
                         uint32_t worker_count)
    : fd_(std::move(fd)),
      memory_(memory),
      size_(size),
      row_count_(row_count),
      worker_count_(worker_count) {}

TrafficPage::~TrafficPage() {
  ::munmap(memory_, size_);
}

Result<std::unique_ptr<TrafficPage>> TrafficPage::create(uint32_t row_count,
                                                         uint32_t worker_count) {
  CHECK(row_count >= traffic_rows_fixed && row_count <= traffic_rows_max);
  CHECK(worker_count >= 1 && worker_count <= traffic_workers_max);
  UniqueFd fd(::memfd_create("millrace-traffic", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const size_t size = page_bytes(row_count, worker_count);
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return Error{"cannot create the traffic page: " + errno_text()};
  }
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return Error{"cannot map the traffic page: " + errno_text()};
  std::unique_ptr<TrafficPage> page(
      new TrafficPage(std::move(fd), memory, size, row_count, worker_count));
  // From here on the size stands and nobody else gets a writable mapping; ours stays.
  if (::fcntl(page->fd(), F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return Error{"cannot seal the traffic page: " + errno_text()};
  }
  // The rest is zero as it comes, which is what an atomic of 0 is: nothing is touched early.
  TrafficHeader* header = new (memory) TrafficHeader{};
  header->abi = traffic_abi;
  header->pid = static_cast<uint32_t>(::getpid());
  header->worker_count = worker_count;
  header->row_count = row_count;
  constexpr struct {
    uint32_t row;
    TrafficKind kind;
    std::string_view name;
  } fixed[] = {{traffic_row_no_route, TrafficKind::route, "(no route)"},
               {traffic_row_other_routes, TrafficKind::route, "(other routes)"},
               {traffic_row_other_services, TrafficKind::service, "(other services)"},
               {traffic_row_unanswered, TrafficKind::status_class, "unanswered"},
               {traffic_row_unanswered + 1, TrafficKind::status_class, "1xx"},
               {traffic_row_unanswered + 2, TrafficKind::status_class, "2xx"},
               {traffic_row_unanswered + 3, TrafficKind::status_class, "3xx"},
               {traffic_row_unanswered + 4, TrafficKind::status_class, "4xx"},
               {traffic_row_unanswered + 5, TrafficKind::status_class, "5xx"}};
  static_assert(std::size(fixed) == traffic_rows_fixed);
  for (const auto& [row, kind, name] : fixed) {
    const uint32_t generation = page->name_row(row, kind, name);
    for (uint32_t worker = 0; worker < worker_count; ++worker) {
      values_of(memory, row_count, worker)[row].generation.store(generation);
    }
  }
  header->magic = traffic_magic;
  return page;
}

TrafficWriter TrafficPage::writer(uint32_t worker) const {
  CHECK(worker < worker_count_);
  return {names_of(memory_), values_of(memory_, row_count_, worker), row_count_};
}

uint32_t TrafficPage::name_row(uint32_t row, TrafficKind kind, std::string_view name) {
  CHECK(row < row_count_);
  char text[traffic_name_bytes_max] = {};
  const size_t length = std::min<size_t>(name.size(), sizeof text - 1);
  std::memcpy(text, name.data(), length);
  if (length < name.size()) std::memcpy(text + length - 3, "...", 3);
  TrafficName& place = names_of(memory_)[row];
  const uint32_t before = place.generation.load(std::memory_order_relaxed);
  // 0 means never used, also after four billion names.
  const uint32_t generation = before + 2 != 0 ? before + 2 : 2;
  // The words are stored with release so that none of them can be seen before the odd generation.
  place.generation.store(before + 1, std::memory_order_relaxed);
  place.kind.store(static_cast<uint32_t>(kind), std::memory_order_release);
  for (size_t word = 0; word < place.text.size(); ++word) {
    uint64_t octets;
    std::memcpy(&octets, text + word * sizeof octets, sizeof octets);
    place.text[word].store(octets, std::memory_order_release);
  }
  place.generation.store(generation, std::memory_order_release);
  return generation;
}

uint64_t TrafficReading::requests() const {
  uint64_t sum = 0;
  for (const uint64_t count : answers) sum += count;
  return sum;
}

uint64_t TrafficReading::times_count() const {
  uint64_t sum = 0;
  for (const uint64_t count : times) sum += count;
  return sum;
}

uint64_t TrafficReading::quantile_us(double share) const {
  const uint64_t count = times_count();
  if (count == 0) return 0;
  const auto rank =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share * static_cast<double>(count))));
  uint64_t seen = 0;
  for (uint32_t bucket = 0; bucket < traffic_bucket_count; ++bucket) {
    seen += times[bucket];
    if (seen >= rank) return traffic_bucket_end_us(bucket);
  }
  return UINT64_MAX;
}

void TrafficReading::subtract(const TrafficReading& before) {
  for (size_t i = 0; i < answers.size(); ++i) answers[i] -= before.answers[i];
  for (size_t i = 0; i < times.size(); ++i) times[i] -= before.times[i];
  ours -= before.ours;
  broken_off -= before.broken_off;
  retries -= before.retries;
  request_octets -= before.request_octets;
  response_octets -= before.response_octets;
  time_us_sum -= before.time_us_sum;
}

TrafficReader::TrafficReader(const void* memory, size_t size, uint32_t row_count,
                             uint32_t worker_count)
    : memory_(memory), size_(size), row_count_(row_count), worker_count_(worker_count) {}

TrafficReader::~TrafficReader() {
  ::munmap(const_cast<void*>(memory_), size_);
}

Result<std::unique_ptr<TrafficReader>> TrafficReader::map(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Error{"traffic page refused: not a memory file sealed against shrinking"};
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return Error{"cannot read the traffic page's size: " + errno_text()};
  const size_t size = static_cast<size_t>(info.st_size);
  if (size < page_bytes(traffic_rows_fixed, 1) ||
      size > page_bytes(traffic_rows_max, traffic_workers_max)) {
    return Error{"traffic page refused: its size is out of bounds"};
  }
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Error{"cannot map the traffic page: " + errno_text()};
  // Read once: the page may change under us.
  const TrafficHeader* header = static_cast<const TrafficHeader*>(memory);
  const uint32_t rows = *const_cast<const volatile uint32_t*>(&header->row_count);
  const uint32_t workers = *const_cast<const volatile uint32_t*>(&header->worker_count);
  std::unique_ptr<TrafficReader> reader(new TrafficReader(memory, size, rows, workers));
  if (header->magic != traffic_magic) return Error{"traffic page refused: magic is wrong"};
  if (header->abi != traffic_abi) {
    return Error{"traffic page refused: abi is not the one this build reads"};
  }
  if (workers < 1 || workers > traffic_workers_max || rows < traffic_rows_fixed ||
      rows > traffic_rows_max || size != page_bytes(rows, workers)) {
    return Error{"traffic page refused: row_count or worker_count is out of bounds"};
  }
  return reader;
}

Result<std::unique_ptr<TrafficReader>> TrafficReader::open(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error{path + ": " + errno_text()};
  auto reader = map(fd.get());
  if (!reader.ok()) return Error{path + ": " + reader.error()};
  return reader;
}

std::vector<TrafficReading> TrafficReader::read() const {
  std::vector<TrafficReading> rows;
  const TrafficName* names = names_of(memory_);
  for (uint32_t row = 0; row < row_count_; ++row) {
    if (names[row].generation.load(std::memory_order_relaxed) == 0) continue;
    TrafficReading reading;
    reading.row = row;
    if (!read_name(names[row], reading)) continue;
    for (uint32_t worker = 0; worker < worker_count_; ++worker) {
      add_values(values_of(memory_, row_count_, worker)[row], reading);
    }
    rows.push_back(std::move(reading));
  }
  return rows;
}

}  // namespace millrace::shm
