#include "controlplane/names/dns_client.h"

#include <ares.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/unique_fd.h"

namespace millrace::names {

namespace {

constexpr size_t events_a_turn = 64;

std::string sentence_of(int status) {
  switch (status) {
    case ARES_ENOTFOUND: return "there is no such name";
    case ARES_ENODATA: return "the name has no IPv4 address";
    // What a server fails at or refuses is the same to c-ares as one that is not there.
    case ARES_ECONNREFUSED: return "no DNS server can be reached, or those that can fail or refuse";
    case ARES_ETIMEOUT: return "no DNS server answers";
    case ARES_EBADNAME: return "the name cannot be asked for";
    default: return std::string("DNS: ") + ares_strerror(status);
  }
}

// c-ares gives a time to live as it stands in the packet; RFC 2181 8: more than 31 bits are none.
void shorten(int ttl_s, Duration* time_to_live) {
  *time_to_live = std::min(*time_to_live, Duration::seconds(std::max(ttl_s, 0)));
}

DnsAnswer answer_of(uint64_t question, int status, const ares_addrinfo* found) {
  DnsAnswer answer;
  answer.question = question;
  answer.time_to_live = Duration::seconds(std::numeric_limits<int32_t>::max());
  answer.is_of_server = true;
  if (status != ARES_SUCCESS || found == nullptr) {
    answer.failure = sentence_of(status);
    answer.is_of_server = status == ARES_ENOTFOUND || status == ARES_ENODATA;
    return answer;
  }
  for (const ares_addrinfo_cname* alias = found->cnames; alias != nullptr; alias = alias->next) {
    shorten(alias->ttl, &answer.time_to_live);
    ++answer.records;
  }
  for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
    ++answer.records;
    if (node->ai_family != AF_INET) continue;
    sockaddr_in address{};
    std::copy_n(reinterpret_cast<const char*>(node->ai_addr), sizeof address,
                reinterpret_cast<char*>(&address));
    answer.addresses.push_back(Ipv4Address::from_host_order(ntohl(address.sin_addr.s_addr)));
    shorten(node->ai_ttl, &answer.time_to_live);
  }
  if (answer.addresses.empty()) answer.failure = sentence_of(ARES_ENODATA);
  return answer;
}

// Once a process, before the first channel.
bool start_ares() {
  static const bool started = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return started;
}

}  // namespace

struct DnsClient::State {
  struct Question {
    State* state;
    uint64_t number;
  };

  DnsOptions options;
  UniqueFd epoll{epoll_create1(EPOLL_CLOEXEC)};
  ares_channel channel = nullptr;  // null: none was needed yet
  size_t asked = 0;                // c-ares has them
  size_t taken = 0;                // questions of this channel
  std::vector<DnsAnswer> answers;

  explicit State(const DnsOptions& its_options) : options(its_options) {
    CHECK(start_ares() && epoll);
  }
  ~State() { close(); }

  void close() {
    if (channel != nullptr) ares_destroy(std::exchange(channel, nullptr));
  }

  // What could be wrong with it is memory, or resolv.conf; it is tried again with the next
  // question.
  bool open() {
    taken = 0;
    ares_options set{};
    set.timeout = static_cast<int>(options.try_time.count_ms());
    set.tries = dns_tries;
    char dns_only[] = "b";
    set.lookups = dns_only;
    set.sock_state_cb = on_socket;
    set.sock_state_cb_data = this;
    int given = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    if (!options.resolv_conf.empty()) {
      set.resolvconf_path = options.resolv_conf.data();
      given |= ARES_OPT_RESOLVCONF;
    }
    if (ares_init_options(&channel, &set, given) != ARES_SUCCESS) {
      channel = nullptr;
      return false;
    }
    if (!options.server) return true;
    const std::string server = options.server->text();
    if (ares_set_servers_ports_csv(channel, server.c_str()) == ARES_SUCCESS) return true;
    close();
    return false;
  }

  void ask(uint64_t number, const std::string& name) {
    if (asked == 0) close();
    if (channel == nullptr && !open()) {
      DnsAnswer& none = answers.emplace_back();
      none.question = number;
      none.failure = "DNS cannot be asked: resolv.conf cannot be read";
      return;
    }
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = ARES_AI_NOSORT;  // c-ares would open sockets to sort
    ++asked;
    ++taken;
    // The dot keeps search domains and HOSTALIASES away.
    ares_getaddrinfo(channel, (name + '.').c_str(), nullptr, &hints, on_answer,
                     new Question{this, number});
  }

  static void on_answer(void* user, int status, int, ares_addrinfo* found) {
    const std::unique_ptr<Question> question(static_cast<Question*>(user));
    State* const state = question->state;
    --state->asked;
    if (status != ARES_EDESTRUCTION) {
      state->answers.push_back(answer_of(question->number, status, found));
    }
    if (found != nullptr) ares_freeaddrinfo(found);
  }

  // c-ares has opened a socket, waits for something else of it, or is about to close it.
  static void on_socket(void* user, ares_socket_t socket, int readable, int writable) {
    const int epoll = static_cast<State*>(user)->epoll.get();
    epoll_event event{};
    event.data.fd = socket;
    event.events = (readable != 0 ? EPOLLIN : 0U) | (writable != 0 ? EPOLLOUT : 0U);
    if (event.events == 0) {
      epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nullptr);
    } else if (epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) != 0) {
      epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    }
  }

  void process() {
    if (channel == nullptr) return;
    std::array<epoll_event, events_a_turn> events;
    const int count = epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      const bool writable = (event.events & EPOLLOUT) != 0;
      const bool readable = (event.events & ~uint32_t{EPOLLOUT}) != 0;  // errors are read
      ares_process_fd(channel, readable ? event.data.fd : ARES_SOCKET_BAD,
                      writable ? event.data.fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // who has waited long enough
  }
};

DnsClient::DnsClient(const DnsOptions& options) : state_(std::make_unique<State>(options)) {}
DnsClient::~DnsClient() = default;

void DnsClient::ask(uint64_t question, const std::string& name) {
  state_->ask(question, name);
}

bool DnsClient::has_room() const {
  if (state_->asked + state_->answers.size() >= questions_max) return false;
  return state_->asked == 0 || state_->taken < questions_of_channel_max;
}

int DnsClient::fd() const {
  return state_->epoll.get();
}

Instant DnsClient::due(Instant now) const {
  if (!state_->answers.empty()) return now;
  if (state_->asked == 0) return Instant::never();
  timeval left{};
  if (ares_timeout(state_->channel, nullptr, &left) == nullptr) return Instant::never();
  return now + Duration::seconds(left.tv_sec) + Duration::microseconds(left.tv_usec);
}

std::vector<DnsAnswer> DnsClient::turn() {
  state_->process();
  return std::exchange(state_->answers, {});
}

}  // namespace millrace::names
