#include "bpf/redirect_loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "redirect_program.skel.h"

namespace millrace::bpf {
namespace {

constexpr size_t page_bytes = 4096;
constexpr size_t verifier_log_bytes = size_t{1} << 16;
constexpr int lock_attempts_max = 3;  // a detach may remove the folder between open and lock

std::string reason(int error) {
  return std::strerror(error < 0 ? -error : error);
}

// A file descriptor with an owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A BPF array mapped into this process: read and written without a system call.
class MappedArray {
 public:
  MappedArray() = default;
  MappedArray(MappedArray&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), bytes_(other.bytes_) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedArray(const MappedArray&) = delete;
  ~MappedArray() {
    if (at_ != nullptr) munmap(at_, bytes_);
  }

  bool map(int map_fd, size_t content_bytes, int protection) {
    bytes_ = (content_bytes + page_bytes - 1) / page_bytes * page_bytes;
    void* at = mmap(nullptr, bytes_, protection, MAP_SHARED, map_fd, 0);
    if (at == MAP_FAILED) return false;
    at_ = at;
    return true;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(at_);
  }

 private:
  void* at_ = nullptr;
  size_t bytes_ = 0;
};

Error on_interface(const std::string& interface, const std::string& what) {
  return Error{"interface " + interface + ": " + what};
}

Error refused(const std::string& interface, const std::string& what, int error) {
  if (error == EPERM || error == EACCES) {
    return on_interface(
        interface, what + ": no privilege: needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
  }
  return on_interface(interface, what + ": " + reason(error));
}

Result<uint32_t> interface_index_of(const std::string& interface) {
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) return on_interface(interface, "not found in this network namespace");
  return uint32_t{index};
}

// The XDP program on an interface now, if any.
struct Holder {
  uint32_t program_id = 0;
  bool native = false;
};

std::optional<Holder> holder_of(uint32_t interface_index) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (bpf_xdp_query(static_cast<int>(interface_index), 0, &query) != 0) return std::nullopt;
  Holder holder;
  holder.native = query.drv_prog_id != 0 || query.hw_prog_id != 0;
  for (const uint32_t id :
       {query.prog_id, query.drv_prog_id, query.skb_prog_id, query.hw_prog_id}) {
    if (holder.program_id == 0) holder.program_id = id;
  }
  if (holder.program_id == 0) return std::nullopt;
  return holder;
}

std::string program_text(uint32_t program_id) {
  std::string name = "?";
  const Descriptor program(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  uint32_t info_bytes = sizeof info;
  if (program.open() && bpf_obj_get_info_by_fd(program.get(), &info, &info_bytes) == 0) {
    name = info.name;
  }
  return "XDP program \"" + name + "\" id " + std::to_string(program_id);
}

// Unique for the life of the machine, unlike the inode number of a namespace, which is used again.
std::optional<uint64_t> network_namespace_cookie() {
  constexpr int so_netns_cookie = 71;  // asm-generic/socket.h, Linux 5.14
  const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t bytes = sizeof cookie;
  if (!any.open() || getsockopt(any.get(), SOL_SOCKET, so_netns_cookie, &cookie, &bytes) != 0) {
    return std::nullopt;
  }
  return cookie;
}

bool on_bpf_file_system(const std::string& directory) {
  struct statfs facts {};
  return statfs(directory.c_str(), &facts) == 0 &&
         static_cast<unsigned long>(facts.f_type) == static_cast<unsigned long>(BPF_FS_MAGIC);
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

// Where an interface's pins lie, or nothing when there is no BPF file system below pin_root.
std::optional<std::string> pin_directory_of(const std::string& pin_root, uint32_t interface_index) {
  if (!on_bpf_file_system(pin_root) && !on_bpf_file_system(parent_of(pin_root))) {
    return std::nullopt;
  }
  const std::optional<uint64_t> cookie = network_namespace_cookie();
  if (!cookie) return std::nullopt;
  return pin_root + "/net" + std::to_string(*cookie) + "-if" + std::to_string(interface_index);
}

constexpr std::array<const char*, 9> pinned_maps = {
    "addresses", "borrowed_ports", "ipv6_addresses", "ipv6_ports", "config",
    "heartbeat", "counters",       "backlogs",       "xsks"};

// Whatever lies there: another version may have pinned more.
void remove_pins(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::directory_iterator pin(directory, ignored);
  for (; pin != std::filesystem::directory_iterator(); pin.increment(ignored)) {
    unlink(pin->path().c_str());
  }
  rmdir(directory.c_str());
}

// The folder of pins, created and locked: the lock says that a data plane lives and holds this
// interface, and the kernel gives it back when the process ends in whatever way.
struct PinLock {
  Descriptor directory;
  bool held_by_other = false;
};

PinLock lock_pins(const std::string& pin_root, const std::string& directory) {
  PinLock lock;
  for (int attempt = 0; attempt < lock_attempts_max; ++attempt) {
    mkdir(pin_root.c_str(), 0700);
    mkdir(directory.c_str(), 0700);
    Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.open()) return lock;
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      lock.held_by_other = errno == EWOULDBLOCK;
      return lock;
    }
    struct stat locked {};
    struct stat named {};
    if (fstat(fd.get(), &locked) == 0 && stat(directory.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino) {
      lock.directory = std::move(fd);
      return lock;
    }
  }
  return lock;
}

// The pinned link of an earlier run, if it still holds this interface.
Descriptor living_link(const std::string& directory, uint32_t interface_index) {
  Descriptor link(bpf_obj_get((directory + "/link").c_str()));
  bpf_link_info info{};
  uint32_t info_bytes = sizeof info;
  if (!link.open() || bpf_obj_get_info_by_fd(link.get(), &info, &info_bytes) != 0 ||
      info.type != BPF_LINK_TYPE_XDP || info.xdp.ifindex != interface_index) {
    return {};
  }
  return link;
}

uint32_t program_of_link(int link_fd) {
  bpf_link_info info{};
  uint32_t info_bytes = sizeof info;
  return bpf_obj_get_info_by_fd(link_fd, &info, &info_bytes) == 0 ? info.prog_id : 0;
}

}  // namespace

struct Redirect::State {
  RedirectFacts facts;
  redirect_program* program = nullptr;
  Descriptor link;
  Descriptor pin_lock;
  MappedArray heartbeat;
  MappedArray counters;
  MappedArray backlogs;
  size_t cpu_count = 0;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (program != nullptr) redirect_program::destroy(program);
  }

  int fd_of(const bpf_map* map) const { return bpf_map__fd(map); }
  Status load();
  template <class AddressKey, class PortKey, class Steered>
  Status steer(const Steered& steered, const bpf_map* addresses, const bpf_map* ports);
  Status fill_maps(const RedirectOptions& options);
  Status attach_link(const RedirectOptions& options);
  Status take_over(Descriptor old_link, const RedirectOptions& options);
  Status create_link(AttachMode mode);
  void pin();
};

Status Redirect::State::load() {
  libbpf_set_print(nullptr);  // what matters comes back in the error
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 1 || cpus > millrace_cpus_max) {
    return on_interface(facts.interface, "cannot count the machine's CPUs");
  }
  cpu_count = static_cast<size_t>(cpus);

  std::string log(verifier_log_bytes, '\0');
  LIBBPF_OPTS(bpf_object_open_opts, open_options);
  open_options.kernel_log_buf = log.data();
  open_options.kernel_log_size = log.size();
  program = redirect_program::open(&open_options);
  if (program == nullptr) return refused(facts.interface, "opening the XDP program", errno);
  bpf_map__set_max_entries(program->maps.counters, static_cast<uint32_t>(cpu_count));

  if (const int error = redirect_program::load(program); error != 0) {
    log.resize(std::strlen(log.c_str()));
    while (!log.empty() && log.back() == '\n') log.pop_back();
    const size_t last_line = log.find_last_of('\n');
    Error refusal = refused(facts.interface, "loading the XDP program", -error);
    if (!log.empty()) {
      refusal.message += ": " + (last_line == std::string::npos ? log : log.substr(last_line + 1));
    }
    return refusal;
  }
  if (!heartbeat.map(fd_of(program->maps.heartbeat), sizeof(millrace_heartbeat),
                     PROT_READ | PROT_WRITE) ||
      !counters.map(fd_of(program->maps.counters), cpu_count * sizeof(millrace_redirect_counters),
                    PROT_READ) ||
      !backlogs.map(fd_of(program->maps.backlogs), millrace_queues_max * sizeof(millrace_backlog),
                    PROT_READ | PROT_WRITE)) {
    return refused(facts.interface, "mapping the XDP program's maps", errno);
  }
  facts.program_id = 0;
  bpf_prog_info info{};
  uint32_t info_bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(bpf_program__fd(program->progs.millrace_xdp), &info, &info_bytes) ==
      0) {
    facts.program_id = info.id;
  }
  return Ok{};
}

template <class AddressKey, class PortKey, class Steered>
Status Redirect::State::steer(const Steered& steered, const bpf_map* addresses,
                              const bpf_map* ports) {
  AddressKey address_key{};
  steered.address.store(reinterpret_cast<uint8_t*>(&address_key));
  const millrace_address value{steered.borrowed ? uint32_t{millrace_address_borrowed}
                                                : uint32_t{millrace_address_owned}};
  if (bpf_map_update_elem(fd_of(addresses), &address_key, &value, BPF_ANY) != 0) {
    if (errno == E2BIG) {
      return on_interface(facts.interface, "more than " + std::to_string(millrace_addresses_max) +
                                               " addresses of one family");
    }
    return refused(facts.interface, "address " + steered.address.text(), errno);
  }
  if (!steered.borrowed) return Ok{};
  for (const uint16_t port : steered.tcp_ports) {
    PortKey key{};
    key.address = address_key;
    store_be16(reinterpret_cast<uint8_t*>(&key.port), port);
    const uint8_t listed = 1;
    if (bpf_map_update_elem(fd_of(ports), &key, &listed, BPF_ANY) != 0) {
      return refused(facts.interface,
                     "port " + std::to_string(port) + " of " + steered.address.text(), errno);
    }
  }
  return Ok{};
}

Status Redirect::State::fill_maps(const RedirectOptions& options) {
  const uint32_t zero = 0;
  millrace_redirect_config config{};
  config.heartbeat_limit_ns = static_cast<uint64_t>(options.heartbeat_limit.count_ns());
  config.silence_drop_ns = static_cast<uint64_t>(options.silence_drop.count_ns());
  config.on_silence =
      options.on_silence == OnSilence::pass ? millrace_on_silence_pass : millrace_on_silence_drop;
  if (bpf_map_update_elem(fd_of(program->maps.config), &zero, &config, BPF_ANY) != 0) {
    return refused(facts.interface, "writing the XDP program's settings", errno);
  }
  for (const SteeredAddress& steered : options.addresses) {
    const Status put = steer<__be32, millrace_address_port>(steered, program->maps.addresses,
                                                            program->maps.borrowed_ports);
    if (!put) return put;
  }
  for (const SteeredIpv6Address& steered : options.ipv6_addresses) {
    const Status put = steer<millrace_ipv6_address, millrace_ipv6_address_port>(
        steered, program->maps.ipv6_addresses, program->maps.ipv6_ports);
    if (!put) return put;
  }
  return Ok{};
}

// The kernel says EBUSY or EEXIST for a program that came between our look and our attach.
Status Redirect::State::create_link(AttachMode mode) {
  const int program_fd = bpf_program__fd(program->progs.millrace_xdp);
  int error = EOPNOTSUPP;
  for (const bool native : {true, false}) {
    if (native ? mode == AttachMode::generic : mode == AttachMode::native) continue;
    LIBBPF_OPTS(bpf_link_create_opts, link_options);
    link_options.flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    const int fd = bpf_link_create(program_fd, static_cast<int>(facts.interface_index), BPF_XDP,
                                   &link_options);
    if (fd >= 0) {
      link = Descriptor(fd);
      facts.native = native;
      return Ok{};
    }
    error = errno;
    if (error == EBUSY || error == EEXIST) {
      const std::optional<Holder> holder = holder_of(facts.interface_index);
      return on_interface(facts.interface,
                          "taken by " + (holder ? program_text(holder->program_id)
                                                : std::string("another XDP program")));
    }
    if (error == EPERM) break;
  }
  return refused(facts.interface,
                 mode == AttachMode::native ? "attaching the XDP program in native mode"
                                            : "attaching the XDP program",
                 error);
}

// Swaps the program under the old link in one step. A link cannot change its mode, so one in the
// wrong mode is given up.
Status Redirect::State::take_over(Descriptor old_link, const RedirectOptions& options) {
  const std::optional<Holder> holder = holder_of(facts.interface_index);
  const bool native = holder && holder->native;
  const bool wanted =
      options.mode == AttachMode::automatic || native == (options.mode == AttachMode::native);
  if (wanted &&
      bpf_link_update(old_link.get(), bpf_program__fd(program->progs.millrace_xdp), nullptr) == 0) {
    link = std::move(old_link);
    facts.native = native;
    facts.link_reused = true;
    return Ok{};
  }
  bpf_link_detach(old_link.get());
  return create_link(options.mode);
}

Status Redirect::State::attach_link(const RedirectOptions& options) {
  Descriptor old_link;
  const std::optional<std::string> directory =
      pin_directory_of(options.pin_root, facts.interface_index);
  if (directory) {
    PinLock lock = lock_pins(options.pin_root, *directory);
    if (lock.held_by_other) {
      const Descriptor other(bpf_obj_get((*directory + "/link").c_str()));
      const uint32_t id = other.open() ? program_of_link(other.get()) : 0;
      return on_interface(facts.interface, "taken by a running data plane" +
                                               (id != 0 ? " (" + program_text(id) + ")" : ""));
    }
    pin_lock = std::move(lock.directory);
    if (pin_lock.open()) {
      facts.pin_directory = *directory;
      old_link = living_link(*directory, facts.interface_index);
    }
  }
  const std::optional<Holder> holder = holder_of(facts.interface_index);
  if (holder && !(old_link.open() && program_of_link(old_link.get()) == holder->program_id)) {
    return on_interface(facts.interface, "taken by " + program_text(holder->program_id));
  }

  if (Status loaded = load(); !loaded) return loaded;
  if (Status filled = fill_maps(options); !filled) return filled;
  // Fresh from the start: what arrives before the first real beat is dropped for want of a socket.
  heartbeat.as<millrace_heartbeat>()->beat_ns = MonotonicClock().now().since_origin_ns();
  return old_link.open() ? take_over(std::move(old_link), options) : create_link(options.mode);
}

void Redirect::State::pin() {
  facts.note = facts.interface + ": XDP in " + (facts.native ? "native" : "generic") + " mode";
  if (!facts.native) facts.note += " (needs gro off here, and tso and gso off on a veth's peer)";
  if (facts.pin_directory.empty()) {
    facts.note +=
        ", not pinned (no BPF file system at the pin folder): it leaves with this process";
    return;
  }
  const std::string link_path = facts.pin_directory + "/link";
  if (!facts.link_reused) {
    unlink(link_path.c_str());
    if (bpf_obj_pin(link.get(), link_path.c_str()) != 0) {
      facts.note += ", not pinned (" + link_path + ": " + reason(errno) + ")";
      return;
    }
  }
  facts.pinned = true;
  facts.note += facts.link_reused ? ", took over the pinned link" : ", pinned";
  // For whoever looks from outside (bpftool, the operator's command line): never needed to run.
  for (const char* name : pinned_maps) {
    const std::string path = facts.pin_directory + "/" + name;
    const bpf_map* map = bpf_object__find_map_by_name(program->obj, name);
    unlink(path.c_str());
    if (map == nullptr || bpf_obj_pin(bpf_map__fd(map), path.c_str()) != 0) {
      facts.note += ", map " + std::string(name) + " not pinned";
    }
  }
}

OutcomeText outcome_text(millrace_outcome outcome) {
  switch (outcome) {
#define MILLRACE_OUTCOME_CASE(name, sentence) \
  case millrace_outcome_##name: return {#name, sentence};
    MILLRACE_REDIRECT_OUTCOMES(MILLRACE_OUTCOME_CASE)
#undef MILLRACE_OUTCOME_CASE
    case millrace_outcome_count: break;
  }
  CHECK(false);
}

Result<Redirect> Redirect::attach(const RedirectOptions& options) {
  Result<uint32_t> index = interface_index_of(options.interface);
  if (!index) return Error{index.error()};
  auto state = std::make_unique<State>();
  state->facts.interface = options.interface;
  state->facts.interface_index = *index;
  if (Status attached = state->attach_link(options); !attached) return Error{attached.error()};
  state->pin();
  return Redirect(std::move(state));
}

Result<bool> Redirect::detach(const std::string& interface, const std::string& pin_root) {
  Result<uint32_t> index = interface_index_of(interface);
  if (!index) return Error{index.error()};
  const std::optional<std::string> directory = pin_directory_of(pin_root, *index);
  if (!directory || access(directory->c_str(), F_OK) != 0) return false;
  const Descriptor link = living_link(*directory, *index);
  if (link.open() && bpf_link_detach(link.get()) != 0) {
    return refused(interface, "detaching the XDP program", errno);
  }
  errno = 0;
  remove_pins(*directory);
  const int error = errno;
  if (access(directory->c_str(), F_OK) == 0) {
    return refused(interface, "removing " + *directory, error);
  }
  return true;
}

Redirect::Redirect(std::unique_ptr<State> state) : state_(std::move(state)) {}
Redirect::Redirect(Redirect&& other) noexcept = default;
Redirect::~Redirect() = default;

const RedirectFacts& Redirect::facts() const {
  return state_->facts;
}

int Redirect::program_fd() const {
  return bpf_program__fd(state_->program->progs.millrace_xdp);
}

Status Redirect::set_socket(uint32_t queue, int socket_fd) {
  if (queue >= uint32_t{millrace_queues_max}) {
    return on_interface(state_->facts.interface, "queue " + std::to_string(queue) + " is beyond " +
                                                     std::to_string(millrace_queues_max - 1));
  }
  if (bpf_map_update_elem(state_->fd_of(state_->program->maps.xsks), &queue, &socket_fd, BPF_ANY) !=
      0) {
    return refused(state_->facts.interface, "steering queue " + std::to_string(queue), errno);
  }
  return Ok{};
}

QueueProgress Redirect::hold_openings_back(uint32_t queue, uint32_t waiting_max) {
  CHECK(queue < uint32_t{millrace_queues_max});
  millrace_backlog& backlog = state_->backlogs.as<millrace_backlog>()[queue];
  __atomic_store_n(&backlog.waiting_for_opening_max, waiting_max, __ATOMIC_RELAXED);
  return QueueProgress(&backlog);
}

void Redirect::beat(Instant now) {
  __atomic_store_n(&state_->heartbeat.as<millrace_heartbeat>()->beat_ns,
                   static_cast<__u64>(now.since_origin_ns()), __ATOMIC_RELAXED);
}

RedirectCounters Redirect::counters() const {
  RedirectCounters sums{};
  const auto* by_cpu = state_->counters.as<const millrace_redirect_counters>();
  for (size_t cpu = 0; cpu < state_->cpu_count; ++cpu) {
    for (size_t outcome = 0; outcome < sums.size(); ++outcome) {
      sums[outcome] += __atomic_load_n(&by_cpu[cpu].frames[outcome], __ATOMIC_RELAXED);
    }
  }
  return sums;
}

void Redirect::stop() {
  bpf_link_detach(state_->link.get());
  if (!state_->facts.pin_directory.empty()) remove_pins(state_->facts.pin_directory);
}

}  // namespace millrace::bpf
