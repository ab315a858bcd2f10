// KernelBackend: the backend over the kernel's own sockets.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "dataplane/nic/port.h"
#include "perf/load/figures.h"
#include "perf/load/messages.h"
#include "perf/load/request_reader.h"

namespace millrace::load {

// In the data of epoll events: a listener, or a connection of the backend's (else: the client's).
inline constexpr uint64_t kernel_backend_mark = uint64_t{1} << 63;

class KernelBackend {
 public:
  KernelBackend(ResponseText response, uint32_t connections_max, Figures& figures,
                nic::PortCounters& counters, int epoll_fd);
  KernelBackend(const KernelBackend&) = delete;
  KernelBackend& operator=(const KernelBackend&) = delete;
  ~KernelBackend();

  // Error: the address and the kernel's reason.
  Status listen(SocketAddress first, uint32_t port_count);
  void event(uint32_t index, uint32_t generation, uint32_t events);
  uint64_t connections_open() const { return open_; }

 private:
  struct Socket {
    Connection reader{};  // the state of the request's reading
    int fd = -1;
    uint32_t generation = 0;
    bool listens = false;
    bool ends = false;           // no more requests; closed when the last response is out
    uint32_t owed = 0;           // responses
    uint32_t sent_of_first = 0;  // octets of the first one owed
  };

  uint32_t add(int fd, bool listens);
  void accept_all(uint32_t index);
  void receive(uint32_t index);
  void send_more(uint32_t index);
  void close(uint32_t index);

  ResponseText response_;
  uint32_t connections_max_;
  Figures& figures_;
  nic::PortCounters& counters_;
  int epoll_fd_;
  RequestReader reader_;
  std::deque<Socket> sockets_;
  std::vector<uint32_t> free_;
  std::vector<uint8_t> receive_buffer_;
  std::vector<uint8_t> send_buffer_;
  uint64_t open_ = 0;
};

}  // namespace millrace::load
