// One direction of a body: decode from one connection, encode to the other, as far as both allow.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {
namespace {
constexpr uint32_t runs_per_call_max = 64;  // a burst of segments; then others have their turn
}

Proxy::FlowResult Proxy::forward_body(const Flow& flow, const Turn& turn) {
  bool moved = false;
  const auto blocked = [&moved] { return moved ? FlowResult::moved : FlowResult::blocked; };
  for (uint32_t i = 0; i < runs_per_call_max; ++i) {
    if (flow.decoder.is_finished()) return finish_body(flow) ? FlowResult::finished : blocked();
    const ByteView run = tcp_.readable(flow.source);
    if (run.empty()) {
      if (!tcp_.at_end(flow.source)) return blocked();
      if (!flow.decoder.is_whole_at_end_of_stream()) return FlowResult::source_ended;
      return finish_body(flow) ? FlowResult::finished : blocked();
    }
    const size_t overhead = flow.encoder.overhead_bytes();
    const size_t room = tcp_.writable(flow.sink);
    if (room <= overhead) {
      tcp_.want_writable(flow.sink);
      return blocked();
    }
    // Chunks that came together leave together, as one: else a sender of tiny ones would have each
    // framed, queued and acknowledged by itself, at many times of what it costs to send them.
    const auto step =
        flow.decoder.gather(run.first(std::min(run.size(), room - overhead)), gathered_.get());
    if (!step.payload.empty() && !put_payload(flow, step.payload)) return FlowResult::malformed;
    if (step.status == http::BodyDecoder::Status::error) return FlowResult::malformed;
    tcp_.consume(flow.source, step.consumed, turn.now);
    moved = true;
  }
  return FlowResult::moved;
}

// writable() has said that there is room for the payload and its framing.
bool Proxy::put_payload(const Flow& flow, ByteView payload) {
  std::array<uint8_t, http::chunk_overhead_bytes_max> framing;
  const auto prefix = flow.encoder.prefix(payload.size(), framing);
  if (prefix.status != http::BodyEncoder::Status::ok) return false;
  size_t written = prefix.written > 0 ? tcp_.write(flow.sink, {framing.data(), prefix.written}) : 0;
  written += tcp_.write(flow.sink, payload);
  flow.octets += payload.size();
  const auto suffix = flow.encoder.suffix(framing);
  if (suffix.written > 0) written += tcp_.write(flow.sink, {framing.data(), suffix.written});
  CHECK(written == prefix.written + payload.size() + suffix.written);
  return true;
}

// The last chunk, where the sink's framing has one. False while memory for it is short.
bool Proxy::finish_body(const Flow& flow) {
  std::array<uint8_t, http::last_chunk_bytes> last;
  if (flow.encoder.overhead_bytes() > 0 && tcp_.writable(flow.sink) < last.size()) {
    tcp_.want_writable(flow.sink);
    return false;
  }
  const auto result = flow.encoder.finish(last);
  // Every octet the decoder let through was encoded, and both were started with the same length.
  CHECK(result.status == http::BodyEncoder::Status::ok);
  if (result.written > 0)
    CHECK(tcp_.write(flow.sink, {last.data(), result.written}) == result.written);
  return true;
}

}  // namespace millrace::proxy
