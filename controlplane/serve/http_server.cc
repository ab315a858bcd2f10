#include "controlplane/serve/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace millrace::serve {

namespace {

// One request while it is being read, and while a child makes its answer.
struct Pending {
  std::string body;
  bool is_too_large = false;
  MHD_Connection* connection = nullptr;
  std::shared_ptr<ChildAnswer> child;
  Instant until;  // of the child
  std::optional<HttpResponse> response;
};

}  // namespace

struct HttpServer::State {
  MHD_Daemon* daemon = nullptr;
  Limits limits;
  Answer answer;
  std::string path;              // of a Unix socket; removed in the end
  UniqueFd epoll;                // over the daemon's own and the child's pipe
  Pending* waiting = nullptr;    // the one request that a child answers
  std::map<int, Instant> began;  // connections by descriptor
  Instant now;                   // of this turn
};

namespace {

Error error_of(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

MHD_Result send(MHD_Connection* connection, HttpResponse response) {
  auto* body = new std::string(std::move(response.body));
  MHD_Response* made = MHD_create_response_from_buffer_with_free_callback_cls(
      body->size(), body->data(), [](void* text) { delete static_cast<std::string*>(text); }, body);
  if (made == nullptr) {
    delete body;
    return MHD_NO;
  }
  MHD_add_response_header(made, "Content-Type", response.content_type.c_str());
  MHD_add_response_header(made, "Cache-Control", "no-store");
  const MHD_Result queued = MHD_queue_response(connection, response.status, made);
  MHD_destroy_response(made);
  return queued;
}

HttpResponse plain(unsigned status, const char* sentence) {
  return {status, "application/json", std::string("{\"error\": \"") + sentence + "\"}\n"};
}

uint64_t announced_bytes(MHD_Connection* connection) {
  const char* text =
      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  uint64_t bytes = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), bytes);
  return bytes;
}

template <class State>
MHD_Result wait_for_child(State& state, MHD_Connection* connection, Pending& pending,
                          const std::function<ChildAnswer::Made()>& make) {
  // Before there is one: a copy of this process is no small thing to refuse a client with.
  if (state.waiting != nullptr) {
    return send(connection, plain(503, "another answer that takes long is being made; try again"));
  }
  auto started = ChildAnswer::start(make);
  if (!started) return send(connection, plain(503, started.error().c_str()));
  std::shared_ptr<ChildAnswer> child = std::move(*started);
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(state.epoll.get(), EPOLL_CTL_ADD, child->fd(), &event) != 0) {
    return send(connection, plain(500, "the answer could not be made"));
  }
  pending.connection = connection;
  pending.child = std::move(child);
  pending.until = state.now + child_time_max;
  state.waiting = &pending;
  MHD_suspend_connection(connection);
  return MHD_YES;
}

// Takes what the child has made; resumes the connection when that is all.
template <class State>
void turn_child(State& state, Instant now, bool is_ending) {
  if (state.waiting == nullptr || !state.waiting->child) return;
  Pending& pending = *state.waiting;
  auto made = pending.child->take(is_ending || now >= pending.until);
  if (!made) return;
  ::epoll_ctl(state.epoll.get(), EPOLL_CTL_DEL, pending.child->fd(), nullptr);
  pending.child.reset();
  pending.response = HttpResponse{made->status, "application/json", std::move(made->body)};
  state.waiting = nullptr;
  MHD_resume_connection(pending.connection);
}

template <class State>
MHD_Result take_request(void* context, MHD_Connection* connection, const char* url,
                        const char* method, const char*, const char* data, size_t* data_bytes,
                        void** request) {
  auto& state = *static_cast<State*>(context);
  if (*request == nullptr) {
    *request = new Pending();
    // Refused before a byte of it is read.
    if (announced_bytes(connection) <= state.limits.body_bytes_max) return MHD_YES;
    return send(connection, plain(413, "the request is larger than what is taken here"));
  }
  auto& pending = *static_cast<Pending*>(*request);
  if (pending.response) return send(connection, std::move(*pending.response));
  if (*data_bytes > 0) {
    pending.is_too_large |= pending.body.size() + *data_bytes > state.limits.body_bytes_max;
    if (!pending.is_too_large) pending.body.append(data, *data_bytes);
    *data_bytes = 0;
    return MHD_YES;
  }
  if (pending.is_too_large) {
    return send(connection, plain(413, "the request is larger than what is taken here"));
  }
  HttpRequest asked{method, url, {}, std::move(pending.body)};
  MHD_get_connection_values(
      connection, MHD_GET_ARGUMENT_KIND,
      [](void* query, MHD_ValueKind, const char* key, const char* value) {
        static_cast<decltype(asked.query)*>(query)->emplace(key, value != nullptr ? value : "");
        return MHD_YES;
      },
      &asked.query);
  try {
    HttpResponse response = state.answer(asked);
    if (response.by_child) return wait_for_child(state, connection, pending, response.by_child);
    return send(connection, std::move(response));
  } catch (const std::exception&) {  // no memory for the answer
    return send(connection, plain(500, "the answer could not be made"));
  }
}

template <class State>
void end_request(void* context, MHD_Connection*, void** request, MHD_RequestTerminationCode) {
  auto* pending = static_cast<Pending*>(*request);
  auto& state = *static_cast<State*>(context);
  if (state.waiting == pending) state.waiting = nullptr;
  delete pending;
  *request = nullptr;
}

template <class State>
void note_connection(void* context, MHD_Connection* connection, void**,
                     MHD_ConnectionNotificationCode code) {
  auto& state = *static_cast<State*>(context);
  const MHD_ConnectionInfo* info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (info == nullptr) return;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    state.began[info->connect_fd] = state.now;
  } else {
    state.began.erase(info->connect_fd);
  }
}

Result<sockaddr_storage> parse_address(const std::string& text, socklen_t* length) {
  const Error wrong{"\"" + text + "\" is not an address and a port, such as 127.0.0.1:9100"};
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return wrong;
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc() || stop != end || colon + 1 == text.size()) return wrong;
  std::string host = text.substr(0, colon);
  sockaddr_storage address{};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *length = sizeof *v6;
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6->sin6_addr) != 1) {
      return wrong;
    }
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *length = sizeof *v4;
    if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) != 1) return wrong;
  }
  return address;
}

Status bind_unix(int fd, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{path + ": a socket's path has 1 to 107 bytes"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return Error{path + " is there and no socket"};
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN) {
      return Error{path + ": somebody listens there"};
    }
    ::unlink(path.c_str());
  }
  const mode_t mask = ::umask(0177);
  const int bound = ::bind(fd, generic, sizeof address);
  ::umask(mask);
  if (bound != 0) return error_of(path);
  return Ok{};
}

}  // namespace

std::optional<std::string> HttpRequest::argument(const std::string& name) const {
  const auto at = query.find(name);
  if (at == query.end()) return std::nullopt;
  return at->second;
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen_unix(const std::string& path,
                                                            const Limits& limits, Answer answer) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return error_of("no socket");
  const Status bound = bind_unix(listener.get(), path);
  if (!bound) return Error{bound.error()};
  if (::listen(listener.get(), connections_max) != 0) return error_of(path);
  return start(std::move(listener), path, limits, std::move(answer));
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen_tcp(const std::string& address,
                                                           const Limits& limits, Answer answer) {
  socklen_t length = 0;
  const Result<sockaddr_storage> parsed = parse_address(address, &length);
  if (!parsed) return Error{parsed.error()};
  UniqueFd listener(::socket(parsed->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return error_of("no socket");
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&*parsed), length) != 0 ||
      ::listen(listener.get(), connections_max) != 0) {
    return error_of(address);
  }
  return start(std::move(listener), "", limits, std::move(answer));
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(UniqueFd listener, const std::string& path,
                                                      const Limits& limits, Answer answer) {
  auto state = std::make_unique<State>();
  state->limits = limits;
  state->answer = std::move(answer);
  state->path = path;
  state->daemon = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, &take_request<State>,
      state.get(), MHD_OPTION_LISTEN_SOCKET, static_cast<MHD_socket>(listener.get()),
      MHD_OPTION_CONNECTION_LIMIT, connections_max, MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds_max,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, head_bytes_max, MHD_OPTION_NOTIFY_COMPLETED,
      &end_request<State>, state.get(), MHD_OPTION_NOTIFY_CONNECTION, &note_connection<State>,
      state.get(), MHD_OPTION_END);
  if (state->daemon == nullptr) return Error{"the HTTP server cannot be started"};
  static_cast<void>(listener.release());  // the daemon's now
  state->epoll = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  const MHD_DaemonInfo* info = MHD_get_daemon_info(state->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  epoll_event event{};
  event.events = EPOLLIN;
  if (info == nullptr ||
      ::epoll_ctl(state->epoll.get(), EPOLL_CTL_ADD, info->epoll_fd, &event) != 0) {
    MHD_stop_daemon(state->daemon);
    return error_of("no epoll");
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() {
  turn_child(*state_, Instant(), true);
  MHD_stop_daemon(state_->daemon);
  if (!state_->path.empty()) ::unlink(state_->path.c_str());
}

int HttpServer::fd() const {
  return state_->epoll.get();
}

Instant HttpServer::due(Instant now) const {
  Instant due = Instant::never();
  MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
  if (MHD_get_timeout(state_->daemon, &timeout_ms) == MHD_YES) {
    due = now + Duration::milliseconds(static_cast<int64_t>(timeout_ms));
  }
  for (const auto& [fd, began] : state_->began) due = std::min(due, began + connection_time_max);
  if (state_->waiting != nullptr) due = std::min(due, state_->waiting->until);
  return due;
}

void HttpServer::turn(Instant now) {
  state_->now = now;
  for (const auto& [fd, began] : state_->began) {
    // The daemon sees an end and closes it; a client that sends an octet a second ends here.
    if (now >= began + connection_time_max) ::shutdown(fd, SHUT_RDWR);
  }
  turn_child(*state_, now, false);
  MHD_run(state_->daemon);
}

}  // namespace millrace::serve
