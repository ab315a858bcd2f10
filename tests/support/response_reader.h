// Reads one HTTP/1.1 response after another from a stream, for the load tool. It is deliberately
// not the project's own parser: what checks the data plane must not share its mistakes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::support {

class ResponseReader {
 public:
  enum class State : uint8_t { head, body, done, malformed };

  static constexpr uint32_t head_bytes_max = 16 * 1024;
  // As much of the body as is kept to look for the tag.
  static constexpr uint32_t body_bytes_kept = 128;

  // Forgets the last response; whether the peer announced a close is forgotten too.
  void start();

  // Takes bytes up to the end of this response and returns how many it took. After `done` nothing
  // more is taken: what is left belongs to the next response (or is a mistake of the peer).
  uint32_t take(std::string_view bytes);

  // The peer closed the stream. Ends a body that lasts until then; anything else was cut short.
  void end_of_stream();

  State state() const { return state_; }
  bool any_bytes() const { return !head_.empty() || state_ != State::head; }
  int status() const { return status_; }
  bool close_announced() const { return close_announced_; }
  uint64_t body_bytes() const { return body_bytes_; }

  // The body's first word, cut at 128 bytes: the tag that a backend answers with.
  std::string_view tag() const;

 private:
  enum class Framing : uint8_t {
    none,
    length,
    chunk_size,
    chunk_data,
    chunk_end,
    trailer,
    until_close
  };

  uint32_t take_head(std::string_view bytes);
  void read_head();
  uint32_t take_body(std::string_view bytes);
  uint32_t take_line_of_chunks(std::string_view bytes);
  void read_line_of_chunks();
  void keep(std::string_view body);

  State state_ = State::head;
  Framing framing_ = Framing::none;
  bool close_announced_ = false;
  int status_ = 0;
  uint64_t body_bytes_ = 0;
  uint64_t wanted_ = 0;  // bytes left of the body or of the current chunk
  std::string head_;
  std::string line_;
  std::string kept_;
};

}  // namespace millrace::support
