/* The C interface used from C: handshakes both ways, text both ways, time, errors, and that two
 * stacks with the same keys say the same. The peer is made by hand below. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/stack_api/millrace_stack.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static int failures;

#define EXPECT(condition)                                                     \
  do {                                                                        \
    if (!(condition)) {                                                       \
      ++failures;                                                             \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (0)

static const uint8_t stack_address[4] = {192, 0, 2, 1};
static const uint8_t peer_address[4] = {192, 0, 2, 2};

typedef struct Segment {
  uint16_t from_port;
  uint16_t to_port;
  uint32_t seq;
  uint32_t ack;
  uint8_t flags;
  uint16_t window;
  const char* text;
  size_t text_octets;
} Segment;

static void put16(uint8_t* at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}
static void put32(uint8_t* at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}
static uint16_t get16(const uint8_t* at) {
  return (uint16_t)(at[0] << 8 | at[1]);
}
static uint32_t get32(const uint8_t* at) {
  return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint32_t sum_of(const uint8_t* bytes, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += (uint32_t)bytes[i] << (i % 2 == 0 ? 8 : 0);
  return sum;
}
static uint16_t folded(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static size_t write_datagram(uint8_t* out, const Segment* segment) {
  const size_t tcp_octets = 20 + segment->text_octets;
  memset(out, 0, 40);
  out[0] = 0x45;
  put16(out + 2, (unsigned)(20 + tcp_octets));
  out[8] = 64;
  out[9] = 6;
  memcpy(out + 12, peer_address, 4);
  memcpy(out + 16, stack_address, 4);
  put16(out + 10, folded(sum_of(out, 20)));
  uint8_t* tcp = out + 20;
  put16(tcp, segment->from_port);
  put16(tcp + 2, segment->to_port);
  put32(tcp + 4, segment->seq);
  put32(tcp + 8, segment->ack);
  tcp[12] = 5 << 4;
  tcp[13] = segment->flags;
  put16(tcp + 14, segment->window);
  if (segment->text_octets > 0) memcpy(tcp + 20, segment->text, segment->text_octets);
  const uint32_t pseudo = sum_of(out + 12, 8) + 6 + (uint32_t)tcp_octets;
  put16(tcp + 16, folded(pseudo + sum_of(tcp, tcp_octets)));
  return 20 + tcp_octets;
}

static void say(MillraceStack* stack, Segment segment) {
  uint8_t datagram[2048];
  if (segment.window == 0) segment.window = 65535;
  const size_t octets = write_datagram(datagram, &segment);
  EXPECT(millrace_stack_device_in(stack, datagram, octets) == 0);
}

/* The next segment of the stack; flags 0 when it says nothing. */
static Segment hear(MillraceStack* stack, uint64_t* sent_at_ns) {
  static uint8_t datagram[2048];
  Segment segment = {0};
  const int32_t octets = millrace_stack_device_out(stack, datagram, sizeof datagram, sent_at_ns);
  if (octets <= 0) return segment;
  EXPECT(memcmp(datagram + 12, stack_address, 4) == 0);
  const uint8_t* tcp = datagram + 20;
  const size_t header = (size_t)(tcp[12] >> 4) * 4;
  const uint32_t pseudo = sum_of(datagram + 12, 8) + 6 + (uint32_t)(octets - 20);
  EXPECT(folded(pseudo + sum_of(tcp, (size_t)octets - 20)) == 0);
  segment.from_port = get16(tcp);
  segment.to_port = get16(tcp + 2);
  segment.seq = get32(tcp + 4);
  segment.ack = get32(tcp + 8);
  segment.flags = tcp[13];
  segment.window = get16(tcp + 14);
  segment.text = (const char*)tcp + header;
  segment.text_octets = (size_t)octets - 20 - header;
  return segment;
}

static uint64_t number(MillraceStack* stack, const char* name) {
  uint64_t value = 0;
  EXPECT(millrace_stack_counter(stack, name, &value) == 0);
  return value;
}

static MillraceStack* new_stack(void) {
  MillraceStackConfig config;
  millrace_stack_config_default(&config);
  config.listen_ports[config.listen_count++] = 80;
  const char* error = "";
  MillraceStack* stack = millrace_stack_create(&config, &error);
  if (stack == NULL) {
    fprintf(stderr, "no stack: %s\n", error);
    exit(1);
  }
  return stack;
}

/* A connection from the peer's port 40000, its SYN at 1000; *our_seq is the next of ours. */
static MillraceSocket accepted(MillraceStack* stack, uint32_t* our_seq) {
  say(stack, (Segment){.from_port = 40000, .to_port = 80, .seq = 1000, .flags = SYN});
  const Segment answer = hear(stack, NULL);
  EXPECT(answer.flags == (SYN | ACK) && answer.ack == 1001);
  *our_seq = answer.seq + 1;
  EXPECT(millrace_stack_accept(stack, 80) == MILLRACE_STACK_WOULD_BLOCK);
  say(stack,
      (Segment){.from_port = 40000, .to_port = 80, .seq = 1001, .ack = *our_seq, .flags = ACK});
  EXPECT(millrace_stack_accept(stack, 81) == MILLRACE_STACK_WOULD_BLOCK);
  const MillraceSocket socket = millrace_stack_accept(stack, 80);
  EXPECT(socket > 0);
  return socket;
}

static void passive_open_and_text(void) {
  MillraceStack* stack = new_stack();
  uint32_t our_seq = 0;
  const MillraceSocket socket = accepted(stack, &our_seq);
  char text[16];
  EXPECT(millrace_stack_recv(stack, socket, text, sizeof text) == MILLRACE_STACK_WOULD_BLOCK);
  say(stack, (Segment){.from_port = 40000,
                       .to_port = 80,
                       .seq = 1001,
                       .ack = our_seq,
                       .flags = ACK | PSH,
                       .text = "hello",
                       .text_octets = 5});
  EXPECT((millrace_stack_poll(stack, socket) & MILLRACE_SOCKET_READABLE) != 0);
  EXPECT(millrace_stack_recv(stack, socket, text, 2) == 2 && memcmp(text, "he", 2) == 0);
  EXPECT(millrace_stack_recv(stack, socket, text, sizeof text) == 3 && memcmp(text, "llo", 3) == 0);
  /* The answer carries the acknowledgment. */
  EXPECT(millrace_stack_send(stack, socket, "world", 5) == 5);
  Segment answer = hear(stack, NULL);
  EXPECT(answer.ack == 1006 && answer.text_octets == 5 && memcmp(answer.text, "world", 5) == 0);
  EXPECT(hear(stack, NULL).flags == 0);

  MillraceSocketInfo info;
  EXPECT(millrace_stack_info(stack, socket, &info) == 0);
  EXPECT(info.state == MILLRACE_STATE_ESTABLISHED && info.rcv_nxt == 1006);
  EXPECT(info.iss + 1 == our_seq && info.snd_una == our_seq && info.snd_nxt == our_seq + 5);
  EXPECT(info.remote_port == 40000 && info.local_port == 80 && info.unacknowledged_octets == 5);

  say(stack,
      (Segment){
          .from_port = 40000, .to_port = 80, .seq = 1006, .ack = our_seq + 5, .flags = ACK | FIN});
  EXPECT(hear(stack, NULL).ack == 1007);
  EXPECT((millrace_stack_poll(stack, socket) & MILLRACE_SOCKET_PEER_ENDED) != 0);
  EXPECT(millrace_stack_recv(stack, socket, text, sizeof text) == 0);
  EXPECT(millrace_stack_close(stack, socket) == 0);
  EXPECT(millrace_stack_close(stack, socket) == MILLRACE_STACK_BAD_ARGUMENT);
  answer = hear(stack, NULL);
  EXPECT((answer.flags & FIN) != 0);
  say(stack,
      (Segment){
          .from_port = 40000, .to_port = 80, .seq = 1007, .ack = answer.seq + 1, .flags = ACK});
  EXPECT(number(stack, "connections") == 0);
  EXPECT(millrace_stack_check(stack) == 0);
  millrace_stack_destroy(stack);
}

static void retransmission_keeps_time(void) {
  MillraceStack* stack = new_stack();
  uint32_t our_seq = 0;
  const MillraceSocket socket = accepted(stack, &our_seq);
  const uint64_t start_ns = millrace_stack_now(stack);
  EXPECT(millrace_stack_send(stack, socket, "x", 1) == 1);
  EXPECT(hear(stack, NULL).text_octets == 1);
  EXPECT(millrace_stack_next_deadline(stack) > start_ns);
  EXPECT(millrace_stack_advance_to(stack, start_ns + 1500000000U) == 0);
  EXPECT(millrace_stack_advance_to(stack, start_ns) == MILLRACE_STACK_BAD_ARGUMENT);
  uint64_t sent_at_ns = 0;
  const Segment again = hear(stack, &sent_at_ns);
  EXPECT(again.text_octets == 1 && again.seq == our_seq);
  /* RFC 6298 (2.2): the handshake has measured a round trip of nothing; 200 ms are the least. */
  EXPECT(sent_at_ns == start_ns + 200000000U);
  EXPECT(number(stack, "tcp_segments_retransmitted") >= 1);
  EXPECT(millrace_stack_abort(stack, socket) == 0);
  Segment last = again;
  for (Segment next = again; next.flags != 0; next = hear(stack, NULL)) last = next;
  EXPECT((last.flags & RST) != 0);
  EXPECT(millrace_stack_check(stack) == 0);
  millrace_stack_destroy(stack);
}

static void active_open(void) {
  MillraceStack* stack = new_stack();
  MillraceAddress remote = {.family = 4};
  memcpy(remote.octets, peer_address, 4);
  const MillraceSocket socket = millrace_stack_connect(stack, &remote, 8080);
  EXPECT(socket > 0);
  EXPECT(millrace_stack_poll(stack, socket) == 0);
  const Segment syn = hear(stack, NULL);
  EXPECT(syn.flags == SYN && syn.to_port == 8080);
  say(stack, (Segment){.from_port = 8080,
                       .to_port = syn.from_port,
                       .seq = 7,
                       .ack = syn.seq + 1,
                       .flags = SYN | ACK});
  EXPECT(hear(stack, NULL).ack == 8);
  EXPECT(millrace_stack_poll(stack, socket) ==
         (MILLRACE_SOCKET_CONNECTED | MILLRACE_SOCKET_WRITABLE));
  EXPECT(millrace_stack_set_option(stack, socket, MILLRACE_SOCKET_NAGLE, 1) == 0);
  EXPECT(millrace_stack_shutdown(stack, socket) == 0);
  EXPECT((hear(stack, NULL).flags & FIN) != 0);
  EXPECT(millrace_stack_send(stack, socket, "x", 1) == MILLRACE_STACK_ENDED);
  say(stack, (Segment){.from_port = 8080,
                       .to_port = syn.from_port,
                       .seq = 8,
                       .ack = syn.seq + 1,
                       .flags = RST | ACK});
  EXPECT(millrace_stack_poll(stack, socket) ==
         (MILLRACE_SOCKET_CONNECTED | MILLRACE_SOCKET_ABORTED));
  EXPECT(millrace_stack_send(stack, socket, "x", 1) == MILLRACE_STACK_ABORTED);
  EXPECT(millrace_stack_close(stack, socket) == 0);
  EXPECT(millrace_stack_check(stack) == 0);
  millrace_stack_destroy(stack);
}

static void mistakes_are_told(void) {
  MillraceStackConfig config;
  const char* error = NULL;
  millrace_stack_config_default(&config);
  config.address.family = 6;
  EXPECT(millrace_stack_create(&config, &error) == NULL && error != NULL);
  millrace_stack_config_default(&config);
  config.mtu = 67;
  EXPECT(millrace_stack_create(&config, NULL) == NULL);
  EXPECT(millrace_stack_create(NULL, NULL) == NULL);
  MillraceStack* stack = new_stack();
  MillraceAddress nowhere = {.family = 4, .octets = {198, 51, 100, 1}};
  EXPECT(millrace_stack_connect(stack, &nowhere, 80) == MILLRACE_STACK_FULL);
  EXPECT(millrace_stack_connect(stack, &nowhere, 0) == MILLRACE_STACK_BAD_ARGUMENT);
  EXPECT(millrace_stack_poll(stack, 1) == MILLRACE_STACK_BAD_ARGUMENT);
  uint64_t value = 0;
  EXPECT(millrace_stack_counter(stack, "no_such", &value) == MILLRACE_STACK_BAD_ARGUMENT);
  EXPECT(millrace_stack_counter_name(0) != NULL && millrace_stack_counter_name(100000) == NULL);
  EXPECT(millrace_stack_device_in(stack, "", 0) == MILLRACE_STACK_BAD_ARGUMENT);
  say(stack, (Segment){.from_port = 1, .to_port = 80, .seq = 1, .flags = SYN});
  uint8_t small[10];
  EXPECT(millrace_stack_device_out(stack, small, sizeof small, NULL) == MILLRACE_STACK_TOO_LONG);
  EXPECT(hear(stack, NULL).flags == (SYN | ACK));
  int listening = 0;
  for (uint16_t port = 1000; listening == 0; ++port) listening = millrace_stack_listen(stack, port);
  EXPECT(listening == MILLRACE_STACK_FULL);
  millrace_stack_destroy(stack);
  millrace_stack_destroy(NULL);
}

static void same_keys_same_words(void) {
  MillraceStack* stacks[2] = {new_stack(), new_stack()};
  MillraceAddress remote = {.family = 4};
  memcpy(remote.octets, peer_address, 4);
  uint8_t said[2][256];
  int32_t octets[2];
  for (int i = 0; i < 2; ++i) {
    EXPECT(millrace_stack_connect(stacks[i], &remote, 80) > 0);
    octets[i] = millrace_stack_device_out(stacks[i], said[i], sizeof said[i], NULL);
  }
  EXPECT(octets[0] > 0 && octets[0] == octets[1]);
  EXPECT(memcmp(said[0], said[1], (size_t)octets[0]) == 0);
  for (int i = 0; i < 2; ++i) millrace_stack_destroy(stacks[i]);
}

int main(void) {
  passive_open_and_text();
  retransmission_keeps_time();
  active_open();
  mistakes_are_told();
  same_keys_same_words();
  if (failures == 0) printf("stack_api: 5 tests passed\n");
  return failures == 0 ? 0 : 1;
}
