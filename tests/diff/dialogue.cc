#include "tests/diff/dialogue.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/ipv4.h"

namespace millrace::diff {
namespace {

using tcp::flag_ack;
using tcp::flag_fin;
using tcp::flag_psh;
using tcp::flag_rst;
using tcp::flag_syn;
using tcp::flag_urg;

constexpr uint8_t protocol_at = 9;

uint8_t pattern(int64_t at) {
  return static_cast<uint8_t>('a' + (at % 23 + 23) % 23);
}

std::string flags_text(uint8_t flags) {
  std::string text;
  for (const auto& [flag, letter] : {std::pair{flag_syn, 'S'},
                                     {flag_fin, 'F'},
                                     {flag_rst, 'R'},
                                     {flag_ack, '.'},
                                     {flag_urg, 'U'}}) {
    if ((flags & flag) != 0) text += letter;
  }
  return text.empty() ? "-" : text;
}

}  // namespace

std::string Step::told() const {
  switch (kind) {
    case Kind::read: return "read";
    case Kind::write: return "write " + std::to_string(octets);
    case Kind::shutdown: return "shutdown";
    case Kind::close: return "close";
    case Kind::segment: break;
  }
  std::string text = name + ": " + flags_text(flags) + " seq " + std::to_string(seq) + " ack " +
                     std::to_string(ack) + " text " + std::to_string(octets) + " window " +
                     std::to_string(window);
  if (!bears_timestamp) text += " without timestamp";
  if (old_timestamp) text += " old timestamp";
  for (const auto& [begin, end] : sack)
    text += " sack " + std::to_string(begin) + "-" + std::to_string(end);
  return text;
}

std::string Answer::told() const {
  std::string text = any ? "" : "nothing";
  if (reset) text += " RST seq " + std::to_string(reset_seq);
  if (acknowledges) text += " ack " + std::to_string(ack);
  for (const auto& [begin, end] : sack)
    text += " sack " + std::to_string(begin) + "-" + std::to_string(end);
  text += " | text until " + std::to_string(text_end) + (fin ? " FIN" : "") +
          (window_shut ? " window shut" : "") + " | " + state;
  if (!read.empty()) text += " | read " + std::to_string(read.size());
  return text;
}

Player::Player(Endpoint& endpoint, uint64_t seed, const Handshake& handshake)
    : endpoint_(endpoint), handshake_(handshake) {
  Random random(seed ^ 0x7075);
  peer_address_ = (stack_address & 0xffff'ff00) + static_cast<uint32_t>(random.between(2, 250));
  peer_port_ = static_cast<uint16_t>(random.between(1'024, 65'535));
  // Near the wrap in many.
  peer_isn_ = static_cast<uint32_t>(random.chance(0.3) ? 0 - random.below(5'000) : random.next());
  endpoint_.begin(seed);
}

bool Player::shake_hands(std::string* syn_ack) {
  Step syn;
  syn.flags = flag_syn;
  send(syn);
  for (const auto& datagram : endpoint_.device_out()) {
    if (datagram[protocol_at] != net::protocol_tcp) continue;
    tcp::SegmentError error{};
    tcp::Segment segment;
    if (!tcp::parse_segment_into(&segment, ByteView(datagram).subspan(20), &error)) continue;
    if (!segment.has(flag_syn)) continue;
    stack_isn_ = segment.seq.value();
    last_time_value_ = segment.options.timestamp_value;
    *syn_ack = flags_text(segment.flags) + " ack " +
               std::to_string(static_cast<int32_t>(segment.ack.value() - peer_isn_)) +
               (segment.options.has_mss ? " mss" : "") +
               (segment.options.sack_permitted ? " sack" : "") +
               (segment.options.has_timestamps ? " timestamps" : "") +
               (segment.options.has_window_scale ? " scaling" : "");
    Step ack;
    ack.flags = flag_ack;
    ack.seq = 1;
    ack.ack = 1;
    send(ack);
    endpoint_.device_out();
    return endpoint_.accept();
  }
  *syn_ack = "nothing";
  return false;
}

void Player::send(const Step& step) {
  tcp::HeaderFields fields;
  fields.source_port = peer_port_;
  fields.destination_port = listen_port;
  fields.seq = tcp::Seq(peer_isn_ + static_cast<uint32_t>(step.seq));
  if ((step.flags & flag_ack) != 0)
    fields.ack = tcp::Seq(stack_isn_ + static_cast<uint32_t>(step.ack));
  fields.flags = step.flags;
  fields.window = step.window;
  tcp::Options& options = fields.options;
  if (step.flags == flag_syn && step.name.empty()) {
    options.has_mss = handshake_.mss;
    options.mss = 1'460;
    options.sack_permitted = handshake_.sack;
    options.has_window_scale = handshake_.scaling;
    options.window_scale = 7;
  }
  options.has_timestamps = handshake_.timestamps && step.bears_timestamp;
  options.timestamp_value = step.old_timestamp ? clock_ - 500 : ++clock_;
  options.timestamp_echo = last_time_value_;
  for (const auto& [begin, end] : step.sack) {
    options.sack[options.sack_count++] = {tcp::Seq(stack_isn_ + static_cast<uint32_t>(begin)),
                                          tcp::Seq(stack_isn_ + static_cast<uint32_t>(end))};
  }
  const uint32_t header = tcp::header_bytes(options);
  const uint32_t octets = step.kind == Step::Kind::segment ? step.octets : 0;
  std::vector<uint8_t> datagram(net::ipv4_header_bytes + header + octets);
  const auto source = Ipv4Address::from_host_order(peer_address_);
  const auto destination = Ipv4Address::from_host_order(stack_address);
  net::write_ipv4(datagram.data(), source, destination, net::protocol_tcp,
                  static_cast<uint16_t>(header + octets));
  uint8_t* at = &datagram[net::ipv4_header_bytes];
  tcp::write_header(at, fields);
  for (uint32_t i = 0; i < octets; ++i) at[header + i] = pattern(step.seq + i);
  net::store_transport_checksum(at + tcp::checksum_offset, source, destination, net::protocol_tcp,
                                {at, header + octets});
  endpoint_.device_in(datagram);
}

void Player::wait_for_more(Answer* answer) {
  collect(endpoint_.device_out_later(peer_port_), answer);
  answer->state = state();
}

// In TIME-WAIT the kernel's socket is closed already, and a smaller record waits.
std::string Player::state() {
  const std::string state = endpoint_.state();
  return state == "TIME-WAIT" ? "CLOSED" : state;
}

void Player::collect(const std::vector<std::vector<uint8_t>>& datagrams, Answer* answer) {
  for (const auto& datagram : datagrams) {
    if (datagram.size() < 40 || datagram[protocol_at] != net::protocol_tcp) continue;
    tcp::SegmentError error{};
    tcp::Segment segment;
    if (!tcp::parse_segment_into(&segment, ByteView(datagram).subspan(20), &error)) continue;
    if (segment.destination_port != peer_port_) continue;
    const auto seq = static_cast<int32_t>(segment.seq.value() - stack_isn_);
    answer->any = true;
    if (segment.has(flag_rst)) {
      answer->reset = true;
      answer->reset_seq = seq;
      continue;
    }
    if (segment.options.has_timestamps) last_time_value_ = segment.options.timestamp_value;
    if (!segment.text.empty())
      text_end_ = std::max<int64_t>(text_end_, seq + static_cast<int64_t>(segment.text.size()));
    fin_ |= segment.has(flag_fin);
    const int64_t ack = static_cast<int32_t>(segment.ack.value() - peer_isn_);
    answer->ack = answer->acknowledges ? std::max(answer->ack, ack) : ack;
    answer->acknowledges = true;
    answer->window_shut = segment.window == 0;
    answer->sack.clear();
    for (size_t i = 0; i < segment.options.sack_count; ++i) {
      answer->sack.emplace_back(
          static_cast<int32_t>(segment.options.sack[i].begin.value() - peer_isn_),
          static_cast<int32_t>(segment.options.sack[i].end.value() - peer_isn_));
    }
    std::sort(answer->sack.begin(), answer->sack.end());
  }
  answer->text_end = text_end_;
  answer->fin = fin_;
}

Answer Player::play(const Step& step) {
  Answer answer;
  switch (step.kind) {
    case Step::Kind::segment:
      endpoint_.rest();
      send(step);
      break;
    case Step::Kind::read: endpoint_.read_all(&answer.read); break;
    case Step::Kind::write: {
      std::vector<uint8_t> text(step.octets);
      for (size_t i = 0; i < text.size(); ++i)
        text[i] = pattern(1 + static_cast<int64_t>(written_ + i));
      written_ += endpoint_.write(text);
      break;
    }
    case Step::Kind::shutdown: endpoint_.shutdown(); break;
    case Step::Kind::close: endpoint_.close(); break;
  }
  collect(endpoint_.device_out(), &answer);
  answer.state = state();
  return answer;
}

// --- drawing ---

Drawer::Drawer(uint64_t seed) : random_(seed) {
  handshake_.mss = random_.chance(0.9);
  handshake_.sack = random_.chance(0.6);
  handshake_.timestamps = random_.chance(0.5);
  handshake_.scaling = random_.chance(0.6);
}

void Drawer::heard(const Answer& answer) {
  stack_end_ = std::max(stack_end_, answer.text_end);
  stack_fin_ = answer.fin;
  if (answer.acknowledges) next_ = std::max(next_, answer.ack);
}

Step Drawer::segment(std::string name, uint8_t flags, int64_t seq, uint32_t octets) {
  Step step;
  step.name = std::move(name);
  step.flags = flags;
  step.seq = seq;
  step.octets = octets;
  step.ack = stack_end_ + (stack_fin_ ? 1 : 0);
  return step;
}

Step Drawer::next() {
  const uint64_t die = random_.below(100);
  if (die < 45) return draw_text();
  if (die < 60) return draw_bare();
  if (die < 75) return draw_strange();
  return draw_call();
}

Step Drawer::draw_text() {
  const auto octets = static_cast<uint32_t>(random_.between(1, random_.chance(0.7) ? 200 : 1'400));
  switch (random_.below(8)) {
    case 0:
    case 1:
    case 2: return segment("text in order", flag_ack | flag_psh, next_, octets);
    case 3: return segment("text again", flag_ack, std::max<int64_t>(1, next_ - octets), octets);
    case 4:
      return segment("text behind a gap", flag_ack,
                     next_ + static_cast<int64_t>(random_.between(1, 3'000)), octets);
    case 5:
      return segment("text partly again", flag_ack,
                     std::max<int64_t>(1, next_ - static_cast<int64_t>(random_.below(100))),
                     octets);
    case 6:
      return segment("text beyond the window", flag_ack,
                     next_ + 8'000'000 + static_cast<int64_t>(random_.below(1'000'000)), octets);
    default:
      if (random_.chance(0.5))
        return segment("text and the end", flag_ack | flag_fin, next_, octets);
      return segment("an end behind a gap", flag_ack | flag_fin, next_ + 500, 10);
  }
}

Step Drawer::draw_bare() {
  Step step = segment("acknowledgment", flag_ack, next_, 0);
  switch (random_.below(7)) {
    case 0: return step;
    case 1:
      step.name = "acknowledgment of what was never sent";
      step.ack += static_cast<int64_t>(random_.between(1, 100'000));
      return step;
    case 2:
      step.name = "old acknowledgment";
      step.ack = std::max<int64_t>(1, stack_end_ - static_cast<int64_t>(random_.below(3'000)));
      return step;
    case 3:
      step.name = "acknowledgment older than any window";
      step.ack = -static_cast<int64_t>(random_.between(10'000'000, 100'000'000));
      return step;
    case 4:
      step.name = "window of zero";
      step.window = 0;
      return step;
    case 5:
      step.name = "acknowledgment before the window";
      step.seq = next_ - static_cast<int64_t>(random_.between(1, 10'000));
      return step;
    default:
      step.name = "end";
      step.flags |= flag_fin;
      return step;
  }
}

Step Drawer::draw_strange() {
  const int64_t seq = next_;
  const int64_t places[] = {seq - static_cast<int64_t>(random_.between(1, 50'000)), seq,
                            seq + static_cast<int64_t>(random_.between(1, 10'000)),
                            seq + static_cast<int64_t>(random_.between(15'000, 20'000)),
                            seq + 3'000'000 + static_cast<int64_t>(random_.below(1'000'000))};
  const int64_t place = places[random_.below(5)];
  switch (random_.below(9)) {
    case 0:
      // Rarely where it ends everything.
      return segment("reset", flag_rst, place == seq && random_.chance(0.8) ? seq + 1 : place, 0);
    case 1: return segment("SYN", flag_syn, place, 0);
    case 2: return segment("SYN with ACK", flag_syn | flag_ack, place, 0);
    case 3: return segment("no ACK flag", flag_psh, seq, 10);
    case 4: return segment("no flags", 0, seq, 0);
    case 5: return segment("urgent", flag_ack | flag_urg, place, 10);
    case 6: {
      Step step = segment("old timestamp", flag_ack, seq, 20);
      step.old_timestamp = true;
      return step;
    }
    case 7: {
      Step step = segment("no timestamp", flag_ack, seq, 20);
      step.bears_timestamp = false;
      return step;
    }
    default: {
      Step step = segment("SACK of nothing", flag_ack, seq, 0);
      const int64_t begin = stack_end_ + static_cast<int64_t>(random_.below(10'000));
      step.sack.emplace_back(begin, begin + static_cast<int64_t>(random_.below(5'000)));
      return step;
    }
  }
}

Step Drawer::draw_call() {
  Step step;
  switch (random_.below(12)) {
    case 0:
      if (!shut_ && !closed_ && random_.chance(0.5)) {
        step.kind = Step::Kind::shutdown;
        shut_ = true;
        return step;
      }
      break;
    case 1:
      if (!closed_ && random_.chance(0.3)) {
        step.kind = Step::Kind::close;
        closed_ = true;
        return step;
      }
      break;
    case 2:
    case 3:
    case 4:
    case 5:
      if (!shut_ && !closed_) {
        step.kind = Step::Kind::write;
        step.octets = static_cast<uint32_t>(random_.between(1, 2'000));
        return step;
      }
      break;
    default: break;
  }
  step.kind = Step::Kind::read;
  return step;
}

}  // namespace millrace::diff
