#include "dataplane/proxy/proxy_header.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace millrace::proxy {
namespace {

struct Read {
  ProxyHeaderStatus status = ProxyHeaderStatus::malformed;
  std::string client;
  uint16_t port = 0;
  size_t consumed = 0;
};

Read read(const std::string& text) {
  Read got;
  ProxyHeader header;
  got.status = read_proxy_header(as_bytes(text), header, got.consumed);
  if (got.status == ProxyHeaderStatus::complete) {
    got.client = header.client();
    got.port = header.client_port;
  }
  return got;
}

std::string version_2(uint8_t command, uint8_t family, const std::string& behind) {
  std::string text("\r\n\r\n\0\r\nQUIT\n", 12);
  text += static_cast<char>(command);
  text += static_cast<char>(family);
  text += static_cast<char>(behind.size() >> 8);
  text += static_cast<char>(behind.size() & 0xff);
  return text + behind;
}

const std::string ipv4_addresses("\xc0\x00\x02\x01\x0a\x00\x00\x02\x9c\x40\x00\x50", 12);
const std::string ipv6_addresses = std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16) +
                                   std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02", 16) +
                                   std::string("\x9c\x40\x01\xbb", 4);

struct Good {
  const char* what;
  std::string text;
  const char* client;
  uint16_t port;
};

const std::vector<Good>& good_headers() {
  static const std::vector<Good> rows = {
      {"version 1, IPv4", "PROXY TCP4 192.0.2.1 10.0.0.2 40000 80\r\n", "192.0.2.1", 40'000},
      {"version 1, IPv6", "PROXY TCP6 2001:DB8::1 2001:db8::2 40000 443\r\n", "2001:db8::1",
       40'000},
      {"version 1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.2 1 2\r\n",
       "192.0.2.1", 1},
      {"version 1, UNKNOWN", "PROXY UNKNOWN\r\n", "", 0},
      {"version 1, UNKNOWN and more", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "", 0},
      {"version 2, IPv4", version_2(0x21, 0x11, ipv4_addresses), "192.0.2.1", 40'000},
      {"version 2, IPv6", version_2(0x21, 0x21, ipv6_addresses), "2001:db8::1", 40'000},
      {"version 2, TLVs behind", version_2(0x21, 0x11, ipv4_addresses + std::string(300, 'x')),
       "192.0.2.1", 40'000},
      {"version 2, LOCAL", version_2(0x20, 0x00, ""), "", 0},
      {"version 2, LOCAL with addresses", version_2(0x20, 0x11, ipv4_addresses), "", 0},
      {"version 2, no family", version_2(0x21, 0x00, ""), "", 0},
      {"version 2, datagrams", version_2(0x21, 0x12, ipv4_addresses), "", 0},
      {"version 2, Unix sockets", version_2(0x21, 0x31, std::string(216, '\0')), "", 0},
  };
  return rows;
}

TEST(ProxyHeader, NamesTheClient) {
  for (const Good& row : good_headers()) {
    for (const char* behind : {"", "GET / HTTP/1.1\r\n", "\r\n", "PROXY "}) {
      const Read got = read(row.text + behind);
      EXPECT_EQ(got.status, ProxyHeaderStatus::complete) << row.what;
      EXPECT_EQ(got.client, row.client) << row.what;
      EXPECT_EQ(got.port, row.port) << row.what;
      EXPECT_EQ(got.consumed, row.text.size()) << row.what;
    }
  }
}

TEST(ProxyHeader, IsAwaitedAtEveryCut) {
  for (const Good& row : good_headers()) {
    for (size_t length = 0; length < row.text.size(); ++length) {
      EXPECT_EQ(read(row.text.substr(0, length)).status, ProxyHeaderStatus::partial)
          << row.what << " cut to " << length;
    }
  }
}

TEST(ProxyHeader, WhatIsNoneIsRefused) {
  const std::vector<std::string> rows = {
      "GET / HTTP/1.1\r\n",
      "proxy TCP4 192.0.2.1 10.0.0.2 40000 80\r\n",
      "PROXY\r\n",
      "PROXY \r\n",
      "PROXY TCP4\r\n",
      "PROXY TCP5 192.0.2.1 10.0.0.2 40000 80\r\n",
      "PROXY tcp4 192.0.2.1 10.0.0.2 40000 80\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 40000\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 40000 80 \r\n",
      "PROXY TCP4  192.0.2.1 10.0.0.2 40000 80\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 40000 80 90\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 040 80\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 65536 80\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 -1 80\r\n",
      "PROXY TCP4 192.0.2.1\t10.0.0.2 40000 80\r\n",
      "PROXY TCP4 192.0.2 10.0.0.2 40000 80\r\n",
      "PROXY TCP4 2001:db8::1 2001:db8::2 40000 80\r\n",
      "PROXY TCP6 192.0.2.1 10.0.0.2 40000 80\r\n",
      "PROXY TCP4 192.0.2.1 10.0.0.2 40000 80\n" + std::string(80, 'x'),
      "PROXY UNKNOWN " + std::string(100, 'x') + "\r\n",
      version_2(0x11, 0x11, ipv4_addresses),  // version 1 in a binary header
      version_2(0x22, 0x11, ipv4_addresses),  // no such command
      version_2(0x21, 0x11, ipv4_addresses.substr(0, 11)),
      version_2(0x21, 0x21, ipv4_addresses),
      version_2(0x21, 0x21, ipv6_addresses.substr(0, 35)),
      version_2(0x21, 0x11, std::string(proxy_header_bytes_max - 15, 'x')),
      "\r\n\r\n\r\n",
  };
  for (const std::string& row : rows) {
    EXPECT_EQ(read(row).status, ProxyHeaderStatus::malformed) << row;
  }
  // The longest there is.
  EXPECT_EQ(
      read(version_2(0x21, 0x11, ipv4_addresses + std::string(proxy_header_bytes_max - 28, 'x')))
          .status,
      ProxyHeaderStatus::complete);
}

std::string written(int version, const ProxyHeaderEnd& client, const ProxyHeaderEnd& server,
                    size_t room = written_proxy_header_bytes_max) {
  std::vector<uint8_t> bytes(room);
  const size_t octets = write_proxy_header(version, client, server, bytes);
  return {bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(octets)};
}

TEST(ProxyHeader, WhatIsWrittenIsWhatItsDocumentSays) {
  const ProxyHeaderEnd client{"192.0.2.1", 40'000};
  const ProxyHeaderEnd server{"10.0.0.2", 80};
  const ProxyHeaderEnd client_6{"2001:db8::1", 40'000};
  const ProxyHeaderEnd server_6{"2001:db8::2", 443};
  EXPECT_EQ(written(1, client, server), "PROXY TCP4 192.0.2.1 10.0.0.2 40000 80\r\n");
  EXPECT_EQ(written(1, client_6, server_6), "PROXY TCP6 2001:db8::1 2001:db8::2 40000 443\r\n");
  EXPECT_EQ(written(2, client, server), version_2(0x21, 0x11, ipv4_addresses));
  EXPECT_EQ(written(2, client_6, server_6), version_2(0x21, 0x21, ipv6_addresses));
  EXPECT_EQ(written(1, {}, server), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(written(2, {}, server), version_2(0x21, 0x00, ""));
}

TEST(ProxyHeader, AnIpv4EndBesideAnIpv6OneIsWrittenAsSuch) {
  const ProxyHeaderEnd ipv4{"192.0.2.1", 40'000};
  const ProxyHeaderEnd ipv6{"2001:db8::2", 443};
  EXPECT_EQ(written(1, ipv4, ipv6), "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 40000 443\r\n");
  EXPECT_EQ(written(1, ipv6, ipv4), "PROXY TCP6 2001:db8::2 ::ffff:192.0.2.1 443 40000\r\n");
  for (const int version : {1, 2}) {
    EXPECT_EQ(read(written(version, ipv4, ipv6)).client, "192.0.2.1");
    EXPECT_EQ(read(written(version, ipv6, ipv4)).client, "2001:db8::2");
  }
}

TEST(ProxyHeader, WhatIsWrittenIsReadAgain) {
  for (const int version : {1, 2}) {
    for (const char* address : {"192.0.2.1", "255.255.255.255", "2001:db8::1",
                                "1111:2222:3333:4444:5555:6666:7777:8888"}) {
      const bool ipv6 = std::string_view(address).find(':') != std::string_view::npos;
      const ProxyHeaderEnd server{ipv6 ? address : "10.0.0.2", 65'535};
      const std::string text = written(version, {address, 65'535}, server);
      const Read got = read(text + "GET /");
      EXPECT_EQ(got.status, ProxyHeaderStatus::complete);
      EXPECT_EQ(got.client, address);
      EXPECT_EQ(got.port, 65'535);
      EXPECT_EQ(got.consumed, text.size());
    }
  }
}

TEST(ProxyHeader, WithoutRoomNothingIsWritten) {
  for (const int version : {1, 2}) {
    for (const char* server : {"10.0.0.2", "2001:db8::2"}) {
      const size_t whole = written(version, {"192.0.2.1", 40'000}, {server, 80}).size();
      for (size_t room = 0; room < whole; ++room) {
        EXPECT_EQ(written(version, {"192.0.2.1", 40'000}, {server, 80}, room), "") << room;
      }
    }
  }
}

}  // namespace
}  // namespace millrace::proxy
