#include "dataplane/access_log/exchange_notes.h"

#include <algorithm>

#include "base/check.h"

namespace millrace::access_log {
namespace {

// Appends texts to a note: they stand in their order, each cut at its limit.
class TextWriter {
 public:
  TextWriter(AccessRecord& record, char* texts) : record_(record), at_(texts) {}

  // Behind the texts before `first`, which stay.
  void skip_to(Text first) {
    for (size_t i = 0; i < static_cast<size_t>(first); ++i) at_ += record_.text_bytes[i];
  }
  // The parts of one text, joined.
  void put(Text text, std::initializer_list<std::string_view> parts) {
    const auto index = static_cast<size_t>(text);
    size_t room = text_bytes_max[index];
    size_t written = 0;
    for (std::string_view part : parts) {
      part = part.substr(0, room);
      if (part.empty()) continue;  // it may point nowhere
      std::memcpy(at_, part.data(), part.size());
      at_ += part.size();
      room -= part.size();
      written += part.size();
    }
    record_.text_bytes[index] = static_cast<uint16_t>(written);
  }

 private:
  AccessRecord& record_;
  char* at_;
};

std::string_view value_of(const http::RequestHead& head, http::FieldName name) {
  const http::Field* field = head.fields.find(name);
  return field == nullptr ? std::string_view{} : field->value();
}

}  // namespace

ExchangeNotes::ExchangeNotes(RecordRing* ring, uint32_t sessions)
    : ring_(ring), sessions_(sessions) {
  if (ring == nullptr) return;
  CHECK(sizeof(Note) <= ring->record_bytes_max());
  notes_ = std::make_unique_for_overwrite<Note[]>(sessions);
  open_ = std::make_unique<bool[]>(sessions);
}

void ExchangeNotes::begin_note(uint32_t session, const Asker& asker, const http::RequestHead* head,
                               Instant began, Instant now) {
  Note& note = notes_[session];
  note.record = {};
  CHECK(!open_[session]);
  open_[session] = true;
  AccessRecord& record = note.record;
  record.end = ExchangeEnd::aborted;  // until somebody knows better
  record.began_ns = began.since_origin_ns();
  record.routed_ns = now.since_origin_ns();
  record.client_port = asker.port;
  TextWriter texts(record, note.texts);
  texts.put(Text::client, {asker.client});
  texts.put(Text::peer, {asker.peer});
  if (head == nullptr) return;
  record.head_error = head->error;
  if (head->error != http::HeadError::none) return;  // nothing else in it may be read
  record.version = head->version;
  texts.put(Text::method, {head->method_text});
  texts.put(Text::host, {head->host()});
  texts.put(Text::target, {head->path, head->has_query ? "?" : "", head->query});
  texts.put(Text::user_agent, {value_of(*head, http::FieldName::user_agent)});
  texts.put(Text::referer, {value_of(*head, http::FieldName::referer)});
  texts.put(Text::upgrade, {head->upgrade});
  texts.put(Text::request_id, {asker.request_id});
}

void ExchangeNotes::routed(uint32_t session, const Route& route) {
  if (!is_open(session)) return;
  Note& note = notes_[session];
  TextWriter texts(note.record, note.texts);
  texts.skip_to(Text::route);
  const bool has_rule = !route.ingress_name.empty();
  texts.put(Text::route, {route.ingress_namespace, has_rule ? "/" : "", route.ingress_name});
  const bool has_service = !route.service_name.empty();
  texts.put(Text::service, {route.service_namespace, has_service ? "/" : "", route.service_name,
                            has_service ? ":" : "", route.service_port});
}

bool ExchangeNotes::end_note(uint32_t session, uint64_t request_octets, uint64_t response_octets,
                             bool keep_alive, Instant now) {
  Note& note = notes_[session];
  AccessRecord& record = note.record;
  open_[session] = false;
  record.ended_ns = now.since_origin_ns();
  record.request_body_octets = request_octets;
  record.response_body_octets = response_octets;
  record.keep_alive = keep_alive;
  size_t bytes = sizeof(AccessRecord);
  for (const uint16_t text : record.text_bytes) bytes += text;
  return ring_->push({reinterpret_cast<const uint8_t*>(&note), bytes});
}

}  // namespace millrace::access_log
