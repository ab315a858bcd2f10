// Questions to DNS for IPv4 addresses, over c-ares, which only dns_client.cc sees. No thread and
// nothing that blocks: poll fd(), call turn() when it is readable or due() has come.
//
// Names are asked as they are: no search domains, no hosts file, no aliases. resolv.conf is read
// again for a question that is asked while none is under way, and after questions_of_channel_max at
// the latest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace millrace::names {

// A server is waited for so long, then the next one, then all once more for twice as long.
constexpr Duration dns_try_time = Duration::seconds(2);
constexpr int dns_tries = 2;
// Under way at a time: as many as there are names, so that one that is silent holds up no other.
constexpr size_t questions_max = 1'000;
// Then those under way are waited for, and a channel of c-ares's with new sockets takes over.
constexpr size_t questions_of_channel_max = 4'000;

struct DnsOptions {
  std::optional<SocketAddress> server;  // instead of those of resolv.conf
  std::string resolv_conf{};            // empty: /etc/resolv.conf
  Duration try_time = dns_try_time;     // whole milliseconds
};

struct DnsAnswer {
  uint64_t question = 0;
  std::vector<Ipv4Address> addresses;  // as they came
  Duration time_to_live;               // the shortest on the way to them
  size_t records = 0;                  // read for it, aliases included
  // Why there is none, the same sentence for the same reason; empty: there are addresses.
  std::string failure;
  bool is_of_server = false;  // that there is none is what DNS says, not that it could not be asked
};

class DnsClient {
 public:
  explicit DnsClient(const DnsOptions& options);
  ~DnsClient();  // what is under way is not answered any more
  DnsClient(const DnsClient&) = delete;
  DnsClient& operator=(const DnsClient&) = delete;

  bool has_room() const;  // for one more question
  // `question`: given back with the answer. `name`: without a dot at its end.
  void ask(uint64_t question, const std::string& name);

  int fd() const;  // an epoll descriptor
  Instant due(
      Instant now) const;  // c-ares has a clock of its own: `now` is what it is counted from
  std::vector<DnsAnswer> turn();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::names
