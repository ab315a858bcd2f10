#include "tests/diff/said.h"

#include <algorithm>

namespace millrace::diff {

void Said::note(const Step& step, const Side& seen) {
  if (step.call == Call::write) {
    packets_in_flight_ += step.write_octets / std::max<uint32_t>(mss_, 1) + 1;
    written_ += step.write_octets;
  }
  if (step.call != Call::none) return;
  const SegmentStep& segment = step.segment;
  const bool plain = (segment.flags & flag_ack) != 0 &&
                     (segment.flags & (flag_syn | flag_rst)) == 0 &&
                     (segment.timestamps != TimestampKind::old || !seen.timestamps_agreed());
  if (!plain) return;
  const int32_t seq = seen.place_of(segment);
  const int32_t text_end = seq + segment.text_octets;
  const bool fin = (segment.flags & flag_fin) != 0;
  const int32_t end = text_end + (fin ? 1 : 0);
  const bool old = end <= seen.next() && seq != seen.next();
  const int32_t ack = (segment.ack_from == AckFrom::una ? seen.acknowledged() : seen.sent_max()) +
                      segment.ack_offset;
  if (segment.text_octets > 0 && segment.text_variant != 0) other_octets_ = true;
  const bool across_edge = seq < seen.edge() && end > seen.edge();
  if (ack > seen.sent_max()) return;
  const bool in_doubt = old || across_edge;
  const bool news = ack > by_us_.believed_ack || end > seq;
  if (in_doubt) ack_in_doubt_ |= ack > by_linux_.believed_ack;
  if (seq >= seen.edge() || (in_doubt && !news)) return;
  // With us an older one that is not too old may tell of the window; what is from before the first
  // octet is too old.
  if (ack < 1 || int64_t{ack} + window_max_ < by_us_.believed_ack) return;
  if (ack >= by_us_.believed_ack || seq > by_us_.last.seq)
    take(by_us_, {seq, ack, segment.window}, true);
  if (in_doubt) return;
  const bool larger = segment.window > by_linux_.last.window || segment.window == 0;
  if (ack >= by_linux_.believed_ack) take(by_linux_, {seq, ack, segment.window}, larger);
  selective_ |= !segment.sack.empty();
  if (ack == seen.sent_max()) selective_ = false;
  if (ack == seen.sent_max() && ack >= written_) packets_in_flight_ = 0;
  window_min_ = std::min(window_min_, segment.window);
  note_end(text_end, fin);
  ack_in_doubt_ &= ack < seen.acknowledged();
}

// SND.WL1, SND.WL2; a new acknowledgment counts with both whatever its sequence number.
void Said::take(Belief& belief, const Window& said, bool counts_when_same) {
  if (said.ack > belief.believed_ack || belief.last.seq < said.seq ||
      (belief.last.seq == said.seq && counts_when_same))
    belief.last = said;
  belief.believed_ack = std::max(belief.believed_ack, said.ack);
}

void Said::note_end(int32_t text_end, bool fin) {
  if (fin) {
    fin_contradicted_ |= (fin_at_ && *fin_at_ != text_end) || text_end < text_end_max_;
    if (!fin_at_) fin_at_ = text_end;
  }
  text_end_max_ = std::max(text_end_max_, text_end);
  fin_contradicted_ |= fin_at_ && text_end_max_ > *fin_at_;
}

}  // namespace millrace::diff
