// Any conversation: an input is a program of up to 200 steps (segments, application calls, time)
// against a stack with live connections. Sequence numbers are given relative to the connection's
// own variables, so that mutation stays near the edges that matter. Judged after every turn: the
// stack's invariants, every slot accounted for, every segment sent well formed, inside what the
// application wrote and carrying its octets, text delivered as the peer sent it, and few answers to
// peers that have proven nothing (T10). At the end nothing is left.
//
// Input: 6 octets of configuration, then steps: an octet of Step (low 5 bits; 0x80: the turn ends
// behind it), an octet that names the peer (low 3 bits), and the step's own octets. What is missing
// at the end reads as 0. tcp_fuzz_corpus/make writes programs by name.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/tcp/tcp.h"

namespace millrace::tcp {
namespace {

constexpr Ipv4Address our_address = Ipv4Address::from_octets(10, 0, 0, 1);
constexpr SocketAddress listening{our_address, 80};
constexpr MacAddress our_mac{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress peer_mac{{2, 0, 0, 0, 0, 2}};
constexpr uint32_t peer_count = 8;
constexpr int steps_max = 200;
constexpr size_t frames_per_turn_max = 256;
// Jumps of many hours, each of which the timer wheel walks through: enough for 24 days (T14).
constexpr int long_waits_max = 40;
constexpr size_t text_octets_max = 1'460;
constexpr size_t room_all = 256;
// T10: a SYN-ACK and five repetitions of it are all that a segment may earn.
constexpr uint64_t answers_per_segment_max = 6;

enum class Step : uint8_t {
  segment,
  text,        // in order, acknowledging all that was sent
  handshake,   // SYN, the turn, ACK, the turn
  raw,         // a TCP header's octets as they are, only the ports are ours
  icmp_error,  // about a segment of ours
  connect,
  write,
  read,
  shut_down,
  close,
  abort,
  keep_sent,
  deadline,
  wait,
  room,
  port,
  write_whole,
  write_in_place,
  options,  // Nagle, keep-alive
  fill,
  arp_reply,
  look,
  acknowledge,
  duplicates,  // a burst of duplicate ACKs with growing SACK blocks
  listen,
  count,
};

// What the peer says at a sequence number, and what we say at an offset of our stream: functions of
// where the octet stands, so that both can be checked wherever they come out.
uint8_t peer_octet(uint32_t peer, Seq at) {
  return static_cast<uint8_t>((at.value() * 0x9e37'79b1U + peer * 0x85eb'ca6bU) >> 23);
}
uint8_t our_octet(uint32_t peer, uint64_t offset) {
  return static_cast<uint8_t>((static_cast<uint32_t>(offset) * 0x85eb'ca6bU + peer) >> 21);
}

// Reads 0 behind the end, so that every prefix of a program is a program.
class Program {
 public:
  explicit Program(ByteView bytes) : reader_(bytes) {}
  bool at_end() const { return reader_.remaining() == 0; }
  uint8_t u8() { return at_end() ? uint8_t{0} : reader_.read_u8(); }
  int8_t i8() { return static_cast<int8_t>(u8()); }
  uint16_t u16() {
    const uint8_t high = u8();
    return static_cast<uint16_t>(high << 8 | u8());
  }
  ByteView bytes(size_t count) { return reader_.read_bytes(std::min(count, reader_.remaining())); }

 private:
  ByteReader reader_;
};

struct Configuration {
  explicit Configuration(Program& program) {
    const uint8_t size = program.u8();
    constexpr std::array<uint32_t, 4> slot_counts{256, 24, 48, 1'024};
    slots = slot_counts[size & 3];
    limits.connections = (size & 4) != 0 ? 2 : 16;
    limits.half_open = (size & 8) != 0 ? 1 : 8;
    limits.time_wait = (size & 16) != 0 ? 1 : 8;
    limits.transfers = (size & 32) != 0 ? 2 : 0;
    limits.repairs = (size & 64) != 0 ? 1 : 0;
    limits.listeners = 4;
    const uint8_t features = program.u8();
    limits.fast_paths = (features & 1) == 0;
    limits.features.window_scaling = (features & 2) == 0;
    limits.features.timestamps = (features & 4) == 0;
    limits.features.selective_acknowledgments = (features & 8) == 0;
    if ((features & 16) != 0) limits.features.congestion_control = CongestionControl::new_reno;
    limits.receive_slots_initial = (features & 32) != 0 ? 4 : 48;
    limits.send_slots_max = (features & 64) != 0 ? 4 : 512;
    seed = program.u16();
    // Ticks of 1 ms wrap after 49 days; start just before, or at any quarter of that.
    start = Instant::from_ns((uint64_t{program.u16()} * 65'536 + 1'000) * 1'000'000);
  }
  Limits limits;
  uint32_t slots = 0;
  uint64_t seed = 0;
  Instant start;
};

// The far end of one flow, and what the application knows of it.
struct Peer {
  SocketAddress remote;
  SocketAddress local = listening;
  ConnId id;
  bool open = false;  // the application holds id
  // As the wire showed it: what the peer says next, and what it has seen.
  Seq next;
  Seq seen_begin;  // of our last segment
  Seq seen_end;
  Seq seen_ack;
  uint32_t seen_window = 0;
  uint32_t timestamp_value = 1;
  uint32_t timestamp_seen = 0;
  bool timestamps = false;
  // Our stream, while it is known where it begins.
  bool sending_known = false;
  Seq iss;
  uint64_t written = 0;
  // The peer's stream, while it never contradicted itself.
  bool consistent = true;
  bool receiving_known = false;
  Seq read_next;
  // T10, until the peer has proven that it hears us.
  bool verified = false;
  uint64_t segments_in = 0;
  uint64_t segments_out = 0;
};

class Conversation {
 public:
  Conversation(const Configuration& configuration, Program& program)
      : program_(program),
        now_(configuration.start),
        memory_(static_cast<uint8_t*>(
            std::aligned_alloc(64, size_t{configuration.slots} * packet::slot_bytes))),
        arena_(memory_.get(), configuration.slots),
        neighbors_(arena_, steering_, counters_, HashKey{1, 2}),
        output_(arena_, routes_, neighbors_, counters_),
        tcp_(configuration.limits,
             Keys{{3, configuration.seed}, {5, configuration.seed}, configuration.seed}, arena_,
             output_, counters_, now_) {
    output_.set_port(0, our_mac, 1500);
    CHECK(steering_.add_owned(0, {our_address, 24}));
    CHECK(routes_.add({{our_address, 24}, 0, {}}));
    CHECK(tcp_.listen(listening));
    for (uint32_t i = 0; i < peer_count; ++i) {
      // Half of them behind one address, as clients behind one NAT.
      peers_[i].remote = {Ipv4Address::from_octets(10, 0, 0, static_cast<uint8_t>(2 + i / 2)),
                          static_cast<uint16_t>(40'000 + i)};
      peers_[i].next = Seq(0xffff'ff00U + i * 0x3000'0000U);
    }
    output_.set_room(0, room_);
  }

  void run() {
    for (int steps = 0; steps < steps_max && !program_.at_end(); ++steps) {
      const uint8_t code = program_.u8();
      const uint8_t who = program_.u8();
      do_step(static_cast<Step>((code & 0x1f) % static_cast<uint8_t>(Step::count)),
              who % peer_count);
      if ((code & 0x80) != 0) end_turn();
    }
    end_turn();
    end_everything();
  }

 private:
  struct Free {
    void operator()(uint8_t* at) const { std::free(at); }
  };

  // --- steps ---

  void do_step(Step step, uint32_t who) {
    switch (step) {
      case Step::segment: return send_segment(who);
      case Step::text: return send_text(who);
      case Step::handshake: return shake_hands(who);
      case Step::raw: return send_raw(who);
      case Step::icmp_error: return send_icmp_error(who);
      case Step::acknowledge: return acknowledge(who);
      case Step::duplicates: return send_duplicates(who);
      case Step::arp_reply: return answer_arp(peers_[who].remote.address);
      case Step::wait: return wait(program_.u8());
      case Step::room: {
        const uint8_t room = program_.u8();
        room_ = room == 255 ? room_all : room % 32;
        return;
      }
      case Step::port: {
        port_keeps_ = (program_.u8() & 1) != 0;
        if (!port_keeps_) port_gives_back();
        return;
      }
      default: break;
    }
    begin_application();
    if (step == Step::connect) return connect(who);
    if (step == Step::listen) {
      tcp_.listen({our_address, static_cast<uint16_t>(80 + program_.u8() % 8)});
      return;
    }
    if (peers_[who].open) do_call(step, who, peers_[who]);
  }

  void do_call(Step step, uint32_t who, Peer& peer) {
    switch (step) {
      case Step::write: return write(who, size_t{1} << program_.u8() % 15);
      case Step::read: return read(who, size_t{1} << program_.u8() % 17);
      case Step::shut_down: return tcp_.shutdown(peer.id, now_);
      case Step::close:
        tcp_.close(peer.id, now_);
        peer.open = false;
        return;
      case Step::abort:
        tcp_.abort(peer.id, now_);
        peer.open = false;
        return;
      case Step::keep_sent: return keep_sent(peer, program_.u8());
      case Step::deadline:
        tcp_.set_deadline(peer.id, now_ + Duration::milliseconds(program_.u16()));
        return;
      case Step::write_whole: return write_whole(who, program_.u16() % 4'096);
      case Step::write_in_place: return write_in_place(who, program_.u16());
      case Step::options: {
        const uint8_t on = program_.u8();
        tcp_.set_nagle(peer.id, (on & 1) != 0);
        tcp_.set_keepalive(peer.id, (on & 2) != 0, now_);
        return;
      }
      case Step::fill: write(who, tcp_.writable(peer.id) + 1); return;
      case Step::look: return look(peer);
      default: return;
    }
  }

  // --- the wire, towards us ---

  // A number near one of the connection's variables. selector: low 3 bits which, next 3 bits the
  // unit of the offset. Of numbers in the peer's space, or in ours.
  Seq relative(const Peer& peer, bool ours, uint8_t selector, int8_t offset) const {
    constexpr std::array<uint32_t, 8> units{1, 16, 536, 1'460, 4'096, 65'536, 1U << 24, 1U << 31};
    Seq base = ours ? peer.seen_end : peer.next;
    const Connection* c = peer.open ? tcp_.find(peer.id) : nullptr;
    const Transfer* t = c != nullptr ? tcp_.find_transfer(peer.id) : nullptr;
    switch (selector & 7) {
      case 1: base = ours ? peer.seen_begin : peer.seen_ack; break;
      case 2: base = ours ? peer.seen_end : peer.seen_ack + peer.seen_window; break;
      case 3:
        if (c != nullptr) base = ours ? c->snd_una : c->rcv_nxt;
        break;
      case 4:
        if (c != nullptr) base = ours ? c->snd_una + c->snd_wnd : c->receive_edge;
        break;
      case 5:
        if (t != nullptr) base = ours ? t->snd_max : t->irs;
        break;
      case 6:
        if (t != nullptr) base = ours ? t->snd_nxt : t->peer_fin_seq;
        break;
      case 7: base = Seq(0); break;
      default: break;
    }
    const uint32_t unit = units[selector >> 3 & 7];
    if (unit == 1U << 31) return base + (unit + static_cast<uint32_t>(int32_t{offset}));
    return base + static_cast<uint32_t>(int32_t{offset}) * unit;
  }
  Seq read_relative(const Peer& peer, bool ours) {
    const uint8_t selector = program_.u8();
    return relative(peer, ours, selector, program_.i8());
  }

  size_t read_length() {
    const uint8_t code = program_.u8();
    return code < 200 ? code : std::min<size_t>((code - 199U) * 26U, text_octets_max);
  }

  void natural_options(const Peer& peer, std::vector<uint8_t>& options) const {
    if (!peer.timestamps) return;
    add_timestamps(options, peer.timestamp_value, peer.timestamp_seen);
  }
  static void add_timestamps(std::vector<uint8_t>& options, uint32_t value, uint32_t echo) {
    const size_t at = options.size();
    options.resize(at + 12);
    store_be32(&options[at], aligned_timestamps);
    store_be32(&options[at + 4], value);
    store_be32(&options[at + 8], echo);
  }
  static void add_mss(std::vector<uint8_t>& options, uint16_t mss) {
    options.insert(options.end(),
                   {2, 4, static_cast<uint8_t>(mss >> 8), static_cast<uint8_t>(mss)});
  }
  static void add_sack(std::vector<uint8_t>& options, const std::vector<SackBlock>& blocks) {
    options.insert(options.end(), {1, 1, 5, static_cast<uint8_t>(2 + 8 * blocks.size())});
    for (const SackBlock& block : blocks) {
      const size_t at = options.size();
      options.resize(at + 8);
      store_be32(&options[at], block.begin.value());
      store_be32(&options[at + 4], block.end.value());
    }
  }

  // By the bits of one octet; 0 is what the connection has agreed on.
  std::vector<uint8_t> read_options(Peer& peer) {
    std::vector<uint8_t> options;
    const uint8_t wanted = program_.u8();
    if (wanted == 0) natural_options(peer, options);
    if ((wanted & 1) != 0) add_mss(options, program_.u16());
    if ((wanted & 2) != 0) options.insert(options.end(), {1, 3, 3, program_.u8()});
    if ((wanted & 4) != 0) options.insert(options.end(), {1, 1, 4, 2});
    if ((wanted & 8) != 0) {
      const auto value = static_cast<uint32_t>(int32_t{program_.i8()} * 1'024);
      const auto echo = static_cast<uint32_t>(int32_t{program_.i8()} * 64);
      add_timestamps(options, peer.timestamp_value + value, peer.timestamp_seen + echo);
    }
    if ((wanted & 0x30) != 0) {
      std::vector<SackBlock> blocks;
      for (int left = wanted >> 4 & 3; left > 0; --left) {
        const Seq begin = read_relative(peer, true);
        blocks.push_back({begin, read_relative(peer, true)});
      }
      add_sack(options, blocks);
    }
    if ((wanted & 0x40) != 0) {
      const ByteView garbage = program_.bytes(program_.u8() % 41);
      options.insert(options.end(), garbage.begin(), garbage.end());
    }
    options.resize(std::min<size_t>((options.size() + 3) / 4 * 4, 40));
    return options;
  }

  std::vector<uint8_t> text_at(uint32_t who, Seq seq, size_t length) const {
    std::vector<uint8_t> text(length);
    for (size_t i = 0; i < length; ++i) {
      text[i] = peer_octet(who, seq + static_cast<uint32_t>(i));
    }
    return text;
  }

  struct Outline {
    Seq seq;
    Seq ack;
    uint8_t flags = flag_ack;
    uint16_t window = 65'535;
    uint16_t urgent = 0;
  };
  void inject(uint32_t who, const Outline& outline, const std::vector<uint8_t>& options,
              const std::vector<uint8_t>& text) {
    Peer& peer = peers_[who];
    std::vector<uint8_t> bytes(20);
    store_be32(&bytes[4], outline.seq.value());
    store_be32(&bytes[8], outline.ack.value());
    bytes[12] = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
    bytes[13] = outline.flags;
    store_be16(&bytes[14], outline.window);
    store_be16(&bytes[18], outline.urgent);
    bytes.insert(bytes.end(), options.begin(), options.end());
    bytes.insert(bytes.end(), text.begin(), text.end());
    inject_bytes(peer, bytes);
    // An obedient peer goes on behind what it has just said, if that was next.
    const auto length = static_cast<uint32_t>(text.size()) +
                        ((outline.flags & flag_syn) != 0 ? 1U : 0U) +
                        ((outline.flags & flag_fin) != 0 ? 1U : 0U);
    if (outline.seq == peer.next || (outline.flags & (flag_syn | flag_ack)) == flag_syn) {
      peer.next = outline.seq + length;
    }
  }

  void inject_bytes(Peer& peer, const std::vector<uint8_t>& segment) {
    if (application_ran_ || frames_.size() >= frames_per_turn_max) end_turn();
    // A block of exactly this size, so that the sanitizer sees one octet too many.
    std::unique_ptr<uint8_t[]> block(new uint8_t[segment.size()]);
    std::memcpy(block.get(), segment.data(), segment.size());
    store_be16(block.get(), peer.remote.port);
    store_be16(block.get() + 2, peer.local.port);
    net::Ipv4Packet packet;
    packet.source = peer.remote.address;
    packet.destination = our_address;
    packet.protocol = net::protocol_tcp;
    packet.source_mac = peer_mac;
    packet.payload = {block.get(), segment.size()};
    frames_.push_back(std::move(block));
    ++peer.segments_in;
    tcp_.ingress(packet, net::IpOutput::path_back(0, peer_mac), now_);
  }

  void send_segment(uint32_t who) {
    Peer& peer = peers_[who];
    Outline outline;
    outline.flags = program_.u8();
    outline.seq = read_relative(peer, false);
    outline.ack = read_relative(peer, true);
    const uint8_t window = program_.u8();
    outline.window = static_cast<uint16_t>(window == 255 ? 65'535 : window * 16);
    outline.urgent = (outline.flags & flag_urg) != 0 ? program_.u16() : uint16_t{0};
    const std::vector<uint8_t> options = read_options(peer);
    const uint8_t how = program_.u8();
    std::vector<uint8_t> text = text_at(who, outline.seq, read_length());
    if ((how & 1) != 0 && !text.empty()) {
      text[text.size() / 2] ^= 1;
      peer.consistent = false;
    }
    inject(who, outline, options, text);
  }

  void send_text(uint32_t who) {
    Peer& peer = peers_[who];
    const uint8_t flags = program_.u8();
    const Outline outline{peer.next, peer.seen_end,
                          static_cast<uint8_t>(flag_ack | (flags & (flag_fin | flag_psh)))};
    std::vector<uint8_t> options;
    natural_options(peer, options);
    inject(who, outline, options, text_at(who, peer.next, read_length()));
  }

  void acknowledge(uint32_t who) {
    Peer& peer = peers_[who];
    std::vector<uint8_t> options;
    natural_options(peer, options);
    inject(who, {peer.next, peer.seen_end, flag_ack, program_.u16()}, options, {});
  }

  void shake_hands(uint32_t who) {
    Peer& peer = peers_[who];
    const uint8_t agreed = program_.u8();
    std::vector<uint8_t> options;
    if ((agreed & 1) == 0) add_mss(options, (agreed & 0x80) != 0 ? 536 : 1'460);
    if ((agreed & 2) == 0) options.insert(options.end(), {1, 3, 3, 7});
    if ((agreed & 4) == 0) options.insert(options.end(), {1, 1, 4, 2});
    if ((agreed & 8) == 0) add_timestamps(options, peer.timestamp_value, 0);
    const auto window = static_cast<uint16_t>((agreed & 16) != 0 ? 0 : 65'535);
    inject(who, {peer.next, Seq(0), flag_syn, window}, options, {});
    end_turn();
    options.clear();
    natural_options(peer, options);
    inject(who, {peer.next, peer.seen_end, flag_ack, window}, options, {});
    end_turn();
  }

  void send_raw(uint32_t who) {
    const ByteView bytes = program_.bytes(program_.u8() % 128);
    peers_[who].consistent = false;
    // The IP layer hands on nothing that is shorter than a header.
    std::vector<uint8_t> segment(bytes.begin(), bytes.end());
    segment.resize(std::max<size_t>(segment.size(), 20));
    inject_bytes(peers_[who], segment);
  }

  void send_duplicates(uint32_t who) {
    Peer& peer = peers_[who];
    const Seq ack = read_relative(peer, true);
    const Seq begin = read_relative(peer, true);
    const uint8_t how = program_.u8();
    const uint32_t step = (how & 0x80) != 0 ? 1'448 : 1;
    for (uint32_t i = 1; i <= (how & 0x3fU); ++i) {
      std::vector<uint8_t> options;
      natural_options(peer, options);
      // Bit 0x40: every second octet or segment is missing.
      const Seq first = (how & 0x40) != 0 ? begin + 2 * i * step : begin;
      if (i > 1) add_sack(options, {{first, begin + (2 * i + 1) * step}});
      inject(who, {peer.next, ack}, options, {});
    }
  }

  void send_icmp_error(uint32_t who) {
    Peer& peer = peers_[who];
    net::IcmpError error;
    const uint8_t kind = program_.u8();
    error.type = (kind & 0x80) != 0 ? net::icmp_time_exceeded : net::icmp_unreachable;
    error.code = kind & 0x0f;
    error.next_hop_mtu = static_cast<uint16_t>((kind & 0x40) != 0 ? program_.u16() : 1'300);
    error.source = our_address;
    error.destination = peer.remote.address;
    error.source_port = peer.local.port;
    error.destination_port = peer.remote.port;
    error.tcp_sequence_number = read_relative(peer, true).value();
    if (application_ran_) end_turn();
    tcp_.icmp_error(error, now_);
  }

  void answer_arp(Ipv4Address address) {
    if (application_ran_) end_turn();
    neighbors_.learn(0, {net::ArpOperation::reply, peer_mac, address, our_mac, our_address}, true,
                     now_, output_);
  }

  // --- the application ---

  void begin_application() {
    if (application_ran_) return;
    application_ran_ = true;
    tcp_.advance(now_);
    for (uint32_t left = tcp_.ready_count(); left > 0; --left) {
      const auto ready = tcp_.next_ready();
      CHECK(ready.has_value());
      on_ready(*ready);
    }
  }

  void on_ready(const Ready& ready) {
    if ((ready.events & event_accepted) != 0) accept(ready.id);
    for (Peer& peer : peers_) {
      if (!peer.open || !(peer.id == ready.id)) continue;
      if ((ready.events & (event_accepted | event_connected)) != 0) peer.verified = true;
      if ((ready.events & event_aborted) != 0) {
        keep_sent(peer, 2);
        tcp_.close(peer.id, now_);
        peer.open = false;
      }
      return;
    }
    CHECK(false);  // an event of a connection that the application does not hold
  }

  void accept(ConnId id) {
    const SocketAddress remote = tcp_.remote(id);
    for (Peer& peer : peers_) {
      if (!(peer.remote == remote) || !(peer.local == tcp_.local(id))) continue;
      CHECK(!peer.open);
      begin(peer, id);
      const Transfer* t = tcp_.find_transfer(id);
      peer.receiving_known = t != nullptr;
      if (t != nullptr) peer.read_next = t->irs + 1;
      peer.iss = t != nullptr ? t->iss : tcp_.find(id)->snd_una - 1;
      return;
    }
    CHECK(false);  // a connection that nobody opened
  }

  static void begin(Peer& peer, ConnId id) {
    peer.id = id;
    peer.open = true;
    peer.written = 0;
    peer.sending_known = true;
    peer.receiving_known = false;
  }

  void connect(uint32_t who) {
    Peer& peer = peers_[who];
    if (peer.open) return;
    const ConnId id = tcp_.connect(our_address, peer.remote, who, now_);
    if (tcp_.find(id) == nullptr) return;
    begin(peer, id);
    peer.local = tcp_.local(id);
    peer.iss = tcp_.find_transfer(id)->iss;
    peer.seen_end = peer.iss;
    peer.verified = true;  // we spoke first
  }

  std::vector<uint8_t> our_text(uint32_t who, size_t length) const {
    std::vector<uint8_t> text(length);
    for (size_t i = 0; i < length; ++i) text[i] = our_octet(who, peers_[who].written + i);
    return text;
  }
  void write(uint32_t who, size_t length) {
    Peer& peer = peers_[who];
    peer.written += tcp_.write(peer.id, our_text(who, length));
  }
  void write_whole(uint32_t who, size_t length) {
    Peer& peer = peers_[who];
    if (tcp_.write_whole(peer.id, our_text(who, length))) peer.written += length;
  }
  void write_in_place(uint32_t who, size_t length) {
    Peer& peer = peers_[who];
    const Tcp::OpenSlot open = tcp_.open_slot(peer.id);
    if (open.room.empty()) return;
    length %= std::min(open.room.size(), tcp_.segment_octets(peer.id)) + 1;
    if (length == 0) return tcp_.cancel_slot(open);
    const std::vector<uint8_t> text = our_text(who, length);
    std::copy(text.begin(), text.end(), open.room.begin());
    tcp_.commit_slot(peer.id, open, length);
    peer.written += length;
  }

  void read(uint32_t who, size_t octets) {
    Peer& peer = peers_[who];
    while (octets > 0) {
      const ByteView run = tcp_.readable(peer.id);
      if (run.empty()) break;
      const size_t part = std::min(octets, run.size());
      for (size_t i = 0; i < part && peer.receiving_known && peer.consistent; ++i) {
        CHECK(run[i] == peer_octet(who, peer.read_next + static_cast<uint32_t>(i)));
      }
      peer.read_next += static_cast<uint32_t>(part);
      tcp_.consume(peer.id, part, now_);
      octets -= part;
    }
  }

  void keep_sent(Peer& peer, uint8_t how) {
    if (how % 3 == 0) return tcp_.keep_sent(peer.id);
    if (how % 3 == 1) return tcp_.forget_sent(peer.id);
    std::array<uint8_t, 4'096> room;
    CHECK(tcp_.peek_sent(peer.id, room) <= room.size());
  }

  void look(const Peer& peer) {
    std::array<uint8_t, 3'000> room;
    const size_t octets = tcp_.peek(peer.id, room);
    CHECK(octets <= room.size());
    CHECK(octets >= std::min(tcp_.readable(peer.id).size(), room.size()));
    if (tcp_.at_end(peer.id)) CHECK(octets == 0 && tcp_.peer_has_ended(peer.id));
    if (tcp_.is_quiet(peer.id)) CHECK(octets == 0 && !tcp_.has_more_than(peer.id, 0));
    tcp_.make_ready(peer.id, event_readable);
  }

  // --- turns and time ---

  void end_turn() {
    begin_application();
    application_ran_ = false;
    tcp_.end_reading();
    frames_.clear();
    output_.set_room(0, room_);
    if (now_ >= next_tick_) {
      neighbors_.tick(now_, output_);
      next_tick_ = now_ + Duration::milliseconds(100);
    }
    tcp_.egress(0, now_);
    CHECK(output_.queued(0).size() <= std::max(room_, room_before_));
    room_before_ = room_;
    for (const packet::TransmitFrame& frame : output_.queued(0)) {
      on_frame(arena_.frame_bytes(frame));
      in_port_.push_back(frame.slot);
    }
    output_.clear(0);
    if (!port_keeps_) port_gives_back();
    output_.set_room(0, room_);
    check_all();
  }

  void port_gives_back() {
    for (const SlotIndex slot : in_port_) arena_.mark_sent(slot);
    in_port_.clear();
  }

  // 2^k ms, or up to the next deadline.
  void wait(uint8_t code) {
    end_turn();
    uint32_t exponent = code % 28;
    if (exponent >= 20 && exponent < 27 && ++long_waits_ > long_waits_max) exponent = 10;
    const Instant next = tcp_.next_deadline();
    if (exponent == 27 && next != Instant::never()) {
      now_ = std::max(now_, next);
    } else {
      now_ = now_ + Duration::milliseconds(int64_t{1} << exponent);
    }
    end_turn();
  }

  // --- the wire, from us ---

  void on_frame(ByteView frame) {
    CHECK(frame.size() >= 42 && frame.size() <= 1'514);
    if (load_be16(&frame[12]) != net::ethertype_ipv4) return;
    const ByteView bytes = frame.subspan(34);
    SegmentError error{};
    const auto segment = parse_segment(bytes, &error);
    CHECK(segment.has_value());
    const Ipv4Address destination = Ipv4Address::load(&frame[30]);
    CHECK(net::transport_checksum_holds(packet::ChecksumMode::verify, Ipv4Address::load(&frame[26]),
                                        destination, net::protocol_tcp, bytes, checksum_offset));
    for (uint32_t i = 0; i < peer_count; ++i) {
      Peer& peer = peers_[i];
      if (peer.remote == SocketAddress{destination, segment->destination_port} &&
          peer.local.port == segment->source_port) {
        return on_segment(i, peer, *segment);
      }
    }
  }

  void on_segment(uint32_t who, Peer& peer, const Segment& segment) {
    ++peer.segments_out;
    if (!peer.verified) {
      CHECK(segment.text.empty());
      CHECK(peer.segments_out <= answers_per_segment_max * peer.segments_in);
    }
    if (segment.has(flag_rst)) return;
    if (segment.has(flag_syn)) {
      peer.timestamps = segment.options.has_timestamps;
      if (!(segment.seq == peer.iss)) peer.sending_known = false;
    }
    check_text(who, peer, segment);
    peer.seen_begin = segment.seq;
    peer.seen_end = segment.seq + segment.sequence_length();
    peer.seen_ack = segment.ack;
    peer.seen_window = segment.window;
    if (segment.options.has_timestamps) peer.timestamp_seen = segment.options.timestamp_value;
    ++peer.timestamp_value;
  }

  // Every octet we send is one that was written, at its place.
  static void check_text(uint32_t who, const Peer& peer, const Segment& segment) {
    if (!peer.sending_known || segment.text.empty()) return;
    const uint64_t offset = octets_between(peer.iss + 1, segment.seq);
    // A probe of a window may repeat an octet that was acknowledged; nothing goes before the SYN.
    CHECK(offset + segment.text.size() <= peer.written);
    for (size_t i = 0; i < segment.text.size(); ++i) {
      CHECK(segment.text[i] == our_octet(who, offset + i));
    }
  }

  // --- what must hold ---

  void check_all() const {
    tcp_.check_invariants();
    uint32_t held = 0;
    uint32_t in_port = 0;
    uint32_t used = 0;
    for (SlotIndex slot = 0; slot < arena_.capacity(); ++slot) {
      held += arena_.held(slot) ? 1U : 0U;
      in_port += arena_.in_port(slot) ? 1U : 0U;
      used += arena_.held(slot) || arena_.in_port(slot) ? 1U : 0U;
    }
    CHECK(held == tcp_.slots_held());
    CHECK(in_port == in_port_.size() + neighbors_.waiting_count());
    CHECK(used + arena_.free_count() == arena_.capacity());
    CHECK(tcp_.armed_timer_count() <= tcp_.connection_count());
    CHECK(tcp_.half_open_count() <= tcp_.connection_count());
    CHECK(tcp_.transfer_count() <= tcp_.connection_count());
  }

  // Everything ends by itself when the application lets go: nobody answers any more.
  void end_everything() {
    port_keeps_ = false;
    port_gives_back();
    room_ = room_all;
    constexpr int turns_max = 3'000;
    for (int turns = 0; tcp_.connection_count() > 0 && turns < turns_max; ++turns) {
      begin_application();
      for (Peer& peer : peers_) {
        if (peer.open) tcp_.abort(peer.id, now_);
        peer.open = false;
      }
      end_turn();
      // At least 100 ms, the neighbor table's tick.
      now_ = std::max(now_ + Duration::milliseconds(100),
                      std::min(tcp_.next_deadline(), now_ + Duration::seconds(10)));
    }
    CHECK(tcp_.connection_count() == 0 && tcp_.half_open_count() == 0);
    CHECK(tcp_.transfer_count() == 0 && tcp_.armed_timer_count() == 0);
    CHECK(tcp_.slots_held() == 0 && tcp_.ready_count() == 0 && !tcp_.has_egress());
    CHECK(!tcp_.is_short_of_memory() && neighbors_.check_invariants());
    CHECK(arena_.free_count() + neighbors_.waiting_count() == arena_.capacity());
  }

  Program& program_;
  Instant now_;
  Instant next_tick_;
  std::unique_ptr<uint8_t, Free> memory_;
  packet::Arena arena_;
  Counters counters_;
  net::Steering steering_;
  net::IpRoutes routes_;
  net::NeighborTable neighbors_;
  net::IpOutput output_;
  Tcp tcp_;
  std::array<Peer, peer_count> peers_;
  std::vector<std::unique_ptr<uint8_t[]>> frames_;  // of this turn
  std::vector<SlotIndex> in_port_;
  size_t room_ = room_all;
  size_t room_before_ = room_all;
  int long_waits_ = 0;
  bool port_keeps_ = false;
  bool application_ran_ = false;
};

}  // namespace
}  // namespace millrace::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace::tcp;
  Program program({data, size});
  const Configuration configuration(program);
  Conversation(configuration, program).run();
  return 0;
}
