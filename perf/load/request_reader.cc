#include "perf/load/request_reader.h"

#include <algorithm>

namespace millrace::load {
namespace {

// A GET that fills the segment. Nobody here sends a second request before the first is answered.
bool is_whole_get(ByteView text) {
  constexpr std::string_view get = "GET ";
  return text.size() > 8 && as_text(text.first(4)) == get && as_text(text.last(4)) == "\r\n\r\n";
}

}  // namespace

RequestProgress RequestReader::take(Connection& c, ByteView text, uint32_t* taken) {
  *taken = 0;
  if (!c.is(flag_in_body)) {
    const RequestProgress progress = take_head(c, text, taken);
    if (progress != RequestProgress::more || !c.is(flag_in_body)) return progress;
  }
  const auto body = static_cast<uint32_t>(std::min<size_t>(c.incoming_left, text.size() - *taken));
  *taken += body;
  c.incoming_left -= body;
  if (c.incoming_left > 0) return RequestProgress::more;
  c.unset(flag_in_body);
  return RequestProgress::whole;
}

RequestProgress RequestReader::take_head(Connection& c, ByteView text, uint32_t* taken) {
  if (c.head_buffer != 0) return take_piece(c, text, taken);
  if (c.is(flag_known_peer) && is_whole_get(text)) {
    // Whether the connection is to be kept was read in its first head.
    c.incoming_left = 0;
    c.set(flag_in_body);
    *taken = static_cast<uint32_t>(text.size());
    return RequestProgress::more;
  }
  const size_t end = find_head_end(as_text(text));
  if (end == head_missing) return take_piece(c, text, taken);
  *taken = static_cast<uint32_t>(end);
  return judge(c, read_request_head(as_text(text.first(end))));
}

RequestProgress RequestReader::take_piece(Connection& c, ByteView text, uint32_t* taken) {
  if (c.head_buffer == 0) c.head_buffer = buffers_.acquire();
  if (c.head_buffer == 0) return RequestProgress::no_room;
  const size_t before = buffers_.text(c.head_buffer).size();
  if (!buffers_.append(c.head_buffer, text)) return RequestProgress::broken;
  const std::string_view so_far = buffers_.text(c.head_buffer);
  const size_t end = find_head_end(so_far);
  if (end == head_missing) {
    *taken = static_cast<uint32_t>(text.size());
    return RequestProgress::more;
  }
  *taken = static_cast<uint32_t>(end - before);
  const Head head = read_request_head(so_far.substr(0, end));
  forget(c);
  return judge(c, head);
}

RequestProgress RequestReader::judge(Connection& c, const Head& head) {
  if (!head.well_formed || head.is_chunked || head.content_bytes > UINT32_MAX) {
    return RequestProgress::broken;
  }
  c.set(flag_known_peer | flag_in_body);
  if (head.close_announced) c.set(flag_close_announced);
  c.incoming_left = static_cast<uint32_t>(head.content_bytes);
  return RequestProgress::more;
}

void RequestReader::forget(Connection& c) {
  if (c.head_buffer == 0) return;
  buffers_.release(c.head_buffer);
  c.head_buffer = 0;
}

}  // namespace millrace::load
