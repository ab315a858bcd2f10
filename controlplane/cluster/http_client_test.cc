// The client against small servers on loopback: one that speaks plain HTTP as a test scripts it,
// and `openssl s_server` for TLS.
#include "controlplane/cluster/http_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/unique_fd.h"

namespace millrace::cluster {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A listening socket on loopback, and its port.
UniqueFd listen_on_loopback(uint16_t* port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  CHECK(listen(fd.get(), 64) == 0);
  *port = ntohs(address.sin_port);
  return fd;
}

// Serves each connection in turn by a function, which gets the socket behind the request's head.
class Server {
 public:
  using Serve = std::function<void(int fd, const std::string& head)>;
  explicit Server(Serve serve) : serve_(std::move(serve)), listener_(listen_on_loopback(&port_)) {
    thread_ = std::thread([this] { run(); });
  }
  ~Server() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  void run() {
    std::vector<std::thread> threads;
    while (true) {
      const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) break;
      threads.emplace_back([this, fd] {
        const UniqueFd connection(fd);
        std::string head;
        char c = 0;
        while (!head.ends_with("\r\n\r\n") && recv(fd, &c, 1, 0) == 1) head += c;
        if (head.ends_with("\r\n\r\n")) serve_(fd, head);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  Serve serve_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  std::thread thread_;
};

void say(int fd, std::string_view text) {
  send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}
// Until the other side is gone.
void wait_for_end(int fd) {
  char c = 0;
  while (recv(fd, &c, 1, 0) > 0) {
  }
}

struct Seen {
  int status = 0;
  std::string content_type;
  std::optional<Duration> retry_after;
  std::string body;
  bool ended = false;
  std::optional<std::string> failure;
};

class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() : client_(std::move(*HttpClient::create())) {}

  HttpHandler into(Seen* seen) {
    return {[seen](int status, const std::string& type, std::optional<Duration> retry_after) {
              seen->status = status;
              seen->content_type = type;
              seen->retry_after = retry_after;
              return true;
            },
            [seen](std::string_view bytes) {
              seen->body += bytes;
              return true;
            },
            [seen](const std::optional<std::string>& failure) {
              EXPECT_FALSE(seen->ended);
              seen->ended = true;
              seen->failure = failure;
            }};
  }
  HttpTransferId get(const std::string& server, Seen* seen,
                     Duration time_max = Duration::seconds(5)) {
    identity_.server = server;
    HttpRequest request;
    request.target = "/x";
    request.accept = "application/json";
    request.time_max = time_max;
    return client_->start(identity_, request, into(seen));
  }
  bool turn_until(const std::function<bool()>& done, int ms_max = 5'000) {
    const Instant end = MonotonicClock().now() + Duration::milliseconds(ms_max);
    while (true) {
      const Instant now = MonotonicClock().now();
      client_->turn(now);
      if (done()) return true;
      if (now >= end) return false;
      const Instant due = client_->due();
      const int64_t wait =
          due == Instant::never() ? 20 : std::max<int64_t>((due - now).count_ms(), 0);
      pollfd ready{client_->fd(), POLLIN, 0};
      poll(&ready, 1, static_cast<int>(std::min<int64_t>(wait, 20)));
    }
  }
  Seen fetch(const std::string& server, Duration time_max = Duration::seconds(5)) {
    Seen seen;
    get(server, &seen, time_max);
    EXPECT_TRUE(turn_until([&] { return seen.ended; }, 8'000));
    return seen;
  }

  HttpIdentity identity_;
  std::unique_ptr<HttpClient> client_;
};

TEST_F(HttpClientTest, AskedAndAnswered) {
  std::string head;
  Server server([&](int fd, const std::string& asked) {
    head = asked;
    say(fd,
        "HTTP/1.1 429 Later\r\nContent-Type: application/json\r\nRetry-After: 7\r\n"
        "Content-Length: 2\r\n\r\n{}");
  });
  identity_.bearer_token = "secret";
  const Seen seen = fetch(server.url());
  EXPECT_EQ(seen.failure, std::nullopt);
  EXPECT_EQ(seen.status, 429);
  EXPECT_EQ(seen.body, "{}");
  EXPECT_EQ(seen.retry_after, Duration::seconds(7));
  EXPECT_THAT(head, HasSubstr("GET /x HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr("Authorization: Bearer secret\r\n"));
  EXPECT_THAT(head, HasSubstr("Accept: application/json\r\n"));
}

TEST_F(HttpClientTest, TheHeadOfAWatchComesBeforeItsFirstEvent) {
  Server server([](int fd, const std::string&) {
    say(fd,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    wait_for_end(fd);
  });
  Seen seen;
  const HttpTransferId id = get(server.url(), &seen, Duration());
  EXPECT_TRUE(turn_until([&] { return seen.status == 200; }));
  EXPECT_FALSE(seen.ended);
  client_->cancel(id);
  client_->turn(MonotonicClock().now());
  EXPECT_FALSE(seen.ended) << "a canceled one is not heard of again";
}

TEST_F(HttpClientTest, FailuresAreSentencesThatDoNotChange) {
  uint16_t port = 0;
  { const UniqueFd closed = listen_on_loopback(&port); }
  const std::string refused = "http://127.0.0.1:" + std::to_string(port);
  const Seen first = fetch(refused);
  ASSERT_TRUE(first.failure);
  EXPECT_THAT(*first.failure, HasSubstr("onnect"));
  EXPECT_EQ(first.failure->find(" ms"), std::string::npos) << *first.failure;
  EXPECT_EQ(first.status, 0);

  Server slow([](int fd, const std::string&) { wait_for_end(fd); });
  const Seen late = fetch(slow.url(), Duration::milliseconds(150));
  ASSERT_TRUE(late.failure);
  EXPECT_EQ(late.failure, fetch(slow.url(), Duration::milliseconds(173)).failure);

  for (const char* torn : {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                           "HTTP/1.1 200", "garbage\r\n\r\n", ""}) {
    Server server([&](int fd, const std::string&) { say(fd, torn); });
    const Seen seen = fetch(server.url());
    EXPECT_TRUE(seen.failure) << torn;
  }
}

TEST_F(HttpClientTest, HandlersMayCancelWhatTheyBelongToAndOthers) {
  Server server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    wait_for_end(fd);
  });
  identity_.server = server.url();
  HttpRequest request;
  request.target = "/";
  Seen other;
  HttpTransferId own = 0;
  HttpTransferId second = 0;
  int calls = 0;
  const auto cancel_all = [&](const std::string& witness) {
    ++calls;
    client_->cancel(own);
    client_->cancel(second);
    EXPECT_EQ(witness, "alive long enough to be on the heap") << "the handler outlives its call";
    return true;
  };
  const std::string witness = "alive long enough to be on the heap";
  for (const bool in_head : {true, false}) {
    calls = 0;
    other = Seen();
    HttpHandler handler;
    handler.head = [=](int, const std::string&, std::optional<Duration>) {
      return !in_head || cancel_all(witness);
    };
    handler.body = [=](std::string_view) { return cancel_all(witness); };
    handler.end = [](const std::optional<std::string>&) { FAIL(); };
    own = client_->start(identity_, request, handler);
    second = client_->start(identity_, request, into(&other));
    turn_until([&] { return calls > 0; });
    turn_until([] { return false; }, 100);
    EXPECT_EQ(calls, 1);
    EXPECT_FALSE(other.ended);
  }
}

TEST_F(HttpClientTest, WhatIsNotWantedEndsWithoutAFailure) {
  Server server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc");
    wait_for_end(fd);
  });
  for (const bool in_head : {true, false}) {
    Seen seen;
    HttpHandler handler = into(&seen);
    if (in_head) {
      handler.head = [](int, const std::string&, std::optional<Duration>) { return false; };
    } else {
      handler.body = [](std::string_view) { return false; };
    }
    identity_.server = server.url();
    client_->start(identity_, {}, handler);
    EXPECT_TRUE(turn_until([&] { return seen.ended; }));
    EXPECT_EQ(seen.failure, std::nullopt);
  }
}

TEST_F(HttpClientTest, ManyAtATimeAndAnEndWithSomeUnderWay) {
  Server server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  });
  std::vector<Seen> seen(60);
  for (Seen& one : seen) get(server.url(), &one);
  EXPECT_TRUE(turn_until([&] {
    return std::all_of(seen.begin(), seen.end(), [](const Seen& one) { return one.ended; });
  }));
  for (const Seen& one : seen) EXPECT_EQ(one.body, "ok") << one.failure.value_or("");
  for (Seen& one : seen) one = Seen(), get(server.url(), &one);
  client_->turn(MonotonicClock().now());
  client_.reset();
  for (const Seen& one : seen) EXPECT_FALSE(one.ended);
}

TEST_F(HttpClientTest, AnEndMayBeginTheNext) {
  Server server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  identity_.server = server.url();
  int ended = 0;
  HttpHandler handler;
  handler.head = [](int, const std::string&, std::optional<Duration>) { return true; };
  handler.body = [](std::string_view) { return true; };
  handler.end = [&](const std::optional<std::string>&) {
    if (++ended < 5) client_->start(identity_, {}, HttpHandler(handler));
  };
  client_->start(identity_, {}, handler);
  EXPECT_TRUE(turn_until([&] { return ended == 5; }));
}

// Certificates by the openssl program, and its server, which asks for a client's certificate.
class TlsTest : public HttpClientTest {
 protected:
  TlsTest() {
    char name[] = "/tmp/millrace-tls-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~TlsTest() override {
    stop();
    fs::remove_all(root_);
  }

  void shell(const std::string& command) {
    ASSERT_EQ(std::system(("cd " + root_.string() + " && (" + command + ") >log 2>&1").c_str()), 0)
        << text("log");
  }
  std::string text(const std::string& name) {
    std::ifstream file(root_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void make_ca(const std::string& name) {
    shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=" +
        name + " -keyout " + name + ".key -out " + name + ".crt");
  }
  void make_certificate(const std::string& name, const std::string& ca, const std::string& alt) {
    shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name +
          " -keyout " + name + ".key -out " + name + ".csr && printf 'subjectAltName=" + alt +
          "\\n' >ext && openssl x509 -req -in " + name + ".csr -CA " + ca + ".crt -CAkey " + ca +
          ".key -CAcreateserial -days 2 -extfile ext -out " + name + ".crt");
  }
  // `clients`: the CA of client certificates; empty: none is asked for.
  void serve(const std::string& certificate, const std::string& clients = "") {
    stop();
    if (port_ == 0) listen_on_loopback(&port_);
    std::vector<std::string> words = {"openssl",  "s_server",
                                      "-quiet",   "-www",
                                      "-naccept", "100",
                                      "-accept",  "127.0.0.1:" + std::to_string(port_),
                                      "-cert",    certificate + ".crt",
                                      "-key",     certificate + ".key"};
    if (!clients.empty()) {
      for (const std::string& word :
           {std::string("-CAfile"), clients + ".crt", std::string("-Verify"), std::string("1"),
            std::string("-verify_return_error")}) {
        words.push_back(word);
      }
    }
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      if (chdir(root_.c_str()) == 0 && freopen("server.log", "a", stderr) != nullptr &&
          freopen("/dev/null", "r", stdin) != nullptr &&
          freopen("server.log", "a", stdout) != nullptr) {
        execvp("openssl", arguments.data());
      }
      _exit(1);
    }
    for (int i = 0; i < 200; ++i) {
      const UniqueFd probe(socket(AF_INET, SOCK_STREAM, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(port_);
      if (connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
      usleep(10'000);
    }
    FAIL() << "openssl s_server does not start: " << text("server.log");
  }
  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  Seen fetch_tls(const std::string& host = "127.0.0.1") {
    return fetch("https://" + host + ":" + std::to_string(port_));
  }

  fs::path root_;
  uint16_t port_ = 0;
  pid_t pid_ = 0;
};

TEST_F(TlsTest, C12_CertificatesRotateWithoutARestart) {
  make_ca("ca1");
  make_ca("ca2");
  make_certificate("server1", "ca1", "IP:127.0.0.1");
  make_certificate("server2", "ca2", "IP:127.0.0.1");
  make_certificate("client1", "ca1", "DNS:client");
  make_certificate("client2", "ca2", "DNS:client");
  serve("server1", "ca1");
  identity_.ca_pem = text("ca1.crt");
  Seen seen = fetch_tls();
  EXPECT_TRUE(seen.failure) << "no certificate of ours";
  identity_.client_certificate_pem = text("client1.crt");
  identity_.client_key_pem = text("client1.key");
  seen = fetch_tls();
  EXPECT_EQ(seen.status, 200) << seen.failure.value_or("");
  // The server's certificate is of a new CA, and so are the clients that it takes.
  serve("server2", "ca2");
  seen = fetch_tls();
  ASSERT_TRUE(seen.failure);
  EXPECT_THAT(*seen.failure, HasSubstr("certificate"));
  identity_.ca_pem = text("ca1.crt") + text("ca2.crt");
  EXPECT_TRUE(fetch_tls().failure) << "the old client certificate";
  identity_.client_certificate_pem = text("client2.crt");
  identity_.client_key_pem = text("client2.key");
  seen = fetch_tls();
  EXPECT_EQ(seen.status, 200) << seen.failure.value_or("");
}

TEST_F(TlsTest, AnotherNameOrCaIsRefused) {
  make_ca("ca1");
  make_ca("ca2");
  make_certificate("server1", "ca1", "DNS:api.example");
  serve("server1");
  identity_.ca_pem = text("ca1.crt");
  Seen seen = fetch_tls();
  ASSERT_TRUE(seen.failure) << "127.0.0.1 is not in the certificate";
  EXPECT_EQ(seen.status, 0);
  identity_.tls_server_name = "api.example";
  seen = fetch_tls();
  EXPECT_EQ(seen.status, 200) << seen.failure.value_or("");
  identity_.tls_server_name = "other.example";
  EXPECT_TRUE(fetch_tls().failure);
  identity_.tls_server_name = "api.example";
  identity_.ca_pem = text("ca2.crt");
  EXPECT_TRUE(fetch_tls().failure);
  identity_.ca_pem = "no certificate at all";
  EXPECT_TRUE(fetch_tls().failure);
  identity_.insecure_skip_tls_verify = true;
  identity_.ca_pem.clear();
  EXPECT_EQ(fetch_tls().status, 200);
}

}  // namespace
}  // namespace millrace::cluster
