// RequestReader: finds the ends of requests in what comes in order on a connection, and keeps no
// octet of them. Its state is in the connection's record.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "perf/load/connection.h"
#include "perf/load/heads.h"

namespace millrace::load {

enum class RequestProgress : uint8_t {
  more,     // the request goes on
  whole,    // it is to be answered; flag_close_announced says whether it is the last one
  broken,   // not HTTP/1.1, or a body whose length is not told in its head
  no_room,  // nothing was taken: try again later
};

class RequestReader {
 public:
  // Takes text up to the end of a request; *taken says how much.
  RequestProgress take(Connection& c, ByteView text, uint32_t* taken);
  // Gives back what a connection that ends in the middle holds.
  void forget(Connection& c);

 private:
  RequestProgress take_head(Connection& c, ByteView text, uint32_t* taken);
  RequestProgress take_piece(Connection& c, ByteView text, uint32_t* taken);
  static RequestProgress judge(Connection& c, const Head& head);

  HeadBuffers buffers_;
};

}  // namespace millrace::load
