// A server under clients that mean well and clients that do not, driven as the control loop does
// it.
#include "controlplane/serve/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace millrace::serve {
namespace {

namespace fs = std::filesystem;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    char name[] = "/tmp/millrace-serve-XXXXXX";
    root_ = mkdtemp(name);
    path_ = root_ / "api.sock";
    auto server = HttpServer::listen_unix(path_, {1'000}, [this](const HttpRequest& request) {
      ++answered_;
      if (request.path == "/long") return answer_by_child(request.argument("q").value_or(""));
      return HttpResponse{200, "text/plain",
                          request.method + ' ' + request.path + ' ' +
                              request.argument("q").value_or("-") + ' ' + request.body + fill_};
    });
    EXPECT_TRUE(server.ok()) << (server.ok() ? "" : server.error());
    server_ = std::move(*server);
  }
  ~HttpServerTest() override { fs::remove_all(root_); }

  static HttpResponse answer_by_child(const std::string& how) {
    HttpResponse response;
    response.by_child = [how]() -> ChildAnswer::Made {
      if (how == "dies") _exit(3);
      if (how == "throws") throw std::bad_alloc();
      if (how == "sleeps") sleep(1'000);
      usleep(100'000);
      return {200, how == "large" ? std::string(3U << 20, 'x') : "made by a child"};
    };
    return response;
  }

  UniqueFd client() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  void turn(int times = 3) {
    for (int i = 0; i < times; ++i) {
      pollfd ready{server_->fd(), POLLIN, 0};
      poll(&ready, 1, 2);
      server_->turn(now_);
    }
  }
  static void send(const UniqueFd& fd, const std::string& text) {
    EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What has come; `closed`: and then the end.
  std::string receive(const UniqueFd& fd, bool* closed = nullptr) {
    std::string text;
    char buffer[4096];
    for (int quiet = 0; quiet < 5;) {
      turn(1);
      const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (count > 0) text.append(buffer, static_cast<size_t>(count));
      if (count == 0 || (count < 0 && errno == ECONNRESET)) {
        if (closed != nullptr) *closed = true;
        break;
      }
      quiet = count > 0 ? 0 : quiet + 1;
    }
    return text;
  }
  std::string ask(const std::string& text) {
    const UniqueFd fd = client();
    send(fd, text);
    return receive(fd);
  }

  fs::path root_;
  std::string path_;
  std::string fill_;
  std::unique_ptr<HttpServer> server_;
  Instant now_ = MonotonicClock().now();
  int answered_ = 0;
};

TEST_F(HttpServerTest, AnswersAndDecodesTheQuery) {
  const std::string answer = ask("GET /v1/x?q=a%20b HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nGET /v1/x a b ")) << answer;
  EXPECT_TRUE(ask("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                  .ends_with("POST /p - abc"));
}

TEST_F(HttpServerTest, TheSocketIsForItsOwnerAndReplacesADeadOnes) {
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const auto second = HttpServer::listen_unix(path_, {}, nullptr);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().find("somebody listens there"), std::string::npos);
  server_.reset();
  EXPECT_FALSE(fs::exists(path_));
  std::ofstream(path_) << "a file";
  EXPECT_FALSE(HttpServer::listen_unix(path_, {}, nullptr).ok());
  fs::remove(path_);
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_TRUE(HttpServer::listen_unix(path_, {}, nullptr).ok());
}

TEST_F(HttpServerTest, HostileRequestsGetTheirStatusAndNoAnswerOfOurs) {
  const std::string head = "POST /p HTTP/1.1\r\nHost: x\r\n";
  EXPECT_NE(ask(head + "Content-Length: 1001\r\n\r\n").find(" 413 "), std::string::npos);
  EXPECT_NE(ask(head + "Content-Length: 99999999999999\r\n\r\n").find(" 413 "), std::string::npos);
  EXPECT_NE(ask(head + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + std::string(2'000, 'x') +
                "\r\n0\r\n\r\n")
                .find(" 413 "),
            std::string::npos);
  for (const std::string& text :
       {std::string("nonsense\r\n\r\n"), std::string(64, '\0'), std::string("GET\r\n\r\n"),
        "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n"}) {
    const UniqueFd fd = client();
    const ssize_t ignored [[maybe_unused]] =
        ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    const std::string answer = receive(fd);
    EXPECT_EQ(answer.find(" 200 "), std::string::npos) << answer.substr(0, 60);
  }
  EXPECT_EQ(answered_, 0);
  EXPECT_TRUE(ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AClientThatDripsIsEndedInTheEnd) {
  const UniqueFd fd = client();
  turn();
  send(fd, "GET / HT");
  turn();
  EXPECT_NE(server_->due(now_), Instant::never());
  now_ = now_ + connection_time_max;
  bool closed = false;
  receive(fd, &closed);
  EXPECT_TRUE(closed);
}

TEST_F(HttpServerTest, OneThatReadsNothingHoldsUpNobody) {
  fill_ = std::string(8U << 20, 'x');
  const UniqueFd slow = client();
  send(slow, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  turn(10);
  fill_.clear();
  const Instant began = MonotonicClock().now();
  EXPECT_TRUE(ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
  EXPECT_LT((MonotonicClock().now() - began).count_ms(), 1'000);
}

TEST_F(HttpServerTest, MoreClientsThanFitWaitForAPlace) {
  std::vector<UniqueFd> idle;
  for (unsigned i = 0; i < connections_max; ++i) {
    idle.push_back(client());
    turn(1);
  }
  const UniqueFd late = client();
  send(late, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(receive(late), "");
  idle.clear();
  EXPECT_TRUE(receive(late).starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, WhatAChildMakesHoldsUpNobody) {
  static int forks = 0;
  ASSERT_EQ(::pthread_atfork([] { ++forks; }, nullptr, nullptr), 0);
  const UniqueFd slow = client();
  send(slow, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  turn(5);
  const UniqueFd second = client();
  send(second, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(receive(second).find(" 503 "), std::string::npos) << "one at a time";
  EXPECT_EQ(forks, 1) << "who is refused costs no process";
  EXPECT_TRUE(ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
  std::string answer;
  for (int i = 0; i < 100 && answer.empty(); ++i) answer = receive(slow);
  EXPECT_TRUE(answer.ends_with("made by a child")) << answer;
  send(slow, "GET /long?q=large HTTP/1.1\r\nHost: x\r\n\r\n");
  answer.clear();
  for (int i = 0; i < 100 && answer.size() < (3U << 20); ++i) answer += receive(slow);
  EXPECT_GT(answer.size(), 3U << 20) << "the connection goes on";
}

TEST_F(HttpServerTest, AChildThatDiesOrTakesTooLongIsAnAnswerAllTheSame) {
  for (const char* how : {"dies", "throws"}) {
    std::string answer;
    const UniqueFd fd = client();
    send(fd, std::string("GET /long?q=") + how + " HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 100 && answer.empty(); ++i) answer = receive(fd);
    EXPECT_NE(answer.find(" 500 "), std::string::npos) << how << answer;
  }
  const UniqueFd fd = client();
  send(fd, "GET /long?q=sleeps HTTP/1.1\r\nHost: x\r\n\r\n");
  turn(5);
  EXPECT_LE(server_->due(now_), now_ + child_time_max);
  now_ = now_ + child_time_max;
  EXPECT_NE(receive(fd).find("took too long"), std::string::npos);
  // The server may go while a child is at it.
  const UniqueFd last = client();
  send(last, "GET /long?q=sleeps HTTP/1.1\r\nHost: x\r\n\r\n");
  turn(5);
  server_.reset();
}

TEST_F(HttpServerTest, AddressesAreReadStrictly) {
  for (const char* text : {"", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":80",
                           "localhost:80", "127.0.0.1:80x", "[::1:80"}) {
    EXPECT_FALSE(HttpServer::listen_tcp(text, {}, nullptr).ok()) << text;
  }
  EXPECT_TRUE(HttpServer::listen_tcp("127.0.0.1:0", {}, nullptr).ok());
}

}  // namespace
}  // namespace millrace::serve
