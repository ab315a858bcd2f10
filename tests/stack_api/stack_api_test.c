/* The interface from C: two stacks talk over a wire that loses every seventh datagram. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/stack_api/millrace_stack.h"

enum { octets = 300000, client_address = 0x0a000002, server_address = 0x0a000001 };

static int fail(const char* what) {
  printf("FAILED: %s\n", what);
  return 1;
}

static unsigned sent;

static int carry(mr_stack* from, mr_stack* to) {
  uint8_t datagram[2048];
  int any = 0;
  for (size_t length; (length = mr_device_out(from, datagram, sizeof datagram)) > 0;) {
    any = 1;
    if (++sent % 7 != 0) mr_device_in(to, datagram, length);
  }
  return any;
}

int main(void) {
  mr_config config = {0};
  config.address = server_address;
  config.prefix_length = 24;
  config.seed = 1;
  config.start_ns = 1000000000;
  mr_stack* server = mr_create(&config);
  config.address = client_address;
  config.seed = 2;
  mr_stack* client = mr_create(&config);
  if (server == NULL || client == NULL) return fail("mr_create");
  config.prefix_length = 0;
  if (mr_create(&config) != NULL) return fail("a configuration without a subnet");
  if (mr_listen(server, 80) != 0) return fail("mr_listen");
  mr_socket up = mr_connect(client, server_address, 80);
  if (up < 0) return fail("mr_connect");
  mr_socket down = -1;
  static uint8_t text[octets], got[octets];
  for (size_t i = 0; i < octets; ++i) text[i] = (uint8_t)(i * 31 + i / 251);
  size_t written = 0, read = 0;
  int ended = 0;
  for (uint64_t now = 1000000000; now < 300000000000u && !ended; now += 1000000) {
    mr_advance(client, now);
    mr_advance(server, now);
    if (down < 0) down = mr_accept(server);
    if (written < octets) {
      written += mr_send(client, up, text + written, octets - written);
      if (written == octets) mr_shutdown(client, up);
    }
    if (down >= 0) {
      read += mr_receive(server, down, got + read, octets - read);
      ended |= (mr_events(server, down) & MR_PEER_ENDED) != 0 && read == octets;
    }
    carry(client, server);
    carry(server, client);
  }
  if (read != octets || memcmp(text, got, octets) != 0) return fail("the text");
  mr_info info;
  if (mr_describe(client, up, &info) != 0 || strcmp(info.state, "FIN-WAIT-2") != 0)
    return fail("the state after a half-close");
  if (info.retransmits == 0 || mr_counter(client, "tcp_segments_retransmitted") == 0)
    return fail("losses leave no trace");
  if (mr_counter(client, "tcp_no_such_counter") != -1) return fail("a counter that is none");
  mr_close(server, down);
  mr_close(client, up);
  if (mr_close(client, up) != -1) return fail("a dead handle");
  for (uint64_t now = mr_now_ns(client); now < 600000000000u; now += 100000000) {
    mr_advance(client, now);
    mr_advance(server, now);
    carry(client, server);
    carry(server, client);
  }
  if (!mr_is_empty(client) || !mr_is_empty(server)) return fail("something is left");
  mr_destroy(client);
  mr_destroy(server);
  printf("%u datagrams, %d octets\n", sent, octets);
  return 0;
}
