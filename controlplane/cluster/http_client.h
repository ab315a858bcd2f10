// HTTPS requests to one server, many at a time, over libcurl: HTTP/2 where the server offers it, so
// that all watches share one connection. No thread: poll fd(), call turn() when it is readable or
// due() has come.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace millrace::cluster {

// Who we are and whom we trust, as PEM and text, not as files: with a certificate that changed a
// new connection is made, since libcurl compares them.
struct HttpIdentity {
  std::string server;           // "https://10.0.0.1:6443", without a slash at its end
  std::string ca_pem;           // empty: the system's certificates
  std::string tls_server_name;  // instead of the server's name; empty: that name
  bool insecure_skip_tls_verify = false;
  std::string client_certificate_pem;
  std::string client_key_pem;
  std::string bearer_token;
  std::string user_name;  // with password: HTTP basic
  std::string password;
};

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query
  std::string accept;
  std::string content_type;  // of the body
  std::string body;
  Duration time_max = Duration::seconds(30);  // for all of it; zero: no end of its own
};

// What comes of a request, in this order: head, any number of bodies, end. Called from turn() only.
struct HttpHandler {
  // False: the rest is not wanted; `end` follows.
  std::function<bool(int status, const std::string& content_type,
                     std::optional<Duration> retry_after)>
      head;
  std::function<bool(std::string_view bytes)> body;
  // The failure as a sentence; nothing for an answer that is whole, or was not wanted any more.
  std::function<void(const std::optional<std::string>& failure)> end;
};

using HttpTransferId = uint64_t;  // never 0, never again

class HttpClient {
 public:
  static Result<std::unique_ptr<HttpClient>> create();
  ~HttpClient();  // ends every transfer without a word
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Not to be called from `head` or `body` of a handler, where libcurl is under way.
  HttpTransferId start(const HttpIdentity& identity, const HttpRequest& request,
                       HttpHandler handler);
  // Ends it without a word: no handler of it is called any more.
  void cancel(HttpTransferId id);

  int fd() const;       // an epoll descriptor
  Instant due() const;  // of libcurl's own timers
  void turn(Instant now);

 private:
  struct State;
  explicit HttpClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace millrace::cluster
