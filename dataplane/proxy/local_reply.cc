// Answers of our own: a status and a line of text, nothing of the request in it (H39).
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {

Proxy::Progress Proxy::reply_locally(uint32_t index, const Refusal& refusal, const Turn& turn) {
  Session& session = at(index);
  // A request whose body was not read leaves octets that must never be taken for a request (H20).
  const bool stays = refusal.keep_alive && session.keep_alive && session.request_done;
  http::LocalReply reply;
  reply.status = refusal.status;
  reply.client_version = session.version;
  reply.keep_alive = stays;
  reply.to_head_request = session.phase == Phase::exchange && session.method == http::Method::head;
  reply.date = {date_.data(), date_.size()};
  notes_.give_reason(index, refusal.reason);
  const size_t bytes = http::write_local_reply(reply, {written_.get(), scratch_bytes});
  if (bytes == 0 || !tcp_.write_whole(session.client, {written_.get(), bytes})) {
    abort_session(index, turn);
    return Progress::session_gone;
  }
  if (refusal.status < 400) {
    counters_.add(Counter::proxy_last_recipient);
  } else {
    counters_.add(refusal.status < 500 ? Counter::proxy_local_replies_4xx
                                       : Counter::proxy_local_replies_5xx);
  }
  note_answer(index, refusal.status, true, turn);
  note_end(index, ExchangeEnd::complete, stays, turn);
  if (stays) {
    next_exchange(index, turn);
  } else {
    begin_linger(index, turn);
  }
  return Progress::moved;
}

}  // namespace millrace::proxy
