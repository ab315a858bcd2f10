#include <string>
#include <utility>
#include <vector>

#include "tests/http/grid_variants.h"

namespace millrace::grid {
namespace {

const std::string host = "Host: shop.example\r\n";

std::string head(const std::string& line, const std::string& fields = "") {
  return line + "\r\n" + host + fields + "\r\n";
}

using Named = std::pair<std::string, std::string>;

std::vector<Named> methods() {
  std::vector<Named> all;
  for (const char* method : {"GET", "HEAD", "OPTIONS", "DELETE", "PROPFIND", "REPORT", "M-SEARCH",
                             "LINK", "PURGE", "get", "G!#$%&'*+.^_`|~"}) {
    all.emplace_back(std::string("method ") + method, head(std::string(method) + " / HTTP/1.1"));
  }
  for (const char* method : {"POST", "PUT", "PATCH", "GET", "DELETE", "REPORT"}) {
    const std::string line = std::string(method) + " /body HTTP/1.1";
    const std::string body = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    all.emplace_back(line + " with a length",
                     head(line, "Content-Length: " + std::to_string(body.size()) + "\r\n") + body);
    all.emplace_back(
        line + " in chunks",
        head(line, "Transfer-Encoding: chunked\r\n") +
            "5;name=value\r\nabcde\r\n1A\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n0\r\nX: y\r\n\r\n");
    all.emplace_back(line + " without a body", head(line));
    all.emplace_back(line + " with nothing", head(line, "Content-Length: 0\r\n"));
  }
  return all;
}

std::vector<Named> targets() {
  std::vector<Named> all;
  for (const char* target : {"/",
                             "//",
                             "/a//b",
                             "/a;b=c",
                             "/a/;b",
                             "/?",
                             "/?a=b&c=d",
                             "/a?b?c",
                             "/a?/../b",
                             "/%41",
                             "/a%20b",
                             "/a%25b",
                             "/%e2%82%ac",
                             "/a%3Fb",
                             "/a%23b",
                             "/./a",
                             "/a/../b",
                             "/a/b/..",
                             "/a/.",
                             "/...",
                             "/.a",
                             "/!$&'()*+,;=:@-._~",
                             "/{a}",
                             "/a|b",
                             "/a^b",
                             "/\"a\"",
                             "/<a>",
                             "/`a`",
                             "/a[1]",
                             "http://shop.example/absolute",
                             "http://shop.example",
                             "http://shop.example:80/with/port",
                             "http://SHOP.example?query"}) {
    all.emplace_back(std::string("target ") + target,
                     head(std::string("GET ") + target + " HTTP/1.1"));
  }
  all.emplace_back("a long target", head("GET /" + std::string(4'000, 'a') + " HTTP/1.1"));
  return all;
}

std::vector<Named> fields() {
  std::vector<Named> all;
  for (const char* line :
       {"X:\r\n",
        "X: \r\n",
        "X:y\r\n",
        "X: \t y \t \r\n",
        "X: a\tb\r\n",
        "X: a, b,, c\r\n",
        "X: y\r\nX: z\r\n",
        "X: \x80\xff\r\n",
        "X: \"quoted \\\" text\"\r\n",
        "X-!#$%&'*+.^`|~: y\r\n",
        "x-lower: y\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive, X-Hop\r\nX-Hop: gone\r\n",
        "Keep-Alive: timeout=5\r\n",
        "TE: trailers\r\nConnection: TE\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Expect: 100-continue\r\n",
        "Accept-Encoding: gzip, deflate\r\n",
        "Range: bytes=0-5\r\n",
        "If-None-Match: \"a\", W/\"b\"\r\n",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Cookie: a=b; c=d\r\n",
        "Cookie: a=b\r\nCookie: c=d\r\n",
        "Authorization: Basic QWxhZGRpbjpvcGVu\r\n",
        "Max-Forwards: 5\r\n",
        "Via: 1.1 other\r\n",
        "Proxy-Connection: close\r\n",
        "Content-Type: text/plain\r\n",
        "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n",
        "Content_Length: 5\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"}) {
    all.emplace_back(std::string("field ") + line, head("GET /field HTTP/1.1", line));
  }
  all.emplace_back("a long value",
                   head("GET / HTTP/1.1", "X: " + std::string(4'000, 'v') + "\r\n"));
  std::string many;
  for (int i = 0; i < 60; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  all.emplace_back("many fields", head("GET / HTTP/1.1", many));
  return all;
}

std::vector<Named> versions_and_hosts() {
  return {{"HTTP/1.0", "GET /old HTTP/1.0\r\nHost: shop.example\r\n\r\n"},
          {"HTTP/1.0 kept", head("GET /old HTTP/1.0", "Connection: keep-alive\r\n")},
          {"HTTP/1.0 with a body", head("POST /old HTTP/1.0", "Content-Length: 3\r\n") + "abc"},
          {"a host with a port", "GET / HTTP/1.1\r\nHost: shop.example:80\r\n\r\n"},
          {"a host with a dot", "GET / HTTP/1.1\r\nHost: SHOP.example.\r\n\r\n"},
          {"an empty line in front", "\r\n" + head("GET / HTTP/1.1")},
          {"two at once", head("GET /one HTTP/1.1") + head("GET /two HTTP/1.1")}};
}

}  // namespace

void each_ordinary(const std::function<void(const Variant&)>& visit) {
  for (const auto& list : {methods(), targets(), fields(), versions_and_hosts()}) {
    for (const Named& named : list) visit({named.first, named.second, true});
  }
}

}  // namespace millrace::grid
