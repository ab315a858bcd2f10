// ResponseCheck: holds the octets of responses, as they come in order, against what was asked for:
// status, length and the tag the body begins with. Keeps no octet of a body; its state is in the
// connection's record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "perf/load/connection.h"
#include "perf/load/figures.h"
#include "perf/load/heads.h"

namespace millrace::load {

struct Expectation {
  std::optional<uint64_t> body_bytes;  // none: any length
  std::string tag;                     // empty: any body
};

enum class Progress : uint8_t {
  more,     // the response goes on
  done,     // it is whole: right, or counted as wrong
  broken,   // it cannot be read any further; counted
  no_room,  // nothing was taken: try again later
};

class ResponseCheck {
 public:
  ResponseCheck(Expectation expectation, Figures& figures)
      : expectation_(std::move(expectation)), figures_(figures) {}

  // Takes text of the response under way on c; *taken says how much of it (all but for done and
  // broken).
  Progress take(Connection& c, ByteView text, size_t* taken);
  // Gives back what a connection that ends in the middle holds.
  void forget(Connection& c);

 private:
  Progress take_head(Connection& c, ByteView text, size_t* taken);
  Progress take_head_in_pieces(Connection& c, ByteView text, size_t* taken);
  Progress judge_head(Connection& c, const Head& head);
  void check_tag(Connection& c, ByteView body);
  void fail(Connection& c, LoadError error);

  Expectation expectation_;
  Figures& figures_;
  KnownHeads known_;
  HeadBuffers buffers_;
};

}  // namespace millrace::load
