// The states of RFC 9293 section 3.3.2.
#pragma once

#include <cstdint>

namespace millrace::tcp {

enum class State : uint8_t {
  closed,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};
// LISTEN is not a state of a connection here: a listener is an entry of its own (listener.h).

inline constexpr bool is_synchronized(State state) {
  return state >= State::established;
}
// Data and a FIN of ours may still be queued in these (RFC 9293 section 3.10.2).
inline constexpr bool may_send_data(State state) {
  return state == State::established || state == State::close_wait || state == State::syn_sent ||
         state == State::syn_received;
}
// Text of the peer is still expected in these (RFC 9293 section 3.10.7.4, seventh).
inline constexpr bool may_receive_data(State state) {
  return state == State::established || state == State::fin_wait_1 || state == State::fin_wait_2;
}

inline const char* state_name(State state) {
  switch (state) {
    case State::closed: return "CLOSED";
    case State::syn_sent: return "SYN-SENT";
    case State::syn_received: return "SYN-RECEIVED";
    case State::established: return "ESTABLISHED";
    case State::fin_wait_1: return "FIN-WAIT-1";
    case State::fin_wait_2: return "FIN-WAIT-2";
    case State::close_wait: return "CLOSE-WAIT";
    case State::closing: return "CLOSING";
    case State::last_ack: return "LAST-ACK";
    case State::time_wait: return "TIME-WAIT";
  }
  return "?";
}

}  // namespace millrace::tcp
