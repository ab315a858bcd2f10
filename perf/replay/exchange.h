// Recorded exchanges: what a client sends, what the origin must get of it, what the origin answers
// and what the client must get of that, octet by octet, as readable files (exchanges/*.http).
//
//   # a comment: what the exchange is
//   === client sends
//   GET /api/v1/orders/98765 HTTP/1.1
//   Host: {host}
//
//   === origin receives
//   ...
//   === origin sends
//   ...
//   === client receives
//   ...
//
// A line of a head stands for itself and CRLF; the first empty line ends the head. Behind it lines
// are the body, with LF; a line "@octets N" stands for N octets of a fixed pattern. What differs
// from one request to the next is written in braces: {host}, {client} (the client's address) and
// {id} (17 octets, another one in each request).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace millrace::perf {

// One message: the head is this request's own, the body belongs to the recording.
struct Text {
  std::string head;
  std::string_view body;

  size_t size() const { return head.size() + body.size(); }
  // Copies the octets [from, from + out.size()), which exist, to `out`.
  void copy(size_t from, ByteSpan out) const;
  // Whether `octets` is what stands at `from`; false beyond the end.
  bool holds(size_t from, ByteView octets) const;
};

struct Exchange {
  Text client_sends;
  Text origin_receives;
  Text origin_sends;
  Text client_receives;
};

// What stands for the braces.
struct ExchangeNames {
  std::string_view host;
  std::string_view client;
  std::string_view id;
};

class Recording {
 public:
  static constexpr size_t id_bytes = 17;

  // Error: the file and the line that is wrong.
  static Result<Recording> read(const std::string& path);
  // path only names the place in errors.
  static Result<Recording> parse(std::string_view text, const std::string& path);

  // The exchange with these names; valid as long as the recording.
  Exchange with(const ExchangeNames& names) const;

 private:
  struct Message {
    std::string head;
    std::string body;
  };
  static constexpr size_t message_count = 4;
  Text text(size_t message, const ExchangeNames& names) const;

  Message messages_[message_count];
};

// Where a request head says which exchange it belongs to: the value of its X-Request-Id; empty
// when there is none.
std::string_view exchange_id(std::string_view head);

}  // namespace millrace::perf
