#include "tests/diff/kernel_namespace.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace millrace::diff {
namespace {

constexpr const char* device = "tun0";
constexpr size_t datagram_octets_max = 65'535;

Error failed(const std::string& what) {
  return {what + ": " + std::strerror(errno)};
}

// A setting of this namespace, and why the comparison needs it.
struct Setting {
  const char* name;
  const char* value;
};

// Each takes away something that depends on real time or on other connections, or makes a choice of
// Linux that the RFCs leave open the same as ours. Everything else is as the kernel has it.
constexpr Setting settings[] = {
    // Challenges and answers to segments outside the window are not limited: ours are, by time, and
    // there time is moved on between steps.
    {"tcp_challenge_ack_limit", "2147483647"},
    {"tcp_invalid_ratelimit", "0"},
    // No loss probes and no acknowledgments put together by timers of microseconds.
    {"tcp_early_retrans", "0"},
    {"tcp_comp_sack_nr", "0"},
    {"tcp_autocorking", "0"},
    // No memory of earlier connections with the same address.
    {"tcp_no_metrics_save", "1"},
    // A reset does not end TIME-WAIT (RFC 1337), as with us.
    {"tcp_rfc1337", "1"},
    // Room for what dialogues leave behind, so that none disturbs the next.
    {"tcp_syncookies", "0"},
    {"tcp_max_syn_backlog", "65536"},
    {"tcp_max_orphans", "65536"},
    {"tcp_max_tw_buckets", "262144"},
};

Status apply(const Setting& setting) {
  const std::string path = std::string("/proc/sys/net/ipv4/") + setting.name;
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  // A kernel that does not know it, or has it for all namespaces only, has its own way: what comes
  // of it is seen in the comparison.
  if (fd < 0) return Ok{};
  const auto length = static_cast<ssize_t>(std::strlen(setting.value));
  const bool written = write(fd, setting.value, static_cast<size_t>(length)) == length;
  const Error error = failed(path);
  close(fd);
  if (!written) return error;
  return Ok{};
}

// Addresses and routes, by iproute2. quickack: every segment with text is acknowledged at once,
// whatever the kernel thinks of the conversation; ours settles its delayed ones by its clock.
Status configure() {
  std::FILE* ip = popen("ip -batch -", "w");
  if (ip == nullptr) return failed("ip");
  std::fprintf(ip,
               "link set lo up\n"
               "link set %s up mtu 1500 txqueuelen 10000\n"
               "addr add 10.77.0.1/32 dev %s\n"
               "route add 10.77.0.0/16 dev %s src 10.77.0.1 quickack 1\n",
               device, device, device);
  if (pclose(ip) != 0) return Error{"ip could not configure the namespace"};
  return Ok{};
}

Result<int> open_tun() {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return failed("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) {
    const Error error = failed("TUNSETIFF");
    close(fd);
    return error;
  }
  return fd;
}

}  // namespace

Result<KernelNamespace> KernelNamespace::create() {
  if (unshare(CLONE_NEWNET) < 0) return failed("a network namespace of its own");
  const auto tun = open_tun();
  if (!tun) return Error{tun.error()};
  KernelNamespace made(*tun);
  const Status configured = configure();
  if (!configured) return Error{configured.error()};
  for (const Setting& setting : settings) {
    const Status applied = apply(setting);
    if (!applied) return Error{applied.error()};
  }
  return Result<KernelNamespace>(std::move(made));
}

KernelNamespace::~KernelNamespace() {
  if (tun_ >= 0) close(tun_);
}

void KernelNamespace::write(const Octets& datagram) {
  const ssize_t written = ::write(tun_, datagram.data(), datagram.size());
  CHECK(written == static_cast<ssize_t>(datagram.size()));
}

std::optional<Octets> KernelNamespace::read() {
  std::array<uint8_t, datagram_octets_max> buffer;
  const ssize_t length = ::read(tun_, buffer.data(), buffer.size());
  if (length <= 0) return std::nullopt;
  return Octets(buffer.begin(), buffer.begin() + length);
}

}  // namespace millrace::diff
