// A small HTTP server without a thread: libmicrohttpd, driven by the control loop through one epoll
// descriptor. A request is answered by a function, at once, or by a child process that it starts;
// everything about a client is bounded: how many there are, how large a request is, how long one
// takes. A client that is slow or hostile costs its connection.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "controlplane/serve/child_answer.h"

namespace millrace::serve {

constexpr unsigned connections_max = 32;
constexpr size_t head_bytes_max = 32U << 10;  // of a request's line and fields, and of what is read
constexpr unsigned idle_seconds_max = 10;     // without an octet
constexpr Duration connection_time_max = Duration::seconds(60);  // in all

struct HttpRequest {
  std::string method;
  std::string path;
  std::multimap<std::string, std::string> query;  // decoded
  std::string body;

  // The first one of this name; nothing when there is none.
  std::optional<std::string> argument(const std::string& name) const;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  // Instead of all that: a child process makes it and the client waits, one client at a time.
  std::function<ChildAnswer::Made()> by_child{};
};

class HttpServer {
 public:
  using Answer = std::function<HttpResponse(const HttpRequest&)>;
  struct Limits {
    size_t body_bytes_max = 0;  // 0: a request with a body is refused
  };

  // A Unix socket at `path`, mode 0600: whoever may open it may ask. A file left by a killed
  // process is replaced. Error: somebody listens there, or it is no socket.
  static Result<std::unique_ptr<HttpServer>> listen_unix(const std::string& path,
                                                         const Limits& limits, Answer answer);
  // "127.0.0.1:9100", "[::1]:9100", "0.0.0.0:9100".
  static Result<std::unique_ptr<HttpServer>> listen_tcp(const std::string& address,
                                                        const Limits& limits, Answer answer);
  ~HttpServer();  // removes the socket file
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int fd() const;  // readable when there is something to do
  Instant due(Instant now) const;
  void turn(Instant now);

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  static Result<std::unique_ptr<HttpServer>> start(UniqueFd listener, const std::string& path,
                                                   const Limits& limits, Answer answer);
  std::unique_ptr<State> state_;
};

}  // namespace millrace::serve
