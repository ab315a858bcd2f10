#include "perf/load/response_check.h"

#include <algorithm>
#include <cstring>

namespace millrace::load {

Progress ResponseCheck::take(Connection& c, ByteView text, size_t* taken) {
  *taken = 0;
  // More than one head only after an interim response.
  while (!c.is(flag_in_body)) {
    size_t head_bytes = 0;
    const Progress progress = take_head(c, text.subspan(*taken), &head_bytes);
    *taken += head_bytes;
    if (progress != Progress::more) return progress;
    if (!c.is(flag_in_body) && *taken == text.size()) return Progress::more;
  }
  const auto body = static_cast<uint32_t>(std::min<size_t>(c.incoming_left, text.size() - *taken));
  if (c.is(flag_body_start) && body > 0) check_tag(c, text.subspan(*taken, body));
  *taken += body;
  c.incoming_left -= body;
  if (c.incoming_left > 0) return Progress::more;
  const bool ok = !c.is(flag_bad_message);
  c.unset(flag_in_body | flag_body_start | flag_bad_message);
  if (ok) ++(c.is(flag_slow_reader) ? figures_.slow_responses_ok : figures_.responses_ok);
  return Progress::done;
}

Progress ResponseCheck::take_head(Connection& c, ByteView text, size_t* taken) {
  if (c.head_buffer != 0) return take_head_in_pieces(c, text, taken);
  const Head* head = known_.find(text);
  if (head == nullptr) return take_head_in_pieces(c, text, taken);
  *taken = head->head_bytes;
  return judge_head(c, *head);
}

Progress ResponseCheck::take_head_in_pieces(Connection& c, ByteView text, size_t* taken) {
  if (c.head_buffer == 0) c.head_buffer = buffers_.acquire();
  if (c.head_buffer == 0) return Progress::no_room;
  const size_t before = buffers_.text(c.head_buffer).size();
  if (!buffers_.append(c.head_buffer, text)) {
    fail(c, LoadError::malformed);
    return Progress::broken;
  }
  const std::string_view so_far = buffers_.text(c.head_buffer);
  const size_t end = find_head_end(so_far);
  if (end == head_missing) {
    *taken = text.size();
    return Progress::more;
  }
  *taken = end - before;
  const Head head = read_response_head(so_far.substr(0, end));
  forget(c);
  return judge_head(c, head);
}

Progress ResponseCheck::judge_head(Connection& c, const Head& head) {
  if (!head.well_formed) {
    fail(c, LoadError::malformed);
    return Progress::broken;
  }
  if (head.status < 200) return Progress::more;  // interim: the response is still to come
  if (head.close_announced) c.set(flag_close_announced);
  if (!head.has_length || head.is_chunked || head.content_bytes > UINT32_MAX) {
    fail(c, LoadError::unframed);
    return Progress::broken;
  }
  if (head.status != 200) {
    ++figures_.statuses[std::min<uint16_t>(head.status, status_end - 1)];
    c.set(flag_bad_message);
  } else if (expectation_.body_bytes && *expectation_.body_bytes != head.content_bytes) {
    fail(c, LoadError::wrong_length);
  }
  c.incoming_left = static_cast<uint32_t>(head.content_bytes);
  c.set(flag_in_body | flag_body_start);
  return Progress::more;
}

// A tag that comes in pieces is compared as far as the first piece goes.
void ResponseCheck::check_tag(Connection& c, ByteView body) {
  c.unset(flag_body_start);
  if (c.is(flag_bad_message)) return;
  // A body that is shorter than the tag holds its beginning.
  const size_t bytes = std::min({expectation_.tag.size(), body.size()});
  if (std::memcmp(body.data(), expectation_.tag.data(), bytes) != 0) fail(c, LoadError::wrong_tag);
}

void ResponseCheck::fail(Connection& c, LoadError error) {
  figures_.count(error);
  c.set(flag_bad_message);
}

void ResponseCheck::forget(Connection& c) {
  if (c.head_buffer == 0) return;
  buffers_.release(c.head_buffer);
  c.head_buffer = 0;
}

}  // namespace millrace::load
